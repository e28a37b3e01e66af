"""Promise: the sample's scores are two lines, SI-SDR without extras; what is no result for it is refused."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples"

Score = Callable[[Path], None]


@pytest.fixture
def score(monkeypatch: pytest.MonkeyPatch) -> Score:
    """Runs the script as a command would."""

    def run(path: Path) -> None:
        monkeypatch.setattr(sys, "argv", ["score.py", str(path)])
        runpy.run_path(str(SAMPLES / "score.py"), run_name="__main__")

    return run


@pytest.fixture
def halved(tmp_path: Path) -> Path:
    """The noisy sample with half of its noise."""
    clean, rate = soundfile.read(SAMPLES / "interview_clean.flac")
    noisy, _ = soundfile.read(SAMPLES / "interview_noisy.flac")
    soundfile.write(tmp_path / "half.flac", (clean + noisy) / 2, rate)
    return tmp_path / "half.flac"


def test_half_of_the_noise_is_six_decibels(
    score: Score, halved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(halved)
    before, after = capsys.readouterr().out.splitlines()
    assert before.startswith("noisy    SI-SDR 7.5 dB   PESQ-WB 1.08   ESTOI 0.76")
    assert after.startswith("cleaned  SI-SDR 13.5 dB   PESQ-WB ")


def test_si_sdr_needs_no_extra(
    score: Score, halved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    score(halved)
    assert capsys.readouterr().out == "noisy    SI-SDR 7.5 dB\ncleaned  SI-SDR 13.5 dB\n"


@pytest.mark.parametrize(("n_samples", "rate"), [(1000, 48000), (371_000, 16000)])
def test_another_recording_is_refused(tmp_path: Path, score: Score, n_samples: int, rate: int) -> None:
    path = tmp_path / "other.wav"
    soundfile.write(path, np.zeros(n_samples), rate)
    with pytest.raises(SystemExit, match=r"other\.wav: .*; give the result for interview_noisy\.flac"):
        score(path)
