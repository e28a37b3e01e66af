"""A file put together from pieces of another: what libsndfile gets to see where a header lies."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from audiodiff.io.byte_edit import read_at

Piece = tuple[int, int] | bytes
"""Bytes [start, stop) of the file, or bytes instead of them."""


@dataclass(frozen=True)
class Part:
    """A recording inside a file that may hold several, one behind the other.

    Attributes:
        pieces: What makes it a file of its own.
        n_samples: Samples of one channel where they were counted, else -1: what libsndfile finds.
        seconds: Duration by what was counted, 0 if unknown; of use only where the part cannot be read.
        skip_s: Seconds in front that are no sound.
        stretch: How many times longer the file claims to be: libsndfile estimates the length of mp3 from it.
    """

    pieces: tuple[Piece, ...]
    n_samples: int = -1
    seconds: float = 0.0
    skip_s: float = 0.0
    stretch: int = 1


class PiecedFile(io.RawIOBase):
    """A read-only file made of pieces.

    Args:
        fd: Descriptor of the file that the pieces are taken from; it stays open.
        stretch: How many times longer it claims to be at a seek to its end; only 128 zeros can be
            read there, where a tag may stand.
    """

    def __init__(self, fd: int, pieces: Sequence[Piece], stretch: int = 1) -> None:
        super().__init__()
        self._fd = fd
        self._pieces = [piece for piece in pieces if _length(piece) > 0]
        self._starts = [0, *accumulate(map(_length, self._pieces))]
        self._stretch = stretch
        self._place = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; one beyond the end is kept."""
        size = self._starts[-1] * self._stretch
        self._place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence, size))
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._place < self._starts[-1]:
            i = bisect_right(self._starts, self._place) - 1
            piece, start = self._pieces[i], self._place - self._starts[i]
            n = min(len(view) - done, self._starts[i + 1] - self._place)
            if isinstance(piece, bytes):
                data = piece[start : start + n]
            else:
                data = read_at(self._fd, piece[0] + start, n)
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
            self._place += len(data)
        size = self._starts[-1] * self._stretch
        if not done and self._stretch > 1 and size - _TAG_BYTES <= self._place < size:
            done = min(len(view), size - self._place)
            view[:done] = bytes(done)
            self._place += done
        return done


class Window:
    """Bytes of a file at any place, read in large pieces.

    Args:
        fd: Descriptor of the file.
        stop: Where it ends for the caller.
    """

    def __init__(self, fd: int, stop: int) -> None:
        self.stop = stop
        self._fd = fd
        self._start = 0
        self._bytes = b""

    def at(self, place: int, n: int) -> bytes:
        """Up to n bytes, fewer at the end; n at most 64 KiB."""
        n = min(n, self.stop - place)
        start = place - self._start
        if n <= 0 or place < 0:
            return b""
        if start < 0 or start + n > len(self._bytes):
            self._start, start = place, 0
            self._bytes = read_at(self._fd, place, min(_WINDOW, self.stop - place))
        return self._bytes[start : start + n]

    def rest(self, place: int) -> bytes:
        """Some bytes from a place on, at least 64 KiB if there are so many."""
        self.at(place, _LEAST)
        return self._bytes[place - self._start :] if place < self.stop else b""


_TAG_BYTES = 128
_WINDOW = 1 << 20
_LEAST = 1 << 16


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
