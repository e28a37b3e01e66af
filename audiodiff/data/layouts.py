"""Who speaks in which file of the well-known speech sets, told by the path alone.

| layout     | files                                                   | speaker                     |
|------------|---------------------------------------------------------|-----------------------------|
| `folders`  | `ann/1.wav`, `1.wav`                                    | first folder, else the file |
| `vctk`     | `wav48_silence_trimmed/p225/p225_001_mic1.flac`, `wav48/p225/p225_001.wav` | `p225`   |
| `libritts` | `train-clean-100/103/1241/103_1241_000000_000001.wav`, LibriSpeech too | `103`        |
| `ljspeech` | `wavs/LJ001-0001.wav`                                   | `LJ`                        |
| `dns`      | `read_speech/book_00000_chp_0009_reader_06709_0.wav`    | `reader_06709`              |

A file that does not fit its layout is read as in `folders`. Of VCTK's two microphones the second is passed
over where the first is there. Folders `dev-*` and `test-*` of LibriTTS state their split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from audiodiff.errors import DataError
from audiodiff.io.formats import display_path

Layout = Literal["auto", "folders", "vctk", "libritts", "ljspeech", "dns"]
LAYOUTS: tuple[str, ...] = get_args(Layout)

RECOGNISED_SHARE = 0.9
"""A layout is recognised where at least this share of the files fit it."""

_SPEAKERS: dict[str, re.Pattern[str]] = {
    "vctk": re.compile(r"(?:.*/)?(?P<who>[ps]\d{1,3})/(?P=who)_\d{3}(?:_mic[12])?\.\w+", re.ASCII),
    "libritts": re.compile(r"(?:.*/)?(?P<who>\d+)/(?P<book>\d+)/(?P=who)[_-](?P=book)[_-]\d+(?:_\d+)?\.\w+"),
    "ljspeech": re.compile(r"(?:.*/)?(?P<who>LJ)\d{3}-\d{4}\.\w+"),
    "dns": re.compile(r"(?:.*/)?book_\d+_chp_\d+_(?P<who>reader_\d+)_\d+\S*\.\w+"),
}
_SECOND = re.compile(r"_mic2(?=\.\w+$)")
_STATED = re.compile(r"(dev|test)-(?:clean|other)")


@dataclass(frozen=True)
class Place:
    """A file of a data set.

    Attributes:
        path: The file.
        speaker: Who speaks.
        split: The split that the set states, or None where it states none.
    """

    path: Path
    speaker: str
    split: Literal["dev", "test"] | None = None


def places(folder: Path, paths: Sequence[Path], layout: Layout = "auto") -> tuple[str, list[Place]]:
    """Read a list of files as a data set.

    Args:
        folder: Where the set begins.
        paths: Audio files below it.
        layout: Its layout; ``auto`` recognises it.

    Returns:
        The layout and the files, without those that the layout passes over.

    Raises:
        DataError: None of the files fits the layout.
    """
    names = [path.relative_to(folder).as_posix() for path in paths]
    found = _recognised(names) if layout == "auto" else layout
    if found == "folders":
        return found, [Place(path, display_path(_first(path, folder))) for path in paths]
    matches = [_SPEAKERS[found].fullmatch(name) for name in names]
    if not any(matches):
        raise DataError(
            f"{folder}: no file in it lies as in {found}; give --layout folders or the set's root"
        )
    known = set(names)
    kept = []
    for path, name, match in zip(paths, names, matches, strict=True):
        if found == "vctk" and _SECOND.search(name) and _SECOND.sub("_mic1", name) in known:
            continue
        speaker = match["who"] if match else display_path(_first(path, folder))
        kept.append(Place(path, speaker, _stated(path) if found == "libritts" else None))
    return found, kept


def _recognised(names: Sequence[str]) -> Layout:
    layouts: tuple[Layout, ...] = ("vctk", "libritts", "ljspeech", "dns")
    for layout in layouts:
        if sum(bool(_SPEAKERS[layout].fullmatch(name)) for name in names) >= RECOGNISED_SHARE * len(names):
            return layout
    return "folders"


def _first(path: Path, folder: Path) -> Path:
    return Path(path.relative_to(folder).parts[0])


def _stated(path: Path) -> Literal["dev", "test"] | None:
    """The split that a folder above a file of LibriTTS names."""
    for part in reversed(path.parts[:-1]):
        if match := _STATED.fullmatch(part):
            return "dev" if match[1] == "dev" else "test"
    return None
