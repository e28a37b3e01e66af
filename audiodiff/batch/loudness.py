"""Bringing the tracks of an output to a loudness: cleaned streams are spooled, measured, then read again.

Each track gets one gain for its whole length, from its own measurement.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from audiodiff.errors import AudioFileError
from audiodiff.io.disk_buffer import DiskBuffer
from audiodiff.io.formats import AudioInfo, display_path
from audiodiff.io.loudness import Loudness, Meter, Target
from audiodiff.io.recording_copy import in_turn
from audiodiff.signal.types import Samples

_NOTABLE_LU = 0.05
"""Less below the target is not worth a warning."""


@dataclass(frozen=True)
class Level:
    """What was measured of a track, and what follows.

    Attributes:
        before: The track before the gain.
        target: How loud it shall be.
    """

    before: Loudness
    target: Target

    @property
    def gain_db(self) -> float:
        """Its gain; 0 if nothing could be measured."""
        return self.before.gain_db(self.target) or 0.0

    @property
    def note(self) -> str:
        """What the user must know; mostly empty."""
        if self.before.lufs is None:
            return "is silent or shorter than 0.4 s, so its loudness was left as it is"
        short = self.target.lufs - self.before.lufs - self.gain_db
        if short < _NOTABLE_LU:
            return ""
        wish, ceiling = f"{self.target.lufs:g} LUFS", f"{self.target.true_peak_db:g} dBTP"
        return f"stays {short:.1f} LU below {wish}, as its true peak would pass {ceiling}"


def levelled(
    streams: Sequence[Iterator[Samples]],
    infos: Sequence[AudioInfo],
    target: Target,
    stack: ExitStack,
    heard: Callable[[float], None] | None = None,
) -> tuple[list[Iterator[Samples]], tuple[Level, ...]]:
    """Take streams to their end, and give them again at their new loudness."""
    spools = [stack.enter_context(_Samples(info)) for info in infos]
    meters = [Meter(info.sample_rate, info.channels) for info in infos]
    n_heard = 0
    for track, block in in_turn(streams, [info.sample_rate for info in infos]):
        spools[track].write(block)
        meters[track].push(block)
        if track == 0 and heard is not None:
            n_heard += block.shape[1]
            heard(n_heard / infos[0].sample_rate)
    levels = tuple(Level(meter.finish(), target) for meter in meters)
    louder = [spool.read(level.gain_db) for spool, level in zip(spools, levels, strict=True)]
    return louder, levels


def notes(source: Path, levels: Sequence[Level]) -> list[str]:
    """Lines for the user."""
    lines = []
    for number, level in enumerate(levels, 1):
        track = f"track {number} " if len(levels) > 1 else ""
        if level.note:
            lines.append(f"{display_path(source)}: {track}{level.note}")
    return lines


class _Samples:
    """A stream written down to the bit."""

    def __init__(self, info: AudioInfo) -> None:
        self._dtype = np.dtype(info.exact_dtype)
        # A spool holds rows of float32; doubles take the room of two and are never seen as such.
        self._buffer = DiskBuffer(info.channels * self._dtype.itemsize // 4)

    def write(self, block: Samples) -> None:
        rows = np.ascontiguousarray(block.T, dtype=self._dtype)
        try:
            self._buffer.write(rows.view(np.float32))
        except OSError as error:
            folder = display_path(Path(tempfile.gettempdir()))
            line = f"{folder}: takes no more temporary files ({error.strerror}); make room or set TMPDIR"
            raise AudioFileError(line, code="no_space") from error

    def read(self, gain_db: float) -> Iterator[Samples]:
        factor = 10 ** (gain_db / 20)
        for rows in self._buffer.blocks():
            block = rows.view(self._dtype).T
            yield block * factor if gain_db else block

    def __enter__(self) -> _Samples:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buffer.close()
