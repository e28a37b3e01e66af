"""Promise: every recipe in the repository is accepted, and its network and model can be built from it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import cast

import pytest
from torch import nn

from audiodiff import networks
from audiodiff.model.config import ModelConfig
from audiodiff.model.model import assemble
from audiodiff.model.shipped import SHIPPED
from audiodiff.settings import load_json
from audiodiff.training.model_sections import NoisyWaveModel, SpectralModel
from audiodiff.training.recipe import Recipe, load_recipe, model_config
from audiodiff.training.schedule import make_optimisers

HOME = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(HOME.glob("*/*.toml"))
FOLDERS = {
    "cdiffuse", "folder", "libritts", "ljspeech", "podcast", "text", "tiny", "vctk", "voice",
    "voicebank_demand", "wave_unet",
}  # fmt: skip


def name_of(path: Path) -> str:
    return path.relative_to(HOME).with_suffix("").as_posix()


def test_the_recipes_are_found() -> None:
    assert {path.parent.name for path in HOME.glob("*/README.md")} == FOLDERS
    assert {path.parent.name for path in RECIPES} == FOLDERS - {"text"}  # which is scripts


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_a_recipe_builds_its_network_and_model(path: Path) -> None:
    config = load_recipe(path)
    net = networks.build(config.network)
    model = assemble(model_config(config, net), net)
    if isinstance(config.model, SpectralModel):
        assert model.stft.n_bins == config.network["n_bins"]
    if isinstance(config.model, SpectralModel | NoisyWaveModel) and config.model.steps is not None:
        presets = model.config.presets
        assert (presets.fast.steps, presets.balanced.steps, presets.best.steps) == config.model.steps
    module = cast(nn.Module, net)
    assert make_optimisers(module, config.optim)
    assert sum(parameter.numel() for parameter in module.parameters()) <= 10_000_000


def plain(recipe: Recipe) -> dict[str, object]:
    return {
        f"{section}.{key}": value
        for section, keys in recipe.model_dump().items()
        for key, value in keys.items()
    }


def test_the_recipes_of_voicebank_differ_in_process_and_target_and_what_follows_from_them() -> None:
    """Whoever compares them compares these two."""
    found = {
        path.stem: plain(load_recipe(path)) for path in RECIPES if path.parent.name == "voicebank_demand"
    }
    assert found.keys() == {"bridge", "cdiffuse", "ddpm", "flow", "ouve", "schroedinger"}
    assert {name: each["process.kind"] for name, each in found.items()} == {
        "bridge": "brownian",
        "cdiffuse": "cdiffuse",
        "ddpm": "vp",
        "flow": "flow",
        "ouve": "ouve",
        "schroedinger": "schroedinger",
    }
    keys = {key for each in found.values() for key in each}
    different = {key for key in keys if len({str(each.get(key)) for each in found.values()}) > 1}
    follow = {"model.start", "model.steps", "network.passes", "optim.t_steps", "optim.t_start_share"}
    assert {key for key in different if not key.startswith("process.")} == {"model.target", *follow}


@pytest.mark.parametrize(("file", "model"), [("recipe.toml", "podcast"), ("vocoder.toml", "voice")])
def test_the_recipes_to_copy_can_start_from_the_shipped_weights(file: str, model: str) -> None:
    shipped = load_json(ModelConfig, SHIPPED / model / "config.json")
    assert load_recipe(HOME / "folder" / file).network == networks.complete(shipped.network)


def test_what_the_readme_of_the_recipe_to_copy_changes_can_be_changed() -> None:
    text = (HOME / "folder" / "README.md").read_text(encoding="utf-8")
    table = text.split("## What to change")[1].split("## Cost")[0]
    lines = [shlex.split(line) for line in re.findall(r"`((?:'?\w+\.\w+=\S+ ?)+)`", table)]
    assert len(lines) == 2
    for overrides in lines:
        config = load_recipe(HOME / "folder" / "recipe.toml", overrides)
        net = networks.build(config.network)
        assert assemble(model_config(config, net), net).sample_rate == config.model.sample_rate
