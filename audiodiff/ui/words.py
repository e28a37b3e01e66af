"""Errors and warnings in the words of the page, which has buttons where the command has options."""

from __future__ import annotations

import re
from pathlib import Path

from audiodiff.errors import AudiodiffError
from audiodiff.io.formats import display_path

_AGAIN = "then press Clean again"

_REMEDIES = {
    "too_long": "cut it into shorter ones and add those",
    "no_space": "make room on the disk, then press Clean again",
    "unwritable": "check the permissions of the folder named below, then press Clean again",
}
"""Code of an error whose remedy is an option -> what to do instead."""

_COMMAND = re.compile(r"(^|[\s`])(--?[a-z]|TMPDIR)")


def error_text(error: AudiodiffError, folder: Path) -> str:
    """What the page says of an error; folder is that of all rows."""
    if error.code == "missing_extra":  # the one remedy that is a command
        return f"{error}; then start audiodiff ui again"
    said = plain(str(error), folder)
    remedy = _REMEDIES.get(error.code, "")
    return f"{said}; {remedy}" if remedy and _COMMAND.search(str(error)) else said


def plain(text: str, folder: Path) -> str:
    """A line without the folders of rows, and without what only a command line can do."""
    rows = re.compile(re.escape(display_path(folder)) + r"[/\\][0-9a-f]{16}[/\\]")
    short = rows.sub("", text)
    return "; ".join(part for part in short.split("; ") if not _COMMAND.search(part)) or short
