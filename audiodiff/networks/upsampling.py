"""Conditions brought to the rate of a waveform: the published upsampler, frames, and the waveform's own.

Letters: B items, M mel bands, N frames, C channels, T samples. Frame k belongs to the samples [k hop, (k + 1)
hop), so a mel of N frames goes with a state of N hop samples.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Conditioner: TypeAlias = Literal["published", "frames", "waveform"]
"""How a sample-rate network takes its condition: a mel through DiffWave's upsampler (hop 256), a mel
projected at the rate of its frames and then interpolated (any hop), or a recording at the state's rate."""

PUBLISHED_HOP = 256
"""Samples a frame of DiffWave's upsampler: two strides of 16."""

SLOPE = 0.4
"""Slope of the leaky rectifiers below zero, as in DiffWave."""

FRAME_WIDTH = 128
"""Values a frame between the two layers of `FrameProjection`; at frame rate they cost next to nothing."""

RECORDING_TAPS = 33
"""Taps of the first layer on a recording."""


class PublishedUpsampler(nn.Module):
    """DiffWave's upsampler: two transposed convolutions over (band, frame), together 256 samples a frame.

    They mix three bands and are followed by leaky rectifiers, so a projection cannot be moved before them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(1, 1, (3, 32), stride=(1, 16), padding=(1, 8))
        self.conv2 = nn.ConvTranspose2d(1, 1, (3, 32), stride=(1, 16), padding=(1, 8))
        self.reach = 1  # frames: the outer taps of both layers together end within the neighbours

    def forward(self, mel: Tensor) -> Tensor:
        """Map [B, M, N] to [B, M, 256 N]."""
        x = functional.leaky_relu(self.conv1(mel[:, None]), SLOPE)
        result: Tensor = functional.leaky_relu(self.conv2(x), SLOPE)[:, 0]
        return result


class FrameProjection(nn.Module):
    """Projects a mel at frame rate to what all layers of a network will add, [B, M, N] to [B, rows, N].

    A 1 x 1 map and an interpolation commute, so doing it in this order computes what a map at sample rate
    would, `hop` times cheaper.
    """

    def __init__(self, n_mels: int, rows: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(n_mels, FRAME_WIDTH, 3, padding=1)
        self.leave = nn.Conv1d(FRAME_WIDTH, rows, 1)
        self.reach = 2  # frames: one of `enter`, one of the interpolation that follows

    def forward(self, mel: Tensor) -> Tensor:
        """Map [B, M, N] to [B, rows, N]."""
        result: Tensor = self.leave(functional.leaky_relu(self.enter(mel), SLOPE))
        return result


class RecordingFeatures(nn.Module):
    """Features of a recording at sample rate, [B, T] to [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, channels, RECORDING_TAPS, padding=RECORDING_TAPS // 2)
        self.reach = RECORDING_TAPS // 2  # samples

    def forward(self, wave: Tensor) -> Tensor:
        """Map [B, T] to [B, C, T]."""
        result: Tensor = functional.leaky_relu(self.enter(wave[:, None]), SLOPE)
        return result


def interpolate_frames(frames: Tensor, factor: int) -> Tensor:
    """Linear interpolation between the centres of frames; before the first and after the last they are held.

    The weights depend on the place within a frame alone, so that a chunk gets what the whole gets to the last
    bit; an interpolation by absolute float32 positions drifts with the length.

    Args:
        frames: ``[B, C, N]``.
        factor: Positions a frame.

    Returns:
        ``[B, C, N factor]``; frame k is met at position (k + 1/2) factor - 1/2.
    """
    place = (torch.arange(factor, device=frames.device, dtype=frames.dtype) + 0.5) / factor - 0.5
    weights = torch.stack([(-place).clamp(min=0), 1 - place.abs(), place.clamp(min=0)])
    held = functional.pad(frames, (1, 1), mode="replicate")
    around = torch.stack([held[..., :-2], frames, held[..., 2:]], dim=-1)
    return (around @ weights).flatten(2)
