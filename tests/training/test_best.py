"""Promise: model-best is the model of the best validation, and patience counts validations without a gain."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.errors import ConfigError
from audiodiff.training.best import Standing, keep_best, standing_of
from audiodiff.training.run_sections import RunSection

SCORES = st.lists(st.one_of(st.none(), st.floats(-20, 20)), min_size=1, max_size=12)


def entry(step: int, score: float | None) -> dict[str, float]:
    return {"step": step} | ({} if score is None else {"si_sdr": score})


@given(scores=SCORES, patience=st.integers(0, 4))
def test_the_standing_is_that_of_the_whole_list(scores: list[float | None], patience: int) -> None:
    standing = Standing("si_sdr", patience)
    for step, score in enumerate(scores, start=1):
        before = [each for each in scores[: step - 1] if each is not None]
        improved = score is not None and score > max(before, default=-math.inf)
        assert standing.take(entry(step, score)) == improved
    numbers = [each for each in scores if each is not None]
    assert standing.score == max(numbers, default=-math.inf)
    first = scores.index(standing.score) + 1 if numbers else 0
    assert (standing.step, standing.since) == (first, len(scores) - first)
    assert (standing.early_end is not None) == (0 < patience <= standing.since)


def test_a_log_gives_the_standing_back(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [
        {"kind": "step", "step": 9},
        *({"kind": "valid"} | entry(k, s) for k, s in ((1, 2.0), (2, 3.0), (3, 1.0))),
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert standing_of(log, "si_sdr", 2, []) == Standing("si_sdr", 2, 3.0, 2, 1)
    assert standing_of(log, None, 0, ["pesq_wb"]) is None
    with pytest.raises(ConfigError):
        standing_of(log, "pesq", 0, ["pesq_wb"])


def test_a_better_model_replaces_the_one_before(tmp_path: Path) -> None:
    model, best = tmp_path / "model", tmp_path / "model-best"
    for text in ("first", "second"):
        model.mkdir(exist_ok=True)
        (model / "weights").write_text(text)
        keep_best(model, best)
        assert (best / "weights").read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model-best"]


def test_keys_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(ConfigError):
        RunSection(best="si_sdr", validate_minutes=0.0)
    with pytest.raises(ConfigError):
        RunSection(patience=2)
    assert RunSection(best="si_sdr", patience=2).patience == 2
