"""Opening and naming the file that is to be written, and what can be wrong with it, in one line each."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audiodiff import system
from audiodiff.errors import AudioFileError, ShapeError
from audiodiff.io.atomic import AtomicFile
from audiodiff.io.formats import display_path


def check_existing(path: Path, overwrite: bool) -> None:
    """Refuse a target that is there.

    Args:
        overwrite: Whether a file may be replaced; a folder, a device or a pipe never is.
    """
    if why := system.unusable(path.name):
        line = f"{display_path(path)}: no file of this system can have this name, as {why}; choose another"
        raise AudioFileError(line, code="unwritable")
    if path.is_dir():
        raise AudioFileError(f"{display_path(path)}: is a folder; name a file", code="exists")
    if path.exists() and not path.is_file():
        line = f"{display_path(path)}: is a device or a pipe; name a file, or - for standard output"
        raise AudioFileError(line, code="exists")
    if not overwrite and os.path.lexists(path):
        raise target_exists(path)


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or not be made; nothing is made.

    Raises:
        AudioFileError: Code ``unwritable``.
    """
    above = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not above.is_dir():
        what = "" if above == folder else f"cannot be created, because {display_path(above)} "
        line = f"{display_path(folder)}: {what}is not a folder"
    elif not os.access(above, os.W_OK | os.X_OK):
        what = "written to" if above == folder else f"made in {display_path(above)}, which allows no writing"
        line = f"{display_path(folder)}: this folder cannot be {what}"
    else:
        return
    raise AudioFileError(f"{line}; choose another folder with -o", code="unwritable")


def target_exists(path: Path) -> AudioFileError:
    """The error for a target that is there, code ``exists``."""
    return AudioFileError(
        f"{display_path(path)}: exists already; use --overwrite or another name", code="exists"
    )


def open_output(path: Path, overwrite: bool) -> AtomicFile:
    """The file of a target, still without its name."""
    check_existing(path, overwrite)
    try:
        return AtomicFile(path.parent)
    except OSError as error:
        line = f"{display_path(path)}: its folder cannot be written to ({error.strerror}); choose another"
        raise AudioFileError(line, code="unwritable") from error


def name_output(file: AtomicFile, path: Path, overwrite: bool) -> None:
    """Give a whole file the name of its target."""
    check_existing(path, overwrite)
    try:
        file.commit(path, overwrite)
    except FileExistsError:
        raise target_exists(path) from None


@contextlib.contextmanager
def small_output(path: Path, overwrite: bool) -> Iterator[AtomicFile]:
    """A file that is written in the block, and gets its name when that has ended without an exception."""
    with open_output(path, overwrite) as file:
        try:
            yield file
            name_output(file, path, overwrite)
        except OSError as error:
            raise writing_failed(path, error.strerror or str(error)) from error


def writing_failed(path: Path, reason: str) -> AudioFileError:
    """The error for a write that the system refused.

    Returns:
        Code ``no_space`` if the disk is full, else ``unwritable``.
    """
    full = shutil.disk_usage(path.parent).free < 1 << 20
    what = "the disk is full; make room" if full else f"writing failed ({reason}); choose another place"
    return AudioFileError(
        f"{display_path(path)}: not written, {what}", code="no_space" if full else "unwritable"
    )


def check_block(
    path: Path, block: npt.NDArray[np.floating[Any]], channels: int, position: tuple[int, int]
) -> None:
    """Refuse samples that no file should hold; position is (samples before the block, samples a second)."""
    if block.ndim != 2 or block.shape[0] != channels:
        raise ShapeError(f"expected a block [{channels}, n], got shape {list(block.shape)}")
    finite = np.isfinite(block).all(axis=0)
    if not finite.all():
        seconds = (position[0] + int(finite.argmin())) / position[1]
        raise AudioFileError(
            f"{display_path(path)}: not written, the sample at {seconds:.3f} s is not a finite number; "
            "this is a fault of the processing, please report it",
            code="nonfinite",
        )
