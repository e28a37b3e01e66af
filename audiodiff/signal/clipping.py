"""Where a recording was driven into full scale."""

from __future__ import annotations

import numpy as np

from audiodiff.errors import ShapeError
from audiodiff.signal.types import Samples

MARGIN = 1e-4
"""Samples within this of 1 or -1 are at full scale: the largest of 16 bits and more. Floats beyond it are not
clipped yet, and what a lossy codec made of clipped samples is no run any more."""
RUN_SAMPLES = 3
"""So many in a row make a run; the top of a wave that just reaches full scale is mostly shorter."""


class ClipMeter:
    """Counts runs of samples at full scale, channel by channel; block sizes do not matter.

    Attributes:
        runs: Number of runs of `RUN_SAMPLES` or more so far, over all channels.
    """

    def __init__(self) -> None:
        self.runs = 0
        self._tail: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None = None

    def push(self, block: Samples) -> None:
        """Take the next samples [C, n].

        Raises:
            ShapeError: If block is not [C, n], or C changes.
        """
        if block.ndim != 2 or (self._tail is not None and block.shape[0] != self._tail.shape[0]):
            raise ShapeError(
                f"expected the next block [C, n] of one recording, got shape {list(block.shape)}"
            )
        if self._tail is None:
            self._tail = np.zeros((block.shape[0], RUN_SAMPLES), dtype=bool)
        full = np.concatenate([self._tail, np.abs(np.abs(block) - 1) <= MARGIN], axis=1)
        self._tail = full[:, -RUN_SAMPLES:].copy()
        if not full.any():
            return
        # a run counts where it reaches its third sample, so once, however long it is
        windows = np.lib.stride_tricks.sliding_window_view(full, RUN_SAMPLES + 1, axis=1)
        self.runs += int((windows[..., 1:].all(axis=-1) & ~windows[..., 0]).sum())
