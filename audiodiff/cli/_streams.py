"""The three standard streams: missing ones, encodings that lack a character, readers that went away."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from typing import IO, Any

from audiodiff import system

OK, REFUSED, UNREAD = 0, 2, 141
"""Exit codes: all good; the output cannot be written; nobody reads the output any more (128 + SIGPIPE)."""

_ESCAPED = "audiodiff-escaped"

missing: set[int] = set()
"""Descriptors that were closed when the process began."""


def prepare() -> None:
    """Make the standard streams usable; to be called before anything opens a file.

    A descriptor that is closed would be given to the next file that is opened, and what a library prints
    would go into that file: missing ones are opened on the null device.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            missing.add(number)
            _to_null(number)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
    codecs.register_error(_ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ESCAPED)


def finish(code: int) -> int:
    """Write out what is still held back; never raises.

    Args:
        code: Exit code so far.

    Returns:
        The exit code of the process.
    """
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            _to_null(number)  # Python flushes once more at its end
            if number == 1 and code == OK:
                code = UNREAD if isinstance(error, BrokenPipeError) else REFUSED
            if number == 1 and code == REFUSED:
                why = getattr(error, "strerror", None) or error
                with contextlib.suppress(OSError, ValueError):
                    print(f"audiodiff: standard output: {why}; check where it goes", file=sys.stderr)
    return code


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether somebody sees what is written to a stream, which may be missing or closed."""
    return stream is not None and not stream.closed and stream.isatty()


def _to_null(number: int) -> None:
    fd = system.open_null()
    if fd != number:
        os.dup2(fd, number)
        os.close(fd)
    os.set_inheritable(number, True)  # else workers would begin without it


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """Names that are not UTF-8 go out as the bytes they are, what an encoding lacks as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return character.encode("ascii", "backslashreplace").decode(), error.start + 1
