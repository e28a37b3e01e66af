"""What the readers of audio and of media files have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from audiodiff.errors import AudioFileError
from audiodiff.io.formats import AudioInfo, Truncated, display_path
from audiodiff.signal.types import Samples


class BlockReader(Iterator[Samples], ABC):
    """Iterator over the blocks of a recording; it closes itself at the end, or as a context.

    Args:
        block: Samples of one channel in a block, at least 1.

    Attributes:
        info: What the header says.
        truncated: After the last block: a note if the file is cut short or damaged, else None.
    """

    def __init__(self, info: AudioInfo, block: int) -> None:
        self.info = info
        self.truncated: Truncated | None = None
        self._block = block
        self._n_read = 0
        self._open = True

    def __next__(self) -> Samples:
        """The next samples, [C, n], n = block except for the last."""
        if not self._open:
            raise StopIteration
        x = self._fill()
        self._check_finite(x)
        self._n_read += x.shape[1]
        if x.shape[1] < self._block:
            self.close()
            self._judge()
        if not x.shape[1]:
            raise StopIteration
        return x

    def _check_finite(self, x: Samples) -> None:
        finite = np.isfinite(x).all(axis=0)
        if not finite.all():
            seconds = (self._n_read + int(finite.argmin())) / self.info.sample_rate
            raise AudioFileError(
                f"{display_path(self.info.path)}: a sample at {seconds:.3f} s is not a finite number; "
                "repair the file in an audio editor",
                code="nonfinite",
            )

    def _judge(self) -> None:
        damage = self._damage()
        if self._n_read == 0:
            why = f"decoder: {damage}" if damage else "it announces audio and holds none"
            raise AudioFileError(
                f"{display_path(self.info.path)}: no sample could be read ({why}); get a whole copy of it",
                code="unreadable" if damage else "empty",
            )
        if damage:
            self.truncated = Truncated(self.info.path, self._n_read, f"decoder: {damage}")
        else:
            self.truncated = self._shortfall()

    def close(self) -> None:
        """Close the file; the iterator then ends."""
        if self._open:
            self._open = False
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What a kind of file decides for itself.

    @abstractmethod
    def _fill(self) -> Samples:
        """The next samples [C, n], n = block except at the end."""

    @abstractmethod
    def _damage(self) -> str:
        """How the decoder failed, or ""."""

    @abstractmethod
    def _shortfall(self) -> Truncated | None:
        """What is missing of a file whose decoder did not fail."""

    @abstractmethod
    def _close(self) -> None:
        """Close what is open."""
