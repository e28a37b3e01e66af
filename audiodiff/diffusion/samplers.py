"""Samplers: short generators over a denoiser that yield a state after every step.

They know nothing of networks. Noise comes in as ``noise(index) -> tensor``, standard normal in the shape of
the state: index 0 is the start (``process.start(y, noise(0), grid[0])``) and step i draws index i + 1, only
if it adds noise. With an energy prior (``prior_noise``) every draw carries the prior's scale. N steps are N
evaluations of the denoiser, with ``heun`` 2N - 1. A step to t = 0 returns the estimate itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeAlias

from audiodiff.arrays import X
from audiodiff.diffusion.prediction import Denoiser
from audiodiff.diffusion.process import Process, advance
from audiodiff.errors import ConfigError

Noise: TypeAlias = Callable[[int], X]


@dataclass(frozen=True)
class State(Generic[X]):
    """What a step leaves behind.

    Args:
        i: index of the step, from 0.
        t: the time that was reached.
        x: the state there, ``[B, ...]``.
        x0_hat: the estimate of x_0 that took it there, ``[B, ...]``.
    """

    i: int
    t: float
    x: X
    x0_hat: X


def last(states: Iterable[State[X]]) -> X:
    """Runs a sampler to its end and returns the last state, ``[B, ...]``.

    Raises:
        ConfigError: the sampler yielded nothing.
    """
    result: X | None = None
    for state in states:
        result = state.x
    if result is None:
        raise ConfigError("the sampler took no step; give a grid of at least two times")
    return result


def prior_noise(noise: Noise[X], scale: X) -> Noise[X]:
    """Noise with PriorGrad's energy prior (Lee et al. 2022): every draw, start included, times ``scale``.

    Args:
        noise: standard normal draws, ``[B, ...]``.
        scale: standard deviation of the prior, broadcastable to a draw; the training noise must carry the
            same.
    """

    def scaled(index: int) -> X:
        drawn: X = noise(index) * scale
        return drawn

    return scaled


def _steps(grid: Sequence[float]) -> list[tuple[float, float]]:
    steps = list(pairwise(grid))
    if not steps or any(not 0.0 <= u < t <= 1.0 for t, u in steps):
        raise ConfigError(
            "a grid must fall strictly within [0, 1] and hold at least two times; use diffusion.grids"
        )
    return steps


def _scales(
    process: Process, times: tuple[float, float], eta: float, start_noise: float
) -> tuple[float, float]:
    """(kappa, n) of a step, with the fresh noise of a bridge's start scaled by ``start_noise``."""
    t, u = times
    kappa, n = process.step(t, u, eta)
    return kappa, n * start_noise if process.coeffs(t)[2] == 0.0 else n


def _draw(noise: Noise[X], i: int, n: float) -> X | None:
    return n * noise(i + 1) if n > 0.0 else None


def ddim(
    denoiser: Denoiser[X],
    process: Process,
    x: X,
    grid: Sequence[float],
    noise: Noise[X],
    y: X | None = None,
    eta: float = 0.0,
    start_noise: float = 1.0,
) -> Iterator[State[X]]:
    """The one step, repeated (Song et al. 2021): an ODE at eta = 0, the posterior chain at eta = 1; order 1.

    Args:
        denoiser: (x_t, t) -> x0_hat.
        process: the process.
        x: state at ``grid[0]``, ``[B, ...]``.
        grid: falling times in [0, 1].
        noise: standard normal draws, see the module.
        y: the recording, ``[B, ...]``, or None for a process without one.
        eta: share of the posterior's noise, in [0, 1].
        start_noise: scale of the fresh noise that leaves a bridge's start; 0 is the published bridge ODE,
            which is deterministic but off the trained marginal.

    Yields:
        One state a step; one evaluation each.

    Raises:
        ConfigError: a grid that does not fall, eta outside [0, 1], or a missing y.
    """
    for i, (t, u) in enumerate(_steps(grid)):
        x0_hat = denoiser(x, t)
        if u == 0.0:
            x = x0_hat
        else:
            kappa, n = _scales(process, (t, u), eta, start_noise)
            x = advance(process, x, x0_hat, y, (t, u), kappa, _draw(noise, i, n))
        yield State(i, u, x, x0_hat)


def _half_log_snr_gain(process: Process, t: float, u: float) -> float:
    return 0.5 * (process.log_snr(u) - process.log_snr(t))


def heun_weight(h: float) -> float:
    """Share of the second estimate over a step of half-log-SNR h: exact for x0_hat linear in log-SNR.

    (h - 1 + e^-h)/(h (1 - e^-h)); 1/2 for h = 0, and for the infinite step out of log-SNR -inf, where x0_hat
    is linear in a/s instead.
    """
    if math.isinf(h):
        return 0.5
    if h < 1e-3:
        return 0.5 + h / 12.0  # the closed form loses digits as h^-2; the next term is of order h^3
    return (h + math.expm1(-h)) / (-h * math.expm1(-h))


def heun(
    denoiser: Denoiser[X],
    process: Process,
    x: X,
    grid: Sequence[float],
    noise: Noise[X],
    y: X | None = None,
    start_noise: float = 1.0,
) -> Iterator[State[X]]:
    """Predictor and corrector, order 2: 2N - 1 evaluations, since the step to t = 0 needs one.

    The corrector's weight is exact for the variable (x - b y)/s, unlike that of EDM, which grows without
    bound with the step. Arguments as in ``ddim``; noise enters only at a bridge's start, the same for both
    stages.

    Yields:
        One state a step.

    Raises:
        ConfigError: a grid that does not fall, a process without noise, or a missing y.
    """
    for i, (t, u) in enumerate(_steps(grid)):
        x0_hat = denoiser(x, t)
        if u == 0.0:
            x = x0_hat
        else:
            kappa, n = _scales(process, (t, u), 0.0, start_noise)
            added = _draw(noise, i, n)
            predicted = advance(process, x, x0_hat, y, (t, u), kappa, added)
            weight = heun_weight(_half_log_snr_gain(process, t, u))
            x0_hat = x0_hat + weight * (denoiser(predicted, u) - x0_hat)
            x = advance(process, x, x0_hat, y, (t, u), kappa, added)
        yield State(i, u, x, x0_hat)


def dpmpp_2m(
    denoiser: Denoiser[X],
    process: Process,
    x: X,
    grid: Sequence[float],
    noise: Noise[X],
    y: X | None = None,
    start_noise: float = 1.0,
) -> Iterator[State[X]]:
    """DPM-Solver++(2M) (Lu et al. 2022): extrapolates from the step before, order 2 at one evaluation a step.

    First order in the first step, in the step to t = 0 and after an infinite step in log-SNR, so it equals
    ``ddim`` for up to three steps when the log-SNR at the start is -inf. Arguments as in ``heun``.

    Yields:
        One state a step.

    Raises:
        ConfigError: a grid that does not fall, a process without noise, or a missing y.
    """
    before: X | None = None
    h_before = math.inf
    for i, (t, u) in enumerate(_steps(grid)):
        estimate = x0_hat = denoiser(x, t)
        if u == 0.0:
            x = x0_hat
        else:
            h = _half_log_snr_gain(process, t, u)
            if before is not None and math.isfinite(h_before):
                x0_hat = estimate + h / (2.0 * h_before) * (estimate - before)
            kappa, n = _scales(process, (t, u), 0.0, start_noise)
            x = advance(process, x, x0_hat, y, (t, u), kappa, _draw(noise, i, n))
            before, h_before = estimate, h
        yield State(i, u, x, x0_hat)
