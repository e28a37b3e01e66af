"""Vocoders of tiny size: an untrained network of spectra, which changes nothing; networks of waveforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from audiodiff import networks
from audiodiff.config import CompressionSettings, ModelConfig, Presets, SamplerPreset, StftSettings
from audiodiff.diffusion.diffwave import FAST_BETAS
from audiodiff.diffusion.vp import linear_betas
from audiodiff.model import Model, assemble
from audiodiff.signal.mel_spec import MelSpec

MakeWave = Callable[..., Model]

TINY_MEL = MelSpec(sample_rate=8000, n_fft=256, hop=64, win=256, f_min=0, f_max=4000, n_mels=20)

SPECTRAL = {
    "kind": "spectral",
    "n_bins": 257,
    "low_bins": 128,
    "high_pool": 8,
    "channels": [4, 6, 8],
    "squeeze": 4,
    "width": 16,
    "layers": 1,
    "head": 4,
    "detail": 4,
}
WAVE_NETS: dict[str, dict[str, Any]] = {
    "wavenet": {"residual_channels": 4, "layers": 5, "cycle": 4, "step_width": 12, "conditioner": "frames"},
    "unet1d": {"channels": [4, 6], "strides": [8], "layers": 2, "conditioner": "frames"},
}


@pytest.fixture(scope="session")
def voice_model() -> Model:
    """Untrained: its estimate is the start itself."""
    network = networks.complete(SPECTRAL)
    with torch.random.fork_rng():  # what ran before must not decide the weights
        torch.random.manual_seed(5)
        net = networks.build(network)
    one = SamplerPreset(steps=1, start_noise=0.0)
    config = ModelConfig(
        task="vocode",
        inversion=8,
        sample_rate=24000,
        level_db=-25.0,
        stft=StftSettings(n_fft=512, hop=256),
        compression=CompressionSettings(exponent=0.3, scale=1.0),
        process={"kind": "brownian", "rho": 0.3},
        network=network,
        presets=Presets(fast=one, balanced=one, best=SamplerPreset(steps=2, start_noise=0.0)),
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        licence="CC0-1.0",
    )
    return assemble(config, net)


@pytest.fixture(scope="session")
def make_wave() -> MakeWave:
    """Makes a model of waveforms with random weights for `TINY_MEL` or a mel of one's own."""

    def make(kind: str = "wavenet", mel: MelSpec = TINY_MEL, **more: Any) -> Model:
        sizes = {"kind": kind, **WAVE_NETS[kind], "n_mels": mel.n_mels, "hop": mel.hop}
        network = networks.complete(sizes)
        with torch.random.fork_rng():
            torch.random.manual_seed(5)
            net = networks.build(network)
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.add_(0.05 * torch.randn(parameter.shape))
        quick = SamplerPreset(steps=6, sampler="diffwave", eta=1.0, betas=FAST_BETAS)
        slow = SamplerPreset(steps=2, sampler="diffwave", eta=1.0, betas=(1e-4, 0.5))
        config = ModelConfig(
            task="vocode",
            sample_rate=mel.sample_rate,
            mel=mel.as_dict(),
            process={"kind": "vp", "betas": list(linear_betas(1e-4, 0.05, 50))},
            target="eps",
            network=network,
            presets=Presets(fast=quick, balanced=quick, best=slow),
            reach_encode=net.reach_encode,
            reach_step=net.reach_step,
            licence="CC0-1.0",
            **more,
        )
        return assemble(config, net)

    return make
