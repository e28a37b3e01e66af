"""Intervals of means by resampling, for differences that need not be normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
"""Sets of clips drawn with replacement for one interval."""

SEED = 0
_DRAWS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Difference:
    """A mean difference between two systems over the clips that both have.

    Attributes:
        mean: None without clips.
        low: Lower end of the 95 % interval; None below two clips.
        high: Its upper end.
        count: Number of clips.
    """

    mean: float | None
    low: float | None
    high: float | None
    count: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean_interval(values: Sequence[float], resamples: int = RESAMPLES, seed: int = SEED) -> Difference:
    """Mean of paired differences with its 95 % interval, the percentile bootstrap (Efron 1979).

    Every interval draws anew from the same seed, so that a table is the same whenever it is made.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return Difference(None, None, None, 0)
    mean = float(x.mean())
    if x.size == 1:
        return Difference(mean, None, None, 1)
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // x.size)
    means = [
        x[generator.integers(0, x.size, (min(rows, resamples - done), x.size))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Difference(mean, float(low), float(high), x.size)
