"""Promise: the levels of a report are those of the files, and its review places are where the change is."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from audiodiff.inference.engine import Samples
from audiodiff.report import Disagreement, Place, ReportEntry
from audiodiff.report.measure import survey
from audiodiff.report.spectra import Framer, decibels

RATE = 16000
Recording = Callable[..., Samples]
Wave = npt.NDArray[np.float64]


def sine(seconds: float, hz: float = 1000.0, amplitude: float = 0.5) -> Wave:
    return np.asarray(amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE))


def entry(folder: Path, before: Wave, after: Wave, start_s: float = 0.0, gain_db: float = 0.0) -> ReportEntry:
    soundfile.write(folder / "a.wav", before, RATE, "FLOAT")
    soundfile.write(folder / "b.wav", after, RATE, "FLOAT")
    return ReportEntry(folder / "a.wav", folder / "b.wav", "done", start_s=start_s, gain_db=gain_db)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_full_sine_is_0_db_whatever_the_blocks(rate: int, channels: int) -> None:
    x = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)[None].repeat(channels, axis=0)
    whole = Framer(rate).push(x)
    framer = Framer(rate)
    parts = [framer.push(x[:, i : i + 777]) for i in range(0, rate, 777)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-12)
    # triangles of unit height sum to at most 1 within their range
    np.testing.assert_allclose(decibels(whole.sum(axis=1)), 0, atol=0.2)


def test_levels_of_a_sine(tmp_path: Path) -> None:
    found = survey(entry(tmp_path, sine(2, amplitude=0.5), sine(2, amplitude=0.25)))
    rms = 20 * math.log10(0.5 / math.sqrt(2))
    for side, level in ((found.before, rms), (found.after, rms - 6.02), (found.removed, rms - 6.02)):
        assert side.active_db == pytest.approx(level, abs=0.01)
        assert side.peak_db == pytest.approx(level + 3.01, abs=0.01)
        assert side.floor_db == pytest.approx(level, abs=0.6)
    assert found.seconds == 2
    assert found.length_difference_s == 0
    assert found.places == ()


def test_silence(tmp_path: Path) -> None:
    found = survey(entry(tmp_path, np.zeros(RATE), np.zeros(RATE)))
    assert found.before.active_db is None
    assert found.before.peak_db == found.before.floor_db == -120
    assert found.places == ()


def test_one_sample(tmp_path: Path) -> None:
    found = survey(entry(tmp_path, np.array([0.1]), np.array([0.05])))
    assert found.seconds == 1 / RATE
    assert found.curves.shape == (2, 1)


def test_an_invented_and_a_lost_word_are_found(tmp_path: Path, recording: Recording) -> None:
    rng = np.random.default_rng(0)
    before = 0.003 * rng.standard_normal(90 * RATE)
    word = np.hanning(RATE // 2) * rng.standard_normal(RATE // 2) * 0.1
    for second in range(0, 90, 2):
        before[second * RATE : second * RATE + len(word)] += word
    after = before.copy()
    after[71 * RATE : 71 * RATE + len(word)] += word  # in a pause, after the first minute
    after[40 * RATE : 40 * RATE + len(word)] *= 0.01
    found = survey(entry(tmp_path, before, after))
    assert [(p.kind, round(p.start_s)) for p in found.places] == [("changed", 40), ("added", 71)]
    assert found.curves.shape[1] <= 400
    assert found.step_s * found.curves.shape[1] == pytest.approx(90, rel=0.02)


def test_an_output_that_starts_later_is_aligned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = 0.1 * rng.standard_normal(9 * RATE)
    found = survey(entry(tmp_path, before, before[5 * RATE : 8 * RATE], start_s=5.0))
    assert found.seconds == 3
    assert found.removed.peak_db == -120


def test_a_gain_is_taken_back(tmp_path: Path) -> None:
    found = survey(entry(tmp_path, sine(1), 2 * sine(1), gain_db=20 * math.log10(2)))
    assert found.removed.peak_db < -100


def test_places_of_disagreement_count_from_the_start_of_the_output(tmp_path: Path) -> None:
    made = entry(tmp_path, sine(4), sine(2), start_s=2.0)
    places = (Place(1.0, 1.5, "disagreement", 6.0), Place(3.0, 3.5, "disagreement", 5.0))
    found = survey(
        ReportEntry(made.source, made.target, "done", start_s=2.0, disagreement=Disagreement(3, 1.0, places))
    )
    assert [p for p in found.places if p.kind == "disagreement"] == [Place(1.0, 1.5, "disagreement", 5.0)]
