"""Promise: what the survey says of files is what was done to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.cli import run
from audiodiff.data.channel_effects import band_limit
from audiodiff.data.manifest import Clip
from audiodiff.data.store_picture import PICTURE_NAME, draw_store
from audiodiff.data.survey import band_limit_hz, duplicates, floor_db, measure
from audiodiff.signal.resample import resample
from audiodiff.signal.types import Audio
from tests.data.conftest import RATE, voice

pytestmark = pytest.mark.slow  # packs stores and draws


def noise(seconds: float, rate: int, seed: int = 0) -> Audio:
    return np.float32(0.1) * np.random.default_rng(seed).standard_normal(
        round(seconds * rate), dtype=np.float32
    )


def clip(path: Path) -> Clip:
    return Clip(path, "speech", "", "", "", 8000, "a", "", "train")


@settings(max_examples=20)
@given(st.sampled_from([16_000, 44_100, 48_000]), st.floats(2000, 20_000), st.integers(0, 99))
def test_a_band_limit_is_found_within_five_percent(rate: int, cutoff_hz: float, seed: int) -> None:
    cutoff_hz = min(cutoff_hz, 0.42 * rate)
    limited = band_limit(noise(1.0, rate, seed)[np.newaxis], round(cutoff_hz), rate)[0]
    assert band_limit_hz(limited, rate) == pytest.approx(cutoff_hz, rel=0.05)


@pytest.mark.parametrize("source", [8000, 16_000, 22_050])
def test_a_file_made_of_a_lower_rate_breaks_off_at_half_of_it(source: int) -> None:
    up = resample(noise(1.0, source)[np.newaxis], source, 48_000)[0]
    assert band_limit_hz(up, 48_000) == pytest.approx(source / 2, rel=0.05)


def test_speech_breaks_off_where_it_was_cut() -> None:
    whole = voice(3.0, 110, 0, 48_000) + noise(3.0, 48_000) * np.float32(0.01)
    assert band_limit_hz(band_limit(whole[np.newaxis], 4000, 48_000)[0], 48_000) == pytest.approx(
        4000, rel=0.05
    )


@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_a_slope_is_no_limit(exponent: int) -> None:
    spectrum = np.fft.rfft(noise(2.0, 48_000))
    spectrum[1:] /= np.arange(1, spectrum.size) ** (exponent / 2)
    assert band_limit_hz(np.fft.irfft(spectrum).astype(np.float32), 48_000) is None


def test_silence_and_what_is_too_short_have_no_limit() -> None:
    assert band_limit_hz(np.zeros(RATE, np.float32), RATE) is None
    assert band_limit_hz(np.ones(10, np.float32), RATE) is None
    assert floor_db(np.zeros(RATE, np.float32), RATE) == -120


@given(st.floats(-80, -30))
def test_the_floor_is_that_of_the_pauses(pause_db: float) -> None:
    x = noise(4.0, RATE)  # -20 dBFS
    x[RATE : 2 * RATE] *= np.float32(10 ** ((pause_db + 20) / 20))
    assert floor_db(x, RATE) == pytest.approx(pause_db, abs=1.0)


def test_clipping_and_duplicates_are_found(tmp_path: Path) -> None:
    x = noise(0.5, RATE)[np.newaxis]
    loud = np.clip(20 * x, -1, 1)
    names = ("a", "b", "c", "d")
    files = [
        measure(clip(tmp_path / name), samples, RATE)
        for name, samples in zip(names, (x, loud, x.copy(), -x), strict=True)
    ]
    assert [file.clipped > 0 for file in files] == [False, True, False, False]
    assert [[file.path.name for file in group] for group in duplicates(files)] == [["a", "c"]]
    assert not duplicates([files[0], files[0]])  # one file, not two


def test_prepare_tells_what_the_files_are_like(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = tmp_path / "speech"
    speech.mkdir()
    whole = noise(1.0, 48_000)
    integers = np.round(32_767 * whole).astype(np.int16)
    soundfile.write(speech / "whole.wav", integers, 48_000)
    soundfile.write(speech / "copy.flac", integers, 48_000)
    soundfile.write(speech / "narrow.wav", band_limit(whole[np.newaxis], 8000, 48_000)[0], 48_000)
    soundfile.write(speech / "clipped.wav", np.clip(20 * noise(1.0, 16_000), -1, 1), 16_000, subtype="FLOAT")
    assert run(["prepare", str(tmp_path / "store"), "--speech", str(speech), "--rooms", "0"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    head, row, rates, limits, *_ = lines[lines.index("") + 1 :]
    assert head.split()[:2] == ["kind", "files"]
    assert row.split()[:2] == ["speech", "4"]
    assert "2 (50 %)" in row  # the narrow one, and the one of 16 kHz
    assert "1 (25 %)" in row  # clipped
    assert row.split()[-1] == "1"
    assert rates == "rates: 48000 Hz (3), 16000 Hz (1)"
    assert limits == "spectra break off at: 8 kHz (1)"
    said = told.err.splitlines()
    assert [line.count(" = ") for line in said if line.startswith("duplicates: ")] == [1]
    assert [str(speech / "clipped.wav") in line for line in said if line.startswith("clipped: ")] == [True]
    assert (tmp_path / "store" / PICTURE_NAME).read_bytes().startswith(b"\x89PNG")


def test_a_picture_needs_no_spread(tmp_path: Path) -> None:
    draw_store([measure(clip(tmp_path / "a"), np.zeros((1, RATE), np.float32), RATE)], tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000
