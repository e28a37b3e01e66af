"""The spectral network: clean spectrum from a noisy one, as masks on the recording and the state.

Letters: B items, F bins, N frames, C channels, P positions. A position is `low_stride` bins of the low part
or `high_pool` bins of the high part, so that most of the work lies where speech is: with a window of 32 ms at
48 kHz, 64 positions of 125 Hz below 8 kHz and 32 of 500 Hz above.

    recording -> positions -> U-Net over (position, frame), at its bottom a stack over frames -> features
    state, time, features -> positions -> one block -> masks

Convolutions share their weights over frequency, so a harmonic learnt at one pitch is known at all; the dense
stack at the bottom sees the whole spectrum of a frame and about a second around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from audiodiff.errors import ConfigError
from audiodiff.networks.layers import Block2d, FrameBlock, TimeEmbedding

MAGNITUDE_FLOOR = 1e-6
"""Added to squared magnitudes, so that the gradient of their root is finite on silence."""
STATE_LIMIT = 20.0
"""Largest gain on the state of a network that passes it: noise is predicted as the state over s."""
RESIDUAL_GAIN = 0.1
"""Scale of the additive residual: masks, which keep what is right already, learn first."""


@dataclass(frozen=True)
class SpectralConfig:
    """Sizes of `Spectral`.

    Attributes:
        n_bins: F; low_bins and a whole number of high_pool bins and the last bin.
        low_bins: Bins treated one by one.
        low_stride: Bins of the low part in a position.
        high_pool: Bins of the high part in a position.
        channels: C at the three levels of the U-Net, from fine to coarse.
        squeeze: Channels a coarse position hands to the stack over frames.
        width: Values a frame in that stack.
        layers: Blocks in that stack; block i has dilation 2^i.
        head: C of the part that runs once a step.
        detail: C of the last convolution, on single bins.
        gain_limit: Largest gain of a mask in the compressed domain, above 1; with an exponent of 0.3, 1.25 is
            twice the amplitude and 2 ten times. An unbounded gain can ruin a waveform in bands that a
            perceptual loss does not hear.
        passes: What an untrained network hands on: the ``recording``, or the ``state``, which predictions of
            noise (eps, v, velocity) are made of.
    """

    n_bins: PositiveInt = 769
    low_bins: PositiveInt = 256
    low_stride: PositiveInt = 4
    high_pool: PositiveInt = 16
    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (32, 64, 96)
    squeeze: PositiveInt = 32
    width: PositiveInt = 384
    layers: PositiveInt = 4
    head: PositiveInt = 32
    detail: PositiveInt = 24
    gain_limit: Annotated[float, Field(gt=1)] = 1.25
    passes: Literal["recording", "state"] = "recording"

    def __post_init__(self) -> None:
        high = self.n_bins - 1 - self.low_bins
        if self.low_bins % self.low_stride or high < self.high_pool or high % self.high_pool:
            raise ConfigError(
                f"network: {self.n_bins} bins do not divide into {self.low_bins} low bins by "
                f"{self.low_stride}, at least one group of {self.high_pool} high bins, and the last bin"
            )
        if self.positions % 4:
            raise ConfigError(f"network: {self.positions} positions must be a multiple of 4")
        if self.low_stride % 2:
            raise ConfigError(f"network: low_stride must be even, got {self.low_stride}")

    @property
    def low_positions(self) -> int:
        """Positions of the low part."""
        return self.low_bins // self.low_stride

    @property
    def positions(self) -> int:
        """P."""
        return self.low_positions + (self.n_bins - 1 - self.low_bins) // self.high_pool


def magnitude_of(parts: Tensor) -> Tensor:
    """Magnitude [B, 1, F, N] of (re, im) [B, 2, F, N]."""
    # the axis of one comes last: where it lies innermost in memory, ONNX Runtime adds ten times as slowly
    return (parts.square().sum(1) + MAGNITUDE_FLOOR).sqrt()[:, None]


class ToPositions(nn.Module):
    """Bins to positions: [B, F, N, 2] to [B, C, P, N]."""

    def __init__(self, config: SpectralConfig, channels: int, frames: int) -> None:
        super().__init__()
        self.low_bins, self.n_bins = config.low_bins, config.n_bins
        stride, pool = config.low_stride, config.high_pool
        self.low = nn.Conv2d(
            3, channels, (2 * stride, frames), stride=(stride, 1), padding=(stride // 2, frames // 2)
        )
        self.high = nn.Conv2d(1, channels, (pool, 1), stride=(pool, 1))
        self.reach = frames // 2

    def forward(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions and the low bins as (re, im, magnitude) [B, 3, low_bins, N]."""
        parts = spectrum.permute(0, 3, 1, 2)
        magnitude = magnitude_of(parts)
        low = torch.cat([parts, magnitude], dim=1)[:, :, : self.low_bins]
        low = low.contiguous(memory_format=torch.channels_last)
        high = magnitude[:, :, self.low_bins : self.n_bins - 1]
        positions = torch.cat([self.low(low), self.high(high)], dim=2)
        return positions.contiguous(memory_format=torch.channels_last), low


