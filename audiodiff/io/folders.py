"""What lies in a folder: the audio files by their suffix, and what else there is, counted by kind.

Names that begin with a dot are passed over (other systems keep their notes there), and so are links to
folders, so that no loop has no end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from audiodiff.io.formats import AUDIO_SUFFIXES

READABLE = AUDIO_SUFFIXES | {".wave", ".3gp", ".3g2"}
"""Suffixes, in lower case, of files that are read, though not all are written."""

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
    "other": "others",
}


def audio_files(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The files below a folder that bear the suffix of an audio file, and how many others there are.

    Returns:
        Paths in order of their names, and the number of things passed over by kind: hidden files and
        folders, linked folders, images, texts, playlists, others.
    """
    paths: list[Path] = []
    passed: Counter[str] = Counter()
    for place, folders, files in os.walk(folder, followlinks=False):
        here = Path(place)
        seen = [name for name in folders if not name.startswith(".")]
        passed["hidden"] += len(folders) - len(seen)
        passed["linked folder"] += sum((here / name).is_symlink() for name in seen)
        folders[:] = seen
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                passed["hidden"] += 1
            elif suffix in READABLE:
                paths.append(here / name)
            else:
                passed[_KIND_OF.get(suffix, "other")] += 1
    return sorted(paths), +passed


def counted(passed: Mapping[str, int]) -> str:
    """What was passed over, in words for one line; empty where nothing was."""
    return ", ".join(f"{n} {kind if n == 1 else _PLURALS[kind]}" for kind, n in passed.items())
