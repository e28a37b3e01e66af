"""A network of one gain a bin and a recipe around it: trains in milliseconds and has a known best answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from audiodiff.data.batches import Batch
from audiodiff.settings import parse
from audiodiff.training.recipe import Recipe

RATE = 8000
N_SAMPLES = 1600

RECIPE: dict[str, Any] = {
    "model": {
        "sample_rate": RATE,
        "n_fft": 64,
        "hop": 32,
        "exponent": 0.5,
        "scale": 0.33,
        "licence": "CC0-1.0",
    },
    "process": {"kind": "brownian", "rho": 0.5},
    "network": {"kind": "spectral", "low_bins": 16, "high_pool": 4},  # for the recipe; `Toy` is trained
    "data": {"store": "unused", "batch": 2, "segment_s": 0.2},
    "objective": {"complex": 1.0, "magnitude": 1.0, "mrstft": 0.1, "mrstft_windows": [64]},
    "optim": {"steps": 6, "lr": 0.02, "warmup": 2, "ema": 0.9},
    "run": {"bf16": "off", "device": "cpu", "log_every": 2, "validate_minutes": 0.0},
}


class Toy(nn.Module):
    """Gains on the recording and on the state, mixed by a small matrix: AdamW sees kernels and biases."""

    def __init__(self, n_bins: int = 33) -> None:
        super().__init__()
        self.on_y = nn.Parameter(torch.zeros(n_bins))
        self.mix = nn.Linear(n_bins, n_bins)

    reach_encode = 0
    reach_step = 0

    def encode(self, cond: Tensor) -> tuple[Tensor, ...]:
        return (cond * torch.sigmoid(self.on_y)[None, :, None, None],)

    def forward(self, x_t: Tensor, t: Tensor, h: tuple[Tensor, ...]) -> Tensor:
        mixed: Tensor = self.mix(x_t.transpose(1, 3)).transpose(1, 3)
        return h[0] + (1 - t)[:, None, None, None] * mixed


def recipe(**sections: dict[str, Any]) -> Recipe:
    """The recipe with some keys of some sections changed."""
    merged = {name: values | sections.get(name, {}) for name, values in RECIPE.items()}
    return parse(Recipe, merged, "toy")


def toy_batches(start_step: int, seed: int = 0) -> Iterator[Batch]:
    """Tones in noise; batch k is a function of (seed, k)."""
    step = start_step
    time = torch.arange(N_SAMPLES) / RATE
    while True:
        generator = torch.Generator().manual_seed(1000 * seed + step)
        tone = 200 + 800 * torch.rand(2, 1, generator=generator)
        clean = 0.1 * torch.sin(2 * torch.pi * tone * time)
        noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
        yield noisy, clean, torch.tensor([RATE / 2, 2000.0])
        step += 1
