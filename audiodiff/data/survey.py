"""What the files of a data set are like: levels, floors, band limits, clipping, duplicates.

Everything is measured on the samples of a file as they are, before packing changes their rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audiodiff.data.manifest import Clip, Kind, Split
from audiodiff.signal.clipping import ClipMeter
from audiodiff.signal.frames import frame_power
from audiodiff.signal.level import BLOCK_S, active_db, mix_to_mono
from audiodiff.signal.types import Samples

FLOOR_SHARE = 0.1
AUDIBLE_HZ = 18_000
SILENCE_DB = -120.0
_SMOOTH_HZ = 250.0
_LOWEST_HZ = 1500.0
_CLIFF_DB = 20.0
_EDGE_DB = 6.0
_TOP_SHARE = 0.985
_PIECE = 1 << 20


@dataclass(frozen=True)
class FileFacts:
    """One file of a data set.

    Attributes:
        path: The file.
        kind: What it serves as.
        split: Which part of the work may see it.
        seconds: Its length.
        sample_rate: Its own rate, Hz.
        level_db: Level while something sounds, dBFS; None for silence.
        floor_db: One block of 40 ms in ten is quieter than this, dBFS; digital silence counts as -120.
        band_hz: Where its spectrum breaks off below half the rate, or None where it does not.
        clipped: Runs of samples at full scale.
        digest: SHA-256 of its rate and samples; equal for exact duplicates, whatever their format.
    """

    path: Path
    kind: Kind
    split: Split
    seconds: float
    sample_rate: int
    level_db: float | None
    floor_db: float
    band_hz: float | None
    clipped: int
    digest: str

    @property
    def is_limited(self) -> bool:
        """Whether something that people hear is missing at the top."""
        return (self.band_hz or self.sample_rate / 2) < AUDIBLE_HZ


def measure(clip: Clip, samples: Samples, sample_rate: int) -> FileFacts:
    """Measure a decoded file.

    Args:
        clip: Which file it is.
        samples: [C, T].
        sample_rate: Hz.
    """
    clips = ClipMeter()
    clips.push(samples)
    mono = mix_to_mono(samples)[0]
    return FileFacts(
        path=clip.path,
        kind=clip.kind,
        split=clip.split,
        seconds=mono.size / sample_rate,
        sample_rate=sample_rate,
        level_db=active_db(samples, sample_rate),
        floor_db=floor_db(mono, sample_rate),
        band_hz=band_limit_hz(mono, sample_rate),
        clipped=clips.runs,
        digest=hashlib.sha256(
            f"{sample_rate} {samples.shape[0]} ".encode() + np.ascontiguousarray(samples).tobytes()
        ).hexdigest(),
    )


def floor_db(x: Samples, sample_rate: int) -> float:
    """Power that one block of 40 ms in ten stays below, dBFS (see `FileFacts`).

    Args:
        x: Samples [T].
        sample_rate: Hz.
    """
    n = min(x.size, max(1, round(BLOCK_S * sample_rate)))
    if n == 0:
        return SILENCE_DB
    blocks = x[: x.size - x.size % n].astype(np.float64).reshape(-1, n)
    power = float(np.quantile(blocks.var(axis=1), FLOOR_SHARE))
    return max(SILENCE_DB, 10 * float(np.log10(power))) if power > 0 else SILENCE_DB


def band_limit_hz(x: Samples, sample_rate: int) -> float | None:
    """Where the mean spectrum of a recording breaks off.

    A limit is a cliff, not a slope: everything above it lies `_CLIFF_DB` below the band just under it. What
    an ordinary microphone or voice does (some dB an octave, then a flat floor) is none. The limit is where
    the spectrum is 6 dB below that band.

    Args:
        x: Samples [T].
        sample_rate: Hz.

    Returns:
        Hz, or None where there is no cliff below half the rate, or nothing to see.
    """
    n_fft = 1 << round(np.log2(0.043 * sample_rate))
    if x.size < n_fft:
        return None
    power = np.zeros(n_fft // 2 + 1)
    for start in range(0, x.size - n_fft + 1, _PIECE):
        piece = x[start : start + _PIECE + n_fft // 2].astype(np.float64)
        if piece.size >= n_fft:
            power += frame_power(piece, n_fft, n_fft // 2).sum(axis=0)
    if power.max() <= 0:
        return None
    bin_hz = sample_rate / n_fft
    width = max(1, round(_SMOOTH_HZ / bin_hz))
    smooth = np.convolve(np.maximum(power, power.max() * 1e-16), np.ones(width) / width, "same")
    return _edge(10 * np.log10(smooth), bin_hz)


def _edge(spectrum_db: NDArray[np.float64], bin_hz: float) -> float | None:
    """The highest cliff of a spectrum [F]."""
    top = int(_TOP_SHARE * len(spectrum_db))  # a converter's own filter is above
    centres = np.arange(int(_LOWEST_HZ / bin_hz), int(0.93 * top))
    if not centres.size:
        return None
    loudest_above = np.maximum.accumulate(spectrum_db[:top][::-1])[::-1]
    below = np.array([np.median(spectrum_db[int(0.84 * f) : int(0.93 * f) + 1]) for f in centres])
    clear = np.minimum(top - 1, np.ceil(1.04 * centres + _SMOOTH_HZ / 2 / bin_hz).astype(int))
    drops = below - loudest_above[clear]
    best = int(np.argmax(drops))
    if drops[best] < _CLIFF_DB:
        return None
    bins = np.flatnonzero(spectrum_db[:top] >= below[best] - _EDGE_DB)
    return float(bins[-1] * bin_hz)


def duplicates(files: Sequence[FileFacts]) -> list[tuple[FileFacts, ...]]:
    """Groups of two or more files with the same samples, in the order in which they were found."""
    groups: dict[str, list[FileFacts]] = {}
    for file in files:
        groups.setdefault(file.digest, []).append(file)
    return [tuple(group) for group in groups.values() if len({file.path for file in group}) > 1]
