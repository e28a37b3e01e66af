"""Promise: a checkpoint of DiffWave's published layout becomes a model that samples; others are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from audiodiff.cli import run
from audiodiff.diffusion import time_grids
from audiodiff.diffusion.diffwave import FAST_BETAS, diffwave
from audiodiff.diffusion.prediction import make_denoiser
from audiodiff.diffusion.samplers import last
from audiodiff.diffusion.vp import VP
from audiodiff.errors import AudiodiffError, ModelError
from audiodiff.model.config import ModelConfig, SamplerPreset
from audiodiff.model.folder import load
from audiodiff.model.import_diffwave import convert
from audiodiff.networks.wavenet import WaveNet, WaveNetConfig
from audiodiff.signal.mel_presets import PRESETS
from tests.errors import refused

pytestmark = pytest.mark.slow

TINY = WaveNetConfig(residual_channels=4, layers=3, step_width=12)


def make_net(config: WaveNetConfig) -> WaveNet:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        net = WaveNet(config)
        torch.nn.init.normal_(net.output_projection.weight, std=0.1)
    return net


def published_params() -> dict[str, Any]:
    return {
        "batch_size": 16,
        "learning_rate": 2e-4,
        "max_grad_norm": None,
        "sample_rate": 22050,
        "n_mels": 80,
        "n_fft": 1024,
        "hop_samples": 256,
        "crop_mel_frames": 62,
        "residual_layers": 30,
        "residual_channels": 64,
        "dilation_cycle_length": 10,
        "unconditional": False,
        "noise_schedule": [1e-4 + (0.05 - 1e-4) * i / 49 for i in range(50)],
        "inference_noise_schedule": list(FAST_BETAS),
    }


def checkpoint(net: WaveNet, **params: Any) -> dict[str, Any]:
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-4)
    return {
        "step": 1_000_578,
        "model": net.state_dict(),
        "optimizer": optimiser.state_dict(),
        "params": published_params() | params,
        "scaler": {},
    }


def sample(config: ModelConfig, net: Any, process: Any, preset: SamplerPreset) -> Tensor:
    """One frame, the way a task does it from the folder's settings."""
    betas = preset.betas
    assert betas is not None
    mel = torch.rand(1, 80, 1, generator=torch.Generator().manual_seed(9))

    def noise(index: int) -> Tensor:
        return torch.randn(1, 256, generator=torch.Generator().manual_seed(index))

    with torch.inference_mode():
        h = net.encode(mel)

        def run(x: Tensor, t: Tensor) -> Tensor:
            answer: Tensor = net(x, t, h)
            return answer

        denoiser = make_denoiser(process, config.target, run)
        grid = time_grids.from_betas(process, betas)
        x = process.start(None, noise(0), grid[0])
        end: Tensor = last(diffwave(denoiser, process, x, grid, noise, eta=preset.eta))
        return end


def test_the_published_layout_at_its_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = make_net(WaveNetConfig())
    torch.save(checkpoint(net), tmp_path / "published.pt")
    folder = tmp_path / "models" / "diffwave"
    assert run(["convert", str(tmp_path / "published.pt"), str(folder), "--licence", "Apache-2.0"]) == 0
    assert "30 layers of 64 channels, mel of 80 bands to 22050 Hz" in capsys.readouterr().out
    model = load(folder)
    config = model.config
    assert (config.task, config.sample_rate, config.target) == ("vocode", 22050, "eps")
    assert (config.licence, config.level_db, config.stft) == ("Apache-2.0", None, None)
    assert model.mel is not None
    assert model.mel.fingerprint == PRESETS["diffwave"].fingerprint
    assert (config.presets.fast.betas, config.presets.best.steps) == (FAST_BETAS, 50)
    assert model.process.coeffs(1.0)[0] ** 2 == pytest.approx(0.27967250019, abs=5e-12)
    for name, value in net.state_dict().items():
        assert torch.equal(model.net.state_dict()[name], value)
    assert "after 1000578 steps" in (folder / "card.md").read_text(encoding="utf-8")
    out = sample(config, model.net, model.process, config.presets.fast)
    assert torch.equal(out, sample(config, net.train(False), VP.diffwave(), config.presets.fast))
    assert out.shape == (1, 256)
    assert 0.01 < float(out.std()) <= 1.0