class Encoder(nn.Module):
    """U-Net over (position, frame) with a stack over frames at its bottom: [B, F, N, 2] to [B, C, P, N]."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.channels
        self.bottom = config.squeeze, config.positions // 4
        flat = config.squeeze * self.bottom[1]
        half = {"kernel_size": (4, 1), "stride": (2, 1), "padding": (1, 0)}
        self.stem = ToPositions(config, fine, frames=3)
        self.place = nn.Parameter(torch.zeros(1, fine, config.positions, 1))
        self.down_fine = Block2d(fine)
        self.to_middle = nn.Conv2d(fine, middle, **half)  # type: ignore[arg-type]  # mixed value types
        self.down_middle = Block2d(middle, dilation=2)
        self.to_coarse = nn.Conv2d(middle, coarse, **half)  # type: ignore[arg-type]
        self.down_coarse = Block2d(coarse, dilation=2)
        self.squeeze = nn.Conv2d(coarse, config.squeeze, 1)
        self.enter = nn.Linear(flat, config.width)
        self.stack = nn.ModuleList(FrameBlock(config.width, 2**i) for i in range(config.layers))
        self.leave = nn.Linear(config.width, flat)
        self.expand = nn.Conv2d(config.squeeze, coarse, 1)
        self.up_coarse = Block2d(coarse, dilation=2)
        self.from_coarse = nn.ConvTranspose2d(coarse, middle, **half)  # type: ignore[arg-type]
        self.skip_middle = nn.Conv2d(middle, middle, 1)
        self.up_middle = Block2d(middle, dilation=2)
        self.from_middle = nn.ConvTranspose2d(middle, fine, **half)  # type: ignore[arg-type]
        self.skip_fine = nn.Conv2d(fine, fine, 1)
        self.up_fine = Block2d(fine)
        stack: tuple[Any, ...] = tuple(self.stack)
        self.reach_frames = sum(int(block.reach) for block in stack)
        blocks: tuple[Any, ...] = (self.stem, self.down_fine, self.down_middle, self.down_coarse)
        blocks += (self.up_coarse, self.up_middle, self.up_fine)
        self.reach = sum(int(block.reach) for block in blocks) + self.reach_frames

    def forward(self, spectrum: Tensor) -> Tensor:
        """Features [B, C, P, N] of a spectrum [B, F, N, 2]."""
        x, _ = self.stem(spectrum)
        fine = self.down_fine(x + self.place)
        middle = self.down_middle(self.to_middle(fine))
        coarse = self.down_coarse(self.to_coarse(middle))
        coarse = self.up_coarse(coarse + self._frames(coarse))
        middle = self.up_middle(self.from_coarse(coarse) + self.skip_middle(middle))
        result: Tensor = self.up_fine(self.from_middle(middle) + self.skip_fine(fine))
        return result

    def _frames(self, coarse: Tensor) -> Tensor:
        """The stack over frames: every position of a frame sees every other."""
        n_items, _, _, n_frames = coarse.shape
        z = self.squeeze(coarse).permute(0, 3, 1, 2).reshape(n_items, n_frames, -1)
        z = self.enter(z)
        for block in self.stack:
            z = block(z)
        z = self.leave(z).reshape(n_items, n_frames, *self.bottom)
        result: Tensor = self.expand(z.permute(0, 2, 3, 1))
        return result


class Spectral(nn.Module):
    """Estimates x_0 as masks on the recording y and on the state x_t, plus a small residual.

    Below `low_bins`: x0_hat = g u y + (1 - t) m x_t + r with a gain 0 < g < `gain_limit`, a unit phase
    factor u, a complex mask m and a residual r, each of single bins. Above: real gains of bands,
    interpolated over bins. At the start g u is near 1, so an untrained network hands the recording on. The
    masks contain the skip that preconditioning would add.

    A network that passes the state says g u x_t + m y + r, with 0 < g < `STATE_LIMIT`: at t = 1 noise is the
    state itself, which the factor 1 - t would hide.
    """

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        fine, head, stride = config.channels[0], config.head, config.low_stride
        self.encoder = Encoder(config)
        self.state = ToPositions(config, head, frames=1)
        self.features = nn.Conv2d(fine, head, 1)
        self.time = TimeEmbedding(head)
        self.block = Block2d(head)
        self.to_bins = nn.ConvTranspose2d(
            head, 16, (2 * stride, 1), stride=(stride, 1), padding=(stride // 2, 0)
        )
        self.detail = nn.Conv2d(16 + 6, config.detail, 3, padding=1)
        self.low_masks = nn.Conv2d(config.detail, 7, 1)
        self.high_masks = nn.Conv2d(head, 2, 1)
        for layer in (self.low_masks, self.high_masks):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # both have a bias
        self.reach_encode: int = self.encoder.reach
        self.reach_step: int = self.block.reach + 1
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs

    def encode(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the recording y [B, F, N, 2]: y itself, which the masks need, and [B, C, P, N]."""
        return cond, self.encoder(cond)

    def forward(self, x_t: Tensor, t: Tensor, h: tuple[Tensor, Tensor]) -> Tensor:
        """Estimate x_0 [B, F, N, 2] from the state x_t [B, F, N, 2] at times t [B]."""
        y, features = h
        positions, low_x = self.state(x_t)
        v = self.block(self.time(positions + self.features(features), t))
        low_y = _low(y, self.config.low_bins)
        bins = torch.cat([self.to_bins(v[:, :, : self.config.low_positions]), low_x, low_y], dim=1)
        masks = self.low_masks(functional.silu(self.detail(bins)))
        gains = self.high_masks(v[:, :, self.config.low_positions :])
        if self.config.passes == "state":
            every = torch.ones_like(t)
            low = _apply_low(masks, low_x, low_y, every[:, None, None], STATE_LIMIT)
            high = self._apply_high(gains, x_t, y, every[:, None, None], STATE_LIMIT)
        else:
            limit = self.config.gain_limit
            low = _apply_low(masks, low_y, low_x, (1 - t)[:, None, None], limit)
            high = self._apply_high(gains, y, x_t, (1 - t)[:, None, None], limit)
        return torch.cat([low, high], dim=1)

    def _apply_high(self, gains: Tensor, main: Tensor, other: Tensor, share: Tensor, limit: float) -> Tensor:
        low_bins = self.config.low_bins
        size = (main.shape[1] - low_bins, main.shape[2])
        gains = functional.interpolate(gains, size=size, mode="bilinear", align_corners=False)
        on_main, on_other = _gain(gains[:, 0], limit), gains[:, 1] * share
        # parts for themselves: gains that were spread over a last axis of two would be slow
        parts = (
            on_main * main[:, low_bins:, :, part] + on_other * other[:, low_bins:, :, part] for part in (0, 1)
        )
        return torch.stack(list(parts), dim=-1)


