"""Promise: every recipe in the repository is accepted, and its network and model can be built from it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from torch import nn

from audiodiff import networks
from audiodiff.model.model import assemble
from audiodiff.training.model_sections import NoisyWaveModel, SpectralModel
from audiodiff.training.recipe import load_recipe, model_config
from audiodiff.training.schedule import make_optimisers

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*/recipe.toml"))


def test_the_recipes_are_found() -> None:
    assert "podcast" in [path.parent.name for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=[path.parent.name for path in RECIPES])
def test_a_recipe_builds_its_network_and_model(path: Path) -> None:
    config = load_recipe(path)
    net = networks.build(config.network)
    model = assemble(model_config(config, net), net)
    assert isinstance(config.model, SpectralModel | NoisyWaveModel)
    if isinstance(config.model, SpectralModel):
        assert model.stft.n_bins == config.network["n_bins"]
    if config.model.steps is not None:
        presets = model.config.presets
        assert (presets.fast.steps, presets.balanced.steps, presets.best.steps) == config.model.steps
    module = cast(nn.Module, net)
    assert make_optimisers(module, config.optim)
    assert sum(parameter.numel() for parameter in module.parameters()) <= 10_000_000
