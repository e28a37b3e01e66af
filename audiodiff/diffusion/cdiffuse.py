"""CDiffuSE (Lu et al. 2022): a variance-preserving table whose mean drifts from clean signal to recording.

A published baseline. A network trained on ``CDiffuSE.published()`` samples on ``CDiffuSE.fast()``; the two
share only alpha_bar, so the time to tell the network comes from ``published.time_of(fast.alpha_bar(t))``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from audiodiff.arrays import Doubles, X
from audiodiff.diffusion.process import Process, Time, as_double, broadcast
from audiodiff.diffusion.vp import linear_betas, locate, lookup, root_table, time_of_alpha_bar
from audiodiff.errors import ConfigError

PUBLISHED_BETAS = linear_betas(1e-4, 0.035, 50)
"""The table that CDiffuSE is trained on."""

FAST_BETAS = (1e-4, 1e-3, 0.01, 0.05, 0.2, 0.35)
"""CDiffuSE's schedule of six steps, from data towards noise."""


def _drift(root: Doubles) -> Doubles:
    """M = sqrt((1 - alpha_bar)/sqrt(alpha_bar)), from root = sqrt(alpha_bar)."""
    return np.sqrt((1.0 - root) * (1.0 + root) / root)


def _natural(root: Doubles) -> tuple[Doubles, Doubles]:
    """(a, s^2) with the unforced m, from root = sqrt(alpha_bar)."""
    # 1 - alpha_bar (1 + m^2) = (1 - root)^2 (1 + root), without cancellation near t = 0
    return root * (1.0 - _drift(root)), np.square(1.0 - root) * (1.0 + root)


@dataclass(frozen=True)
class CDiffuSE(Process):
    """x_t = sqrt(alpha_bar) ((1 - m) x_0 + m y) + sqrt(1 - alpha_bar (1 + m^2)) eps.

    m = sqrt((1 - alpha_bar)/sqrt(alpha_bar)) at the table's entries and between them (interpolating m itself
    would make the log-SNR rise). At inference the last m is 1, a state that training never saw.

    Args:
        betas: variance of each entry, in (0, 1); the published training table if left out.
        inference: force the last m to 1.

    Raises:
        ConfigError: a beta outside (0, 1), or a table so long that m would reach 1 before its end.
    """

    betas: tuple[float, ...] = PUBLISHED_BETAS
    inference: bool = False
    table: Doubles = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = root_table(self.betas)
        last = float(table[-1])
        # at inference the last entry's own m is not used
        if float(_drift(table[-2] if self.inference else table[-1])) >= 1.0:
            raise ConfigError(
                f"CDiffuSE's m reaches 1 before the end (alpha_bar {last**2:.4g}); use fewer steps"
            )
        if self.inference and 2.0 * last**2 >= 1.0:
            raise ConfigError(f"m = 1 needs alpha_bar below 0.5 at the end, found {last**2:.4g}; add steps")
        object.__setattr__(self, "table", table)

    @classmethod
    def published(cls) -> CDiffuSE:
        """The training table: 50 entries, beta from 1e-4 to 0.035."""
        return cls()

    @classmethod
    def fast(cls) -> CDiffuSE:
        """The six-step inference table."""
        return cls(FAST_BETAS, inference=True)

    def alpha_bar(self, t: float) -> float:
        """alpha_bar at a time."""
        return float(lookup(self.table, as_double(t))[0]) ** 2

    def time_of(self, alpha_bar: float) -> float:
        """The time at which this table has ``alpha_bar``.

        Raises:
            ConfigError: alpha_bar lies outside the table.
        """
        return time_of_alpha_bar(self.table, alpha_bar)

    def path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.path``."""
        root, _ = lookup(self.table, t)
        a, variance = _natural(root)
        if self.inference:
            # linear in t from the entry before: s^2 stays above 0 and log-SNR falls; a blended m breaks both
            index, fraction = locate(self.table, t)
            forced = index == len(self.betas) - 1
            a_before, variance_before = _natural(self.table[-2])
            variance_end = 1.0 - 2.0 * np.square(self.table[-1])
            a = np.where(forced, (1.0 - fraction) * a_before, a)
            blended = (1.0 - fraction) * variance_before + fraction * variance_end
            variance = np.where(forced, blended, variance)
        return a, root - a, np.sqrt(variance)

    def time_at(self, ratio: float) -> float:
        """See ``Process.time_at``; by bisection, since the last interval has no closed form."""
        if ratio == 0.0:
            return 0.0
        low, high = 0.0, 1.0
        if self._ratio(high) < ratio * (1.0 - 1e-12):
            return math.inf
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._ratio(middle) < ratio else (low, middle)
        return high

    def _ratio(self, t: float) -> float:
        a, _, s = self.coeffs(t)
        return math.inf if a == 0.0 else (s / a) ** 2

    def eps_path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """The network's noise holds y's too: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps_hat."""
        root, _ = lookup(self.table, t)
        return root, np.zeros_like(root), np.sqrt((1.0 - root) * (1.0 + root))

    def eps_target(self, x_0: X, y: X | None, eps: X, t: Time) -> X:
        """(m sqrt(alpha_bar) (y - x_0) + s eps)/sqrt(1 - alpha_bar), ``[B, ...]``; t > 0.

        Raises:
            ConfigError: y is missing.
        """
        t64 = as_double(t)
        _, b, s = self.path(t64)
        scale = self.eps_path(t64)[2]
        mixed: X = broadcast(b / scale, x_0) * (self.require(y) - x_0) + broadcast(s / scale, x_0) * eps
        return mixed

    def start(self, y: X | None, eps: X, t0: float) -> X:  # noqa: ARG002 - every process's signature
        """The recording y, as the published code starts, ``[B, ...]``.

        Raises:
            ConfigError: y is missing.
        """
        return self.require(y)
