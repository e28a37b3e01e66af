"""Promise: a training reads a pair store, begins at the start's quality, and is judged by the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audiodiff.data.pairs import Degradation, Pair, PairFormat, Tracks, create, write_part
from audiodiff.errors import ConfigError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.model.folder import verify
from audiodiff.settings import parse
from audiodiff.training.recipe import PairData, Recipe, load_recipe
from audiodiff.training.run import run

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[2] / "recipes" / "voice" / "recipe.toml"
RATE = 24_000
SMALL = [
    "network.channels=[8,8,8]",
    "network.squeeze=4",
    "network.width=16",
    "network.layers=1",
    "network.head=8",
    "network.detail=8",
    "data.batch=2",
    "data.segment_s=0.5",
    "optim.steps=3",
    "run.bf16=off",
    "run.log_every=1",
    "run.validate_items=4",
]


def tracks(seed: int) -> Tracks:
    """Harmonics as truth and target; the start also holds noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * (100 + 20 * seed) * k * time) / k for k in range(1, 20))
    truth = (0.05 * tone * (np.sin(2 * np.pi * 3 * time) > -0.5)).astype(np.float32)
    start = truth + 0.02 * rng.standard_normal(RATE).astype(np.float32)
    return Tracks(start, truth, truth)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    create(folder, PairFormat(RATE, RATE, 4, 0))
    row = Pair("ann", "A", 12_000, -25.0, 1.0, "bigvgan-24k", 8, 0, Degradation())
    noisy = Pair("ann", "A", 12_000, -25.0, 1.0, "bigvgan-24k", 8, 0, Degradation(noise=0.2))
    write_part(folder, "train", 0, [(tracks(seed), row) for seed in range(3)])
    write_part(folder, "dev", 0, [(tracks(5), row), (tracks(6), noisy)])
    return folder


def test_the_voice_recipe_trains_and_is_scored_by_part(pairs: Path, tmp_path: Path) -> None:
    config = load_recipe(RECIPE, [*SMALL, f"data.store={pairs}"])
    assert isinstance(config.data, PairData)
    assert run(config, tmp_path / "run").finished
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    valid = next(entry for entry in entries if entry["kind"] == "valid")
    assert valid["n"] == 2
    assert set(valid["parts"]) == set(valid["noisy"]["parts"]) == {"clean", "noise"}
    model = verify(tmp_path / "run" / "model")
    # three steps from the first weights: what goes in still comes out nearly as it was
    start = tracks(9).start
    out = Denoiser(model, steps=2).denoise(start, RATE)
    assert np.square(out - start).sum() < 0.05 * np.square(start).sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.gain_dbx=3.0", "unknown key 'data.gain_dbx'; did you mean 'gain_db'?"),
        ("data.segment_s=0.05", "data.segment_s: "),
        ("data.p_room=0.5", "unknown key 'data.p_room'"),
        ('data.kind="mix"', "unknown key 'data.gain_db'"),
        ("network.gain_limit=1.0", "network.gain_limit"),
    ],
)
def test_what_a_pair_recipe_cannot_say_is_refused(change: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(RECIPE, [change])
    assert message in str(caught.value)


def test_a_recipe_that_does_not_fit_the_store_is_refused(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="last 1 s"):
        run(load_recipe(RECIPE, [*SMALL, f"data.store={pairs}", "data.segment_s=2.0"]), tmp_path / "a")
    with pytest.raises(ConfigError, match="packed at 24000 Hz"):
        run(load_recipe(RECIPE, [*SMALL, f"data.store={pairs}", "model.sample_rate=22050"]), tmp_path / "b")


def test_a_resolved_recipe_reads_back_as_itself() -> None:
    config = load_recipe(RECIPE)
    assert parse(Recipe, config.model_dump(mode="json"), "again") == config
