"""Promise: every recipe in the repository is accepted, and its network and model can be built from it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from torch import nn

from audiodiff import networks
from audiodiff.model.model import assemble
from audiodiff.training.recipe import SpectralModel, load_recipe, model_config
from audiodiff.training.schedule import make_optimisers

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*/recipe.toml"))


def test_the_recipes_are_found() -> None:
    assert "podcast" in [path.parent.name for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=[path.parent.name for path in RECIPES])
def test_a_recipe_builds_its_network_and_model(path: Path) -> None:
    config = load_recipe(path)
    net = networks.build(config.network)
    model = assemble(model_config(config, net), net)
    assert model.stft.n_bins == config.network["n_bins"]
    assert isinstance(config.model, SpectralModel)
    assert [model.config.presets.fast.steps, model.config.presets.best.steps] == [
        config.model.steps[0],
        config.model.steps[2],
    ]
    module = cast(nn.Module, net)
    assert make_optimisers(module, config.optim)
    assert sum(parameter.numel() for parameter in module.parameters()) <= 10_000_000
