"""Promise: a recipe is one class whatever it trains, and what older versions stored loads as it was meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from audiodiff.diffusion.prediction import natural_start
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError
from audiodiff.model.model import build_process
from audiodiff.networks import build
from audiodiff.settings import dump_json, parse
from audiodiff.training import checkpoint
from audiodiff.training.losses import NoiseObjective, ObjectiveConfig
from audiodiff.training.model_sections import NoisyWaveModel, SpectralModel, WaveModel
from audiodiff.training.recipe import (
    MixData,
    PairData,
    Recipe,
    WaveData,
    load_recipe,
    migrate,
    model_config,
)
from audiodiff.training.run_sections import Optim, TimedOptim
from audiodiff.training.wave_losses import WaveObjective

STORED = Path(__file__).parent / "stored"
RECIPES = Path(__file__).parents[2] / "recipes"
SOURCES = {
    "mix": RECIPES / "podcast" / "recipe.toml",
    "pairs": RECIPES / "voice" / "recipe.toml",
    "waves": RECIPES / "ljspeech" / "priorgrad.toml",
}
SECTIONS: dict[str, tuple[type, ...]] = {
    "mix": (SpectralModel, MixData, ObjectiveConfig, TimedOptim),
    "pairs": (SpectralModel, PairData, ObjectiveConfig, TimedOptim),
    "waves": (WaveModel, WaveData, NoiseObjective, Optim),
}


def stored(kind: str) -> dict[str, Any]:
    """The ``recipe.json`` of a run before there was one class; a checkpoint's ``config`` holds the same."""
    values: dict[str, Any] = json.loads((STORED / f"{kind}.json").read_text(encoding="utf-8"))
    return values


@pytest.mark.parametrize("kind", SOURCES)
def test_the_kind_of_the_data_picks_the_sections(kind: str) -> None:
    recipe = load_recipe(SOURCES[kind])
    found = (recipe.model, recipe.data, recipe.objective, recipe.optim)
    assert tuple(type(section) for section in found) == SECTIONS[kind]
    assert parse(Recipe, json.loads(dump_json(recipe))) == recipe


@pytest.mark.parametrize("kind", SOURCES)
def test_stored_recipes_of_older_runs_load(kind: str) -> None:
    old, new = load_recipe(STORED / f"{kind}.json"), load_recipe(SOURCES[kind])
    assert old.model_dump(exclude={"process"}) == new.model_dump(exclude={"process"})
    assert build_process(old.process) == build_process(new.process)
    net = build(old.network)
    later = {"passes": "recording"} if old.network["kind"] == "spectral" else {}
    assert model_config(old, net).network == stored(kind)["network"] | later


@pytest.mark.parametrize("kind", SOURCES)
def test_checkpoints_of_older_runs_load(kind: str, tmp_path: Path) -> None:
    state = checkpoint.fresh(torch.nn.Linear(1, 1), ())
    folder = checkpoint.save(tmp_path, state, stored(kind), log_bytes=0)
    shutil.copytree(folder, tmp_path / "kept")
    config = checkpoint.load(tmp_path / "kept", state)["config"]
    assert parse(Recipe, config) == load_recipe(STORED / f"{kind}.json")


def test_a_recipe_from_before_there_were_kinds_is_a_denoisers() -> None:
    values = stored("mix")
    del values["data"]["kind"]
    assert migrate(values)["data"]["kind"] == "mix"
    assert parse(Recipe, values) == load_recipe(STORED / "mix.json")


def test_what_may_be_left_out_is_filled_in() -> None:
    values = {name: section for name, section in stored("waves").items() if name not in ("process", "run")}
    assert build_process(parse(Recipe, values).process) == VP.diffwave()
    values = {name: section for name, section in stored("mix").items() if name != "process"}
    with pytest.raises(ConfigError, match="key 'process' is missing"):
        parse(Recipe, values)


def test_sections_may_be_given_as_objects() -> None:
    for kind in SOURCES:
        recipe = load_recipe(SOURCES[kind])
        assert Recipe(**dict(recipe)) == recipe


