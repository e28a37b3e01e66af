"""Which frames of a recording belong to which phone: Viterbi training of one small Gaussian model a phone.

Every phone is two states in a row, a pause is one that may be skipped. The means and variances of all states
are estimated from an alignment, the best alignment is found with them, and so on (segmental k-means,
Juang and Rabiner 1990). The first alignment stretches given relative durations over the recording.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR_FRAMES = 5.0
"""Frames of all phones together that every state is given besides its own, so that rare ones stay sane."""

QUIET = 0.05
"""Share of the frames of a recording that the first model of silence is made of."""

VARIANCE_FLOOR = 0.1


@numba.njit  # type: ignore[untyped-decorator]
def viterbi(scores: Floats, skippable: NDArray[np.bool_]) -> Ints:
    """Best path through states in a row.

    Args:
        scores: Log likelihood of every frame in every state [N, S].
        skippable: States that may be left out [S], no two in a row.

    Returns:
        State of every frame [N], rising by 0, 1, or 2 over a skippable one; -1 in all frames if there are
        too few of them for a path.
    """
    n, s = scores.shape
    best = np.full(s, -np.inf)
    best[0] = scores[0, 0]
    if skippable[0] and s > 1:
        best[1] = scores[0, 1]
    steps = np.zeros((n, s), dtype=np.int8)
    for k in range(1, n):
        before = best.copy()
        for j in range(s):
            value, step = before[j], 0
            if j > 0 and before[j - 1] > value:
                value, step = before[j - 1], 1
            if j > 1 and skippable[j - 1] and before[j - 2] > value:
                value, step = before[j - 2], 2
            best[j] = value + scores[k, j]
            steps[k, j] = step
    state = s - 1
    if skippable[s - 1] and s > 1 and best[s - 2] > best[s - 1]:
        state = s - 2
    path = np.full(n, -1)
    if best[state] == -np.inf:
        return path
    for k in range(n - 1, -1, -1):
        path[k] = state
        state -= steps[k, state]
    return path


def align(
    features: list[Floats], units: list[Ints], weights: list[Floats], pause: int, iterations: int = 8
) -> list[Ints]:
    """Durations of the phones of all recordings.

    Args:
        features: Frames [N, D] of every recording; feature 0 is the level.
        units: Numbers of its phones [P] in order; no two pauses in a row.
        weights: Their relative durations [P], for the start.
        pause: The number of the pause.
        iterations: How often models and alignments are improved.

    Returns:
        Frames of every phone [P], N in sum; pauses may have 0.

    Raises:
        ValueError: If a recording has fewer frames than states.
    """
    chains = [_chain(u, pause) for u in units]
    paths = [_stretched(w, owner, len(f)) for f, w, (_, owner) in zip(features, weights, chains, strict=True)]
    for iteration in range(iterations):
        names = [states[path] for path, (states, _) in zip(paths, chains, strict=True)]
        if iteration == 0:
            names = [_with_silence(n, f, 2 * pause) for n, f in zip(names, features, strict=True)]
        mean, variance = _gaussians(features, names, 2 * (max(int(u.max()) for u in units) + 1))
        for i, (f, (states, _)) in enumerate(zip(features, chains, strict=True)):
            paths[i] = viterbi(_scores(f, mean[states], variance[states]), states == 2 * pause)
            if paths[i][0] < 0:
                raise ValueError(f"recording {i}: {len(f)} frames are too few for {len(units[i])} phones")
    pairs = zip(paths, chains, units, strict=True)
    return [np.bincount(owner[path], minlength=len(u)) for path, (_, owner), u in pairs]


def _chain(units: Ints, pause: int) -> tuple[Ints, Ints]:
    """Numbers of the states in a row, and which phone of the recording each belongs to."""
    count = np.where(units == pause, 1, 2)
    owner = np.repeat(np.arange(len(units)), count)
    second = np.r_[False, owner[1:] == owner[:-1]]
    return 2 * units[owner] + second, owner


def _stretched(weights: Floats, owner: Ints, n: int) -> Ints:
    """Path [N] that spends in every phone the share of its weight."""
    share = weights[owner] / np.bincount(owner)[owner]
    ends = np.cumsum(share) / share.sum() * n
    return np.searchsorted(ends, np.arange(n) + 0.5).clip(max=len(owner) - 1)


def _with_silence(names: Ints, features: Floats, silence: int) -> Ints:
    """The quietest frames are silence, to begin with."""
    return np.where(features[:, 0] <= np.quantile(features[:, 0], QUIET), silence, names)


def _gaussians(features: list[Floats], names: list[Ints], n_states: int) -> tuple[Floats, Floats]:
    """Mean and variance [S, D] of the frames of every state."""
    x, name = np.concatenate(features), np.concatenate(names)
    count = np.bincount(name, minlength=n_states)[:, None] + PRIOR_FRAMES
    sums = np.stack([np.bincount(name, c, n_states) for c in x.T], 1)
    squares = np.stack([np.bincount(name, c * c, n_states) for c in x.T], 1)
    mean = (sums + PRIOR_FRAMES * x.mean(0)) / count
    variance = (squares + PRIOR_FRAMES * np.square(x).mean(0)) / count - np.square(mean)
    return mean, np.maximum(variance, VARIANCE_FLOOR * x.var(0) + 1e-9)


def _scores(features: Floats, mean: Floats, variance: Floats) -> Floats:
    """Log likelihoods [N, S] of a Gaussian with uncorrelated features, up to a constant."""
    weight = 1 / variance
    distance = np.square(features) @ weight.T - 2 * features @ (mean * weight).T
    scores: Floats = -0.5 * (distance + (np.square(mean) * weight + np.log(variance)).sum(1))
    return scores
