"""Promise: excerpts are bounded, do not overlap, cover the strongest place, and sound as the files do."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.report import excerpts
from audiodiff.report.excerpts import Match, Window
from audiodiff.report.report_data import Place, ReportEntry

SPANS = st.tuples(st.floats(0, 1), st.floats(0.01, 5), st.floats(1, 40))


@given(seconds=st.floats(0.01, 20000), spans=st.lists(SPANS, max_size=15), most_s=st.floats(6, 60))
def test_windows(seconds: float, spans: list[tuple[float, float, float]], most_s: float) -> None:
    places = [
        Place(share * seconds, min(seconds, share * seconds + length), "added", amount)
        for share, length, amount in spans
    ]
    windows = excerpts.choose(seconds, places, most_s)
    assert windows
    assert sum(w.stop_s - w.start_s for w in windows) <= min(seconds, most_s) * (1 + 1e-9)
    assert windows[0].start_s >= 0
    assert windows[-1].stop_s <= seconds * (1 + 1e-9)
    for earlier, later in itertools.pairwise(windows):
        assert earlier.stop_s <= later.start_s
    if places:
        best = max(places, key=lambda p: p.amount_db * (p.stop_s - p.start_s) ** 0.5)
        middle = (best.start_s + best.stop_s) / 2
        assert any(w.start_s - 1e-6 <= middle <= w.stop_s + 1e-6 for w in windows)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_gathered_samples_are_the_files(tmp_path: Path, channels: int) -> None:
    rng = np.random.default_rng(0)
    before, after = rng.uniform(-0.5, 0.5, (2, 200_000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", before, 16000, "FLOAT")
    soundfile.write(tmp_path / "b.wav", after, 16000, "FLOAT")
    entry = ReportEntry(tmp_path / "a.wav", tmp_path / "b.wav", "done")
    windows = (Window(0.5, 2.0), Window(3.9, 9.0))
    found = excerpts.gather(entry, windows, 16000)
    for excerpt, window in zip(found, windows, strict=True):
        cut = slice(round(window.start_s * 16000), round(window.stop_s * 16000))
        for got, whole in ((excerpt.before, before), (excerpt.after, after)):
            truth = whole[cut].T if channels <= 2 else whole[cut].T.mean(axis=0, keepdims=True)
            np.testing.assert_allclose(got, truth, atol=1e-7)


def test_equal_loudness_turns_the_louder_one_down() -> None:
    assert excerpts.matching(-20.0, -26.0) == Match(before_db=-6.0)
    assert excerpts.matching(-26.0, -20.0) == Match(after_db=-6.0)
    assert excerpts.matching(None, -20.0) is None


@given(before_db=st.floats(-70, 0), after_db=st.floats(-70, 0))
def test_no_gain_is_beyond_the_cap_and_what_it_leaves_is_told(before_db: float, after_db: float) -> None:
    match = excerpts.matching(before_db, after_db)
    assert match is not None
    assert (
        -excerpts.MOST_GAIN_DB
        <= min(match.before_db, match.after_db)
        <= max(match.before_db, match.after_db)
        == 0
    )
    distance = (before_db + match.before_db) - (after_db + match.after_db)
    assert abs(distance) == pytest.approx(match.left_db, abs=1e-9)
    assert (match.left_db > 0) == (abs(before_db - after_db) > excerpts.MOST_GAIN_DB)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("lossless", [True, False])
def test_encoded_sound(rate: int, lossless: bool) -> None:
    x = 0.3 * np.sin(2 * np.pi * 500 * np.arange(2 * rate) / rate)[None].astype(np.float32)
    kind, data = excerpts.encoded(x, rate, lossless)
    got, got_rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert kind.startswith("audio/flac" if lossless else "audio/ogg")
    assert len(got) == round(2 * got_rate)
    truth = 0.3 * np.sin(2 * np.pi * 500 * np.arange(len(got)) / got_rate)
    middle = slice(got_rate // 2, -got_rate // 2)
    error = np.sqrt(np.mean((got[middle, 0] - truth[middle]) ** 2))
    assert error < (1e-4 if lossless else 0.02)
