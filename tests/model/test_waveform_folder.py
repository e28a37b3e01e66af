"""Promise: folders of waveform and mel models load to what was saved; contradictions are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from audiodiff import Denoiser, networks
from audiodiff.diffusion.noise_prior import EnergyPrior, LevelPrior
from audiodiff.errors import AudiodiffError, ConfigError, ModelError
from audiodiff.model.config import FORMAT_VERSION, ModelConfig
from audiodiff.model.folder import load, save, verify
from audiodiff.model.model import assemble
from audiodiff.model.representation import Waveform
from audiodiff.networks.contract import Network
from audiodiff.settings import parse
from audiodiff.signal.mel_convention import MelSpec
from tests.errors import refused

MEL = MelSpec(sample_rate=16000, n_fft=64, hop=15, win=60, f_min=0, f_max=8000, n_mels=6)
WAVENET = {"kind": "wavenet", "residual_channels": 4, "layers": 3, "step_width": 8, "n_mels": 6, "hop": 15}
BETAS = [0.1, 0.2, 0.3]
PROJECTED = {name: {"steps": 2, "project": True} for name in ("fast", "balanced", "best")}


def settings(net: Network, **changes: Any) -> dict[str, Any]:
    preset = {"steps": 3, "sampler": "diffwave", "eta": 1.0, "betas": BETAS}
    return {
        "task": "vocode",
        "sample_rate": 16000,
        "mel": MEL.as_dict(),
        "process": {"kind": "vp", "betas": BETAS},
        "target": "eps",
        "network": networks.complete(WAVENET | {"conditioner": "frames"}),
        "presets": {"fast": preset, "balanced": preset, "best": preset},
        "reach_encode": net.reach_encode,
        "reach_step": net.reach_step,
        "licence": "CC0-1.0",
    } | changes


@pytest.fixture(scope="module")
def net() -> Network:
    return networks.build(WAVENET | {"conditioner": "frames"})


def test_vocoder_round_trip(tmp_path: Path, net: Network) -> None:
    prior = {"low": 0.1, "high": 3.0, "floor": 0.2}
    config = parse(ModelConfig, settings(net, prior=prior), "test")
    save(tmp_path / "m", config, net.state_dict(), "# m\n", dtype=torch.float32)
    model = verify(tmp_path / "m")
    assert model.config == config
    assert model.mel == MEL
    assert model.prior == EnergyPrior(0.1, 3.0, 0.2)
    assert config.presets.fast.betas == (0.1, 0.2, 0.3)
    assert isinstance(model.representation, Waveform)
    with refused(ModelError, "refused"):
        Denoiser(model)
    with pytest.raises(ModelError, match="states no level"):
        _ = model.level_db


def test_a_level_prior_is_read_back(tmp_path: Path, net: Network) -> None:
    config = parse(ModelConfig, settings(net, prior={"kind": "level", "floor": 0.01}), "test")
    save(tmp_path / "m", config, net.state_dict(), "# m\n")
    assert verify(tmp_path / "m").prior == LevelPrior(0.01)


@pytest.mark.parametrize(
    "network",
    [
        WAVENET | {"conditioner": "waveform"},
        {"kind": "unet1d", "conditioner": "waveform", "channels": [4, 6], "strides": [2]},
    ],
)
def test_denoiser_of_waveforms_round_trip(tmp_path: Path, network: dict[str, Any]) -> None:
    net = networks.build(network)
    preset = {"steps": 3, "eta": 1.0}
    plain = settings(net, task="denoise", mel=None, level_db=-25.0, network=networks.complete(network))
    plain |= {"process": {"kind": "cdiffuse", "betas": [0.01, 0.02]}}
    plain |= {"presets": {"fast": preset, "balanced": preset, "best": preset}}
    save(tmp_path / "m", parse(ModelConfig, plain, "test"), net.state_dict(), "# m\n")
    model = verify(tmp_path / "m")
    assert (model.mel, model.prior, model.level_db) == (None, None, -25.0)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"mel": None}, "conditioned on a mel, and the settings state none"),
        ({"mel": MEL.as_dict() | {"hop": 16}}, "(6, 16, 16000)"),
        ({"sample_rate": 22050}, "(6, 15, 22050)"),
        ({"mel": MEL.as_dict() | {"hops": 16}}, "unknown key 'hops'"),
        ({"stft": {"n_fft": 64, "hop": 16}}, "stft and compression go together"),
        ({"task": "denoise"}, "a model that denoises needs level_db"),
        ({"prior": {"low": 5.0, "high": 4.0, "floor": 0.1}}, "5.0, 4.0 and 0.1"),
        ({"task": "denoise", "level_db": -25.0, "mel": None, "presets": PROJECTED}, "project needs"),
        ({"prior": {"kind": "levels"}}, "did you mean 'level'"),
        ({"prior": {"kind": "level", "low": 0.0}}, "unknown key 'prior.low'"),
        ({"mel": None, "prior": {"low": 0.0, "high": 4.0, "floor": 0.1}}, "prior is made from a mel"),
    ],
)
def test_contradictions_are_refused(net: Network, changes: dict[str, Any], line: str) -> None:
    with refused(AudiodiffError, "mel" if "'hops'" in line else "config", line):
        assemble(parse(ModelConfig, settings(net, **changes), "test"), net)


def test_front_ends_and_networks_must_match(net: Network, toy_config: ModelConfig, toy_net: Network) -> None:
    spectral = toy_config.model_copy(update={"reach_encode": net.reach_encode, "reach_step": net.reach_step})
    with refused(ConfigError, "config", "waveforms", "no stft"):
        assemble(spectral, net)
    with refused(ConfigError, "config", "spectra", "an stft"):
        assemble(toy_config.model_copy(update={"stft": None, "compression": None}), toy_net)


@pytest.mark.parametrize(
    ("preset", "line"),
    [
        ({"steps": 2, "sampler": "diffwave", "betas": BETAS}, "diffwave with 2 steps needs 2 betas, found 3"),
        ({"steps": 3, "sampler": "diffwave"}, "needs 3 betas, found None"),
        ({"steps": 3, "betas": BETAS}, "ddim with 3 steps needs None betas, found 3"),
    ],
)
def test_schedules_fit_their_preset(net: Network, preset: dict[str, Any], line: str) -> None:
    presets = {"fast": preset, "balanced": {"steps": 1}, "best": {"steps": 1}}
    with refused(ConfigError, "config", line):
        parse(ModelConfig, settings(net, presets=presets), "test")


def test_diffwave_is_not_for_spectra(toy_config: ModelConfig) -> None:
    plain = json.loads(toy_config.model_dump_json())
    plain["presets"]["best"] = {"steps": 3, "sampler": "diffwave", "betas": BETAS}
    with refused(ConfigError, "config", "diffwave", "ddim"):
        parse(ModelConfig, plain, "test")


def test_folders_of_version_1_load_and_are_written_anew(toy_folder: Path) -> None:
    path = toy_folder / "config.json"
    new = ("mel", "prior")
    plain = {key: value for key, value in json.loads(path.read_text()).items() if key not in new}
    for preset in plain["presets"].values():
        del preset["betas"]
    path.write_text(json.dumps(plain | {"format_version": 1}))
    hashes = toy_folder / "hashes.json"
    hashes.write_text(
        json.dumps(
            json.loads(hashes.read_text()) | {"config.json": hashlib.sha256(path.read_bytes()).hexdigest()}
        )
    )
    old = load(toy_folder)
    assert old.config.format_version == 1
    save(toy_folder, old.config, old.net.state_dict(), "# toy\n")
    assert load(toy_folder).config == old.config.model_copy(update={"format_version": FORMAT_VERSION})
