"""Compiled part of `audiodiff.signal.phase_gradient`: importing it imports numba, which takes about a second.

A heap holds the flat numbers i = n F + f of bins [N, F] whose phase is known, the strongest on top.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Machine code, kept on disk where a folder for it can be written."""
    try:
        compiled = njit(cache=True)(function)
    except RuntimeError:  # no writable folder: compiled again in every process
        compiled = njit(function)
    return cast(Function, compiled)


@_compiled
def _push(heap: NDArray[np.int64], size: int, level: NDArray[np.float32], item: int) -> int:
    """Add an item to the heap; the new size."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if level[heap[above]] >= level[item]:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = item
    return size + 1


@_compiled
def _pop(heap: NDArray[np.int64], size: int, level: NDArray[np.float32]) -> int:
    """Take heap[0] away and move the rest up; the new size."""
    size -= 1
    item = heap[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and level[heap[below + 1]] > level[heap[below]]:
            below += 1
        if level[heap[below]] <= level[item]:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = item
    return size


@_compiled
def _drain(
    heap: NDArray[np.int64],
    size: int,
    level: NDArray[np.float32],
    steps: tuple[NDArray[np.float32], NDArray[np.float32]],
    phase: NDArray[np.float64],
    done: NDArray[np.bool_],
    n_bins: int,
) -> None:
    """Give every bin that is reachable from the heap its phase, by the trapezoidal rule."""
    along, across = steps
    while size > 0:
        here = heap[0]
        size = _pop(heap, size, level)
        f = here % n_bins
        there = here + n_bins
        if there < level.size and not done[there]:
            phase[there] = phase[here] + 0.5 * (along[here] + along[there])
            done[there] = True
            size = _push(heap, size, level, there)
        there = here - n_bins
        if there >= 0 and not done[there]:
            phase[there] = phase[here] - 0.5 * (along[here] + along[there])
            done[there] = True
            size = _push(heap, size, level, there)
        if f + 1 < n_bins and not done[here + 1]:
            phase[here + 1] = phase[here] + 0.5 * (across[here] + across[here + 1])
            done[here + 1] = True
            size = _push(heap, size, level, here + 1)
        if f > 0 and not done[here - 1]:
            phase[here - 1] = phase[here] - 0.5 * (across[here] + across[here - 1])
            done[here - 1] = True
            size = _push(heap, size, level, here - 1)


@_compiled
def spread(
    level: NDArray[np.float32],
    steps: tuple[NDArray[np.float32], NDArray[np.float32]],
    phase: NDArray[np.float64],
    done: NDArray[np.bool_],
    n_bins: int,
    border: NDArray[np.int64],
    seeds: NDArray[np.int64],
) -> None:
    """Integrate phase steps from the strongest bin to weaker neighbours, in place.

    Args:
        level: Log magnitudes, flat [N F].
        steps: Phase step in radians to the next frame and to the next bin, flat [N F] each.
        phase: Phases in radians, flat [N F]; written where done is False, except at seeds.
        done: Which phases stand, flat [N F]; True everywhere reachable afterwards.
        border: Bins with known phases to start from, all together.
        seeds: Bins to start from with the phase they hold, strongest first, when nothing else is left.
    """
    heap = np.empty(level.size, dtype=np.int64)
    size = 0
    for i in border:
        size = _push(heap, size, level, i)
    _drain(heap, size, level, steps, phase, done, n_bins)
    for seed in seeds:
        if not done[seed]:
            done[seed] = True
            heap[0] = seed
            _drain(heap, 1, level, steps, phase, done, n_bins)
