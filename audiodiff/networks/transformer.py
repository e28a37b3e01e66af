"""A transformer over the frames of a spectrum, each of which attends to the frames around it.

Letters: B items, F bins, N frames, W width, H heads, K blocks of frames. Attention is bounded to `window`
frames on either side and knows distances only (rotary embedding, Su et al. 2021), so a chunk with its reach
gives what the whole gives, and the cost grows with the length and not with its square.

    recording -> frames -> attention over frames -> features
    state, features, time -> attention over frames -> masks on the recording and the state
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from audiodiff.errors import ConfigError
from audiodiff.networks.layers import RESIDUAL_SCALE, TimeEmbedding

MAGNITUDE_FLOOR = 1e-6
"""Added to squared magnitudes, so that the gradient of their root is finite on silence."""
RESIDUAL_GAIN = 0.1
"""Scale of the additive residual: masks, which keep what is right already, learn first."""
_SLOWEST = 1e4
"""Ratio of the fastest to the slowest rotation of the embedding."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of `Transformer`.

    Attributes:
        n_bins: F.
        width: W, a multiple of twice the heads.
        heads: H.
        encode_layers: Blocks on the recording, once a signal.
        layers: Blocks on the state, once a step.
        window: Frames on either side that a block sees.
        expansion: Width of the dense part of a block over W.
        passes: What an untrained network hands on: the ``recording``, or the ``state``, which predictions of
            noise (eps, v, velocity) are made of.
    """

    n_bins: PositiveInt = 769
    width: PositiveInt = 256
    heads: PositiveInt = 4
    encode_layers: PositiveInt = 4
    layers: PositiveInt = 2
    window: PositiveInt = 16
    expansion: PositiveInt = 3
    passes: Literal["recording", "state"] = "recording"

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"network.width: {self.width} is no multiple of twice the {self.heads} heads; change either"
            )


def rotated(x: Tensor, positions: Tensor) -> Tensor:
    """Turn pairs of values ``[..., P, D]`` by angles in proportion to their positions ``[P]``.

    The product of a query and a key then depends on their distance alone.
    """
    half = x.shape[-1] // 2
    rates = _SLOWEST ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = positions[:, None].float() * rates
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class LocalAttention(nn.Module):
    """Attention of every frame to those at most `window` away."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.enter = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, N, W] to the same shape."""
        n_items, n_frames, width = x.shape
        window = self.window
        n_blocks = -(-n_frames // window)
        padded = functional.pad(self.enter(x), (0, 0, 0, n_blocks * window - n_frames))
        split = padded.view(n_items, n_blocks * window, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, H, K window, D]
        query = query.reshape(n_items, self.heads, n_blocks, window, -1)
        key, value = (_around(part, n_blocks, window) for part in (key, value))
        places = torch.arange(
            3 * window, device=x.device
        )  # of a block's keys; its queries are the middle third
        query, key = rotated(query, places[window : 2 * window]), rotated(key, places)
        mask = self._seen(places, n_frames, n_blocks)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined = mixed.permute(0, 2, 3, 1, 4).reshape(n_items, n_blocks * window, width)[:, :n_frames]
        result: Tensor = self.leave(joined)
        return result

    def _seen(self, places: Tensor, n_frames: int, n_blocks: int) -> Tensor:
        """Which keys a query sees, [K, window, 3 window]: near ones within the signal, and always itself."""
        window = self.window
        distance = places[None, :] - places[window : 2 * window, None]
        frame = places + window * (torch.arange(n_blocks, device=places.device)[:, None] - 1)
        inside = ((frame >= 0) & (frame < n_frames))[:, None]
        return ((distance.abs() <= window) & inside) | (distance == 0)


def _around(x: Tensor, n_blocks: int, window: int) -> Tensor:
    """Every block with its neighbours, [B, H, K window, D] to [B, H, K, 3 window, D]."""
    wide = functional.pad(x, (0, 0, window, window))
    return wide.unfold(2, 3 * window, window)[:, :, :n_blocks].transpose(-1, -2)


class Block(nn.Module):
    """Attention and a dense part, each on normalised frames and added (pre-norm)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = LocalAttention(width, config.heads, config.window)
        self.inner = nn.Linear(width, config.expansion * width)
        self.outer = nn.Linear(config.expansion * width, width)
        self.scales = nn.Parameter(torch.full((2, width), RESIDUAL_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, N, W] to the same shape."""
        x = x + self.scales[0] * self.attention(self.norms[0](x))
        result: Tensor = x + self.scales[1] * self.outer(functional.silu(self.inner(self.norms[1](x))))
        return result


class Transformer(nn.Module):
    """Predicts x_0, or what the process's target says, as complex masks of single bins and a small residual.

    With p the recording or the state, whichever is passed, and q the other: (1 + m) p + n q + r.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, rows = config.width, 3 * config.n_bins
        self.recording, self.state = nn.Linear(rows, width), nn.Linear(rows, width)
        self.encoder = nn.ModuleList(Block(config) for _ in range(config.encode_layers))
        self.times = nn.ModuleList(TimeEmbedding(width) for _ in range(config.layers))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.masks = nn.Linear(width, 6 * config.n_bins)
        nn.init.normal_(self.masks.weight, std=0.02)
        nn.init.zeros_(self.masks.bias)
        self.reach_encode: int = config.encode_layers * config.window
        self.reach_step: int = config.layers * config.window

    def encode(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the recording y [B, F, N, 2]: y itself, which the masks need, and [B, N, W]."""
        x = self.recording(_rows(cond))
        for block in self.encoder:
            x = block(x)
        return cond, x

    def forward(self, x_t: Tensor, t: Tensor, h: tuple[Tensor, Tensor]) -> Tensor:
        """The prediction [B, F, N, 2] for the state x_t [B, F, N, 2] at times t [B]."""
        y, features = h
        x = self.state(_rows(x_t)) + features
        for time, block in zip(self.times, self.blocks, strict=True):
            x = block(time(x.transpose(1, 2)[:, :, None], t)[:, :, 0].transpose(1, 2))
        masks = self.masks(self.norm(x)).view(*x.shape[:2], self.config.n_bins, 6).transpose(1, 2)
        main, other = (x_t, y) if self.config.passes == "state" else (y, x_t)
        result: Tensor = (
            main
            + _times(masks[..., 0:2], main)
            + _times(masks[..., 2:4], other)
            + RESIDUAL_GAIN * masks[..., 4:]
        )
        return result


def _rows(spectrum: Tensor) -> Tensor:
    """Frames of (re, im, magnitude), [B, F, N, 2] to [B, N, 3 F]."""
    magnitude = (spectrum.square().sum(-1, keepdim=True) + MAGNITUDE_FLOOR).sqrt()
    return torch.cat([spectrum, magnitude], dim=-1).transpose(1, 2).flatten(2)


def _times(left: Tensor, right: Tensor) -> Tensor:
    """Product of complex numbers whose parts are the last axis."""
    re = left[..., 0] * right[..., 0] - left[..., 1] * right[..., 1]
    im = left[..., 0] * right[..., 1] + left[..., 1] * right[..., 0]
    return torch.stack([re, im], dim=-1)
