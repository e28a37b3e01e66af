"""Locks between processes, where the file system has them."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from audiodiff.io.atomic import LACKING


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock, without waiting for it.

    Args:
        path: File that stands for it.

    Yields:
        Whether it is held; not where the file system has no locks (some networks and mounted clouds).

    Raises:
        Timeout: Another process holds it.
        OSError: The file cannot be made.
    """
    lock = FileLock(path, timeout=0)
    is_held = True
    try:
        lock.acquire()
    except Timeout:
        raise
    except NotImplementedError:
        is_held = False
    except OSError as error:
        if error.errno not in LACKING | {errno.ENOLCK}:
            raise
        is_held = False
    try:
        yield is_held
    finally:
        if is_held:
            lock.release()
