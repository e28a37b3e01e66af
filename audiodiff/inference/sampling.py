"""The reverse process of a model from its start to an estimate of x_0: one driver for every task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from audiodiff.arrays import X
from audiodiff.diffusion import samplers, time_grids
from audiodiff.diffusion.diffwave import diffwave, projected
from audiodiff.diffusion.prediction import Denoiser, NetFn, make_denoiser
from audiodiff.diffusion.samplers import Noise, State
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ModelError
from audiodiff.model.config import SamplerPreset
from audiodiff.model.model import Model


def sample(
    model: Model,
    evaluate: NetFn[X],
    preset: SamplerPreset,
    noise: Noise[X],
    y: X | None = None,
    project: Callable[[X, float | X], X] | None = None,
) -> X:
    """Walk from the start of the process to x_0.

    Args:
        model: Process, target and time of the start.
        evaluate: The network ``(x_t, t [B]) -> prediction``, its condition closed over.
        preset: Sampler and steps.
        noise: Standard normal draws in the shape of the state; draw 0 is the start, step i takes draw i + 1.
        y: The recording in the shape of the state; None for a process without one.
        project: Applied to every estimate of x_0, or None.
    """
    process = model.process
    denoiser = make_denoiser(process, model.config.target, evaluate, y)
    if project is not None:
        denoiser = projected(denoiser, project)
    grid = time_grid(model, preset)
    # A bridge starts at y itself: its start noise has the factor 0 and need not be drawn.
    at_y = y is not None and process.coeffs(grid[0])[2] == 0
    x = process.start(y, 0.0 * y if at_y and y is not None else noise(0), grid[0])
    return samplers.last(_states(denoiser, model, x, grid, preset, noise, y))


def time_grid(model: Model, preset: SamplerPreset) -> list[float]:
    """Falling times of a preset: its own, those of its betas, or the default grid of the process."""
    if preset.times is not None:
        return list(preset.times)
    if preset.betas is None:
        return time_grids.default(model.process, preset.steps, model.config.start)
    if not isinstance(model.process, VP):
        raise ModelError("a schedule of betas needs the process vp; correct the model", code="refused")
    return time_grids.from_betas(model.process, preset.betas)


def _states(
    denoiser: Denoiser[X],
    model: Model,
    x: X,
    grid: Sequence[float],
    preset: SamplerPreset,
    noise: Noise[X],
    y: X | None,
) -> Iterator[State[X]]:
    process = model.process
    match preset.sampler:
        case "ddim":
            return samplers.ddim(denoiser, process, x, grid, noise, y, preset.eta, preset.start_noise)
        case "dpmpp_2m":
            return samplers.dpmpp_2m(denoiser, process, x, grid, noise, y, preset.start_noise)
        case "heun":
            return samplers.heun(denoiser, process, x, grid, noise, y, preset.start_noise)
        case "diffwave":
            return diffwave(denoiser, process, x, grid, noise, y, preset.eta)
