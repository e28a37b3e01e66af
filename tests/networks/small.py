"""A spectral network of tiny size."""

from __future__ import annotations

from audiodiff.networks.spectral_unet import SpectralConfig

SMALL = SpectralConfig(
    n_bins=65,
    low_bins=32,
    low_stride=4,
    high_pool=8,
    channels=(8, 12, 16),
    squeeze=4,
    width=24,
    layers=2,
    head=8,
)
