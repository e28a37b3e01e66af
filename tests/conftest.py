"""Shared by all tests: no network, a tiny network of layers, its model, a recording."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch: workers and what they start share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn

from audiodiff import networks, system
from audiodiff.evaluation.voicing import import_pyin
from audiodiff.model.config import CompressionSettings, ModelConfig, Presets, SamplerPreset, StftSettings
from audiodiff.model.folder import save
from audiodiff.model.model import Model, assemble
from audiodiff.networks.contract import Features, Network
from audiodiff.settings import Setting
from tests.no_network import sitecustomize

if "PYTEST_XDIST_WORKER" in os.environ:
    import_pyin()  # workers that import librosa together for the first time would crash

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

Recording = Callable[..., npt.NDArray[np.float32]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is not slow is quick; files with slow tests come first, or one would keep a single worker busy."""
    for item in items:
        if not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.quick)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def children_without_network() -> Iterator[None]:
    """Python processes that tests start refuse the network, as this one does from the import above on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(sitecustomize.__file__).parent), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """A test that tried to reach another machine fails, even if the error was swallowed."""
    yield
    attempts = sitecustomize.ATTEMPTS.copy()
    sitecustomize.ATTEMPTS.clear()
    assert not attempts, f"the network was used: {attempts}"


class ToyNet(nn.Module):
    """Mixes each bin's frames by depthwise convolutions of finite reach; the seed fixes the weights."""

    reach_encode = 2
    reach_step = 1

    def __init__(self, n_bins: int, seed: int = 0) -> None:
        super().__init__()
        channels = 2 * n_bins
        # no biases: silence in, silence out
        self.cond = nn.Conv1d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.state = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.time = nn.Parameter(torch.zeros(channels))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))

    @staticmethod
    def _rows(x: Tensor) -> Tensor:
        return x.permute(0, 1, 3, 2).flatten(1, 2)

    def encode(self, cond: Tensor) -> Features:
        return (torch.tanh(self.cond(self._rows(cond))), cond)

    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        rows = h[0] + self.state(self._rows(x_t)) * (1 + t[:, None, None] * self.time[:, None])
        mixed = rows.unflatten(1, (-1, 2)).permute(0, 1, 3, 2)
        return 0.5 * h[1] + 0.2 * torch.tanh(mixed)


def build_toy(config: dict[str, Setting], own: object = None) -> Network:
    """Stands in for `networks.build` and knows the kind ``toy``."""
    return ToyNet(int(str(config["n_bins"])))


@pytest.fixture(scope="session")
def toy_config() -> ModelConfig:
    preset = SamplerPreset(steps=2)
    return ModelConfig(
        sample_rate=16000,
        level_db=-25.0,
        stft=StftSettings(n_fft=128, hop=64),
        compression=CompressionSettings(exponent=0.5, scale=0.3),
        process={"kind": "brownian", "rho": 0.5},
        network={"kind": "toy", "n_bins": 65},
        presets=Presets(fast=SamplerPreset(steps=1), balanced=preset, best=preset),
        reach_encode=ToyNet.reach_encode,
        reach_step=ToyNet.reach_step,
        licence="CC0-1.0",
    )


@pytest.fixture
def toy_net() -> Network:
    return ToyNet(65)


@pytest.fixture(scope="session")
def toy_model(toy_config: ModelConfig) -> Model:
    return assemble(toy_config, ToyNet(65))


@pytest.fixture
def toy_folder(tmp_path: Path, toy_config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of the toy, which `networks.build` knows meanwhile."""
    monkeypatch.setattr(networks, "build", build_toy, raising=False)
    folder = tmp_path / "models" / "toy"
    save(folder, toy_config, ToyNet(65).state_dict(), "# toy\n", dtype=torch.float32)
    return folder


@pytest.fixture(scope="session")
def recording() -> Recording:
    """Makes [C, T] float32: a voice-like tone with pauses, under noise; channel c differs from the others."""

    def make(
        seconds: float = 1.0, rate: int = 16000, channels: int = 1, peak: float = 0.3
    ) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng(channels)
        time = np.arange(round(seconds * rate)) / rate
        voice = np.sin(2 * np.pi * 220 * time) * (np.sin(2 * np.pi * 2 * time) > 0)
        x = voice + 0.2 * rng.standard_normal((channels, len(time)))
        return np.asarray(peak * x / np.abs(x).max(), dtype=np.float32)

    return make


@pytest.fixture(scope="session")
def has_unnamed_files(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether temporary folders can hold files without a name (Linux, but not on every file system)."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or system.IS_WINDOWS:
        return False
    try:
        os.close(os.open(tmp_path_factory.mktemp("unnamed"), flag | os.O_RDWR))
    except OSError:
        return False
    return True
