"""The sample-rate network of DiffWave (Kong et al. 2021): dilated, gated convolutions over the waveform.

Letters: B items, C residual channels, M mel bands, N frames, T samples. With its default sizes it is the
published network to the digit: 2,619,971 parameters in 254 tensors of the published names, so that a
converted checkpoint loads. Conditioned on a recording instead of a mel it serves the process of CDiffuSE
(Lu et al. 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from audiodiff.errors import ConfigError
from audiodiff.networks.contract import Features, WaveDomain, require_length
from audiodiff.networks.upsampling import (
    PUBLISHED_HOP,
    Conditioner,
    FrameProjection,
    PublishedUpsampler,
    RecordingFeatures,
    interpolate_frames,
)

_WAVES = 64
"""Sines, and as many cosines, in the embedding of a step."""


@dataclass(frozen=True)
class WaveNetConfig:
    """Sizes of `WaveNet`; the defaults are the published ones.

    Attributes:
        residual_channels: C.
        layers: Residual blocks.
        cycle: Block i has dilation 2^(i mod cycle); at most 20.
        step_width: Width of the step embedding's two layers.
        table: Entries of the process's table, between which the embedding interpolates.
        conditioner: ``published`` (a mel, hop 256), ``frames`` (a mel, any hop) or ``waveform``.
        n_mels: M; not used with ``waveform``.
        hop: Samples a frame; not used with ``waveform``.
    """

    residual_channels: PositiveInt = 64
    layers: PositiveInt = 30
    cycle: Annotated[int, Field(ge=1, le=20)] = 10
    step_width: PositiveInt = 512
    table: PositiveInt = 50
    conditioner: Conditioner = "published"
    n_mels: PositiveInt = 80
    hop: PositiveInt = PUBLISHED_HOP

    def __post_init__(self) -> None:
        if self.conditioner == "published" and self.hop != PUBLISHED_HOP:
            raise ConfigError(
                f"network.hop: the published upsampler makes {PUBLISHED_HOP} samples a frame, found "
                f"{self.hop}; use conditioner 'frames' for any other hop"
            )


class StepEmbedding(nn.Module):
    """DiffWave's embedding of a step: a table of sines and cosines, linear between its rows, two layers."""

    rows: Tensor

    def __init__(self, table: int, width: int) -> None:
        super().__init__()
        # The published table is float32: at 10^4 radians a step its rounding is part of what was trained. The
        # double power, rounded, gives the same bits as torch's float32 power, and does so on every machine.
        exponents = torch.arange(_WAVES, dtype=torch.float32) * 4.0 / 63.0
        frequencies = (10.0 ** exponents.double()).float()
        angles = torch.arange(table, dtype=torch.float32)[:, None] * frequencies
        self.register_buffer("rows", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)
        self.projection1 = nn.Linear(2 * _WAVES, width)
        self.projection2 = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """Map process times t [B] to [B, width]; entry n of the table is met at t = (n + 1)/table."""
        last = len(self.rows) - 1
        step = (t.to(self.rows.dtype) * len(self.rows) - 1.0).clamp(0.0, float(last))
        low = step.floor().long()
        row = torch.lerp(self.rows[low], self.rows[(low + 1).clamp(max=last)], (step - low)[:, None])
        result: Tensor = functional.silu(self.projection2(functional.silu(self.projection1(row))))
        return result


