"""The reverse process of a model from its start to an estimate of x_0: one driver for every task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from audiodiff.arrays import X
from audiodiff.diffusion import samplers, time_grids
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.diffwave import diffwave, projected
from audiodiff.diffusion.prediction import Denoiser, NetFn, make_denoiser
from audiodiff.diffusion.process import Process
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
    way = way_of(model, preset)
    process = way.process
    denoiser = make_denoiser(process, model.config.target, way.aligned(evaluate), y)
    if project is not None:
        denoiser = projected(denoiser, project)
    # A bridge starts at y itself: its start noise has the factor 0 and need not be drawn.
    at_y = y is not None and process.coeffs(way.grid[0])[2] == 0
    x = process.start(y, 0.0 * y if at_y and y is not None else noise(0), way.grid[0])
    x_0: X = samplers.last(_states(denoiser, way, x, preset, noise, y))
    mixed: X = x_0 if y is None or not preset.mix_back else x_0 + preset.mix_back * (y - x_0)
    return mixed


@dataclass(frozen=True)
class Way:
    """What is walked: a process, and falling times on it.

    Attributes:
        process: The process that is sampled.
        grid: Falling times of it.
        trained: The table that the network's times belong to, where that is another one.
    """

    process: Process
    grid: list[float]
    trained: CDiffuSE | None = None

    def aligned(self, net_fn: NetFn[X]) -> NetFn[X]:
        """The network, told the time at which its own table has as much signal."""
        ours, theirs = self.process, self.trained
        if theirs is None or not isinstance(ours, CDiffuSE):
            return net_fn

        def at_their_time(x_t: X, t: X) -> X:
            alpha_bar = ours.alpha_bar(float(t[0]))  # the items of a sampling run share their time
            return net_fn(x_t, 0.0 * t + theirs.time_of(alpha_bar))

        return at_their_time


def way_of(model: Model, preset: SamplerPreset) -> Way:
    """The way of a preset: its own times or schedule of betas, or the default grid of the process.

    CDiffuSE's schedule is a process of its own, whose last state is the recording (Lu et al. 2022).
    """
    process = model.process
    if preset.times is not None:
        return Way(process, list(preset.times))
    if preset.betas is None:
        return Way(process, time_grids.default(process, preset.steps, model.config.start))
    if isinstance(process, CDiffuSE):
        return Way(CDiffuSE(preset.betas, inference=True), time_grids.uniform(preset.steps), process)
    if isinstance(process, VP):
        return Way(process, time_grids.from_betas(process, preset.betas))
    raise ModelError(
        "a schedule of betas needs the process vp or cdiffuse; correct the model", code="refused"
    )


def _states(
    denoiser: Denoiser[X],
    way: Way,
    x: X,
    preset: SamplerPreset,
    noise: Noise[X],
    y: X | None,
) -> Iterator[State[X]]:
    process, grid = way.process, way.grid
    match preset.sampler:
        case "ddim":
            return samplers.ddim(denoiser, process, x, grid, noise, y, preset.eta, preset.start_noise)
        case "dpmpp_2m":
            return samplers.dpmpp_2m(denoiser, process, x, grid, noise, y, preset.start_noise)
        case "heun":
            return samplers.heun(denoiser, process, x, grid, noise, y, preset.start_noise)
        case "diffwave":
            return diffwave(denoiser, process, x, grid, noise, y, preset.eta)
