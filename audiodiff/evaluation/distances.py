"""How far apart two sets of points lie: as two normal distributions, and by a kernel.

Letters: P and Q points of D numbers each.
"""

from __future__ import annotations

import numpy as np

from audiodiff.errors import ShapeError
from audiodiff.evaluation.embedding import Points
from audiodiff.evaluation.score import Score, Unscored

POINTS_PER_NUMBER = 2
"""Fewer points for each of their numbers say nothing of a covariance; 96 points are about 50 s of sound."""

_MOST_FOR_MEDIAN = 1000
_ROWS_AT_ONCE = 512


def frechet_distance(x: Points, y: Points) -> Score:
    """The Frechet distance of two sets, taken as normal (Kilgour et al. 2019, "Frechet audio distance").

    Few points make it too large: compare sets of equal size, and no sets below some minutes.

    Args:
        x: ``[P, D]``.
        y: ``[Q, D]``.

    Returns:
        At least 0, 0 for equal sets; or the reason ``few``.
    """
    reason = _too_few(x, y)
    if reason is not None:
        return reason
    return frechet_of_normals(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))


def frechet_of_normals(mean_1: Points, cov_1: Points, mean_2: Points, cov_2: Points) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2) (Dowson and Landau 1982).

    Args:
        mean_1: ``[D]``.
        cov_1: ``[D, D]``.
        mean_2: ``[D]``.
        cov_2: ``[D, D]``.
    """
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ cov_2 @ root)
    shared = np.sqrt(np.maximum(inner, 0)).sum()
    apart = float(np.square(mean_1 - mean_2).sum() + np.trace(cov_1) + np.trace(cov_2) - 2 * shared)
    return max(apart, 0.0)


def kernel_distance(x: Points, y: Points, width: float | None = None) -> Score:
    """Squared maximum mean discrepancy by a Gaussian kernel, unbiased.

    Gretton et al. 2012, "A kernel two-sample test", equation 3; for sound, Chung et al. 2025, "KAD". Its mean
    is 0 for two draws from one distribution, whatever their sizes, so single values may be below 0.

    Args:
        x: ``[P, D]``.
        y: ``[Q, D]``.
        width: Of the kernel exp(-d^2 / (2 width^2)); by default the median distance between points of both
            sets together.

    Returns:
        The distance, exactly 0 for the same set; or the reason ``few``.
    """
    reason = _too_few(x, y)
    if reason is not None:
        return reason
    if np.array_equal(x, y):
        return 0.0  # the estimate supposes two independent draws
    width = median_distance(x, y) if width is None else width
    if width == 0:
        return 0.0  # more than half of all points are one point
    p, q = len(x), len(y)
    within = (_kernel_sum(x, x, width) - p) / (p * (p - 1)) + (_kernel_sum(y, y, width) - q) / (q * (q - 1))
    return within - 2 * _kernel_sum(x, y, width) / (p * q)


def median_distance(x: Points, y: Points) -> float:
    """Median distance between points of both sets, of at most 1,000 of each, evenly spread."""
    some = np.concatenate([_spread(x), _spread(y)])
    squares = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
    return float(np.sqrt(np.median(squares)))


def _spread(x: Points) -> Points:
    some: Points = x[np.linspace(0, len(x) - 1, min(len(x), _MOST_FOR_MEDIAN)).astype(int)]
    return some


def _kernel_sum(x: Points, y: Points, width: float) -> float:
    return sum(
        float(np.exp(-_squared_distances(x[i : i + _ROWS_AT_ONCE], y) / (2 * width**2)).sum())
        for i in range(0, len(x), _ROWS_AT_ONCE)
    )


def _squared_distances(x: Points, y: Points) -> Points:
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    positive: Points = np.maximum(squares, 0)
    return positive


def _too_few(x: Points, y: Points) -> Unscored | None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ShapeError(f"expected points [P, D] and [Q, D], found {list(x.shape)} and {list(y.shape)}")
    least = min(len(x), len(y))
    needed = POINTS_PER_NUMBER * x.shape[1]
    if least < needed:
        return Unscored("few", f"{least} points, of which {needed} are needed; score more sound")
    return None
