"""Which places of a recording somebody should listen to: pure functions of band levels.

Letters in shapes: N frames, M bands. Levels are dB re a full-scale sine, at least `SILENCE_DB`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from audiodiff.report.report_data import Kind, Place

Levels = npt.NDArray[np.float32]

ADDED_FACTOR = 2.0
"""Energy counts as new in a band where the output has more than so many times the input's."""
ADDED_AUDIBLE_DB = -25.0
"""New energy is listed down to here, relative to the loud frames of its surroundings."""
CHANGED_DB = 12.0
"""A place is listed where the bands that stood out changed by so much on average."""
STANDS_OUT_DB = 12.0
"""A band stands out if it lies so far above its noise floor."""
SPREAD_DB = 4.0
"""A place is listed where the samples of the model have this standard deviation."""

WINDOW_S = 60.0
"""Noise floors and loud frames are those of so much of the recording, since rooms change."""

_QUIET_DB = -65.0
_AUDIBLE_DB = -25.0
_MIN_BANDS = 4
_MAX_CHANGE_DB = 40.0
_SMOOTH = 5
_LOUD_PERCENTILE, _FLOOR_PERCENTILE = 95, 10
MAX_PLACES = 12

_JOIN_S, _SHORTEST_S = 0.3, 0.06


def loud_db(levels: Levels) -> float:
    """Level [N] -> what one frame in twenty exceeds."""
    return float(np.percentile(levels, _LOUD_PERCENTILE))


def floor_db(bands: Levels) -> Levels:
    """Noise floor of every band, [N, M] -> [M]: what one frame in ten stays below."""
    return np.asarray(np.percentile(bands, _FLOOR_PERCENTILE, axis=0), dtype=np.float32)


def added(before: Levels, after: Levels) -> Levels:
    """Energy of the output that the input does not hold."""
    p_in, p_out = 10 ** (_widest(before) / 10), 10 ** (after / 10)
    grown = p_out > ADDED_FACTOR * p_in
    total_in, total_out = (np.where(grown, p, 0.0).sum(axis=1) for p in (p_in, p_out))
    new_db = 10 * np.log10(np.maximum(total_out - total_in, 1e-12))
    threshold = max(_QUIET_DB, loud_db(10 * np.log10(p_out.sum(axis=1))) + ADDED_AUDIBLE_DB)
    excess = 10 * np.log10(np.maximum(total_out, 1e-12) / np.maximum(total_in, 1e-12))
    return np.where(new_db > threshold, excess, 0.0).astype(np.float32)


def changed(before: Levels, after: Levels, floor: Levels) -> Levels:
    """The words-changed guard: how far what stood out from the noise is from what is left of it.

    A denoiser may lower everything that does not stand out; what does is speech (or a sudden noise), and its
    level should stay.
    """
    totals = 10 * np.log10((10 ** (before / 10)).sum(axis=1))
    audible = totals > max(_QUIET_DB, loud_db(totals) + _AUDIBLE_DB)
    outstanding = before > floor + STANDS_OUT_DB
    count = outstanding.sum(axis=1)
    change = np.where(outstanding, np.abs(after - before).clip(max=_MAX_CHANGE_DB), 0.0).sum(axis=1)
    mean = np.where(audible & (count >= _MIN_BANDS), change / np.maximum(count, 1), 0.0)
    kernel = np.ones(_SMOOTH) / _SMOOTH
    return np.convolve(mean, kernel, "same")[: len(mean)].astype(np.float32) if len(mean) else mean


def spread(samples: Levels) -> tuple[Levels, float, int]:
    """How far samples of the model differ."""
    top = samples.max(axis=0)
    totals = 10 * np.log10((10 ** (top / 10)).sum(axis=1))
    audible = top > max(_QUIET_DB, loud_db(totals) + _AUDIBLE_DB)
    # below the audible a level says nothing: a band that is gone in one sample counts from there
    heard = np.maximum(samples, max(_QUIET_DB, loud_db(totals) + _AUDIBLE_DB) - 10)
    deviation = np.where(audible, heard.std(axis=0), 0.0)
    count = audible.sum(axis=1)
    mean = np.where(count >= _MIN_BANDS, deviation.sum(axis=1) / np.maximum(count, 1), 0.0)
    return mean.astype(np.float32), float(deviation.sum()), int(count.sum())


def runs(strength: Levels, threshold: float, first_s: float, hop_s: float, kind: Kind) -> list[Place]:
    """Stretches where a figure exceeds a threshold; those less than 0.3 s apart are one."""
    places: list[Place] = []
    for index in np.flatnonzero(strength > threshold):
        start, amount = first_s + (float(index) - 0.5) * hop_s, float(strength[index])
        stop = start + hop_s
        if places and start - places[-1].stop_s < _JOIN_S:
            last = places.pop()
            start, amount = last.start_s, max(amount, last.amount_db)
        places.append(Place(start, stop, kind, amount))
    return [place for place in places if place.stop_s - place.start_s >= _SHORTEST_S]


def weight(place: Place) -> float:
    """How much a place is worth hearing: strong ones first, long ones a little."""
    return float(place.amount_db * (place.stop_s - place.start_s) ** 0.5)


class Shortlist:
    """Keeps the places most worth hearing of each kind, in memory that does not grow.

    Attributes:
        left_out: How many others there were.
    """

    def __init__(self) -> None:
        self._heaps: dict[Kind, list[tuple[float, float, Place]]] = {}
        self.left_out = 0

    def add(self, places: Iterable[Place]) -> None:
        """Take more places."""
        for place in places:
            heap = self._heaps.setdefault(place.kind, [])
            heapq.heappush(heap, (weight(place), -place.start_s, place))
            if len(heap) > MAX_PLACES:
                heapq.heappop(heap)
                self.left_out += 1

    def places(self) -> tuple[Place, ...]:
        """What is on the list, in order of time."""
        kept = [place for heap in self._heaps.values() for *_, place in heap]
        return tuple(sorted(kept, key=lambda place: (place.start_s, place.kind)))


def _widest(levels: Levels) -> Levels:
    """The largest level among a frame and its two neighbours on each side: sounds may move a little."""
    padded = np.pad(levels, ((2, 2), (0, 0)), mode="edge")
    return np.max([padded[i : i + len(levels)] for i in range(5)], axis=0) if len(levels) else levels
