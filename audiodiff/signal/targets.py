"""What can be wrong with the file that is to be written, in one line each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from audiodiff.errors import AudioFileError
from audiodiff.signal.formats import shown


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse a target that is there.

    Args:
        path: The target.
        overwrite: Whether a file may be replaced; a folder never is.

    Raises:
        AudioFileError: Code ``exists``.
    """
    if path.is_dir():
        raise AudioFileError(f"{shown(path)}: is a folder; name a file", code="exists")
    if not overwrite and os.path.lexists(path):
        raise target_exists(path)


def target_exists(path: Path) -> AudioFileError:
    """The error for a target that is there.

    Args:
        path: The target.

    Returns:
        Code ``exists``.
    """
    return AudioFileError(f"{shown(path)}: exists already; use --overwrite or another name", code="exists")


def writing_failed(path: Path, reason: str) -> AudioFileError:
    """The error for a write that the system refused.

    Args:
        path: The target.
        reason: Its words.

    Returns:
        Code ``no_space`` if the disk is full, else ``unwritable``.
    """
    full = shutil.disk_usage(path.parent).free < 1 << 20
    what = "the disk is full; make room" if full else f"writing failed ({reason}); choose another place"
    return AudioFileError(f"{shown(path)}: not written, {what}", code="no_space" if full else "unwritable")
