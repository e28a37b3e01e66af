"""Models of tiny size: a denoiser with graphs, an untrained vocoder of spectra, vocoders of waveforms."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from audiodiff.cli import run
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
def graph_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoiser with random weights and graphs of both kinds; made once, as exporting takes long."""
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent  # of all workers
    folder, noisy = home / "with_graphs", home / "to_export_by"
    with FileLock(home / "graphs.lock"):
        if not noisy.exists():
            builders.save_drawn(folder)
            noisy.mkdir()
            noise = 0.1 * np.random.default_rng(3).standard_normal(32000)
            soundfile.write(noisy / "a.wav", noise * np.linspace(0, 1, 32000), 16000)
            assert run(["export", str(folder), str(folder), "--int8", str(noisy)]) == 0
    return folder


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
