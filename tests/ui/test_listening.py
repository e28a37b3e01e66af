"""Promise: the players hear recording and result to the sample, and see their peaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="the extra ui is not installed")

from audiodiff.inference.engine import Samples
from audiodiff.report import ReportEntry
from audiodiff.ui.listening import CHUNK_S, PEAKS, chunk_name, write_listening

RATE = 8000


@pytest.mark.parametrize(("seconds", "channels", "heard"), [(23.4, 1, 1), (20.0, 2, 2), (0.5, 3, 1)])
def test_chunks_put_together_are_both_files(
    tmp_path: Path, recording: Callable[..., Samples], seconds: float, channels: int, heard: int
) -> None:
    before = recording(seconds, RATE, channels)
    after = 0.5 * before
    for name, sound in (("before.wav", before), ("after.wav", after)):
        soundfile.write(tmp_path / name, sound.T, RATE, "FLOAT")
    asked: list[None] = []
    entry = ReportEntry(tmp_path / "before.wav", tmp_path / "after.wav", "done")
    made = write_listening(entry, tmp_path, lambda: asked.append(None))
    assert (made.seconds, made.sample_rate, made.channels) == (seconds, RATE, heard)
    assert made.chunks == -(-seconds // CHUNK_S)
    assert made.match_db == pytest.approx((20 * np.log10(0.5), 0), abs=0.01)
    assert asked
    parts = [soundfile.read(tmp_path / chunk_name(i), always_2d=True)[0].T for i in range(made.chunks)]
    assert all(part.shape[1] == CHUNK_S * RATE for part in parts[:-1])
    both = np.concatenate(parts, axis=1)
    truth = [x if heard == channels else x.mean(axis=0, keepdims=True) for x in (before, after)]
    np.testing.assert_allclose(both, np.concatenate(truth), atol=1 / 32768)
    peaks = json.loads((tmp_path / PEAKS).read_text())
    assert max(peaks["before"]) == round(100 * float(np.abs(truth[0]).max()))
    assert len(peaks["before"]) == len(peaks["after"]) <= 1000


def test_a_loudness_gain_is_taken_back(tmp_path: Path, recording: Callable[..., Samples]) -> None:
    before = recording(1.0, RATE)
    soundfile.write(tmp_path / "before.wav", before.T, RATE, "FLOAT")
    soundfile.write(tmp_path / "after.wav", 2 * before.T, RATE, "FLOAT")
    entry = ReportEntry(
        tmp_path / "before.wav", tmp_path / "after.wav", "done", gain_db=20 * float(np.log10(2))
    )
    write_listening(entry, tmp_path, lambda: None)
    both = soundfile.read(tmp_path / chunk_name(0))[0].T
    np.testing.assert_allclose(both[0], both[1], atol=1.1 / 32768)
