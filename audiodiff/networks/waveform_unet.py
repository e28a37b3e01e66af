"""A U-Net over the waveform, conditioned on a mel or on a recording.

Letters: B items, C channels, M mel bands, N frames, T samples. Level l works at T / (strides[0] ... strides[l
- 1]) positions, so most parameters work at a low rate; a stack of dilated blocks lies at the bottom.

    state -> stem -> block, shrink -> ... -> dilated blocks -> ... -> grow, block -> prediction
                       ^ condition and time at every level
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from audiodiff.errors import ConfigError
from audiodiff.networks.contract import Features, WaveDomain, require_length
from audiodiff.networks.layers import Block1d, TimeEmbedding
from audiodiff.networks.upsampling import SLOPE, FrameProjection, interpolate_frames

_TAPS = 7
"""Taps of the first and the last layer."""


@dataclass(frozen=True)
class UNet1dConfig:
    """Sizes of `UNet1d`.

    Attributes:
        channels: C of every level, from fine to coarse.
        strides: Positions of a level in one of the next; one fewer than `channels`.
        layers: Blocks at the bottom; block i has dilation 2^i.
        conditioner: ``frames`` (a mel, any hop that the strides divide) or ``waveform``.
        n_mels: M; of no account for ``waveform``.
        hop: Samples a frame; of no account for ``waveform``.

    Raises:
        ConfigError: The strides do not fit the channels or the hop.
    """

    channels: tuple[PositiveInt, ...] = (16, 32, 64, 128)
    strides: tuple[Annotated[int, Field(ge=2)], ...] = (4, 4, 4)
    layers: PositiveInt = 6
    conditioner: Literal["frames", "waveform"] = "frames"
    n_mels: PositiveInt = 80
    hop: PositiveInt = 256

    def __post_init__(self) -> None:
        if not self.strides or len(self.channels) != len(self.strides) + 1:
            raise ConfigError(
                f"network: {len(self.channels)} channels need one stride fewer, found {self.strides}"
            )
        if self.conditioner == "frames" and self.hop % math.prod(self.strides):
            raise ConfigError(
                f"network.strides: their product {math.prod(self.strides)} must divide the hop {self.hop}"
            )


def _padding(stride: int) -> int:
    return (stride + 1) // 2


def _shrink(into: int, out: int, stride: int) -> nn.Conv1d:
    """From n stride positions to n, with taps that overlap the neighbours by half a stride."""
    padding = _padding(stride)
    return nn.Conv1d(into, out, stride + 2 * padding, stride=stride, padding=padding)


def _grow(into: int, out: int, stride: int) -> nn.ConvTranspose1d:
    """From n positions to n stride."""
    padding = _padding(stride)
    return nn.ConvTranspose1d(into, out, stride + 2 * padding, stride=stride, padding=padding)


class _Level(nn.Module):
    """What one level does on the way down and up: its blocks, its time and its changes of rate."""

    def __init__(self, channels: int, below: int, stride: int) -> None:
        super().__init__()
        self.time = TimeEmbedding(channels)
        self.down = Block1d(channels)
        self.shrink = _shrink(channels, below, stride)
        self.grow = _grow(below, channels, stride)
        self.skip = nn.Conv1d(channels, channels, 1)
        self.up = Block1d(channels)


class _Recording(nn.Module):
    """Features of a recording at the rate of every level."""

    def __init__(self, config: UNet1dConfig) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, config.channels[0], _TAPS, padding=_TAPS // 2)
        pairs = zip(config.channels[:-1], config.channels[1:], config.strides, strict=True)
        self.shrink = nn.ModuleList(_shrink(into, out, stride) for into, out, stride in pairs)
        reach = 0
        for stride in reversed(config.strides):
            reach = reach * stride + _padding(stride)
        self.reach = reach + _TAPS // 2

    def forward(self, wave: Tensor) -> Features:
        """Map [B, T], T a multiple of all strides together, to [B, C, T / ...] of every level."""
        features = [functional.leaky_relu(self.enter(wave[:, None]), SLOPE)]
        for layer in self.shrink:
            features.append(functional.leaky_relu(layer(features[-1]), SLOPE))
        return tuple(features)


class UNet1d(nn.Module):
    """Predicts the noise (or what the process's target says) of a waveform from a mel or a recording.

    Args:
        config: Sizes.
    """

    def __init__(self, config: UNet1dConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.stem = nn.Conv1d(1, channels[0], _TAPS, padding=_TAPS // 2)
        pairs = zip(channels[:-1], channels[1:], config.strides, strict=True)
        self.levels = nn.ModuleList(_Level(here, below, stride) for here, below, stride in pairs)
        self.time = TimeEmbedding(channels[-1])
        self.bottom = nn.ModuleList(Block1d(channels[-1], 2**i) for i in range(config.layers))
        self.out = nn.Conv1d(channels[0], 1, _TAPS, padding=_TAPS // 2)
        nn.init.zeros_(self.out.weight)
        self.condition: FrameProjection | _Recording
        if config.conditioner == "frames":
            self.condition = FrameProjection(config.n_mels, sum(channels))
        else:
            self.condition = _Recording(config)
        self.reach_encode: int = self.condition.reach
        # `_reach` counts from a multiple of the grid; any sample may lie almost a grid step inside
        aligned = _TAPS // 2 + self._reach(0, _TAPS // 2)
        self.reach_step: int = aligned + math.prod(config.strides) - 1

    @property
    def domain(self) -> WaveDomain:
        """A waveform, and beside it a mel or another waveform."""
        if self.config.conditioner == "waveform":
            return WaveDomain("waveform", grid=math.prod(self.config.strides))
        return WaveDomain("mel", hop=self.config.hop, grid=self.config.hop, n_mels=self.config.n_mels)

    def encode(self, cond: Tensor) -> Features:
        """Features of the condition, once per signal.

        Args:
            cond: Mel ``[B, M, N]``, or recording ``[B, T]`` for the conditioner ``waveform``.

        Returns:
            One tensor a level: ``[B, C, N]`` at frame rate, or ``[B, C, positions]`` at the level's.
        """
        if isinstance(self.condition, FrameProjection):
            sizes = list(self.config.channels)
            return tuple(torch.split(self.condition(cond), sizes, dim=1))
        features: Features = self.condition(self._padded(cond))
        return features

    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        """One evaluation.

        Args:
            x_t: State ``[B, T]``; with a mel of N frames T is N hop.
            t: Process time of each item ``[B]``.
            h: What `encode` returned.

        Returns:
            The prediction ``[B, T]``.

        Raises:
            ShapeError: State and condition have different lengths.
        """
        padded = self._padded(x_t)
        mel = self.config.conditioner == "frames"
        require_length(x_t if mel else padded, h[0].shape[-1] * (self.config.hop if mel else 1))
        x, skips = self.stem(padded[:, None]), []
        for i, module in enumerate(self.levels):
            level = cast(_Level, module)
            x = level.down(_at(level.time, x + self._cond(h, i), t))
            skips.append(level.skip(x))
            x = level.shrink(x)
        x = _at(self.time, x + self._cond(h, len(self.levels)), t)
        for block in self.bottom:
            x = block(x)
        for module in reversed(self.levels):
            level = cast(_Level, module)
            x = level.up(level.grow(x) + skips.pop())
        result: Tensor = self.out(functional.silu(x))[:, 0, : x_t.shape[-1]]
        return result

    def _padded(self, wave: Tensor) -> Tensor:
        """A recording's end filled with zeros up to the next multiple of all strides together."""
        return functional.pad(wave, (0, -wave.shape[-1] % math.prod(self.config.strides)))

    def _cond(self, h: Features, level: int) -> Tensor:
        if self.config.conditioner == "waveform":
            return h[level]
        return interpolate_frames(h[level], self.config.hop // math.prod(self.config.strides[:level]))

    def _reach(self, index: int, radius: int) -> int:
        """Positions around a multiple of the grid that a level's input counts in `radius` of its output."""
        if index == len(self.levels):
            return radius + sum(int(cast(Block1d, block).reach) for block in self.bottom)
        level, stride = cast(_Level, self.levels[index]), self.config.strides[index]
        padding = _padding(stride)
        radius += level.up.reach
        below = self._reach(index + 1, (radius + padding + stride - 1) // stride)
        return max(radius, below * stride + padding) + level.down.reach


def _at(time: nn.Module, x: Tensor, t: Tensor) -> Tensor:
    """Modulate [B, C, positions] by the time."""
    result: Tensor = time(x[:, :, None], t)[:, :, 0]
    return result
