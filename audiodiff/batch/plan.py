"""Which recordings a command means, and where each result goes: all decided before any work begins.

Folders are entered with all that is below them. Links to files are taken and links to folders are not, so no
loop has no end. Names that begin with a dot are left out (other systems keep their notes there), and so is
what audiodiff has made itself, wherever it lies (see `own`), unless it is the only input.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from audiodiff import system
from audiodiff.batch.batch_spec import Item
from audiodiff.batch.collisions import check, real_place
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import default_target
from audiodiff.batch.own import is_own
from audiodiff.batch.task import TaskSettings
from audiodiff.errors import AudiodiffError, AudioFileError, ConfigError
from audiodiff.io import output_checks
from audiodiff.io.folders import audio_files, is_wanted, kind_of
from audiodiff.io.formats import AUDIO_SUFFIXES, display_path, usual_suffix
from audiodiff.io.reader import probe

MAX_FILES = 1_000_000
"""A batch with more is refused: nobody means it."""

_PIECE = 1 << 20
_MAGIC = re.compile(r"[*?\[]")
_MEL_MAGIC = {b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz"}


@dataclass(frozen=True)
class Plan:
    """What a batch is.

    Attributes:
        items: The recordings and their targets.
        n_own: How many files were left out since audiodiff has made them.
        passed_over: How many other things lie in the folders, by kind, see `audiodiff.io.folders`.
    """

    items: list[Item]
    n_own: int
    passed_over: Counter[str]


@dataclass(frozen=True)
class _Found:
    """A recording and its place below the output folder."""

    source: Path
    place: Path


def is_single(inputs: Sequence[Path]) -> bool:
    """Whether a command means one recording, by its name; then it behaves as a command for one file does."""
    return len(inputs) == 1 and not inputs[0].is_dir() and not _is_pattern(inputs[0])


def plan(
    inputs: Sequence[Path],
    output: Path | None,
    options: Options,
    settings: TaskSettings,
    mark: str = "",
) -> Plan:
    """Find the recordings of a batch, in the order of the words and of their names, and their targets.

    A folder or a pattern that stands alone is mirrored straight below the output folder; of several, each
    keeps its own name there. A recording that is named twice, in whatever spelling, is done once.
    """
    alone, passed_over = is_single(inputs), Counter[str]()
    items: dict[tuple[str, Path], Item] = {}
    own: set[Path] = set()
    for word in inputs:
        for found in _expand(word, len(inputs) == 1, output, settings.suffixes, passed_over):
            if not alone and is_own(found.source, settings.task):
                own.add(found.source)
                continue
            place = None if output is None else output / found.place
            target = target_of(found.source, place, settings, options, mark)
            same = os.path.realpath(found.source), real_place(target)
            items.setdefault(same, Item(found.source, target, found.place.as_posix()))
            if len(items) > MAX_FILES:
                raise ConfigError(f"more than {MAX_FILES} recordings; name a smaller folder", code="too_many")
    if not items:
        raise _nothing(inputs, len(own), settings)
    check(list(items.values()), options)
    return Plan(list(items.values()), len(own), passed_over)


def target_of(
    source: Path, place: Path | None, settings: TaskSettings, options: Options, mark: str = ""
) -> Path:
    """Where a result goes: to the recording's place below the output folder, or beside it without one.

    Args:
        mark: What its name gets in any case, such as ``.preview``.
    """
    target = default_target(source, settings.label + mark) if place is None else default_target(place, mark)
    ending = options.ending or settings.ending
    return target.with_suffix(ending) if ending else target


def check_folder(output: Path, slashed: bool = False) -> None:
    """Refuse what cannot be the folder of a batch; with a slash at its end it may be called anything."""
    name = display_path(output)
    if output.exists() and not output.is_dir():
        line = f"{name}: is a file; several recordings need a folder"
        raise AudioFileError(line, code="unwritable")
    if not output.exists() and not slashed and output.suffix.lower() in AUDIO_SUFFIXES:
        line = f"{name}: looks like a file; several recordings need a folder, whose name may end with a slash"
        raise AudioFileError(line, code="unwritable")
    output_checks.check_folder(output)


def _nothing(inputs: Sequence[Path], n_own: int, settings: TaskSettings) -> ConfigError:
    words = ", ".join(display_path(word) for word in inputs)
    known = " ".join(sorted(settings.suffixes))
    line = f"{words}: no recording found; expected files {known}"
    if n_own:
        line = (
            f"{words}: no recording found but {n_own} that audiodiff {settings.task} has made; "
            "name one alone to process it again"
        )
    return ConfigError(line, code="no_input")


def shard(items: Sequence[Item], number: int, count: int) -> list[Item]:
    """The part of a batch that one of several machines does.

    The part is a function of the recording's place below the input alone, so machines that see the same
    files share them out without a word.
    """
    if not 1 <= number <= count:
        raise ConfigError(f"shard {number}/{count} is out of range; count from 1/{count} to {count}/{count}")
    return [item for item in items if _hash(item.name) % count == number - 1]


def measured(items: Sequence[Item], settings: TaskSettings) -> list[Item]:
    """The items with their announced durations and channels; seconds stay 0 where a file cannot be read."""
    return [_measured(item, settings) for item in items]


def spool(stream: object, folder: Path, mels: bool = False) -> Path:
    """Write a pipe to a file, since a recording is read twice."""
    raw = folder / "standard-input"
    with raw.open("wb") as file:
        while piece := stream.read(_PIECE):  # type: ignore[attr-defined]
            file.write(piece)
    suffix = _mel_suffix(raw) if mels else ""
    named = raw.with_suffix(suffix or usual_suffix(probe(raw)))
    system.rename(raw, named)
    return named


def _mel_suffix(path: Path) -> str:
    """The suffix of a mel file by its first bytes; empty for what is none."""
    with path.open("rb") as file:
        head = file.read(9)
    for magic, suffix in _MEL_MAGIC.items():
        if head.startswith(magic):
            return suffix
    # safetensors begin with the size of their JSON
    is_sized = int.from_bytes(head[:8], "little") < path.stat().st_size
    return ".safetensors" if is_sized and head[8:] == b"{" else ""


def _expand(
    word: Path, alone: bool, output: Path | None, suffixes: Set[str], passed_over: Counter[str]
) -> Iterator[_Found]:
    output = _below(output, _root(word) if _is_pattern(word) else word)
    if word.is_dir():
        base = Path() if alone else Path(word.resolve().name)
        for path in _inside(word, output, suffixes, passed_over):
            yield _Found(path, base / path.relative_to(word))
    elif _is_pattern(word):
        root = _root(word)
        base = Path() if alone else Path(root.resolve().name)
        for match in sorted(root.glob(str(word.relative_to(root)))):
            if _hidden(match.relative_to(root)) or (output is not None and _within(match, output)):
                continue
            for path in _matched(match, output, suffixes, passed_over):
                yield _Found(path, base / path.relative_to(root))
    else:
        yield _Found(word, Path(word.name))


def _matched(
    match: Path, output: Path | None, suffixes: Set[str], passed_over: Counter[str]
) -> Sequence[Path]:
    """The recordings that a match of a pattern means."""
    if match.is_dir():
        return [] if match.is_symlink() else _inside(match, output, suffixes, passed_over)
    if is_wanted(match.name, suffixes):
        return [match]
    if kind := kind_of(match.name):
        passed_over[kind] += 1
    return []


def _inside(
    folder: Path, output: Path | None, suffixes: Set[str], passed_over: Counter[str]
) -> Sequence[Path]:
    """The recordings below a folder, the output folder left out; what else there is, is counted."""
    paths, passed = audio_files(folder, suffixes, lambda below: output is None or not _within(below, output))
    passed_over += passed
    return paths


def _below(output: Path | None, folder: Path) -> Path | None:
    """The output folder if it lies inside that one, where the search must go round it."""
    if output is None or output.resolve() == folder.resolve() or not _within(output, folder):
        return None
    return output


def _within(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, links resolved."""
    return path.resolve().is_relative_to(folder.resolve())


def _hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def _is_pattern(word: Path) -> bool:
    return bool(_MAGIC.search(str(word))) and not os.path.lexists(word)


def _root(pattern: Path) -> Path:
    """The folder before the first part with a wildcard."""
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    return Path(*parts[:first])


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")


def _measured(item: Item, settings: TaskSettings) -> Item:
    try:
        seconds, channels = settings.look(item.source)
    except AudiodiffError:
        return item
    return replace(item, seconds=seconds, channels=channels)
