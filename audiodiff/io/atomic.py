"""Files and folders that get their names only once they are complete."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from audiodiff import system
from audiodiff.io.byte_edit import sha256_of

_mark = secrets.token_hex(4)
_numbers = itertools.count()


class AtomicFile:
    """A new file in a folder, open for reading and writing, that gets its name by `commit`.

    A context manager: what has no name when it ends is removed.

    Where the system can (Linux, on its usual file systems) the file has no name at all until then, so that
    nothing is left of a process that was killed, not even by SIGKILL. Elsewhere it is called
    ``.audiodiff-<8 hex>-<n>.part`` (short, so that long target names work), which only SIGKILL or a power
    loss leaves behind. An unnamed file that replaces another one has that name too, complete, for the moment
    between two calls of the system.

    Args:
        folder: Where the file will be.

    Attributes:
        fd: Its descriptor; -1 once it is closed.

    Raises:
        OSError: The folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._flushed = False
        self._part = _part(folder)
        self.fd = system.open_unnamed(folder)
        self._named = self.fd < 0
        if self._named:
            self.fd = system.open_new(self._part)

    def write(self, data: bytes) -> None:
        """Append all of the bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.fd, rest) :]

    def stream(self) -> BinaryIO:
        """The file as a stream of its own, to be closed before `commit`."""
        return os.fdopen(os.dup(self.fd), "r+b")

    @functools.cached_property
    def sha256(self) -> str:
        """Of the complete file, hex."""
        return sha256_of(self.fd)

    def commit(self, path: Path, replace: bool) -> None:
        """Flush the file to the disk, close it and call it by its name in its folder.

        An unnamed file never replaces a file that came into being meanwhile; where the file has a temporary
        name, one that appears within microseconds may be lost.

        Args:
            replace: Whether a file of that name may be replaced.

        Raises:
            FileExistsError: There is one and it may not.
            OSError: The system refuses.
        """
        self.name(path, replace)
        system.flush_folder(self._folder)

    def name(self, path: Path, replace: bool) -> None:
        """`commit` a file whose name goes to the disk with that of the next file of its folder."""
        flush_together([self])
        if not self._named:
            self._link(path, replace)
        self._close()
        if self._named:
            (system.replace if replace else system.rename_new)(self._part, path)
            self._named = False

    def abort(self) -> None:
        """Close the file and remove it if it has not got its name; never raises."""
        with contextlib.suppress(OSError):
            self._close()
        if self._named:
            with contextlib.suppress(OSError):
                self._part.unlink()

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _link(self, path: Path, replace: bool) -> None:
        try:
            system.link_unnamed(self.fd, path)
        except FileExistsError:
            if not replace:
                raise
            # A link never replaces: take a temporary name, complete as the file is, and rename from there.
            system.link_unnamed(self.fd, self._part)
            self._named = True
        except OSError:  # no links here, although files without a name: the work must not be lost
            self._copy_to_part()

    def _copy_to_part(self) -> None:
        """Give the content a temporary name where the file itself can get none."""
        fd = system.open_new(self._part)
        unnamed, self.fd, self._named = self.fd, fd, True
        try:
            os.lseek(unnamed, 0, os.SEEK_SET)
            while piece := os.read(unnamed, 1 << 20):
                self.write(piece)
            system.flush(fd)
        finally:
            os.close(unnamed)

    def _close(self) -> None:
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


def write_file(path: Path, content: bytes, replace: bool = True) -> None:
    """Write a file whole or not at all; raises as `AtomicFile` and its `commit`."""
    with AtomicFile(path.parent) as file:
        file.write(content)
        file.commit(path, replace)


def flush_together(files: Iterable[AtomicFile], *others: int) -> None:
    """Bring what was written to the disk, in a fraction of the time that one file after the other takes.

    Args:
        files: Complete files; nothing is written to them any more.
        others: Descriptors of other files that are open for writing.

    Raises:
        OSError: The system refuses.
    """
    unflushed = [file for file in files if not file._flushed]
    system.flush_all([*(file.fd for file in unflushed), *others])
    for file in unflushed:
        file._flushed = True


def append(
    path: Path,
    line: bytes,
    files: Iterable[AtomicFile] = (),
    lock: AbstractContextManager[object] | None = None,
) -> None:
    """Append a line to a file, which is made if need be, and bring it to the disk.

    Behind the rest of a line that a crash tore, it begins a line of its own.

    Args:
        files: Complete files that come to the disk together with the line, see `flush_together`.
        lock: Held while the line is written; not while it comes to the disk.
    """
    fd = system.open_to_append(path)
    try:
        with lock or contextlib.nullcontext():
            size = os.lseek(fd, 0, os.SEEK_END)
            os.lseek(fd, max(0, size - 1), os.SEEK_SET)
            torn = os.read(fd, 1) not in (b"", b"\n")
            rest = memoryview(b"\n" * torn + line + b"\n")
            while rest:
                rest = rest[os.write(fd, rest) :]
        flush_together(files, fd)
    finally:
        os.close(fd)
    if size == 0:
        system.flush_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(target: Path, replace: bool) -> Iterator[Path]:
    """A new folder that is called `target` when the block has ended without an exception, all in it flushed.

    A folder cannot be renamed over a full one, so for a moment the old one is called as `set_aside` says. If
    that moment was the last one, readers take it from there, and the next writer removes it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = _part(target.parent)
    fresh.mkdir()
    try:
        yield fresh
        for path in fresh.rglob("*"):
            if path.is_file():
                system.flush_file(path)
        if target.exists():
            if not replace:
                raise FileExistsError(target)
            shutil.rmtree(set_aside(target), ignore_errors=True)  # of a writer killed after its second rename
            system.rename(target, set_aside(target))
        system.rename(fresh, target)
        system.flush_folder(target.parent)
        if replace:
            shutil.rmtree(set_aside(target), ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def set_aside(folder: Path) -> Path:
    """Where an old folder is while the new one gets its name."""
    return folder.parent / f".{folder.name}.old"


def call_parts(mark: str) -> None:
    """Decide how the temporary names of this process begin, so that who kills it can `remove_parts`.

    Args:
        mark: From `new_mark`, in the process that starts this one.
    """
    global _mark
    _mark = mark


def new_mark() -> str:
    """A mark that no other process has."""
    return secrets.token_hex(4)


def remove_parts(folder: Path, mark: str) -> None:
    """Remove the temporary files that a process of this mark, which is dead, has left; never raises."""
    for part in folder.glob(f".audiodiff-{mark}-*.part"):
        with contextlib.suppress(OSError):
            part.unlink()


def _part(folder: Path) -> Path:
    return folder / f".audiodiff-{_mark}-{next(_numbers)}.part"
