"""Mel spectrograms of recordings of any length in flat memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from audiodiff.signal.mel import mel
from audiodiff.signal.mel_convention import MelSpec

_PIECE = 2048
"""Frames that are computed together, counted from frame 0, so that the blocks' sizes change nothing."""


def mel_blocks(blocks: Iterable[Tensor], spec: MelSpec) -> Iterator[Tensor]:
    """`audiodiff.signal.mel.mel` of a recording that comes block by block.

    Args:
        blocks: Consecutive samples [n], n >= 0, at spec.sample_rate.

    Yields:
        Consecutive frames [M, n]; together those of the whole recording, nothing without samples.
    """
    margin = -(-spec.n_fft // spec.hop)  # frames whose windows may see the end of a cut
    held = torch.zeros(0)
    begin = 0  # frame at whose grid position `held` begins
    done = 0
    for block in blocks:
        held = torch.cat([held, block.float()])
        while len(held) >= (done + _PIECE + margin - begin) * spec.hop:
            cut = held[: (done + _PIECE + margin - begin) * spec.hop]
            yield mel(cut, spec)[:, done - begin : done - begin + _PIECE]
            done += _PIECE
            held = held[(done - margin - begin) * spec.hop :]
            begin = done - margin
    if len(held):
        yield mel(held, spec)[:, done - begin :]
