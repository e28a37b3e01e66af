"""Promise: neither torch's settings nor a fork change a result, and what is no sample rate is refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audiodiff import ConfigError, Denoiser, ShapeError, Vocoder
from audiodiff.inference import device
from audiodiff.inference.engine import Samples
from audiodiff.model.folder import load_model
from audiodiff.model.model import Model

Recording = Callable[..., Samples]


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


STATES: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "default device": lambda: default_device("meta"),
    "device context": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("state", STATES)
def test_settings_of_torch_change_nothing(
    toy_model: Model, toy_folder: Path, recording: Recording, state: str
) -> None:
    x = recording(1.0, 16000)[0]
    mel = np.random.default_rng(0).standard_normal((80, 20)).astype(np.float32) - 5
    clean, wave = Denoiser(toy_model).denoise(x, 16000), Vocoder("inversion").vocode(mel, "hifigan")
    before = torch.get_default_dtype(), torch.get_default_device()
    with STATES[state]():
        loaded = load_model(toy_folder)
        np.testing.assert_array_equal(Denoiser(loaded).denoise(x, 16000), clean)
        np.testing.assert_array_equal(Vocoder("inversion").vocode(mel, "hifigan"), wave)
        list(Vocoder("inversion").resynthesise([x[None]], 16000))
    assert all(not tensor.is_inference() for tensor in loaded.net.parameters())
    assert before == (torch.get_default_dtype(), torch.get_default_device())


@pytest.mark.parametrize(
    "rate", [0, -16000, 1, 16, 48, 16000.5, float("nan"), float("inf"), "16000", None, True, 10**9]
)
def test_what_is_no_rate_is_refused(toy_model: Model, recording: Recording, rate: Any) -> None:
    x = recording(1.0, 16000)
    denoiser = Denoiser(toy_model)
    for call in (
        lambda: denoiser.denoise(x[0], rate),
        lambda: denoiser.gain([x], rate),
        lambda: denoiser.stream([x], rate, 1.0),
        lambda: denoiser.stream([x], rate, None),
        lambda: Vocoder("inversion").resynthesise([x], rate),
    ):
        with pytest.raises(ConfigError, match="is out of range; give Hz"):
            call()


@pytest.mark.parametrize("rate", [16000.0, np.float64(16000), np.int32(16000)])
def test_a_whole_number_is_a_rate(toy_model: Model, recording: Recording, rate: Any) -> None:
    x = recording(1.0, 16000)[0]
    denoiser = Denoiser(toy_model)
    np.testing.assert_array_equal(denoiser.denoise(x, rate), denoiser.denoise(x, 16000))


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_gain_is_refused(toy_model: Model, recording: Recording, gain: float) -> None:
    with pytest.raises(ConfigError, match="is no factor"):
        Denoiser(toy_model).stream([recording(1.0, 16000)], 16000, gain)


def test_a_type_that_numpy_lacks_is_refused(toy_model: Model) -> None:
    with pytest.raises(ShapeError, match="bfloat16"):
        Denoiser(toy_model).denoise(torch.zeros(160, dtype=torch.bfloat16), 16000)


def test_a_gpu_is_refused_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "is_forked", lambda: True)
    with pytest.raises(ConfigError, match="spawn"), device.working(None, torch.device("cuda")):
        pass


FORK = """
import os, signal, numpy as np, torch
from audiodiff import Denoiser, Vocoder
torch.set_num_threads(2)
x = np.random.default_rng(0).standard_normal(16000).astype("f4")
mel = np.random.default_rng(0).standard_normal((80, 200)).astype("f4") - 5
denoiser, vocoder = Denoiser(threads=2), Vocoder("inversion", threads=2)
denoiser.denoise(x, 16000)
vocoder.vocode(mel, "hifigan")
child = os.fork()
if child == 0:
    signal.alarm(60)
    denoiser.denoise(x, 16000)
    vocoder.vocode(mel, "hifigan")
    Denoiser().denoise(x, 16000)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_after_use_does_not_hang() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "7\n"
