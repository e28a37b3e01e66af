"""`Spectral.encode` on a recording that arrives piece by piece: every frame is computed once.

Chunks with a halo compute the frames of the halo twice. Here each layer that looks at other frames keeps the
last frames of its input instead, and delivers as many frames as come in, later by what it looks ahead:

    kept | new          input of a layer with reach r: 2 r frames kept, n new
         result         n frames, those that end r before the new ones

The encoder is cut in two halves of about the same work, so that two cores can work on it at once, the second
half one piece behind the first.

Outside the signal a convolution sees zeros at its own input, as it does in one piece; `inside` tells which
frames are of the signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from audiodiff.networks.layers import Block2d, FrameBlock
from audiodiff.networks.spectral_unet import Encoder, Spectral, ToPositions, magnitude_of

Passed: TypeAlias = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""What a half hands on, and what it keeps."""


class StreamDown(nn.Module):
    """The first half of the encoder of a `Spectral`: down to the coarse positions, and over frames.

    Args:
        net: The network, whose parameters are shared.
    """

    def __init__(self, net: Spectral) -> None:
        super().__init__()
        self.net = net

    def states(self) -> tuple[Tensor, ...]:
        """What is kept before the first frame: zeros."""
        cond = self.net.encoder.place.new_zeros(1, self.net.config.n_bins, 1, 2)
        return _zeros(self.forward(cond, cond.new_zeros(1), None)[1])

    def forward(self, cond: Tensor, inside: Tensor, states: Sequence[Tensor] | None) -> Passed:
        """Hear on.

        Args:
            cond: The next n frames of the recording [1, F, n, 2], zeros outside the signal.
            inside: 1 for frames of the signal, 0 for those outside [n].
            states: What `states` or the last call returned.

        Returns:
            What `StreamUp` takes, and the next states.
        """
        net, past = self.net.encoder, _Past(states, inside, 2 * self.net.reach_encode)
        stem = _stem(net.stem, cond, past)
        fine = _block(net.down_fine, _Late(stem.x + net.place, stem.delay), past)
        middle = _block(net.down_middle, _Late(net.to_middle(fine.x), fine.delay), past)
        coarse = _block(net.down_coarse, _Late(net.to_coarse(middle.x), middle.delay), past)
        coarse = _frames(net, coarse, past)
        return (fine.x, middle.x, coarse.x), tuple(past.kept)


class StreamUp(nn.Module):
    """The second half: up to the fine positions.

    Args:
        net: The network, whose parameters are shared.
    """

    def __init__(self, net: Spectral) -> None:
        super().__init__()
        self.net = net

    def states(self) -> tuple[Tensor, ...]:
        """What is kept before the first frame: zeros."""
        cond = self.net.encoder.place.new_zeros(1, self.net.config.n_bins, 1, 2)
        inside = cond.new_zeros(1)
        values, _ = StreamDown(self.net)(cond, inside, None)
        return _zeros(self.forward(cond, inside, values, None)[1])

    def forward(
        self, cond: Tensor, inside: Tensor, values: Sequence[Tensor], states: Sequence[Tensor] | None
    ) -> Passed:
        """Features of the frames that became final.

        Args:
            cond: As `StreamDown` took it.
            inside: As well.
            values: What it gave.
            states: What `states` or the last call returned.

        Returns:
            What `Spectral.encode` returns, for the n frames that end `reach_encode` before those of `cond`;
            and the next states.
        """
        net, past = self.net.encoder, _Past(states, inside, 2 * self.net.reach_encode)
        delay = net.stem.reach + net.down_fine.reach
        fine = _Late(values[0], delay)
        delay += net.down_middle.reach
        middle = _Late(values[1], delay)
        delay += net.down_coarse.reach + net.reach_frames
        coarse = _block(net.up_coarse, _Late(values[2], delay), past)
        skip = net.skip_middle(past.later(middle, coarse.delay))
        middle = _block(net.up_middle, _Late(net.from_coarse(coarse.x) + skip, coarse.delay), past)
        skip = net.skip_fine(past.later(fine, middle.delay))
        result = _block(net.up_fine, _Late(net.from_middle(middle.x) + skip, middle.delay), past)
        return (past.later(_Late(cond, 0), result.delay, axis=2), result.x), tuple(past.kept)


def _zeros(states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(state) for state in states)