def test_without_params_the_defaults_are_the_published_ones(tmp_path: Path) -> None:
    torch.save({"model": make_net(TINY).state_dict()}, tmp_path / "a.pt")
    config = convert(tmp_path / "a.pt", tmp_path / "m", "CC0-1.0")
    assert load(tmp_path / "m").config == config
    assert config.network["layers"] == 3
    assert config.presets.fast.betas == FAST_BETAS
    assert "unstated number of steps" in (tmp_path / "m" / "card.md").read_text(encoding="utf-8")


def test_params_of_another_training_are_kept(tmp_path: Path) -> None:
    net = make_net(WaveNetConfig(residual_channels=4, layers=3, cycle=2, step_width=12, table=20))
    betas = [0.01 + 0.01 * i for i in range(20)]
    schedules = {"noise_schedule": betas, "inference_noise_schedule": [0.01, 0.3]}
    torch.save(checkpoint(net, sample_rate=16000, dilation_cycle_length=2, **schedules), tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "m", "CC0-1.0")
    model = load(tmp_path / "m")
    assert isinstance(model.net, WaveNet)
    assert model.net.config == net.config
    assert model.mel is not None
    assert (model.mel.sample_rate, model.mel.f_max) == (16000, 8000)
    assert model.config.presets.fast.betas == (0.01, 0.3)


def broken(name: str) -> dict[str, Any]:
    """A checkpoint with one fault."""
    data = checkpoint(make_net(TINY))
    state = dict(data["model"])
    match name:
        case "missing":
            del state["skip_projection.bias"]
        case "extra":
            state["ema"] = torch.zeros(1)
        case "shape":
            state["residual_layers.1.conditioner_projection.weight"] = torch.zeros(8, 70, 1)
        case "other":
            state = {"conv.weight": torch.zeros(3)}
        case "no tensors":
            state["step"] = 3
        case "wide":
            state["input_projection.weight"] = torch.zeros(10**6, 1, 1)
    return data | {"model": state}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("missing", "skip_projection.bias: expected shape (4,), found None"),
        ("extra", "parameter ema: expected shape None, found (1,)"),
        ("shape", "residual_layers.1.conditioner_projection.weight: expected shape (8, 80, 1)"),
        ("other", "not those of the published DiffWave"),
        ("no tensors", "named tensors"),
        ("wide", "expected shape"),
    ],
)
def test_other_layouts_are_named(tmp_path: Path, name: str, line: str) -> None:
    torch.save(broken(name), tmp_path / "a.pt")
    with refused(ModelError, "model", line) as caught:
        convert(tmp_path / "a.pt", tmp_path / "m", "CC0-1.0")
    assert str(caught.value).startswith(str(tmp_path / "a.pt"))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("params", "code", "line"),
    [
        ({"unconditional": True}, "model", "unconditional"),
        ({"hop_samples": 300}, "model", "256"),
        ({"sample_rate": "22050"}, "model", "sample_rate"),
        ({"noise_schedule": [0.5, 2.0]}, "model", "params.noise_schedule"),
        ({"dilation_cycle_length": 99}, "model", "99"),
        ({"inference_noise_schedule": [0.5, 0.9]}, "config", "alpha_bar"),
    ],
)
def test_other_params_are_named(tmp_path: Path, params: dict[str, Any], code: str, line: str) -> None:
    torch.save(checkpoint(make_net(TINY), **params), tmp_path / "a.pt")
    with refused(AudiodiffError, code, line):
        convert(tmp_path / "a.pt", tmp_path / "m", "CC0-1.0")


def test_the_command_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "a.pt")
    assert run(["convert", str(tmp_path / "a.pt"), str(tmp_path / "m")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "torch.nn.modules.linear.Linear" in lines[0]
    assert not (tmp_path / "m").exists()
