"""What has been done already: one small record per target, in a folder ``.audiodiff`` beside it.

A record names the input by its content, the work by a key (model, decisions, format of this package) and the
outputs by their content. It is on the disk before an output gets its name, so whatever kills the process, a
file that stands under a target's name is either whole and vouched for by its record, or somebody else's. The
records of several processes, shards and machines never meet: each has a file and a lock of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from filelock import Timeout

from audiodiff.batch.naming import is_sidecar
from audiodiff.errors import AudioFileError
from audiodiff.io.atomic import write_file
from audiodiff.io.byte_edit import sha256_of
from audiodiff.io.formats import display_path
from audiodiff.io.locks import held

FOLDER = ".audiodiff"

_VERSION = 1

Standing: TypeAlias = Literal["new", "done", "ours", "foreign"]
"""What is at a target: nothing; everything, as a record vouches; some of what a record vouches for, left by a
process that was killed; a file that no record knows, or that other work made."""


@dataclass(frozen=True)
class Content:
    """A file's content, with what tells cheaply that it did not change.

    Attributes:
        size: Bytes.
        mtime_ns: Time of the last change; 0 if that is not known yet.
        sha256: Of the whole content, hex.
    """

    size: int
    mtime_ns: int
    sha256: str

    @staticmethod
    def of(path: Path, known: Content | None = None) -> Content:
        """Look at a file."""
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
                return known
            return Content(status.st_size, status.st_mtime_ns, sha256_of(file.fileno()))

    def same(self, other: Content) -> bool:
        """Whether the content is the same, whenever it was written."""
        return (self.size, self.sha256) == (other.size, other.sha256)


class Record:
    """What is known about the targets of one input.

    Args:
        targets: All files that the work writes, the first one names the record.
        key: What decides the bytes beside the input, see `key_of`.
    """

    def __init__(self, targets: tuple[Path, ...], key: str) -> None:
        self._targets = targets
        self._key = key
        self._path = _beside(targets[0], ".json")
        self._stored = self._load()
        self._fresh: dict[str, Any] = {}

    def standing(self, source: Path) -> Standing:
        """Compare the record with the disk."""
        there = [path for path in self._targets if os.path.lexists(path)]
        if all(map(is_sidecar, there)):  # one that was left alone tells of nothing
            return "new"
        if self._stored.get("key") != self._key or not self._from(source):
            return "foreign"
        outputs = self._stored["outputs"]
        for path in there:
            known = _content(outputs.get(path.name))
            if known is None or not path.is_file() or not known.same(Content.of(path, known)):
                return "foreign"
        return "done" if len(there) == len(self._targets) else "ours"

    @property
    def seconds(self) -> float:
        """Seconds of audio in the output, as the record tells; 0 if it does not."""
        seconds = self._stored.get("seconds", 0.0)
        return float(seconds) if isinstance(seconds, int | float) else 0.0

    @property
    def gain_db(self) -> float:
        """Gain for a loudness target, as the record tells; 0 if it does not."""
        gain_db = self._stored.get("gain_db", 0.0)
        return float(gain_db) if isinstance(gain_db, int | float) else 0.0

    def begin(self, source: Path, facts: dict[str, Any]) -> None:
        """Note the input before the work starts; nothing is written yet."""
        known = _content(self._stored.get("source"))
        content = asdict(Content.of(source, known))
        self._fresh = {"v": _VERSION, "key": self._key, **facts, "source": content, "outputs": {}}

    def ready(self, path: Path, descriptor: int) -> None:
        """Write down the content of an output that is about to get its name."""
        content = Content(os.fstat(descriptor).st_size, 0, sha256_of(descriptor))
        self._fresh["outputs"][path.name] = asdict(content)
        self._store()

    def finish(self, seconds: float, warnings: tuple[str, ...], gain_db: float = 0.0) -> None:
        """Complete the record when all outputs stand."""
        for path in self._targets:
            self._fresh["outputs"][path.name]["mtime_ns"] = path.stat().st_mtime_ns
        self._fresh |= {"seconds": seconds, "warnings": list(warnings), "gain_db": gain_db}
        self._store()

    def _from(self, source: Path) -> bool:
        known = _content(self._stored.get("source"))
        return known is not None and known.same(Content.of(source, known))

    def _load(self) -> dict[str, Any]:
        """The stored record; one that cannot be read vouches for nothing."""
        try:
            data = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        usable = (
            isinstance(data, dict) and data.get("v") == _VERSION and isinstance(data.get("outputs"), dict)
        )
        return data if usable else {}

    def _store(self) -> None:
        self._path.parent.mkdir(exist_ok=True)
        write_file(self._path, (json.dumps(self._fresh, indent=1) + "\n").encode())
        self._stored = self._fresh


def key_of(work: dict[str, Any]) -> str:
    """A name for everything beside the input that decides what is written."""
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def locked(target: Path) -> Iterator[tuple[str, ...]]:
    """Keep every other process away from a target, as long as it asks too.

    Yields:
        A warning, if the file system has no locks.
    """
    path = _beside(target, ".lock")
    path.parent.mkdir(exist_ok=True)
    try:
        with held(path) as is_held:
            warning = f"{display_path(target.parent)}: no locks on this disk; let no second run work there"
            yield () if is_held else (warning,)
    except Timeout:
        line = f"{display_path(target)}: another run is working on it; run again when that has ended"
        raise AudioFileError(line, code="busy") from None


def _beside(target: Path, suffix: str) -> Path:
    """The record's own name is short: that of a target may be as long as the system allows."""
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]
    return target.parent / FOLDER / f"{name}{suffix}"


def _content(stored: object) -> Content | None:
    match stored:
        case {"size": int(size), "mtime_ns": int(mtime_ns), "sha256": str(sha256)}:
            return Content(size, mtime_ns, sha256)
    return None
