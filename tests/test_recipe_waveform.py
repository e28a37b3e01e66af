"""Promise: recipes of waveforms train, resume bit for bit and clean; targets and networks go by one line."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from audiodiff import Denoiser, cli
from audiodiff.data.batches import dev_set
from audiodiff.data.store import Store
from audiodiff.evaluation.waveform import si_sdr
from audiodiff.model.folder import verify
from audiodiff.model.representation import Waveform
from audiodiff.signal.types import Audio

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = ("cdiffuse", "wave_unet")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The voices and noises of the tiny recipe, packed as README.md says."""
    folder = tmp_path_factory.mktemp("tiny-data")
    runpy.run_path(str(RECIPES / "tiny" / "make_data.py"))["main"](folder)
    lists = ["--corpus", str(folder / "speech.jsonl"), "--library", str(folder / "noise.json")]
    assert cli.run(["prepare", str(folder / "store"), *lists, "--sample-rate", "16000", "--rooms", "0"]) == 0
    return folder / "store"


def train(name: str, store: Path, run: Path, *more: str) -> int:
    return cli.run(
        ["train", str(RECIPES / name / "smoke.toml"), f"data.store={store}", *more, "-o", str(run)]
    )


def entries(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


@pytest.mark.parametrize("name", NAMES)
def test_the_smoke_recipe_trains_is_scored_and_serves_the_command(
    name: str, store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert train(name, store, run) == 0
    losses = [entry["loss"] for entry in entries(run, "step")]
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3])
    valid = entries(run, "valid")[-1]
    assert valid["n"] == 2
    assert {"pesq_wb", "estoi", "si_sdr"} <= valid.keys()
    if name == "wave_unet":  # sixty steps of CDiffuSE are no denoiser yet
        assert valid["si_sdr"] > valid["noisy"]["si_sdr"] + 2.0
    model = verify(run / "model")
    assert isinstance(model.representation, Waveform)
    noisy, out = tmp_path / "x.wav", tmp_path / "y.wav"
    clip = Store(store).read(0, 0, 24_000)
    soundfile.write(noisy, np.stack([clip, 0.5 * clip], axis=1), 16_000)
    assert (
        cli.run(["denoise", str(noisy), "-o", str(out), "--model", str(run / "model"), "--no-sidecar"]) == 0
    )
    wave, rate = soundfile.read(out, dtype="float32")
    assert (wave.shape, rate) == ((24_000, 2), 16_000)
    expected = Denoiser(run / "model", threads=1).denoise(soundfile.read(noisy, dtype="float32")[0], 16_000)
    np.testing.assert_allclose(wave, expected, atol=1e-4)  # 16 bit
    assert np.abs(wave[:, 0] - clip).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_run_resumes_bit_for_bit(name: str, store: Path, tmp_path: Path) -> None:
    straight, halved = tmp_path / "straight", tmp_path / "halved"
    shared = ["run.validate_minutes=0.0", "optim.lr_floor=1.0"]
    assert train(name, store, straight, *shared, "optim.steps=4") == 0
    assert train(name, store, halved, *shared, "optim.steps=2") == 0
    again = [*shared, "optim.steps=4", "--resume"]
    assert train(name, store, halved, *again, 'model.target="v"', "model.schedule=[0.1, 0.2]") == 2
    assert train(name, store, halved, *again) == 0
    first, second = (
        load_file(folder / "checkpoints" / "step-00000004" / "state.safetensors")
        for folder in (straight, halved)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize(
    "lines",
    [
        ['process={kind="vp", schedule="cosine"}', 'model.target="eps"'],
        ['process={kind="flow"}', 'model.target="velocity"', 'model.sampler="dpmpp_2m"'],
        ['process={kind="ouve"}', 'model.target="v"', 'model.sampler="heun"'],
        ['network={kind="wavenet", residual_channels=4, layers=2}', "objective.si_sdr=0.01"],
    ],
    ids=["vp-eps", "flow-velocity", "ouve-v", "wavenet"],
)
def test_a_line_of_the_recipe_exchanges_a_part(lines: list[str], store: Path, tmp_path: Path) -> None:
    more = ["optim.steps=2", "run.validate_minutes=0.0", "objective.prediction=1.0"]
    assert train("wave_unet", store, tmp_path / "run", *more, *lines) == 0
    denoiser = Denoiser(tmp_path / "run" / "model", steps=2)
    clip = Store(store).read(0, 0, 4000)
    assert np.isfinite(denoiser.denoise(clip, 16_000)).all()


TINY_SPECTRA = ("data.batch=4", "data.segment_s=0.4", "optim.warmup=4", "run.validate_minutes=0.0")


@pytest.mark.parametrize(
    "lines",
    [
        ['process={kind="vp", schedule="linear"}', 'model.target="eps"'],
        ['process={kind="vp", schedule="cosine", zero_terminal=true}', 'model.target="v"'],
        ['process={kind="flow"}', 'model.target="velocity"'],
    ],
    ids=["eps", "v", "velocity"],
)
def test_noise_is_learned_of_spectra_too(lines: list[str], store: Path, tmp_path: Path) -> None:
    """At the end of DDPM's table an error of eps is 157 times as large in x_0: that once ruled the loss."""
    small = ["network.channels=[8, 8, 8]", "network.width=16", "network.layers=1", "run.log_every=8"]
    command = ["train", str(RECIPES / "tiny" / "recipe.toml"), f"data.store={store}", *TINY_SPECTRA, *small]
    command += ["optim.steps=32", "optim.t_start_share=0.2", "run.trivial_after=1000", *lines]
    assert cli.run([*command, "-o", str(tmp_path / "run")]) == 0
    steps = entries(tmp_path / "run", "step")
    assert steps[-1]["loss"] < 0.8 * steps[0]["loss"]
    assert steps[-1]["loss"] < steps[-1]["trivial"]


def ratio(clean: Audio, wave: Audio) -> float:
    found = si_sdr(clean, wave)
    assert isinstance(found, float)
    return found


def test_a_transformer_of_spectra_trains_and_cleans(store: Path, tmp_path: Path) -> None:
    network = 'network={kind="transformer", width=48, heads=2, encode_layers=1, layers=1, window=8}'
    run = tmp_path / "run"
    command = ["train", str(RECIPES / "tiny" / "recipe.toml"), f"data.store={store}", *TINY_SPECTRA]
    command += [network, "optim.steps=40", "optim.lr=3e-3", "run.trivial_after=40", "-o", str(run)]
    assert cli.run(command) == 0
    steps = entries(run, "step")
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert verify(run / "model").config.network["passes"] == "recording"
    denoiser = Denoiser(run / "model")
    items = dev_set(Store(store), 2, 1, "everyday")
    pairs = [(item.clean, item.noisy, denoiser.denoise(item.noisy, 16_000)) for item in items]
    assert sum(ratio(clean, out) for clean, _, out in pairs) > sum(ratio(x, y) for x, y, _ in pairs)
