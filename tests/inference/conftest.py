"""Vocoders of tiny size: an untrained network of spectra, which changes nothing; networks of waveforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audiodiff.diffusion.diffwave import FAST_BETAS
from audiodiff.model.model import Model
from audiodiff.signal.mel_convention import MelSpec
from tests import builders
from tests.builders import TINY_MEL

MakeWave = Callable[..., Model]

WAVE_NETS: dict[str, dict[str, Any]] = {
    "wavenet": {**builders.WAVENET, "layers": 5, "cycle": 4, "step_width": 12},
    "unet1d": {
        "kind": "unet1d",
        "channels": [4, 6],
        "strides": [8],
        "layers": 2,
        "conditioner": "frames",
    },
}


@pytest.fixture(scope="session")
def voice_model() -> Model:
    """Untrained: its estimate is the start itself."""
    return builders.voice_model()


@pytest.fixture(scope="session")
def make_wave() -> MakeWave:
    """Makes a model of waveforms with random weights for `TINY_MEL` or a mel of one's own."""

    def make(kind: str = "wavenet", mel: MelSpec = TINY_MEL, **more: Any) -> Model:
        return builders.wave_model(FAST_BETAS, (1e-4, 0.5), WAVE_NETS[kind], mel, **more)

    return make