@dataclass(frozen=True)
class _Late:
    """Frames of a layer, and how much later than the recording's they are."""

    x: Tensor
    delay: int


class _Past:
    """What the layers keep, in the order in which they ask for it.

    Args:
        states: Of the last call, None before the first.
        inside: Which of the new frames are of the signal.
        reach: Frames before those that layers ask about.

    Attributes:
        kept: For the next call.
    """

    def __init__(self, states: Sequence[Tensor] | None, inside: Tensor, reach: int) -> None:
        self._states = None if states is None else iter(states)
        self.kept: list[Tensor] = []
        self._inside, self._reach = self.extended(inside, reach, axis=0), reach

    def extended(self, x: Tensor, n: int, axis: int = -1) -> Tensor:
        """The frames behind the n frames that came before them."""
        if self._states is None:
            shape = list(x.shape)
            shape[axis] = n
            before = x.new_zeros(shape)
        else:
            before = next(self._states)
        whole = torch.cat([before, x], dim=axis)
        self.kept.append(whole.narrow(axis, whole.shape[axis] - n, n))
        return whole

    def later(self, late: _Late, delay: int, axis: int = -1) -> Tensor:
        """The frames of a layer as late as those of a deeper one."""
        n = delay - late.delay
        whole = self.extended(late.x, n, axis)
        return whole.narrow(axis, 0, late.x.shape[axis])

    def inside_of(self, delay: int, more: int) -> Tensor:
        """Of `more` frames and the new ones behind them, in a layer that is so late."""
        return self._inside[self._reach - delay - more : self._inside.shape[0] - delay]


def _inner(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution [B, C, P, N] that is padded over positions only."""
    padding = (int(layer.padding[0]), 0)
    return functional.conv2d(x, layer.weight, layer.bias, layer.stride, padding, layer.dilation)


def _stem(stem: ToPositions, cond: Tensor, past: _Past) -> _Late:
    """See `ToPositions`."""
    r = stem.reach
    parts = past.extended(cond, 2 * r, axis=2).permute(0, 3, 1, 2)
    magnitude = magnitude_of(parts)
    low = torch.cat([parts, magnitude], dim=1)[:, :, : stem.low_bins] * past.inside_of(0, 2 * r)
    high = magnitude[:, :, stem.low_bins : stem.n_bins - 1, r:-r]
    return _Late(torch.cat([_inner(stem.low, low), stem.high(high)], dim=2), r)


def _frames(net: Encoder, coarse: _Late, past: _Past) -> _Late:
    """The coarse positions and what the stack over frames adds to them."""
    z = net.squeeze(coarse.x).permute(0, 3, 1, 2)
    late = _Late(net.enter(z.reshape(1, z.shape[1], -1)), coarse.delay)
    for block in net.stack:
        assert isinstance(block, FrameBlock)
        late = _frame_block(block, late, past)
    added = net.leave(late.x).reshape(1, -1, *net.bottom).permute(0, 2, 3, 1)
    return _Late(past.later(coarse, late.delay) + net.expand(added), late.delay)


def _block(block: Block2d, late: _Late, past: _Past) -> _Late:
    """See `Block2d`."""
    r = block.reach
    x = past.extended(late.x, 2 * r)
    inside = past.inside_of(late.delay, 2 * r)
    # what is innermost in memory is normed and masked before it is turned
    normed = functional.layer_norm(
        x.permute(0, 2, 3, 1), block.norm.weight.shape, block.norm.weight, block.norm.bias
    )
    y = functional.silu(_inner(block.first, (normed * inside[:, None]).permute(0, 3, 1, 2)))
    y = _inner(block.second, y * inside[1:-1])
    return _Late(x[..., r:-r] + block.scale * y, late.delay + r)


def _frame_block(block: FrameBlock, late: _Late, past: _Past) -> _Late:
    """See `FrameBlock`."""
    r, mix = block.reach, block.mix_time
    x = past.extended(late.x, 2 * r, axis=1)
    seen = x.transpose(1, 2) * past.inside_of(late.delay, 2 * r)
    y = functional.conv1d(seen, mix.weight, mix.bias, dilation=mix.dilation, groups=mix.groups)
    y = block.outer(functional.silu(block.inner(block.norm(y.transpose(1, 2)))))
    return _Late(x[:, r:-r] + block.scale * y, late.delay + r)