@pytest.mark.parametrize(
    ("kind", "section", "changes", "line"),
    [
        ("mix", "model", {"inversion": 8}, 'model.inversion and data.kind = "pairs" go together'),
        ("pairs", "model", {"inversion": None}, 'model.inversion and data.kind = "pairs" go together'),
        ("mix", "model", {"mel": "hifigan"}, "unknown key 'model.mel'"),
        ("mix", "objective", {"noise": "l1"}, "unknown key 'objective.noise'"),
        ("waves", "objective", {"mrstft": 1.0}, "unknown key 'objective.mrstft'; known: noise"),
        ("waves", "model", {"prior": {"flor": 0.1}}, "unknown key 'model.prior.flor'; did you mean 'floor'"),
        ("mix", "network", {"kind": "unet1d"}, 'network.kind = "unet1d" does not go with data.kind = "mix"'),
        (
            "mix",
            "network",
            {"kind": "wavenet"},
            'networks of waveforms need model.representation = "waveform"',
        ),
        (
            "mix",
            "model",
            {"representation": "wave"},
            "unknown representation 'wave'; did you mean 'waveform'?",
        ),
        ("mix", "model", {"representation": "waveform"}, "unknown key 'model.n_fft'"),
        ("mix", "model", {"target": "eps", "start": 1.0}, "model.start: target 'eps'"),
        ("mix", "model", {"target": "velocity", "start": 1.0}, "model.start: target 'velocity'"),
        ("mix", "network", {"kind": "spectrum"}, "network: unknown kind 'spectrum'; did you mean 'spectral'"),
        ("mix", "process", {"kind": "vp"}, "unknown key 'process.rho'"),
        ("waves", "process", {"schedule": "linear"}, "betas and schedule exclude each other"),
        ("waves", "run", {"seeds": 3}, "unknown key 'run.seeds'; did you mean 'seed'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    kind: str, section: str, changes: dict[str, Any], line: str
) -> None:
    values = stored(kind)
    values[section] |= changes
    with pytest.raises(ConfigError) as caught:
        parse(Recipe, values, "recipe.json")
    assert str(caught.value).startswith("recipe.json: ")
    assert line in str(caught.value)


@pytest.mark.parametrize("name", ["cdiffuse", "wave_unet"])
def test_a_denoiser_of_waveforms_has_sections_of_its_own(name: str) -> None:
    recipe = load_recipe(RECIPES / name / "recipe.toml")
    found = (recipe.model, recipe.data, recipe.objective, recipe.optim)
    assert tuple(type(section) for section in found) == (NoisyWaveModel, MixData, WaveObjective, TimedOptim)
    assert parse(Recipe, json.loads(dump_json(recipe))) == recipe
    assert recipe.network["conditioner"] == "waveform"
    config = model_config(recipe, build(recipe.network))
    assert (config.task, config.stft, config.mel) == ("denoise", None, None)
    assert config.level_db == recipe.data.level_db


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ('network.kind="spectral"', 'networks of spectra need model.representation = "spectrum"'),
        ('network.conditioner="frames"', "network.conditioner must be waveform, as the model says"),
        ("model.steps=[1, 2, 4]", "model.steps: the schedule has one beta a step"),
        ('model.sampler="ddim"', 'model.schedule goes with model.sampler = "diffwave"'),
        ("model.schedule=[0.1, 0.9]", "model.schedule: alpha_bar must lie in"),
        ("model.schedule=[0.01, 0.02]", "model.schedule: m = 1 needs alpha_bar below 0.5"),
        ('process.kind="brownian"', "model.schedule: only the processes vp and cdiffuse have a table"),
        ('model.target="velocity"', "has no velocity"),
        ("objective.complex=1.0", "unknown key 'objective.complex'"),
        ("objective.prediction=0.0", "objective: every weight is 0"),
        ("model.exponent=0.5", "unknown key 'model.exponent'"),
    ],
)
def test_what_a_recipe_of_cdiffuse_cannot_say_is_refused(override: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(RECIPES / "cdiffuse" / "recipe.toml", [override])
    assert line in str(caught.value)


@pytest.mark.parametrize("process", ["brownian", "schroedinger", "ouve", "flow"])
@pytest.mark.parametrize("target", ["x0", "eps", "v", "velocity"])
@pytest.mark.parametrize("source", ["wave_unet", "tiny"])
def test_a_target_is_one_line_of_a_recipe(process: str, target: str, source: str) -> None:
    lines = [f'process={{kind="{process}"}}', f'model.target="{target}"']
    recipe = load_recipe(RECIPES / source / "recipe.toml", lines)
    assert isinstance(recipe.model, NoisyWaveModel | SpectralModel)
    assert recipe.model.start == natural_start(build_process(recipe.process), recipe.model.target)


def test_times_and_steps_follow_the_target_unless_they_are_given() -> None:
    values = stored("mix")
    for section, names in (("model", ("steps", "start")), ("optim", ("t_steps", "t_start_share"))):
        for name in names:
            values[section].pop(name, None)
    plain = parse(Recipe, values)
    noise = parse(Recipe, values | {"model": values["model"] | {"target": "v"}})
    given = values["model"] | {"target": "v", "steps": [1, 1, 1]}
    for recipe, expected in (
        (plain, ((1, 2, 4), 4, 0.4)),
        (noise, ((2, 2, 4), 8, 0.2)),
        (parse(Recipe, values | {"model": given}), ((1, 1, 1), 8, 0.2)),
    ):
        assert isinstance(recipe.model, SpectralModel)
        assert isinstance(recipe.optim, TimedOptim)
        assert (recipe.model.steps, recipe.optim.t_steps, recipe.optim.t_start_share) == expected


def test_a_start_that_is_given_stays() -> None:
    lines = ['model.target="eps"', "model.start=0.5"]
    recipe = load_recipe(RECIPES / "tiny" / "recipe.toml", lines)
    assert isinstance(recipe.model, SpectralModel)
    assert recipe.model.start == 0.5


def test_a_named_table_reaches_the_model_folder() -> None:
    recipe = load_recipe(SOURCES["waves"], ['process={kind="vp", schedule="linear"}'])
    assert recipe.network["table"] == 1000
    config = model_config(recipe, build(recipe.network))
    assert config.process == {"kind": "vp", "schedule": "linear"}
    assert build_process(config.process) == VP.linear()
    assert config.presets.best.steps == 1000
