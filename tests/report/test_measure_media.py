"""Promise: input and output of a video are compared where they belong together, codec priming or not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV, the extra [media], is not installed")

from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.inference.denoiser import Denoiser
from audiodiff.io.reader import probe
from audiodiff.model.model import Model
from audiodiff.report import ReportEntry
from audiodiff.report.measure import pairs, survey
from tests.io.containers import Recipe, lag, make


@pytest.mark.parametrize("start", [0.0, 0.3])
@pytest.mark.parametrize("end_s", [math.inf, 0.5])
def test_sides_are_aligned(tmp_path: Path, toy_model: Model, start: float, end_s: float) -> None:
    source, target = tmp_path / "talk.mp4", tmp_path / "clean.mp4"
    make(source, Recipe(video=True, start=start))
    if end_s < math.inf:
        target = tmp_path / "part.m4a"
    denoise_file(source, target, Denoiser(toy_model, threads=1), Options(end_s=end_s))
    entry = ReportEntry(source, target, "done")
    before, after = next(pairs(entry))
    assert lag(before[0], after[0]) == 0
    found = survey(entry)
    wanted = min(end_s, probe(source).seconds)
    assert found.seconds == pytest.approx(wanted, abs=1e-9)
    assert abs(found.length_difference_s) < 1e-9
