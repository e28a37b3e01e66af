"""What lies in a folder: the audio files by their suffix, and what else there is, counted by kind.

Names that begin with a dot are passed over (other systems keep their notes there), and so are links to
folders, so that no loop has no end. Side files of audiodiff are not counted.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

from audiodiff.errors import AudioFileError
from audiodiff.io.formats import AUDIO_SUFFIXES, WRITTEN_AS, display_path

READABLE = AUDIO_SUFFIXES | frozenset(WRITTEN_AS)
"""Suffixes, in lower case, of files that are read, though not all are written."""

SIDECAR_SUFFIX = ".audiodiff.json"
"""What names of sidecars get behind the name of their output."""

_OWN = ".audiodiff"

_KINDS = {
    "image": ".jpg .jpeg .png .gif .heic .heif .webp .bmp .tif .tiff .svg .raw .dng",
    "text": ".txt .md .json .jsonl .csv .tsv .xml .html .srt .vtt .lab .textgrid .pdf .doc .docx .odt .rtf",
    "playlist": ".m3u .m3u8 .pls .cue",
}
_KIND_OF = {suffix: kind for kind, suffixes in _KINDS.items() for suffix in suffixes.split()}
_PLURALS = {
    "hidden": "hidden",
    "linked folder": "linked folders",
    "image": "images",
    "text": "texts",
    "playlist": "playlists",
    "of another kind": "of another kind",
}


def audio_files(
    folder: Path, suffixes: Set[str] = READABLE, enters: Callable[[Path], bool] = lambda _: True
) -> tuple[list[Path], Counter[str]]:
    """The files below a folder that bear the suffix of an audio file, and how many others there are.

    Args:
        suffixes: Of the files that are wanted, in lower case.
        enters: Whether a folder below is looked into; one that is not counts for nothing.

    Returns:
        Paths in order of their names, and the number of things passed over by kind: hidden files and
        folders, linked folders, images, texts, playlists, others.
    """
    paths: list[Path] = []
    passed: Counter[str] = Counter()
    for place, folders, files in os.walk(folder, followlinks=False):
        here = Path(place)
        passed.update(kind for name in folders if (kind := _hidden(name)))
        seen = [name for name in folders if not name.startswith(".") and enters(here / name)]
        passed["linked folder"] += sum((here / name).is_symlink() for name in seen)
        folders[:] = seen
        for name in files:
            if is_wanted(name, suffixes):
                paths.append(here / name)
            elif kind := kind_of(name):
                passed[kind] += 1
    return sorted(paths), +passed


def is_wanted(name: str, suffixes: Set[str] = READABLE) -> bool:
    """Whether a file of this name is found in a folder."""
    return not name.startswith(".") and Path(name).suffix.lower() in suffixes


def kind_of(name: str) -> str:
    """What a file that is passed over counts as; empty for a side file of audiodiff."""
    if name.startswith("."):
        return _hidden(name)
    return "" if name.endswith(SIDECAR_SUFFIX) else _KIND_OF.get(Path(name).suffix.lower(), "of another kind")


def _hidden(name: str) -> str:
    return "hidden" if name.startswith(".") and not name.startswith(_OWN) else ""


def counted(passed: Mapping[str, int]) -> str:
    """What was passed over, in words for one line; empty where nothing was."""
    return ", ".join(
        f"{n} {kind if n == 1 else plural}" for kind, plural in _PLURALS.items() if (n := passed.get(kind, 0))
    )


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; where the block fails, those that it made go again if they are empty.

    Raises:
        AudioFileError: It cannot be made (code ``unwritable``).
    """
    missing = [above for above in (folder, *folder.parents) if not os.path.lexists(above)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        line = f"{display_path(folder)}: cannot be created ({error.strerror}); choose another folder with -o"
        raise AudioFileError(line, code="unwritable") from None
    try:
        yield
    except BaseException:
        _remove_empty(missing)
        raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the deepest first, up to the first in which something lies."""
    with contextlib.suppress(OSError):
        for folder in folders:
            if os.path.lexists(folder):
                folder.rmdir()
