"""The tiny recipe's three commands run, learn, and improve voices that they were not trained on."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from audiodiff import cli
from audiodiff.model.folder import verify

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[1] / "recipes" / "tiny"


@pytest.mark.timeout(900)  # a minute and a half on one older core; the limit is for busy machines
def test_the_tiny_recipe_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the recipe's store is relative to the working folder
    data = Path("runs/tiny-data")
    runpy.run_path(str(RECIPE / "make_data.py"))["main"](data)
    lists = ["--corpus", str(data / "speech.jsonl"), "--library", str(data / "noise.json")]
    assert cli.run(["prepare", str(data / "store"), *lists, "--sample-rate", "16000", "--rooms", "0"]) == 0
    half = "optim.steps=150"  # of the recipe's: enough to see it learn
    assert cli.run(["train", str(RECIPE / "recipe.toml"), half, "-o", "runs/tiny"]) == 0
    lines = Path("runs/tiny/log.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    errors = [entry["terms"]["complex"] for entry in entries if entry["kind"] == "step"]
    assert sum(errors[-3:]) / 3 < errors[0] / 3
    scores = [entry for entry in entries if entry["kind"] == "valid"][-1]
    assert scores["si_sdr"] > scores["noisy"]["si_sdr"] + 3.0
    assert verify(Path("runs/tiny/model")).sample_rate == 16000
