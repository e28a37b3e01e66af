"""The tiny recipe's three commands run, learn as they did, and improve voices that they did not hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audiodiff.model.folder import verify
from tests.golden import record

pytestmark = pytest.mark.slow

NUMBERS = json.loads((record.FOLDER / "numbers.json").read_text(encoding="utf-8"))


@pytest.mark.timeout(900)  # half a minute on one older core; the limit is for busy machines
def test_the_tiny_recipe_learns(tmp_path: Path) -> None:
    log = record.tiny_training(tmp_path, "optim.steps=105")  # of the recipe's 300: enough to see it learn
    np.testing.assert_allclose(record.losses(log)["losses"], NUMBERS["tiny"]["losses"], rtol=0, atol=2e-3)
    errors = [entry["terms"]["complex"] for entry in log if entry["kind"] == "step"]
    assert np.mean(errors[-30:]) < np.mean(errors[:10]) / 3
    scores = [entry for entry in log if entry["kind"] == "valid"][-1]
    assert scores["si_sdr"] > scores["noisy"]["si_sdr"] + 1.0
    assert verify(tmp_path / "runs" / "tiny" / "model").sample_rate == 16000
