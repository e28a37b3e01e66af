"""Layers of the networks. Letters: B items, C channels, P positions on the frequency axis, N frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

RESIDUAL_SCALE = 0.3
"""Initial weight of a residual branch: small enough that a deep stack starts near the identity."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each position and frame, so that no frame sees another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, P, N]; cheap in channels-last memory, where C already lies innermost."""
        inner = functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return inner.permute(0, 3, 1, 2)


class Block2d(nn.Module):
    """Residual block of two 3 x 3 convolutions over frequency and time (He et al. 2016, pre-activation).

    Full convolutions on purpose: on CPUs they reach several times the arithmetic rate of depthwise ones.
    """

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=(1, dilation), dilation=(1, dilation))
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), RESIDUAL_SCALE))
        self.reach = 1 + dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, P, N] to the same shape."""
        y = self.second(functional.silu(self.first(self.norm(x))))
        result: Tensor = x + self.scale * y
        return result


class Block1d(nn.Module):
    """Residual block of two convolutions of three taps over a waveform, as `Block2d`."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv1d(channels, channels, 3, padding=1)
        self.second = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.scale = nn.Parameter(torch.full((1, channels, 1), RESIDUAL_SCALE))
        self.reach = 1 + dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, N] to the same shape."""
        normed = self.norm(x[:, :, None])[:, :, 0]
        y = self.second(functional.silu(self.first(normed)))
        result: Tensor = x + self.scale * y
        return result


class FrameBlock(nn.Module):
    """ConvNeXt block over frames (Liu et al. 2022): depthwise in time, dense over the width of a frame."""

    def __init__(self, width: int, dilation: int, kernel: int = 7, expansion: int = 3) -> None:
        super().__init__()
        self.reach = dilation * (kernel // 2)
        self.mix_time = nn.Conv1d(width, width, kernel, padding=self.reach, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, expansion * width)
        self.outer = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), RESIDUAL_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, N, width] to the same shape."""
        y = self.mix_time(x.transpose(1, 2)).transpose(1, 2)
        y = self.outer(functional.silu(self.inner(self.norm(y))))
        result: Tensor = x + self.scale * y
        return result


class TimeEmbedding(nn.Module):
    """Scale and shift of C channels from the process time (FiLM, Perez et al. 2018)."""

    def __init__(self, channels: int, octaves: int = 8, hidden: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(4 * octaves, hidden)
        self.second = nn.Linear(hidden, 2 * channels)
        with torch.no_grad():
            self.second.weight.mul_(0.1)
        self.octaves = octaves

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Modulate x [B, C, P, N] by t [B]."""
        power = torch.arange(2 * self.octaves, device=t.device, dtype=t.dtype) / 2
        angle = t[:, None] * torch.exp2(power)
        wave = torch.cat([angle.sin(), angle.cos()], dim=1)
        scale, shift = self.second(functional.silu(self.first(wave)))[:, :, None, None].chunk(2, dim=1)
        result: Tensor = x * (1 + scale) + shift
        return result
