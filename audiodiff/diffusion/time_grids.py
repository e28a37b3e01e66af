"""Time grids for sampling: falling lists of n_steps + 1 floats from t_start to 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError

LOG_SNR_RANGE = (-10.0, 10.0)
"""Where the log-SNR and rho grids place their inner points; exact ends are appended beyond it."""


def _check(n_steps: int, t_start: float) -> None:
    if n_steps < 1:
        raise ConfigError(f"a grid needs at least one step, found {n_steps}")
    if not 0.0 < t_start <= 1.0:
        raise ConfigError(f"t_start must lie in (0, 1], found {t_start}")


def _even(first: float, last: float, n_points: int) -> list[float]:
    if n_points == 1:
        return [0.5 * (first + last)]
    return [first + (last - first) * i / (n_points - 1) for i in range(n_points)]


def uniform(n_steps: int, t_start: float = 1.0) -> list[float]:
    """Even steps in t.

    Raises:
        ConfigError: n_steps below 1, or t_start outside (0, 1].
    """
    _check(n_steps, t_start)
    return [t_start * ((n_steps - i) / n_steps) for i in range(n_steps + 1)]


def tau2(n_steps: int, t_start: float = 1.0) -> list[float]:
    """Even steps in tau with t = tau^2, in which a bridge's s ~ sqrt(t) is smooth and order 2 is kept.

    Raises:
        ConfigError: n_steps below 1, or t_start outside (0, 1].
    """
    _check(n_steps, t_start)
    return [t_start * ((n_steps - i) / n_steps) ** 2 for i in range(n_steps + 1)]


def log_snr(
    process: Process, n_steps: int, t_start: float = 1.0, span: tuple[float, float] = LOG_SNR_RANGE
) -> list[float]:
    """Even steps in log-SNR, clamped to ``span``, then t = 0.

    Args:
        process: the process whose log-SNR is meant.
        n_steps: number of steps.
        t_start: first time, in (0, 1]; itself in the grid even where its log-SNR lies below ``span``.
        span: lowest and highest log-SNR of the inner points.

    Raises:
        ConfigError: n_steps below 1, t_start outside (0, 1], or an empty span.
    """
    return _warped(process, n_steps, t_start, span, (lambda value: value, lambda value: value))


def rho(
    process: Process,
    n_steps: int,
    t_start: float = 1.0,
    span: tuple[float, float] = LOG_SNR_RANGE,
    power: float = 7.0,
) -> list[float]:
    """Even steps in (s/a)^(1/power), EDM's grid (Karras et al. 2022), clamped to ``span``, then t = 0.

    Args:
        process: the process whose s/a is meant.
        n_steps: number of steps.
        t_start: first time, in (0, 1].
        span: lowest and highest log-SNR of the inner points.
        power: EDM's rho, above 0; larger bunches more points near data.

    Raises:
        ConfigError: n_steps below 1, t_start outside (0, 1], an empty span, or power not above 0.
    """
    if not power > 0.0:
        raise ConfigError(f"the power of a rho grid must be above 0, found {power}")
    return _warped(
        process,
        n_steps,
        t_start,
        span,
        (lambda value: math.exp(-value / (2.0 * power)), lambda warped: -2.0 * power * math.log(warped)),
    )


def _warped(
    process: Process,
    n_steps: int,
    t_start: float,
    span: tuple[float, float],
    warp: tuple[Callable[[float], float], Callable[[float], float]],
) -> list[float]:
    """Even steps in a function of the log-SNR, with exact ends; ``warp`` is the function and its inverse."""
    _check(n_steps, t_start)
    lowest, highest = span
    first = process.log_snr(t_start)
    if not max(first, lowest) < highest:
        raise ConfigError(
            f"the log-SNR range {span} holds nothing beyond the start at {first:.4g}; raise its upper end"
        )
    forward, inverse = warp
    clamped = first < lowest
    n_inner = n_steps - 1 if clamped else n_steps
    if n_steps == 1 or n_inner == 0:
        return [t_start, 0.0]
    points = _even(forward(max(first, lowest)), forward(highest), n_inner)
    times = [process.inverse_log_snr(inverse(point)) for point in points]
    return [t_start, *(times if clamped else times[1:]), 0.0]


def from_betas(process: VP, betas: Sequence[float]) -> list[float]:
    """The aligned times of an inference schedule on a training table, then 0 (DiffWave's fast sampling).

    Args:
        process: the training table.
        betas: inference variances, from data towards noise.

    Raises:
        ConfigError: an inference alpha_bar outside the training table.
    """
    times = [0.0]
    alpha_bar = 1.0
    for beta in betas:
        alpha_bar *= 1.0 - beta
        times.append(process.time_of(alpha_bar))
    return times[::-1]


def default(process: Process, n_steps: int, t_start: float = 1.0) -> list[float]:
    """tau^2 for bridges (no noise at t = 1), uniform for the others.

    Raises:
        ConfigError: n_steps below 1, or t_start outside (0, 1].
    """
    is_bridge = process.coeffs(1.0)[2] == 0.0
    return tau2(n_steps, t_start) if is_bridge else uniform(n_steps, t_start)
