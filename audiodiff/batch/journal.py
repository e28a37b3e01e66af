"""What has been done already: one file of records per folder of outputs, ``.audiodiff/journal.jsonl`` in it.

A record names the input by its content, the work by a key (model, decisions, format of this package) and the
outputs by their content. It is on the disk before an output gets its name, so whatever kills the process, a
file that stands under a target's name is either whole and vouched for by its record, or somebody else's.

Records are lines of JSON that are only ever appended, by one process at a time; the last one about a target
counts, and one that a crash tore is passed over. Processes, shards and machines that work in the same folder
write into the same journal.

With ``--overwrite`` each recording is done anew, but a run that was interrupted goes on: a record tells which
run made it (`run_key`), and the journal which runs have ended.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

from audiodiff.batch.naming import is_sidecar
from audiodiff.io.atomic import AtomicFile, append
from audiodiff.io.byte_edit import sha256_of
from audiodiff.io.locks import held

if TYPE_CHECKING:
    from audiodiff.batch.job_options import Result

FOLDER = ".audiodiff"

JOURNAL = "journal.jsonl"

_VERSION = 2
_SECOND_NS = 1_000_000_000
_COARSE_NS = 3 * _SECOND_NS

Standing: TypeAlias = Literal["new", "done", "ours", "foreign"]
"""What is at a target: nothing; everything, as a record vouches; some of what a record vouches for, left by a
process that was killed; a file that no record knows, or that other work made."""


@dataclass(frozen=True)
class Content:
    """A file's content, with what tells cheaply that it did not change.

    Attributes:
        size: Bytes.
        mtime_ns: Time of the last change; 0 if that is not known yet, or would not tell of a later one.
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
            return Content(status.st_size, _telling(status.st_mtime_ns), sha256_of(file.fileno()))

    def same(self, other: Content) -> bool:
        """Whether the content is the same, whenever it was written."""
        return (self.size, self.sha256) == (other.size, other.sha256)