class ResidualBlock(nn.Module):
    """A dilated, gated convolution of three taps with a residual and a skip output."""

    def __init__(self, channels: int, dilation: int, step_width: int, cond_rows: int) -> None:
        super().__init__()
        self.dilated_conv = _conv(channels, 2 * channels, 3, dilation)
        self.diffusion_projection = nn.Linear(step_width, channels)
        if cond_rows:
            self.conditioner_projection = _conv(cond_rows, 2 * channels, 1)
        self.output_projection = _conv(channels, 2 * channels, 1)

    def forward(self, x: Tensor, step: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """From x [B, C, T], the embedding [B, step_width] and cond [B, 2C, T] to the next x and a skip."""
        y = self.dilated_conv(x + self.diffusion_projection(step)[:, :, None]) + cond
        gate, value = y.chunk(2, dim=1)
        residual, skip = self.output_projection(torch.sigmoid(gate) * torch.tanh(value)).chunk(2, dim=1)
        return (x + residual) / math.sqrt(2.0), skip


def _conv(into: int, out: int, taps: int, dilation: int = 1) -> nn.Conv1d:
    layer = nn.Conv1d(into, out, taps, padding=dilation * (taps // 2), dilation=dilation)
    nn.init.kaiming_normal_(layer.weight)
    return layer


class WaveNet(nn.Module):
    """Predicts the noise (or what the process's target says) of a waveform from a mel or a recording.

    What `encode` keeps. The per-layer maps of the condition at sample rate would be 2C x layers values a
    sample: 15 kB at the published size, 340 MB a second of audio, for a saving of a seventh of the time. So
    for ``published`` and ``waveform`` the shared condition is kept (320 and 4C bytes a sample) and each
    block projects it again; for ``frames`` the maps of all layers are kept at the rate of the frames, where
    they are small, and each block only interpolates.
    """

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, n_rows = config.residual_channels, 0
        dilations = [2 ** (i % config.cycle) for i in range(config.layers)]
        self.input_projection = _conv(1, channels, 1)
        self.diffusion_embedding = StepEmbedding(config.table, config.step_width)
        match config.conditioner:
            case "published":
                self.spectrogram_upsampler: PublishedUpsampler | FrameProjection | RecordingFeatures
                self.spectrogram_upsampler, n_rows = PublishedUpsampler(), config.n_mels
            case "frames":
                self.spectrogram_upsampler = FrameProjection(config.n_mels, 2 * channels * config.layers)
            case "waveform":
                self.spectrogram_upsampler, n_rows = RecordingFeatures(channels), channels
        self.residual_layers = nn.ModuleList(
            ResidualBlock(channels, dilation, config.step_width, n_rows) for dilation in dilations
        )
        self.skip_projection = _conv(channels, channels, 1)
        self.output_projection = _conv(channels, 1, 1)
        nn.init.zeros_(self.output_projection.weight)
        self.reach_encode: int = self.spectrogram_upsampler.reach
        self.reach_step: int = sum(dilations)

    @property
    def domain(self) -> WaveDomain:
        """A waveform, and beside it a mel or another waveform."""
        if self.config.conditioner == "waveform":
            return WaveDomain("waveform")
        return WaveDomain("mel", hop=self.config.hop, grid=self.config.hop, n_mels=self.config.n_mels)

    def encode(self, cond: Tensor) -> Features:
        """Features of a mel [B, M, N] or recording [B, T]: [B, M, T], [B, 2C layers, N] or [B, C, T]."""
        return (self.spectrogram_upsampler(cond),)

    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        """The prediction [B, T] for a state [B, T], as long as the condition, at process times t [B]."""
        (features,) = h
        factor = self.config.hop if self.config.conditioner == "frames" else 1
        require_length(x_t, features.shape[-1] * factor)
        x = functional.relu(self.input_projection(x_t[:, None]))
        step = self.diffusion_embedding(t)
        total: Tensor | None = None
        for i, module in enumerate(self.residual_layers):
            block = cast(ResidualBlock, module)
            x, skip = block(x, step, self._cond(block, features, i))
            total = skip if total is None else total + skip
        assert total is not None  # there is at least one layer
        x = functional.relu(self.skip_projection(total / math.sqrt(self.config.layers)))
        result: Tensor = self.output_projection(x)[:, 0]
        return result

    def _cond(self, block: ResidualBlock, features: Tensor, i: int) -> Tensor:
        """What block i adds before its gate, [B, 2C, T]."""
        if self.config.conditioner == "frames":
            rows = 2 * self.config.residual_channels
            return interpolate_frames(features[:, i * rows : (i + 1) * rows], self.config.hop)
        result: Tensor = block.conditioner_projection(features)
        return result
