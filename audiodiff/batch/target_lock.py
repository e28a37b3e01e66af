"""Every target has a lock, so that no two processes write the same output; its file goes with the work."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from audiodiff.batch.journal import FOLDER, JOURNAL
from audiodiff.errors import AudioFileError
from audiodiff.io.formats import display_path
from audiodiff.io.locks import held

NO_LOCKS = "the disk of the outputs has no locks; let no second run write to the same folder"
"""What the user is told where two runs could meet."""

_TURNS = 100
"""So often a folder that vanishes is made again."""


@contextlib.contextmanager
def locked(target: Path) -> Iterator[bool]:
    """Keep every other process away from a target, as long as it asks too; its folder is made if need be.

    Yields:
        Whether others are kept away; not where the file system has no locks.
    """
    from filelock import Timeout

    path = _lock_of(target)
    with contextlib.ExitStack() as stack:
        try:
            is_held = stack.enter_context(_held(path))
        except Timeout:
            line = f"{display_path(target)}: another run is working on it; run again when that has ended"
            raise AudioFileError(line, code="busy") from None
        yield is_held


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold a lock in the journal's folder, which goes too if nothing came into it."""
    with contextlib.ExitStack() as stack:
        for turn in range(_TURNS):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                is_held = stack.enter_context(held(path))
                break
            except (FileNotFoundError, FileExistsError):  # another process has just removed the empty folder
                if turn == _TURNS - 1:
                    raise
        try:
            yield is_held
        finally:
            stack.close()
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def clear(target: Path) -> None:
    """Remove the lock's file that a worker which was killed has left; never raises."""
    path = _lock_of(target)
    for left in (path, path.with_name(JOURNAL).with_suffix(".lock")):
        with contextlib.suppress(OSError):
            if left.exists():
                with _held(left):
                    pass


def _lock_of(target: Path) -> Path:
    """Its name is short: that of a target may be as long as the system allows."""
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]
    return target.parent / FOLDER / f"{name}.lock"
