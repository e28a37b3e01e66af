"""Rows of numbers that are read more than once: in memory while they are few, then in a nameless file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

_IN_MEMORY = 1 << 26
"""Bytes that stay in memory: 12 minutes of audio at 24 kHz."""

_AT_ONCE = 1 << 16
"""Numbers that are read together."""


class DiskBuffer:
    """A growing table of float32 rows of one width, written once and then read as often as needed."""

    def __init__(self, width: int = 1) -> None:
        self._width = width
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        self.n_rows = 0

    def write(self, rows: Rows) -> None:
        """Append rows [n, width], or samples [n] for width 1."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(rows, dtype=np.float32).tobytes())
        self.n_rows += len(rows)

    def read(self, first: int, count: int) -> Rows:
        """Rows [count, width] from `first` on; fewer at the end."""
        self._file.seek(4 * first * self._width)
        data = self._file.read(4 * count * self._width)
        return np.frombuffer(data, dtype=np.float32).reshape(-1, self._width).copy()

    def blocks(self) -> Iterator[Rows]:
        """All rows in order, [n, width]; two may be read by turns."""
        count = max(1, _AT_ONCE // self._width)
        for first in range(0, self.n_rows, count):
            yield self.read(first, count)

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def __enter__(self) -> DiskBuffer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
