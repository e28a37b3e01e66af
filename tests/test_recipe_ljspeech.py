"""Promise: the LJSpeech recipes train, resume bit for bit, and their model folders make speech from mels."""

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

from audiodiff import cli, networks
from audiodiff.data.store import Store
from audiodiff.data.waves import Cut, WaveClips, wave_batch
from audiodiff.errors import ConfigError, DataError
from audiodiff.model.folder import verify
from audiodiff.networks.waveform_unet import UNet1d
from audiodiff.networks.wavenet import WaveNet, WaveNetConfig
from audiodiff.settings import parse
from audiodiff.signal.mel import mel
from audiodiff.signal.mel_presets import PRESETS
from audiodiff.training.prepare import make_task, prepare
from audiodiff.training.ranks import ALONE
from audiodiff.training.recipe import Recipe, load_recipe, model_config
from audiodiff.training.run import new_state
from audiodiff.training.waves import WaveTask

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[1] / "recipes"
HERE = RECIPES / "ljspeech"
FULL = ("diffwave", "priorgrad", "small")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up voices, packed as README.md says."""
    folder = tmp_path_factory.mktemp("smoke-data")
    runpy.run_path(str(RECIPES / "tiny" / "make_data.py"))["main"](folder)
    lists = ["--corpus", str(folder / "speech.jsonl"), "--sample-rate", "22050", "--rooms", "0"]
    assert cli.run(["prepare", str(folder / "store"), *lists]) == 0
    return folder / "store"


def recipe(name: str, *overrides: str) -> Recipe:
    return load_recipe(HERE / f"{name}.toml", overrides)


def task(name: str, *overrides: str) -> WaveTask:
    found = make_task(recipe(name, *overrides))
    assert isinstance(found, WaveTask)
    return found


def entries(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def test_the_smoke_recipe_trains_is_scored_and_serves_the_command(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli.run(["train", str(HERE / "smoke.toml"), f"data.store={store}", "-o", str(run)]) == 0
    steps = entries(run, "step")
    assert steps[-1]["loss"] < 0.93 * steps[0]["loss"]
    valid = entries(run, "valid")[-1]
    assert valid["n"] == 1
    assert valid["noisy"]["pesq_wb"] > valid["pesq_wb"]  # sixty steps do not reach the inversion
    model = verify(run / "model")
    assert model.config.task == "vocode"
    assert model.mel == PRESETS["hifigan"]
    clip, out = tmp_path / "x.wav", tmp_path / "out.wav"
    soundfile.write(clip, Store(store).read(0, 0, 12_000), 22_050)
    assert cli.run(["vocode", str(clip), "--model", str(run / "model"), "-o", str(out)]) == 0
    wave, rate = soundfile.read(out)
    assert (wave.shape, rate) == ((12_000,), 22_050)
    assert np.abs(wave).max() > 0


def test_the_small_recipes_way_of_training_learns_at_every_level_of_the_speech(
    store: Path, tmp_path: Path
) -> None:
    """The state over the level: halving the voices' peak changes neither the loss nor the weights."""
    losses = []
    for peak, steps in ((0.9, 40), (0.45, 10)):
        way = ['model.prior={kind="level", floor=1e-6}', 'model.target="v"', f"data.peak={peak}"]
        run = tmp_path / str(peak)
        command = ["train", str(HERE / "smoke.toml"), f"data.store={store}", *way]
        command += [f"optim.steps={steps}", "optim.lr_floor=1.0", "run.validate_minutes=0.0"]
        assert cli.run([*command, "-o", str(run)]) == 0
        losses.append([entry["loss"] for entry in entries(run, "step")])
    assert losses[0][-1] < 0.97 * losses[0][0]
    assert losses[1] == pytest.approx(losses[0][: len(losses[1])], rel=0.05)  # the mel does change