def _gain(logit: Tensor, limit: float) -> Tensor:
    """Gain between 0 and `limit`, 1 at a logit of 0."""
    return limit * torch.sigmoid(logit - math.log(limit - 1))


def _low(spectrum: Tensor, low_bins: int) -> Tensor:
    parts = spectrum[:, :low_bins].permute(0, 3, 1, 2)
    magnitude = magnitude_of(parts)
    return torch.cat([parts, magnitude], dim=1)


def _apply_low(masks: Tensor, main: Tensor, other: Tensor, share: Tensor, limit: float) -> Tensor:
    """Masks [B, 7, bins, N] on what is passed and on the other [B, 3, bins, N] to [B, bins, N, 2]."""
    gain = _gain(masks[:, 0], limit)
    real, imag = 1 + masks[:, 1], masks[:, 2]
    gain = gain * torch.rsqrt(real.square() + imag.square() + 1e-4)
    on_main = gain * real, gain * imag
    on_other = masks[:, 3] * share, masks[:, 4] * share
    re = (
        on_main[0] * main[:, 0]
        - on_main[1] * main[:, 1]
        + on_other[0] * other[:, 0]
        - on_other[1] * other[:, 1]
    )
    im = (
        on_main[0] * main[:, 1]
        + on_main[1] * main[:, 0]
        + on_other[0] * other[:, 1]
        + on_other[1] * other[:, 0]
    )
    return torch.stack([re + RESIDUAL_GAIN * masks[:, 5], im + RESIDUAL_GAIN * masks[:, 6]], dim=-1)
