"""Which files audiodiff has made: known by their tags, else by their sidecar, never by a name alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiodiff.batch.naming import is_sidecar, targets_of_residual
from audiodiff.batch.sidecar import Sidecar, parse_sidecar, read_sidecar
from audiodiff.batch.task import TaskName
from audiodiff.errors import DataError
from audiodiff.io.byte_edit import read_at, sha256_of
from audiodiff.io.folders import READABLE
from audiodiff.io.tag_flac import in_front
from audiodiff.io.tags import read_tags, read_texts

_LINE = re.compile(r"processed with audiodiff \S+ \((denoise|vocode)( preview)?( residual)?,")
_RIFF = frozenset({b"RIFF", b"RF64"})


@dataclass(frozen=True)
class Origin:
    """How audiodiff made a file.

    Attributes:
        task: What was done.
        is_preview: Whether it holds only the part that was to be heard first.
        source: Name of the recording, None if only tags tell.
    """

    task: str
    is_preview: bool
    source: str | None = None


def is_own(path: Path, task: TaskName) -> bool:
    """Whether a file is a result, a preview, a residual or a sidecar of this task."""
    if not path.is_file():  # nothing is opened that may wait, as a pipe does
        return False
    if is_sidecar(path):
        return parse_sidecar(path) is not None
    return any(origin.task == task for origin in _told(path)) or _is_untagged_residual(path, task)


def is_own_preview(path: Path, source: Path) -> bool:
    """Whether a file is a preview of this recording, or its residual, as it was written.

    One that was changed since, or of which neither tags nor a sidecar tell, is somebody else's.
    """
    if not path.is_file():
        return False
    sidecar, told = _sidecar(path), list(_told(path))
    if sidecar is not None and sidecar.output.sha256 not in (None, _sha256(path)):
        return False
    return bool(told) and all(one.is_preview and one.source in (None, source.name) for one in told)


def _told(path: Path) -> Iterator[Origin]:
    """What a file's tags say, and its sidecar if that tells of this content."""
    tagged = [Origin(task, bool(preview)) for task, preview, _ in _LINE.findall(_texts(path))]
    yield from tagged
    sidecar = _sidecar(path)
    if sidecar is None:
        return
    known = sidecar.output.sha256
    if (known is None and tagged) or (known is not None and known == _sha256(path)):
        yield Origin(sidecar.task, bool(sidecar.options.get("preview")), sidecar.input.name)


def _texts(path: Path) -> str:
    """The texts of a file: those where audiodiff writes its own, which is quick, else all of them."""
    if path.suffix.lower() not in READABLE:
        return ""
    try:
        with path.open("rb") as file:
            front = in_front(file.fileno()).decode("latin-1")
            is_riff = read_at(file.fileno(), 0, 4) in _RIFF
    except OSError:  # reading it says so, in plain words
        return ""
    if _LINE.search(front):
        return front
    return "\n".join((read_texts(path) if is_riff else read_tags(path).text).values())


def _is_untagged_residual(path: Path, task: TaskName) -> bool:
    """Whether the sidecar of the file that it goes with says that a residual was written."""
    sidecars = [_sidecar(target) for target in targets_of_residual(path)]
    return any(one is not None and one.task == task and one.options.get("residual") for one in sidecars)


def _sidecar(path: Path) -> Sidecar | None:
    try:
        return read_sidecar(path)
    except DataError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return sha256_of(file.fileno())
