"""Models of tiny size and of the real kinds, untrained, for tests that need more than the toy network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from audiodiff import networks
from audiodiff.diffusion.vp import linear_betas
from audiodiff.model.config import CompressionSettings, ModelConfig, Presets, SamplerPreset, StftSettings
from audiodiff.model.folder import save
from audiodiff.model.model import Model, assemble
from audiodiff.networks.contract import Network
from audiodiff.signal.mel_convention import MelSpec

SPECTRAL: dict[str, Any] = {
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
WAVENET: dict[str, Any] = {
    "kind": "wavenet",
    "residual_channels": 4,
    "layers": 3,
    "step_width": 8,
    "conditioner": "frames",
}
WAVEFORM_NET: dict[str, Any] = {**WAVENET, "conditioner": "waveform"}
WAVEFORM_UNET: dict[str, Any] = {
    "kind": "unet1d",
    "channels": [4, 6],
    "strides": [8],
    "layers": 2,
    "conditioner": "waveform",
}
TINY_MEL = MelSpec(sample_rate=8000, n_fft=256, hop=64, win=256, f_min=0, f_max=4000, n_mels=20)
ONE_OR_TWO = Presets(
    fast=SamplerPreset(steps=1), balanced=SamplerPreset(steps=1), best=SamplerPreset(steps=2)
)


def spectral_model(
    sample_rate: int = 16000, compression: tuple[float, float] = (0.5, 0.33), **more: Any
) -> Model:
    """A denoiser, or with task and inversion a `voice`: its estimate is its input.

    Args:
        sample_rate: Hz.
        compression: Exponent and scale.
        more: Fields of `ModelConfig`.
    """
    exponent, scale = compression
    network = networks.complete(SPECTRAL)
    net = _drawn(network, 0.0)
    config = ModelConfig(
        sample_rate=sample_rate,
        level_db=-25.0,
        stft=StftSettings(n_fft=512, hop=256),
        compression=CompressionSettings(exponent=exponent, scale=scale),
        process={"kind": "brownian", "rho": 0.3},
        network=network,
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        **{"presets": ONE_OR_TWO, "licence": "CC0-1.0", **more},
    )
    return assemble(config, net)


def save_drawn(folder: Path) -> None:
    """Write a denoiser of spectra whose weights are random, so that its estimate is not its input."""
    model = spectral_model()
    drawn = torch.Generator().manual_seed(5)
    state = {
        name: value + 0.1 * torch.randn(value.shape, generator=drawn)
        for name, value in model.net.state_dict().items()
    }
    save(folder, model.config, state, "# tiny\n")


def waveform_denoiser(network: Mapping[str, Any], **more: Any) -> Model:
    """A denoiser whose network works on samples beside the recording's samples."""
    complete = networks.complete(network)
    net = _drawn(complete, 0.05)
    config = ModelConfig(
        sample_rate=16000,
        level_db=-25.0,
        network=complete,
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        **{"presets": ONE_OR_TWO, "licence": "CC0-1.0", **more},
    )
    return assemble(config, net)


def voice_model(inversion: int = 8) -> Model:
    """A vocoder whose estimate is the inversion that it starts from."""
    one, two = (SamplerPreset(steps=n, start_noise=0.0) for n in (1, 2))
    presets = Presets(fast=one, balanced=one, best=two)
    return spectral_model(24000, (0.3, 1.0), task="vocode", inversion=inversion, presets=presets)


def wave_model(
    quick: tuple[float, ...],
    slow: tuple[float, ...],
    sizes: Mapping[str, Any] = WAVENET,
    mel: MelSpec = TINY_MEL,
    **more: Any,
) -> Model:
    """A vocoder of waveforms.

    Args:
        quick: Betas of the presets fast and balanced.
        slow: Betas of the preset best.
        sizes: Of the network, without the mel's.
        mel: Its mel.
        more: Fields of `ModelConfig`.
    """
    network = networks.complete({**sizes, "n_mels": mel.n_mels, "hop": mel.hop})
    net = _drawn(network, 0.05)
    few, many = (
        SamplerPreset(steps=len(betas), sampler="diffwave", eta=1.0, betas=betas) for betas in (quick, slow)
    )
    config = ModelConfig(
        task="vocode",
        sample_rate=mel.sample_rate,
        mel=mel.as_dict(),
        process={"kind": "vp", "betas": list(linear_betas(1e-4, 0.05, 50))},
        target="eps",
        network=network,
        presets=Presets(fast=few, balanced=few, best=many),
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        licence="CC0-1.0",
        **more,
    )
    return assemble(config, net)


def _drawn(network: dict[str, Any], spread: float) -> Network:
    """The network with weights of its own seed, so that what ran before does not decide them."""
    with torch.random.fork_rng():
        torch.random.manual_seed(5)
        net = networks.build(network)
        with torch.no_grad():
            for parameter in net.parameters():  # zeros at the output would hide everything before them
                parameter.add_(spread * torch.randn(parameter.shape))
    return net