def test_a_stopped_run_resumes_bit_for_bit(store: Path, tmp_path: Path) -> None:
    base = ["train", str(HERE / "smoke.toml"), f"data.store={store}", "run.validate_minutes=0.0"]
    straight, halved = tmp_path / "straight", tmp_path / "halved"
    assert cli.run([*base, "optim.steps=6", "optim.lr_floor=1.0", "-o", str(straight)]) == 0
    assert cli.run([*base, "optim.steps=3", "optim.lr_floor=1.0", "-o", str(halved)]) == 0
    again = [*base, "optim.steps=6", "optim.lr_floor=1.0", "-o", str(halved), "--resume"]
    assert cli.run([*again, "model.prior.high=3.0"]) == 2  # another model
    assert cli.run(again) == 0
    first, second = (
        load_file(folder / "checkpoints" / "step-00000006" / "state.safetensors")
        for folder in (straight, halved)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("name", FULL)
def test_a_recipe_makes_a_step_and_a_model(name: str, store: Path, tmp_path: Path) -> None:
    small = ["data.batch=1", "data.frames=4", "optim.steps=1", "run.validate_minutes=0.0", "run.bf16=off"]
    run = tmp_path / "run"
    command = ["train", str(HERE / f"{name}.toml"), f"data.store={store}", *small, "-o", str(run)]
    assert cli.run(command) == 0
    presets = verify(run / "model").config.presets
    assert {presets.fast.project, presets.balanced.project, presets.best.project} == {name == "small"}
    assert [presets.fast.steps, presets.balanced.steps, presets.best.steps] == [6, 6, 50]


def test_the_recipes_name_the_published_and_the_small_network() -> None:
    for name in ("diffwave", "priorgrad"):
        net = networks.build(recipe(name).network)
        assert isinstance(net, WaveNet)
        assert net.config == WaveNetConfig()
    small = networks.build(recipe("small").network)
    assert isinstance(small, UNet1d)
    assert sum(p.numel() for p in small.parameters()) == 938_849
    net = networks.build(recipe("diffwave").network)
    assert sum(p.numel() for p in net.parameters()) == 2_619_971
    assert model_config(recipe("diffwave"), net).prior is None


@pytest.mark.parametrize("preset", ["diffwave", "hifigan"])
def test_a_crop_is_a_piece_of_the_whole_mel(preset: str, store: Path) -> None:
    spec = PRESETS[preset]
    clips = WaveClips(Store(store), "train", Cut(spec, 20))
    whole = torch.from_numpy(clips.read(2))
    values = mel(whole, spec)
    for first in (0, 3, 500, clips.last_first(2)):
        frames, wave = clips.crop(2, first)
        assert torch.equal(wave, whole[first * 256 : (first + 20) * 256])
        # float32 transforms of other lengths of signal differ by rounding
        torch.testing.assert_close(frames, values[:, first : first + 20], rtol=1e-4, atol=1e-4)


def test_every_pass_takes_every_clip_once_and_a_batch_is_a_function_of_its_step(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = WaveClips(Store(store), "train", Cut(PRESETS["hifigan"], 4, peak=0.95))
    n = len(clips.positions)
    seen: list[int] = []

    def crop(index: int, _: int) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(index)
        return torch.zeros(80, 4), torch.zeros(1024)

    monkeypatch.setattr(clips, "crop", crop)
    for step in range(4):
        wave_batch(clips, 7, n // 4, step)
    assert sorted(seen) == list(range(n))
    monkeypatch.undo()
    first, second = (wave_batch(clips, 7, 3, 5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[1], wave_batch(clips, 7, 3, 6)[1])
    assert max(np.abs(clips.read(i)).max() for i in range(n)) == pytest.approx(0.95, rel=1e-3)


def test_the_levels_of_the_small_recipe_are_even_in_decibels() -> None:
    small = task("small")
    for betas, levels in (
        (small.process.betas, np.linspace(50, -20, 50)),
        (small.model.schedule, np.linspace(42, -18, 6)),
    ):
        alpha_bar = np.cumprod(1 - np.array(betas))
        assert 10 * np.log10(alpha_bar / (1 - alpha_bar)) == pytest.approx(levels, abs=0.01)


@pytest.mark.parametrize("name", ["diffwave", "priorgrad"])
def test_the_first_loss_is_that_of_the_noise(name: str, store: Path) -> None:
    """The last kernel starts at zero: E|z| = sqrt(2 / pi) for l1; E z^2 = 1, whatever the prior, for l2."""
    config = recipe(name, "data.frames=16", "network.layers=2", "run.bf16=off", f"data.store={store}")
    context, _ = prepare(config, new_state(config, CPU), CPU)
    batch = wave_batch(WaveClips(Store(store), "train", Cut(task(name).model.spec, 16, 0.95)), 0, 4, 0)
    with torch.no_grad():
        losses = context.losses(batch, 0, trivial=True)
    assert losses.trivial is not None
    expected = {"diffwave": np.sqrt(2 / np.pi), "priorgrad": 1.0}[name]
    assert losses.trivial.item() == pytest.approx(expected, rel=0.03)  # 16384 draws
    assert losses.total.item() == pytest.approx(
        expected, rel=0.15
    )  # the last layer's bias is small, not zero


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('model.mel="hifigam"', "did you mean"),
        ("network.hop=300", "network.hop must be 256, as the model says; leave it out"),
        ("network.table=20", "unknown key"),
        ('network.kind="spectral"', '"spectral" does not go with data.kind = "waves"'),
        ('network.conditioner="waveform"', "a vocoder hears a mel"),
        ('process={kind="vp", betas=[0.01, 0.02], zero_terminal=true}', "without zero_terminal"),
        ('process={kind="brownian", rho=0.3}', 'needs kind = "vp"'),
        ("optim.t_steps=4", "unknown key 'optim.t_steps'"),
        ("model.hop=4", "unknown key 'model.hop'"),
        ('objective.noise="l3"', "objective.noise"),
        ('model.target="x0"', "model.target"),
        ('model.prior.kind="levels"', "did you mean 'level'"),
        ("model.prior.floor=0.0", "0 < floor <= 1"),
        ("model.schedule=[0.5, 2.0]", "model.schedule: alpha_bar must lie in"),
        ("model.schedule=[0.9, 0.9, 0.9]", "model.schedule: alpha_bar must lie in"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe("small", override)
    assert said in str(caught.value)


def test_a_store_that_does_not_fit_is_refused(store: Path) -> None:
    with pytest.raises(DataError, match="no speech clip of split train lasts 23"):
        WaveClips(Store(store), "train", Cut(PRESETS["hifigan"], 2000))
    with pytest.raises(ConfigError, match="packed at 22050 Hz"):
        task("small", 'model.mel="bigvgan-24k"', f"data.store={store}").loader(ALONE)


def test_a_resolved_recipe_reads_back_as_itself() -> None:
    config = recipe("priorgrad")
    assert parse(Recipe, config.model_dump(mode="json"), "again") == config


def test_a_unet_of_waveforms_trains_too(store: Path, tmp_path: Path) -> None:
    network = 'network={kind="unet1d", channels=[8, 8, 8], strides=[4, 4], layers=1}'
    command = ["train", str(HERE / "smoke.toml"), f"data.store={store}", network, "optim.steps=2"]
    assert cli.run([*command, "run.validate_minutes=0.0", "-o", str(tmp_path / "run")]) == 0
    assert verify(tmp_path / "run" / "model").config.network["hop"] == 256
