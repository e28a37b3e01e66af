"""What the players read: recording and result side by side, in short FLAC files that every browser decodes.

A file holds ten seconds: the channels of the recording (at most two), then as many of the result. So both
start at the same sample, a switch keeps the position, and the difference of the two is what was removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from pydantic import BaseModel, ConfigDict

from audiodiff.io.atomic import write_file
from audiodiff.io.reader import probe
from audiodiff.report import ReportEntry
from audiodiff.report.excerpts import few, matching
from audiodiff.report.measure import pairs
from audiodiff.signal.level import LevelMeter
from audiodiff.signal.types import Samples

CHUNK_S = 10

PEAKS = "peaks.json"

_COLUMNS = 1000
_PEAK_S = 0.02


class Listening(BaseModel):
    """What there is to hear.

    Attributes:
        seconds: Length.
        sample_rate: Hz.
        channels: Of each version, 1 or 2.
        chunks: Number of files.
        chunk_s: Seconds in each but the last.
        match_db: Gains of recording and result that make them equally loud.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float
    sample_rate: int
    channels: int
    chunks: int
    chunk_s: int
    match_db: tuple[float, float]


def chunk_name(number: int) -> str:
    """Name of a file of sound."""
    return f"{number:05d}.flac"


def write_listening(entry: ReportEntry, folder: Path, check: Callable[[], None]) -> Listening:
    """Write the files of a recording and its result.

    Args:
        folder: A new folder for them.
        check: Called now and then; what it raises ends the work.
    """
    rate = probe(entry.target).sample_rate
    size = CHUNK_S * rate
    waiting: list[Samples] = []
    n_waiting = n_samples = n_chunks = channels = 0
    peaks = [_Peaks(rate), _Peaks(rate)]
    meters = [LevelMeter(rate), LevelMeter(rate)]
    for pair in pairs(entry):
        check()
        versions = [few(x) for x in pair]
        for x, peak, meter in zip(versions, peaks, meters, strict=True):
            peak.push(x)
            meter.push(x.astype(np.float32, copy=False))
        both = np.concatenate(versions)
        channels = len(versions[0])
        n_samples += both.shape[1]
        waiting.append(both)
        n_waiting += both.shape[1]
        while n_waiting >= size:
            all_of_it = np.concatenate(waiting, axis=1)
            _write(folder, n_chunks, all_of_it[:, :size], rate)
            waiting, n_waiting, n_chunks = [all_of_it[:, size:]], n_waiting - size, n_chunks + 1
    if n_waiting:
        _write(folder, n_chunks, np.concatenate(waiting, axis=1), rate)
        n_chunks += 1
    columns = [peak.columns() for peak in peaks]
    write_file(folder / PEAKS, json.dumps({"before": columns[0], "after": columns[1]}).encode())
    before_db, after_db = (meter.active_db() for meter in meters)
    match = matching(before_db, after_db)
    return Listening(
        seconds=n_samples / rate,
        sample_rate=rate,
        channels=max(1, channels),
        chunks=n_chunks,
        chunk_s=CHUNK_S,
        match_db=(match.before_db, match.after_db) if match else (0.0, 0.0),
    )


def _write(folder: Path, number: int, samples: Samples, rate: int) -> None:
    soundfile.write(folder / chunk_name(number), samples.T.clip(-1, 1), rate, "PCM_16", format="FLAC")


class _Peaks:
    """The largest sample of every 20 ms, brought to a picture's width at the end."""

    def __init__(self, rate: int) -> None:
        self._size = max(1, round(_PEAK_S * rate))
        self._rest = np.zeros(0, dtype=np.float32)
        self._found: list[Samples] = []

    def push(self, x: Samples) -> None:
        """Take a block [C, n]."""
        loudest = np.concatenate([self._rest, np.abs(x).max(axis=0)])
        whole = len(loudest) // self._size * self._size
        self._found.append(loudest[:whole].reshape(-1, self._size).max(axis=1))
        self._rest = loudest[whole:]

    def columns(self) -> list[int]:
        """At most 1000 numbers, 100 for full scale."""
        rest = self._rest.max(keepdims=True) if len(self._rest) else self._rest
        found = np.concatenate([*self._found, rest])
        if len(found) > _COLUMNS:
            found = np.maximum.reduceat(found, np.arange(_COLUMNS) * len(found) // _COLUMNS)
        return [round(100 * min(1.0, float(value))) for value in found]
