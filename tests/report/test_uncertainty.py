"""Promise: the uncertainty figure comes from samples that really differ, repeats, and knows silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.errors import ConfigError
from audiodiff.inference.engine import Samples
from audiodiff.model.model import Model
from audiodiff.report import disagree

Recording = Callable[..., Samples]


def test_samples_differ_and_the_figure_repeats(
    tmp_path: Path, toy_model: Model, recording: Recording
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, recording(3.0, 16000).T, 16000)
    seen: list[float] = []
    found = disagree(path, toy_model, seeds=3, progress=lambda done, total: seen.append(done / total))
    assert found.seeds == 3
    assert found.mean_db is not None
    assert found.mean_db > 0
    assert seen[-1] == pytest.approx(1)
    assert disagree(path, toy_model, seeds=3) == found
    assert disagree(path, toy_model, seeds=3, first_seed=9) != found


def test_silence_has_no_figure(tmp_path: Path, toy_model: Model) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16000)
    assert disagree(tmp_path / "a.wav", toy_model).mean_db is None


@pytest.mark.parametrize(("seeds", "steps"), [(1, 2), (3, 1)])
def test_what_cannot_differ_is_refused(tmp_path: Path, toy_model: Model, seeds: int, steps: int) -> None:
    with pytest.raises(ConfigError, match="use 2 or more"):
        disagree(tmp_path / "a.wav", toy_model, seeds=seeds, steps=steps)
