"""Music-like sound: several notes held at once, and not the same ones throughout.

The pitch of speech never rests; a note keeps its partials in place for a third of a second and more. What
keeps them in place for the whole recording is hum or a whine. Simple, so a hint and no verdict: it misses
singing, drums and noisy music, and takes bells or chiming phones for music.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audiodiff.report.spectra import Grid, decibels

BLOCK_S = 5.0
"""Sound is judged in blocks of this length."""
HOLD_S = 0.3
"""A peak that stays in one bin for so long is held."""
TONES = 1.5
"""A block is music-like if so many peaks are held on average."""
CONSTANT_SHARE = 0.7
"""A peak that is held for more than this share of the recording is hum or a whine."""
PROMINENCE_DB = 8.0
"""A peak lies so far above the mean level of its surroundings."""
RANGE_DB = 40.0
"""Peaks count down to here below the loudest of their block."""

_HZ = (200.0, 5000.0)
_SIDE_BINS = 10

Mask = npt.NDArray[np.bool_]


class ToneMeter:
    """Counts held peaks in power spectra as they come, in blocks of `BLOCK_S`.

    Args:
        bin_hz: Distance of two bins.
        hop_s: Distance of two frames.
    """

    def __init__(self, bin_hz: float, hop_s: float) -> None:
        self._first, self._stop = (round(hz / bin_hz) for hz in _HZ)
        self._hop_s = hop_s
        self._length = round(BLOCK_S / hop_s)
        self._hold = round(HOLD_S / hop_s)
        self._waiting: list[Grid] = []
        self._n_waiting = 0
        self._held: list[npt.NDArray[np.uint16]] = []

    def push(self, power: Grid) -> None:
        """Take the next spectra [n, F], F bins from 0 Hz on."""
        first = max(0, self._first - _SIDE_BINS)
        self._waiting.append(power[:, first : self._stop + _SIDE_BINS])
        self._n_waiting += len(power)
        if self._n_waiting < self._length:
            return
        frames = np.concatenate(self._waiting)
        whole = len(frames) // self._length * self._length
        for block in frames[:whole].reshape(-1, self._length, frames.shape[1]):
            self._held.append(held(peaks(decibels(block)), self._hold).sum(axis=0, dtype=np.uint16))
        self._waiting, self._n_waiting = [frames[whole:]], len(frames) - whole

    def music_s(self) -> float:
        """Seconds in blocks that are music-like; what follows the last whole block does not count."""
        if not self._held:
            return 0.0
        counts = np.stack(self._held)
        passing = counts.mean(axis=0) <= CONSTANT_SHARE * self._length
        tones = counts[:, passing].sum(axis=1) / self._length
        return float((tones >= TONES).sum()) * self._length * self._hop_s


def peaks(levels: Grid) -> Mask:
    """Bins that rise above both neighbours and well above their surroundings, dB [n, F] -> [n, F]."""
    sides = np.pad(levels, ((0, 0), (_SIDE_BINS + 1, _SIDE_BINS)), mode="edge")
    sums = np.cumsum(sides, axis=1, dtype=np.float64)
    width = 2 * _SIDE_BINS + 1
    surroundings = (sums[:, width:] - sums[:, :-width]) / width
    found: Mask = levels > surroundings + PROMINENCE_DB
    found &= levels > levels.max(initial=-np.inf) - RANGE_DB
    found[:, 1:] &= levels[:, 1:] >= levels[:, :-1]
    found[:, :-1] &= levels[:, :-1] > levels[:, 1:]
    return found


def held(found: Mask, hold: int) -> Mask:
    """What belongs to a run of at least `hold` frames in one bin, [n, F] -> [n, F]."""
    if len(found) < hold:
        return np.zeros_like(found)
    # a window that is full of peaks, then everything that any such window covers
    sums = np.cumsum(np.pad(found, ((1, 0), (0, 0))), axis=0, dtype=np.int32)
    full = sums[hold:] - sums[:-hold] == hold
    starts = np.cumsum(np.pad(full, ((hold, hold - 1), (0, 0))), axis=0, dtype=np.int32)
    covered: Mask = starts[hold:] - starts[:-hold] > 0
    return covered
