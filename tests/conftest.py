"""Shared by all tests: no network, a tiny network of layers, its model, a recording.

Heavy libraries are imported where they are needed: the process that hands out the tests needs none.
"""

from __future__ import annotations

import gc
import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch: workers and what they start share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

from audiodiff.system import cores
from tests.no_network import sitecustomize

if TYPE_CHECKING:
    from audiodiff.model.config import ModelConfig
    from audiodiff.model.model import Model
    from audiodiff.networks.contract import Network

for _name, _usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    _number = getattr(signal, _name, None)  # Windows has no SIGHUP
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)  # ignored in the background and under nohup, and tests send it

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=15)

Recording = Callable[..., npt.NDArray[np.float32]]


def is_quick(config: pytest.Config) -> bool:
    """Whether the quick tier was asked for."""
    return bool(config.getoption("markexpr") == "quick")


def pytest_configure(config: pytest.Config) -> None:
    """The quick tier draws fewer examples of each property."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick" if is_quick(config) else "ci"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core; with the slow tests one more, as many of them wait for a browser or a process."""
    return cores() + (not is_quick(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is not slow is quick; files with slow tests come first, or one would keep a single worker busy."""
    for item in items:
        if not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.quick)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the garbage collector need not look through them again and again."""
    gc.freeze()


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


@pytest.fixture(scope="session")
def toy_config() -> ModelConfig:
    from audiodiff.model.config import (
        CompressionSettings,
        ModelConfig,
        Presets,
        SamplerPreset,
        StftSettings,
    )
    from tests.toy_net import ToyNet

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
    from tests.toy_net import ToyNet

    return ToyNet(65)


@pytest.fixture(scope="session")
def toy_model(toy_config: ModelConfig) -> Model:
    from audiodiff.model.model import assemble
    from tests.toy_net import ToyNet

    return assemble(toy_config, ToyNet(65))


@pytest.fixture
def toy_folder(tmp_path: Path, toy_config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of the toy, which `networks.build` knows meanwhile."""
    import torch

    from audiodiff import networks
    from audiodiff.model.folder import save
    from tests.toy_net import ToyNet, build_toy

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
def librosa_ready() -> None:
    """librosa is imported: by one process at a time, since two that do so together crash."""
    from audiodiff.evaluation.voicing import import_pyin

    import_pyin()


@pytest.fixture(scope="session")
def has_unnamed_files(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether temporary folders can hold files without a name (Linux, but not on every file system)."""
    from audiodiff import system

    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or system.IS_WINDOWS:
        return False
    try:
        os.close(os.open(tmp_path_factory.mktemp("unnamed"), flag | os.O_RDWR))
    except OSError:
        return False
    return True
