"""Bytes of an open file: read, written and replaced in place."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from audiodiff import system
from audiodiff.errors import AudioFileError
from audiodiff.io.formats import display_path

_PIECE = 1 << 20


def open_binary(path: Path) -> int:
    """Open a file for reading, also one whose name is not UTF-8; a pipe without a writer does not block."""
    try:
        return system.open_to_read(path)
    except OSError as error:
        if path.is_dir():  # Windows opens no folders
            raise AudioFileError(f"{display_path(path)}: not a regular file; name an audio file") from error
        raise cannot_open(path, error) from error


def cannot_open(path: Path, error: OSError) -> AudioFileError:
    """The error for a file that the system does not open."""
    return AudioFileError(
        f"{display_path(path)}: cannot be opened ({error.strerror}); check the name and the permissions"
    )


def read_at(fd: int, start: int, n: int) -> bytes:
    """Up to n bytes from a place of a file; fewer at its end."""
    os.lseek(fd, start, os.SEEK_SET)
    pieces = []
    while n > 0 and (piece := os.read(fd, min(n, _PIECE))):
        pieces.append(piece)
        n -= len(piece)
    return b"".join(pieces)


def sha256_of(file: Path | int) -> str:
    """SHA-256 of the whole content of a file, given by its path or an open descriptor, in hex."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(file, "rb", buffering=0, closefd=False) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_at(fd: int, start: int, data: bytes) -> None:
    """Write bytes at a place of a file."""
    os.lseek(fd, start, os.SEEK_SET)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def replace_bytes(fd: int, start: int, stop: int, data: bytes) -> None:
    """Replace the bytes [start, stop) of a file; what follows moves, in flat memory."""
    size = os.fstat(fd).st_size
    shift = len(data) - (stop - start)
    if shift > 0:
        position = size
        while position > stop:
            n = min(_PIECE, position - stop)
            position -= n
            write_at(fd, position + shift, read_at(fd, position, n))
    elif shift < 0:
        for position in range(stop, size, _PIECE):
            write_at(fd, position + shift, read_at(fd, position, min(_PIECE, size - position)))
        os.ftruncate(fd, size + shift)
    write_at(fd, start, data)
