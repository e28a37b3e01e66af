"""Variance-preserving processes on a table of alpha_bar (DDPM, cosine, DiffWave).

Entry i of a table sits at t = (i + 1)/N and data (alpha_bar = 1) at t = 0. Between entries sqrt(alpha_bar) is
linear in t; that choice alone reproduces DiffWave's aligned steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.arrays import Doubles, X
from audiodiff.diffusion.process import Process
from audiodiff.errors import ConfigError


def linear_betas(first: float, last: float, n_entries: int) -> tuple[float, ...]:
    """``n_entries`` variances from ``first`` to ``last``, evenly spaced (Ho et al. 2020)."""
    step = (last - first) / max(1, n_entries - 1)
    # from both ends as torch.linspace, which older versions called: stored recipes hold its numbers
    below = max(1, n_entries // 2)
    return (
        *(first + step * i for i in range(below)),
        *(last - step * (n_entries - 1 - i) for i in range(below, n_entries)),
    )


def cosine_betas(n_entries: int) -> tuple[float, ...]:
    """Variances of alpha_bar = cos^2 with offset 0.008, cut at 0.999 (Nichol and Dhariwal 2021)."""
    angles = [(i / n_entries + 0.008) / 1.008 * math.pi / 2 for i in range(n_entries + 1)]
    ratios = [(math.cos(v) / math.cos(u)) ** 2 for u, v in pairwise(angles)]
    return tuple(min(1.0 - ratio, 0.999) for ratio in ratios)


def sigmoid_betas(
    n_entries: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0
) -> tuple[float, ...]:
    """Variances of a sigmoid alpha_bar (Jabri, Fleet and Chen 2023, "Scalable Adaptive Computation").

    With the logistic function sigma and u = i / n_entries,

        alpha_bar(u) = (sigma(end / tau) - sigma((start + u (end - start)) / tau))
                       / (sigma(end / tau) - sigma(start / tau)),

    not below 1e-9, as published: 1 at u = 0, all but 0 at u = 1. A beta is 1 - alpha_bar(u) / alpha_bar(u
    before).

    Args:
        n_entries: Entries of the table, at least 1.
        start: Where the stretch of the sigmoid begins.
        end: Where it ends, above `start`.
        tau: Temperature, above 0; a larger one brings the curve nearer to a straight line.

    Raises:
        ConfigError: end not above start, or tau not above 0.
    """
    if not (end > start and tau > 0):
        raise ConfigError(
            f"a sigmoid schedule needs end > start and tau > 0, found {start}, {end} and {tau}; correct them"
        )
    first, last = _logistic(start / tau), _logistic(end / tau)
    curve = [_logistic((start + i / n_entries * (end - start)) / tau) for i in range(n_entries + 1)]
    bars = [max((last - value) / (last - first), 1e-9) for value in curve]
    return tuple(1.0 - after / before for before, after in pairwise(bars))


def _logistic(value: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * value))


Schedule: TypeAlias = Literal["linear", "cosine", "sigmoid", "diffwave"]
"""Published tables by name; ``diffwave`` has 50 entries, the others have 1000."""


def betas_of(schedule: Schedule) -> tuple[float, ...]:
    """The variances of a published table."""
    match schedule:
        case "linear":
            return linear_betas(1e-4, 0.02, 1000)
        case "cosine":
            return cosine_betas(1000)
        case "sigmoid":
            return sigmoid_betas(1000)
        case "diffwave":
            return linear_betas(1e-4, 0.05, 50)


def root_table(betas: Iterable[float]) -> Doubles:
    """sqrt(alpha_bar) at t = 0, 1/N, ..., 1: float64 ``[N + 1]``, first entry 1.

    Raises:
        ConfigError: no variances, or one outside (0, 1).
    """
    values = np.asarray(tuple(betas), dtype=np.float64)
    if values.size == 0 or not ((values > 0) & (values < 1)).all():
        raise ConfigError("a table needs at least one beta and each in (0, 1); check the schedule")
    # the product of 1 - beta first, then the root: the order of the published code
    return np.concatenate([np.ones(1), np.sqrt(np.cumprod(1.0 - values))])


def locate(table: Doubles, t: Doubles) -> tuple[npt.NDArray[np.intp], Doubles]:
    """Index of the interval that holds t, and the fraction of it that lies below t."""
    n_entries = table.size - 1
    position = t * n_entries
    index = np.clip(np.floor(position), 0, n_entries - 1)
    return index.astype(np.intp), position - index


def lookup(table: Doubles, t: Doubles) -> tuple[Doubles, Doubles]:
    """Value and slope in t of the piecewise linear table at float64 times of any shape."""
    index, fraction = locate(table, t)
    low, high = table[index], table[index + 1]
    return (1.0 - fraction) * low + fraction * high, (high - low) * (table.size - 1)


def time_of_root(table: Doubles, root: float) -> float:
    """The time at which the falling table equals ``root``; above 1 when it never does."""
    last = float(table[-1])
    if root < last:
        return 1.0 if root >= last * (1.0 - 1e-12) else math.inf
    n_entries = table.size - 1
    above = int((table >= root).sum()) - 1
    index = min(max(above, 0), n_entries - 1)
    low, high = float(table[index]), float(table[index + 1])
    return (index + (low - root) / (low - high)) / n_entries


def time_of_alpha_bar(table: Doubles, alpha_bar: float) -> float:
    """The time of an inference alpha_bar, between the entries of a training table.

    Raises:
        ConfigError: alpha_bar lies outside the table (the published search then drops a step without a word).
    """
    t = time_of_root(table, math.sqrt(max(alpha_bar, 0.0)))
    if alpha_bar > 1.0 or t > 1.0:
        last = float(table[-1]) ** 2
        raise ConfigError(
            f"alpha_bar must lie in [{last:.6g}, 1] of the training table, found {alpha_bar:.6g}"
        )
    return t


@dataclass(frozen=True)
class VP(Process):
    """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps (Ho et al. 2020).

    Args:
        betas: variance of each entry of the training table, in (0, 1).
        zero_terminal: shift and rescale sqrt(alpha_bar) so that the last entry is pure noise (Lin et al.
            2023).
        schedule: the name of a published table, instead of its betas.

    Raises:
        ConfigError: a beta outside (0, 1), or not exactly one of betas and schedule.
    """

    betas: tuple[float, ...] = ()
    zero_terminal: bool = False
    schedule: InitVar[Schedule | None] = None
    table: Doubles = field(init=False, repr=False, compare=False)

    def __post_init__(self, schedule: Schedule | None) -> None:
        if schedule is not None:
            if self.betas:
                raise ConfigError("betas and schedule exclude each other; give one of them")
            object.__setattr__(self, "betas", betas_of(schedule))
        elif not self.betas:
            raise ConfigError("give either betas, each in (0, 1), or a schedule by name")
        table = root_table(self.betas)
        if self.zero_terminal:
            if table.size < 3:
                raise ConfigError("zero terminal SNR needs a table of at least two entries, found one")
            first, last = float(table[1]), float(table[-1])
            table[1:] = (table[1:] - last) * first / (first - last)
        object.__setattr__(self, "table", table)

    @classmethod
    def linear(cls, n_entries: int = 1000, zero_terminal: bool = False) -> VP:
        """The DDPM table: beta from 1e-4 to 0.02 (Ho et al. 2020)."""
        return cls(linear_betas(1e-4, 0.02, n_entries), zero_terminal)

    @classmethod
    def cosine(cls, n_entries: int = 1000, zero_terminal: bool = False) -> VP:
        """alpha_bar = cos^2 with offset 0.008, betas cut at 0.999 (Nichol and Dhariwal 2021)."""
        return cls(cosine_betas(n_entries), zero_terminal)

    @classmethod
    def diffwave(cls) -> VP:
        """DiffWave's 50 entries, beta from 1e-4 to 0.05 (Kong et al. 2021); 28 % of the power is left."""
        return cls(schedule="diffwave")

    @property
    def uses_y(self) -> bool:
        """Never: b = 0."""
        return False

    def path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.path``."""
        a, _ = lookup(self.table, t)
        return a, np.zeros_like(a), np.sqrt((1.0 - a) * (1.0 + a))

    def rates(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.rates``; s^2 = 1 - a^2 gives s s' = -a a'."""
        a, slope = lookup(self.table, t)
        return slope, np.zeros_like(a), -a * slope

    def time_at(self, ratio: float) -> float:
        """See ``Process.time_at``."""
        return time_of_root(self.table, math.sqrt(1.0 / (1.0 + ratio)))

    def time_of(self, alpha_bar: float) -> float:
        """The time at which this table has ``alpha_bar``.

        Raises:
            ConfigError: alpha_bar lies outside the table.
        """
        return time_of_alpha_bar(self.table, alpha_bar)

    def network_time(self, t: X) -> X:
        """The step of DiffWave's embedding, N t - 1: 0 at the first entry, N - 1 at the last, ``[B]``."""
        return t * len(self.betas) - 1.0

    def start(self, y: X | None, eps: X, t0: float) -> X:  # noqa: ARG002 - every process's signature
        """Unit-variance noise at any t0, as DiffWave starts, ``[B, ...]``."""
        return eps
