"""Sampling as DiffWave does it (Kong et al. 2021), and the pieces that go with a waveform process.

DiffWave's reverse loop is the one step at eta = 1 on the aligned times of an inference schedule, except that
the state is clamped to [-1, 1] after every step, the last one too. That the one step cannot say, so it is a
sampler of its own. The rest are small pieces over existing ones:

    x, grid = start_late(process, grid, inversion, eps, 3)       from an inversion instead of from noise
    denoiser = projected(denoiser, onto_mel)                     mel projection during sampling (GLA-Grad)
    noise = prior_noise(noise, scale)                            energy prior (`diffusion.prior`)
    x_0 = last(diffwave(denoiser, process, x, grid, noise))      or eta = 0: DDIM with the clamp
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from audiodiff.arrays import X
from audiodiff.diffusion.loss import sample_state
from audiodiff.diffusion.prediction import Denoiser
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.samplers import Noise, State, ddim
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor

FAST_BETAS = (1e-4, 1e-3, 1e-2, 5e-2, 0.2, 0.5)
"""DiffWave's schedule of six steps, from data towards noise; `grids.from_betas` turns it into times."""

CLAMP = 1.0
"""Largest magnitude of a state."""


def diffwave(
    denoiser: Denoiser[X],
    process: Process,
    x: X,
    grid: Sequence[float],
    noise: Noise[X],
    y: X | None = None,
    eta: float = 1.0,
) -> Iterator[State[X]]:
    """DiffWave's reverse loop: the one step, then the state clamped to [-1, 1].

    Args:
        denoiser: (x_t, t) -> x0_hat.
        process: The process; DiffWave's is ``VP.diffwave()``.
        x: State at ``grid[0]``, ``[B, T]``; DiffWave starts at unit-variance noise, ``process.start``.
        grid: Falling times; of an inference schedule ``grids.from_betas(process, betas)``, which refuses
            one that goes below the table.
        noise: Standard normal draws, numbered as in `samplers`.
        y: The recording ``[B, T]``, or None for a process without one.
        eta: 1 is DiffWave, 0 is DDIM; the share of the posterior's noise between.

    Yields:
        One state a step, clamped; one evaluation each.

    Raises:
        ConfigError: A grid that does not fall, eta outside [0, 1], or a missing y.
    """
    if len(grid) < 2:
        raise ConfigError("a grid must hold at least two times; use diffusion.grids")
    for i in range(len(grid) - 1):
        state = next(ddim(denoiser, process, x, grid[i : i + 2], _from_step(noise, i), y, eta))
        x = state.x.clip(-CLAMP, CLAMP)
        yield State(i, state.t, x, state.x0_hat)


def _from_step(noise: Noise[X], i: int) -> Noise[X]:
    """The draws of step i, for a sampler that takes it for its first."""

    def shifted(index: int) -> X:
        return noise(index + i)

    return shifted


def projected(denoiser: Denoiser[X], project: Callable[[X, float | X], X]) -> Denoiser[X]:
    """A denoiser whose every estimate is projected, for example onto a given mel (GLA-Grad, Liu et al. 2024).

    Works with every sampler. For a projection after sampling only, apply it to the last state.

    Args:
        denoiser: (x_t, t) -> x0_hat.
        project: (x0_hat ``[B, ...]``, t) -> the same shape; it sees t, so that it can leave late or early
            steps alone.

    Returns:
        (x_t, t) -> projected x0_hat.
    """

    def both(x_t: X, t: float | X) -> X:
        return project(denoiser(x_t, t), t)

    return both


def start_late(
    process: Process,
    grid: Sequence[float],
    rough: X,
    eps: X,
    n_steps: int,
    prior_scale: X | None = None,
) -> tuple[X, list[float]]:
    """Start at step n from a rough waveform, such as a mel inversion: x_n = sqrt(A_n) y + sqrt(1 - A_n) s z.

    Phase and coarse structure of the rough waveform stay, artefacts drown in the noise (SDEdit, Meng et al.
    2022).

    Args:
        process: The process; its state at grid[-1 - n_steps] is drawn around `rough` in the place of x_0.
        grid: Falling times of the full run.
        rough: ``[B, ...]``.
        eps: Noise of its shape; draw 0 of the sampler's noise.
        n_steps: How many steps of the grid's end to take, 1 to len(grid) - 1.
        prior_scale: Standard deviation s of an energy prior, or None for 1. If `eps` comes from
            `prior_noise`, it carries s already and this stays None.

    Returns:
        The state, and the rest of the grid.

    Raises:
        ConfigError: n_steps is out of range, or the process ends at a recording of its own.
    """
    if not 1 <= n_steps < len(grid):
        raise ConfigError(f"a late start keeps 1 to {len(grid) - 1} steps of this schedule, found {n_steps}")
    rest = list(grid[-1 - n_steps :])
    return sample_state(process, rough, None, rest[0], eps, prior_scale), rest


def table_times(process: VP, uniforms: Tensor) -> Tensor:
    """Training times as DiffWave draws them: every entry of the table equally often.

    Args:
        process: The process with its table of n entries.
        uniforms: ``[B]`` in [0, 1).

    Returns:
        t = (i + 1)/n, ``[B]``, with i = floor(n u); the network's step is i.

    Raises:
        ShapeError: Not one uniform an item.
    """
    if uniforms.ndim != 1:
        raise ShapeError(f"one uniform number an item is needed, [B], found {list(uniforms.shape)}")
    n_entries = len(process.betas)
    entry = (uniforms.cpu().double() * n_entries).floor().clamp(max=n_entries - 1)  # mps knows no float64
    return ((entry + 1) / n_entries).to(uniforms.dtype).to(uniforms.device)
