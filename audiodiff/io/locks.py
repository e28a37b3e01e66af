"""Locks between processes, where the file system has them; no file of theirs stays behind."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from audiodiff import system

_NONE = system.LACKING | {errno.ENOLCK}

_TURNS = 200
"""After so many files that lost their name, the file system is one that does not know its files again."""


@contextlib.contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold a lock.

    Its file is there only while somebody holds the lock or asks for it: whoever holds it removes the file
    before letting go. A process that opened the file before that, and got the lock after, holds a file
    without a name, which would keep nobody away; it notices, and asks again.

    Args:
        path: File that stands for it.
        wait: Wait for another process that holds it.

    Yields:
        Whether it is held; not where the file system has no locks (some networks and mounted clouds).

    Raises:
        Timeout: Another process holds it.
        OSError: The file cannot be made.
    """
    fd, is_held = _locked(path, wait)
    try:
        yield is_held
    finally:
        if system.open_files_keep_their_names():
            os.close(fd)
            _remove(path)  # fails where the next one has opened it already, who removes it in his turn
        else:
            _remove(path)
            os.close(fd)


def _locked(path: Path, wait: bool) -> tuple[int, bool]:
    """Open the file and lock it, as long as it takes to get the one that has the name."""
    from filelock import Timeout, lock_descriptor  # late: a single recording needs no lock

    turns = 0
    while True:
        turns += 1
        fd = system.open_lock(path)
        try:
            if not lock_descriptor(fd, blocking=wait, poll_interval=0.01):
                raise Timeout(os.fspath(path))
            if (is_named := _is(path, fd)) or turns == _TURNS:
                return fd, is_named
        except OSError as error:
            if error.errno in _NONE:
                return fd, False
            os.close(fd)
            raise
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is(path: Path, fd: int) -> bool:
    """Whether an open file has this name still."""
    if system.open_files_keep_their_names():
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except OSError:
        return False


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
