"""Which recordings a command means, and where each result goes: all decided before any work begins.

Folders are entered with all that is below them. Links to files are taken and links to folders are not, so no
loop has no end. Names that begin with a dot are left out (other systems keep their notes there), and so are
results of earlier runs where those lie beside their inputs.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from audiodiff.batch.batch_spec import Item
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import default_target, outputs
from audiodiff.batch.task import TaskSettings
from audiodiff.errors import AudiodiffError, AudioFileError, ConfigError
from audiodiff.io.formats import AUDIO_SUFFIXES, display_path, usual_suffix
from audiodiff.io.reader import probe

MAX_FILES = 1_000_000
"""A batch with more is refused: nobody means it."""

_PIECE = 1 << 20
_MAGIC = re.compile(r"[*?\[]")
_MEL_MAGIC = {b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz"}


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
) -> list[Item]:
    """Find the recordings of a batch, in the order of the words and of their names, and their targets.

    A folder or a pattern that stands alone is mirrored straight below the output folder; of several, each
    keeps its own name there.
    """
    if output is not None:
        check_folder(output)
    beside = (
        None if output is not None else re.compile(rf"{re.escape(settings.label)}(\.preview)?(\.residual)?$")
    )
    items: dict[tuple[Path, Path], Item] = {}
    for word in inputs:
        for found in _expand(word, len(inputs) == 1, output, settings.suffixes):
            if beside is not None and found.source != word and beside.search(found.source.stem):
                continue
            if output is None:
                target = default_target(found.source, None, settings.label + mark)
            else:
                place = output / found.place
                target = default_target(place, None, mark) if mark else place
            ending = options.ending or settings.ending
            target = target.with_suffix(ending) if ending else target
            items.setdefault((found.source, target), Item(found.source, target, found.place.as_posix()))
            if len(items) > MAX_FILES:
                raise ConfigError(f"more than {MAX_FILES} recordings; name a smaller folder", code="too_many")
    if not items:
        words = ", ".join(display_path(word) for word in inputs)
        known = " ".join(sorted(settings.suffixes))
        raise ConfigError(f"{words}: no recording found; expected files {known}", code="no_input")
    _check_collisions(list(items.values()), options)
    return list(items.values())


def check_folder(output: Path) -> None:
    """Refuse what cannot be the folder of a batch."""
    name = display_path(output)
    if output.exists() and not output.is_dir():
        line = f"{name}: is a file; several recordings need a folder"
    elif not output.exists() and output.suffix.lower() in AUDIO_SUFFIXES:
        line = f"{name}: looks like a file; several recordings need a folder, and this one does not exist"
    elif not output.exists() and not output.parent.is_dir():
        line = f"{display_path(output.parent)}: is not an existing folder; make it first"
    elif not os.access(output if output.exists() else output.parent, os.W_OK | os.X_OK):
        line = f"{name}: this folder cannot be written to; choose another with -o"
    else:
        return
    raise AudioFileError(line, code="unwritable")


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
    return raw.rename(raw.with_suffix(suffix or usual_suffix(probe(raw))))


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


def _expand(word: Path, alone: bool, output: Path | None, suffixes: Set[str]) -> Iterator[_Found]:
    output = _below(output, _root(word) if _is_pattern(word) else word)
    if word.is_dir():
        base = Path() if alone else Path(word.resolve().name)
        for path in _walk(word, output, suffixes):
            yield _Found(path, base / path.relative_to(word))
    elif _is_pattern(word):
        root = _root(word)
        base = Path() if alone else Path(root.resolve().name)
        for match in sorted(root.glob(str(word.relative_to(root)))):
            if _hidden(match.relative_to(root)) or (output is not None and _within(match, output)):
                continue
            inside = _walk(match, output, suffixes) if match.is_dir() and not match.is_symlink() else [match]
            for path in inside:
                if path.suffix.lower() in suffixes and not path.is_dir():
                    yield _Found(path, base / path.relative_to(root))
    else:
        yield _Found(word, Path(word.name))


def _walk(folder: Path, output: Path | None, suffixes: Set[str]) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, followlinks=False):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (output is None or not _within(here / name, output))
        )
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield here / name


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


def _check_collisions(items: Sequence[Item], options: Options) -> None:
    """Refuse a plan in which a file would be written twice, or an input written at all."""
    sources = {key: item.source for item in items if (key := _identity(item.source))}
    owner: dict[Path, Path] = {}
    for item in items:
        for target in outputs(item.target, options):
            place = Path(os.path.realpath(target.parent)) / target.name
            other = owner.setdefault(place, item.source)
            if other != item.source:
                raise AudioFileError(
                    f"{display_path(target)}: would be the result of both {display_path(other)} and "
                    f"{display_path(item.source)}; "
                    "rename one, or give them different folders",
                    code="collision",
                )
            there = _identity(target)
            input_there = None if there is None else sources.get(there)
            if input_there is not None:
                raise AudioFileError(
                    f"{display_path(target)}: is the input {display_path(input_there)}, which is never "
                    "overwritten; "
                    "choose another folder with -o",
                    code="same_file",
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """What stays the same through links and other spellings of a name; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")


def _measured(item: Item, settings: TaskSettings) -> Item:
    try:
        seconds, channels = settings.look(item.source)
    except AudiodiffError:
        return item
    return replace(item, seconds=seconds, channels=channels)