class Journal:
    """The records of a folder; what other processes append is seen at the next question.

    Args:
        folder: Folder of the outputs.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FOLDER / JOURNAL
        self._forget()

    def find(self, target: str) -> tuple[dict[str, Any], bool]:
        """The last record about a target, by its name, and whether its run is still going on.

        Returns:
            The record, empty if there is none; and whether no end of its run stands behind it.
        """
        try:
            with self._path.open("rb") as file:
                self._read_on(file)
                place = self._places.get(target)
                if place is None:
                    return {}, False
                file.seek(place)
                record: dict[str, Any] = json.loads(file.readline())
        except (OSError, ValueError):  # one that cannot be read vouches for nothing
            return {}, False
        return record, place > self._ends.get(str(record.get("run", "")), -1)

    def add(self, entry: dict[str, Any], files: Iterable[AtomicFile] = ()) -> None:
        """Append a line; when this returns, it is on the disk, and so are the files, which are complete."""
        self._path.parent.mkdir(exist_ok=True)
        lock = held(self._path.with_suffix(".lock"), wait=True)
        append(self._path, json.dumps({"v": _VERSION, **entry}).encode(), files, lock)

    def _forget(self) -> None:
        self._identity = (0, 0)
        self._head = b""
        self._end = 0
        self._places: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    def _read_on(self, file: BinaryIO) -> None:
        """Note where the lines lie that were not there the last time."""
        status = os.fstat(file.fileno())
        identity = status.st_dev, status.st_ino
        head = file.readline()
        if (identity, head) != (self._identity, self._head) or status.st_size < self._end:  # it was removed
            self._forget()
            self._identity, self._head = identity, head
        file.seek(self._end)
        for line in file:
            if not line.endswith(b"\n"):  # it is being written, or was torn
                return
            self._note(line)
            self._end += len(line)

    def _note(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return
        match entry:
            case {"v": 2, "target": str(target), "outputs": dict()}:
                self._places[target] = self._end
            case {"v": 2, "ended": str(run)}:
                self._ends[run] = self._end


@functools.lru_cache(maxsize=16)
def _journal(folder: Path) -> Journal:
    """The journal of a folder: read once, and then what is new."""
    return Journal(folder)


class Record:
    """What is known about the targets of one input.

    Args:
        targets: All files that the work writes, in one folder; the first one names the record.
        key: What decides the bytes beside the input, see `key_of`.
        run: The run that works, see `run_key`; empty for one that takes what any run has made.
    """

    def __init__(self, targets: tuple[Path, ...], key: str, run: str = "") -> None:
        self._targets = targets
        self._key = key
        self._run = run
        self._journal = _journal(targets[0].parent)
        self._stored, self._is_open = self._journal.find(targets[0].name)
        self._fresh: dict[str, Any] = {}

    @property
    def is_ours(self) -> bool:
        """Whether this run may take what is done: any may, unless it makes everything anew."""
        return not self._run or (self._is_open and self._stored.get("run") == self._run)

    def standing(self, source: Path) -> Standing:
        """Compare the record with the disk."""
        there = [path for path in self._targets if os.path.lexists(path)]
        if all(map(is_sidecar, there)):  # one that was left alone tells of nothing
            return "new"
        if self._stored.get("key") != self._key or not self._from(source):
            return "foreign"
        outputs: dict[str, Any] = self._stored["outputs"]
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
        run = {"run": self._run} if self._run else {}
        names = {"target": self._targets[0].name, "key": self._key, **run}
        self._fresh = {**names, **facts, "source": content, "outputs": {}}

    def ready(self, files: Mapping[Path, AtomicFile], result: Result | None = None) -> None:
        """Bring outputs that are about to get their names to the disk, and what they are.

        Args:
            files: The outputs, complete, by their names to be.
            result: What became of the recording, as far as that is known.
        """
        outputs = {path.name: asdict(_of_file(file)) for path, file in files.items()}
        told = {} if result is None else _told(result)
        self._store({**self._fresh, **told, "outputs": self._fresh["outputs"] | outputs}, files.values())

    def finish(self, result: Result) -> None:
        """Complete the record when all outputs stand, if there is something new."""
        outputs: dict[str, Any] = self._fresh["outputs"]
        times = {path.name: _telling(path.stat().st_mtime_ns) for path in self._targets}
        outputs = {name: content | {"mtime_ns": times[name]} for name, content in outputs.items()}
        complete = {**self._fresh, **_told(result), "outputs": outputs}
        if complete != self._fresh:
            self._store(complete)

    def _from(self, source: Path) -> bool:
        known = _content(self._stored.get("source"))
        return known is not None and known.same(Content.of(source, known))

    def _store(self, record: dict[str, Any], files: Iterable[AtomicFile] = ()) -> None:
        self._journal.add(record, files)
        self._fresh = self._stored = record


def _of_file(file: AtomicFile) -> Content:
    status = os.fstat(file.fd)
    return Content(status.st_size, _telling(status.st_mtime_ns), file.sha256)


def _told(result: Result) -> dict[str, Any]:
    return {"seconds": result.seconds, "warnings": list(result.warnings), "gain_db": result.gain_db}


def _telling(mtime_ns: int) -> int:
    """The time of a file that was just read; 0 where a change at this moment would have the same time.

    FAT counts in steps of 2 s and some other file systems in whole seconds, so a fresh time of whole seconds
    says nothing yet.
    """
    is_coarse = mtime_ns % _SECOND_NS == 0 and time.time_ns() - mtime_ns < _COARSE_NS
    return 0 if is_coarse else mtime_ns


def key_of(work: dict[str, Any]) -> str:
    """A name for everything beside the input that decides what is written."""
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()


def run_key(key: str, words: Sequence[Path], output: Path | None, part: tuple[int, int]) -> str:
    """A name for a command that makes everything anew: the same command has the same, and goes on.

    Args:
        key: What decides the bytes.
        words: Recordings, folders and patterns of the command.
        output: Folder for the results.
        part: Which part of how many.
    """
    here = Path.cwd()
    places = [os.fspath(here / place) for place in (*words, *([] if output is None else [output]))]
    return key_of({"key": key, "places": places, "beside": output is None, "part": part})


def end_run(run: str, folders: Iterable[Path]) -> None:
    """Note that a run came to its end, in the journals of the folders where it worked."""
    for folder in folders:
        if (folder / FOLDER / JOURNAL).exists():
            _journal(folder).add({"ended": run})


def _content(stored: object) -> Content | None:
    match stored:
        case {"size": int(size), "mtime_ns": int(mtime_ns), "sha256": str(sha256)}:
            return Content(size, mtime_ns, sha256)
    return None
