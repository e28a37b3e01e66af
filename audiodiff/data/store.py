"""The packed store: every clip at one rate in one memory-mapped file, with an index beside it.

A store is a folder of two files.

`audio.i16`   little-endian int16 samples, clip after clip
`index.json`  format version, sample rate, columns (one list a field, one value a clip) and their SHA-256

int16 with a gain for each clip holds 98 dB below that clip's own peak, more than any recording we know;
it halves what the page cache must hold. The index's hash and the length of the audio are checked on opening.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from audiodiff.data.manifest import Kind, Split
from audiodiff.errors import DataError
from audiodiff.io.atomic import atomic_folder
from audiodiff.signal.types import Audio

FORMAT_VERSION = 1
AUDIO_NAME, INDEX_NAME = "audio.i16", "index.json"
FULL_SCALE = 32767


@dataclass(frozen=True)
class Entry:
    """One clip of a store.

    Attributes:
        kind: speech, noise or room; noisy, the recording with noise of the clean speech right before it.
        offset: First sample in the audio file.
        length: Samples.
        gain: Float samples are the stored integers times this.
        speaker: Who speaks; for noise and rooms the file's own name.
        bandwidth_hz: Above this frequency the clip holds nothing true.
        category: Cleanliness class of speech, what sounds in noise.
        language: Language code or empty.
        split: train, dev or test.
        active_db: Level while something sounds, dBFS; None for silence.
        direct: Rooms: index of the direct sound; else 0.
    """

    kind: Kind
    offset: int
    length: int
    gain: float
    speaker: str
    bandwidth_hz: int
    category: str
    language: str
    split: Split
    active_db: float | None
    direct: int


@dataclass(frozen=True)
class Labels:
    """What is known about a clip apart from its samples; the fields are those of `Entry`."""

    kind: Kind
    speaker: str
    bandwidth_hz: int
    category: str
    language: str
    split: Split
    active_db: float | None
    direct: int = 0


COLUMNS = tuple(field.name for field in fields(Entry))


def _columns_hash(columns: dict[str, list[Any]]) -> str:
    canonical = json.dumps(columns, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class StoreWriter:
    """Writes a store beside its final place and renames it there when all is well.

    Use as a context manager: an exception inside leaves no trace, a clean exit leaves the whole store.

    Args:
        target: The store's folder; must not exist yet.
        sample_rate: Rate of everything that will be added, Hz.

    Raises:
        DataError: `target` exists.
    """

    def __init__(self, target: Path, sample_rate: int) -> None:
        if target.exists():
            raise DataError(
                f"{target}: already exists; remove it or choose another place for the packed store"
            )
        self._target = target
        self._folder = atomic_folder(target, replace=False)
        self._sample_rate = sample_rate
        self._entries: list[Entry] = []
        self._offset = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> StoreWriter:
        self._partial = self._folder.__enter__()
        self._file = (self._partial / AUDIO_NAME).open("wb")
        return self

    def add(self, audio: Audio, labels: Labels) -> Entry:
        """Append one clip.

        Args:
            audio: Samples [T], any finite level; scaled to full use of 16 bits.
            labels: What is known about it.
        """
        if self._file is None:
            raise DataError("a store can be written inside a with block only; open the writer with `with`")
        peak = float(np.max(np.abs(audio), initial=0.0)) if audio.ndim == 1 and audio.size else math.nan
        if not math.isfinite(peak):
            raise DataError(
                f"{labels.speaker}: expected finite samples [T], found {audio.shape}; leave it out"
            )
        gain = peak / FULL_SCALE if peak > 0 else 1.0
        self._file.write(np.round(audio / gain).astype("<i2").tobytes())
        entry = Entry(offset=self._offset, length=audio.size, gain=gain, **asdict(labels))
        self._entries.append(entry)
        self._offset += audio.size
        return entry

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None  # set by __enter__
        with contextlib.ExitStack() as stack:
            stack.push(self._folder)
            self._file.close()
            if error is not None:
                raise error
            columns = {name: [getattr(entry, name) for entry in self._entries] for name in COLUMNS}
            index = {
                "format_version": FORMAT_VERSION,
                "sample_rate": self._sample_rate,
                "n_samples": self._offset,
                "sha256": _columns_hash(columns),
                "columns": columns,
            }
            text = json.dumps(index, ensure_ascii=False)
            (self._partial / INDEX_NAME).write_text(text, encoding="utf-8")


class Store:
    """A packed store opened for reading; safe to share between threads.

    Args:
        folder: What `pack` wrote.

    Raises:
        DataError: No store, of another version, or damaged.

    Attributes:
        sample_rate: Rate of every clip, Hz.
        entries: All clips in the order they were added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = _read_index(folder)
        self.sample_rate: int = index["sample_rate"]
        columns = index["columns"]
        rows = zip(*(columns[name] for name in COLUMNS), strict=True)
        self.entries: tuple[Entry, ...] = tuple(Entry(*row) for row in rows)
        audio = folder / AUDIO_NAME
        found = audio.stat().st_size if audio.is_file() else 0
        if found != 2 * index["n_samples"]:
            raise DataError(
                f"{audio}: expected {2 * index['n_samples']} bytes, found {found}; pack the store again"
            )
        self._samples: NDArray[np.int16] = (
            np.memmap(audio, dtype="<i2", mode="r") if found else np.zeros(0, dtype=np.int16)
        )

    def read(self, index: int, start: int = 0, length: int | None = None) -> Audio:
        """Samples of one clip.

        Returns:
            Float samples [n], n <= length where the clip ends earlier.
        """
        entry = self.entries[index]
        stop = entry.length if length is None else min(start + length, entry.length)
        stored = self._samples[entry.offset + start : entry.offset + stop]
        return np.multiply(stored, np.float32(entry.gain), dtype=np.float32)

    def select(self, kind: Kind, split: Split) -> list[int]:
        """Positions of all clips of a kind in a split that are not silent throughout."""
        return [
            position
            for position, entry in enumerate(self.entries)
            if entry.kind == kind and entry.split == split and (kind == "room" or entry.active_db is not None)
        ]

    def seconds(self, positions: Sequence[int]) -> float:
        """Total length of some clips."""
        return sum(self.entries[position].length for position in positions) / self.sample_rate


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX_NAME
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: not a readable store index ({reason}); pack the store first") from error
    version = index.get("format_version")
    if version != FORMAT_VERSION:
        raise DataError(f"{path}: expected format_version {FORMAT_VERSION}, found {version}; pack it again")
    if _columns_hash(index.get("columns", {})) != index.get("sha256"):
        raise DataError(
            f"{path}: the index does not match its own hash, so it is damaged; pack the store again"
        )
    return index


def index_hash(folder: Path) -> str:
    """What a store holds, in a hash of its index: rate and labels, lengths and gains of all clips."""
    index = _read_index(folder)
    return hashlib.sha256(f"{index['sample_rate']} {index['sha256']}".encode()).hexdigest()
