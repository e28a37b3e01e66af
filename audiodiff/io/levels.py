"""How loud a recording is, from its first sample to its last."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiodiff.io import av_library
from audiodiff.io.formats import AudioInfo, Truncated
from audiodiff.io.loudness import Loudness, Meter
from audiodiff.io.reader import read_blocks


@dataclass(frozen=True)
class Levels:
    """What a recording holds, read to its end.

    Attributes:
        info: What its header says.
        n_samples: Samples of one channel that are really there.
        peak: Largest sample, full scale 1.
        rms: Root of the mean square over all samples of all channels, full scale 1.
        loudness: Loudness and true peak; None without PyAV.
        truncated: Note on a file that is cut short or damaged, else None.
    """

    info: AudioInfo
    n_samples: int
    peak: float
    rms: float
    loudness: Loudness | None
    truncated: Truncated | None

    @property
    def seconds(self) -> float:
        """Duration of what is really there."""
        return self.n_samples / self.info.sample_rate


def measure(path: Path, heard: Callable[[float, float], None] | None = None) -> Levels:
    """Read the first track of a recording to its end.

    Args:
        heard: Told the seconds read so far, and those that the header announces (0 if it does not).

    Raises:
        AudioFileError: As `read_blocks`.
    """
    n_samples, peak, square = 0, 0.0, 0.0
    with read_blocks(path) as reader:
        info = reader.info
        meter = Meter(info.sample_rate, info.channels) if av_library.available() else None
        for block in reader:
            n_samples += block.shape[1]
            peak = max(peak, float(np.abs(block).max()))
            square += float(np.square(block, dtype=np.float64).sum())
            if meter is not None:
                meter.push(block)
            if heard is not None:
                heard(n_samples / info.sample_rate, info.seconds)
    rms = math.sqrt(square / (n_samples * info.channels))
    return Levels(info, n_samples, peak, rms, meter.finish() if meter else None, reader.truncated)


def decibels(level: float) -> float | None:
    """A level with full scale 1 in dBFS, 20 log10; None for silence."""
    return 20 * math.log10(level) if level > 0 else None
