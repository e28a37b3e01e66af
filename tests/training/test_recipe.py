"""Promise: a recipe is one class whatever it trains, and what older versions stored loads as it was meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError
from audiodiff.model.model import build_process
from audiodiff.networks import build
from audiodiff.settings import dump_json, parse
from audiodiff.training import checkpoint
from audiodiff.training.losses import NoiseObjective, ObjectiveConfig
from audiodiff.training.recipe import (
    MixData,
    Optim,
    PairData,
    Recipe,
    SpectralModel,
    TimedOptim,
    WaveData,
    WaveModel,
    load_recipe,
    migrate,
    model_config,
)

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
    assert model_config(old, net).network == stored(kind)["network"]


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


def test_a_named_table_reaches_the_model_folder() -> None:
    recipe = load_recipe(SOURCES["waves"], ['process={kind="vp", schedule="linear"}'])
    assert recipe.network["table"] == 1000
    config = model_config(recipe, build(recipe.network))
    assert config.process == {"kind": "vp", "schedule": "linear"}
    assert build_process(config.process) == VP.linear()
    assert config.presets.best.steps == 1000
