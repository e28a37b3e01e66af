"""Promise: chords are music-like; speech, noise, hum and a whine are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.report.spectra import Framer
from audiodiff.report.tones import ToneMeter, held
from tests.report.test_flags import RATE, noise, voice

SECONDS = 20.0
Wave = npt.NDArray[np.float64]


def music_s(x: Wave, block: int = 1 << 16) -> float:
    framer = Framer(RATE)
    meter = ToneMeter(framer.bin_hz, framer.hop_s)
    for start in range(0, len(x), block):
        meter.push(framer.spectra(x[np.newaxis, start : start + block].astype(np.float32)))
    return meter.music_s()


def chords(seconds: float = SECONDS) -> Wave:
    """One chord a second, whose strings die away, with five partials each."""
    roots = ((220.0, 277.2, 329.6), (246.9, 311.1, 370.0), (196.0, 246.9, 293.7), (261.6, 329.6, 392.0))
    t = np.arange(RATE) / RATE
    bars = [
        np.exp(-1.5 * t) * sum(np.sin(2 * np.pi * hz * k * t) / k for hz in roots[i % 4] for k in range(1, 6))
        for i in range(round(seconds))
    ]
    return np.asarray(0.05 * np.concatenate(bars))


@pytest.mark.parametrize("block", [1 << 16, 5000])
def test_chords_are_music_like_also_under_a_quiet_voice(block: int) -> None:
    assert music_s(chords(), block) >= 15
    assert music_s(chords() + 0.3 * voice(SECONDS), block) >= 15


def test_speech_noise_and_hum_are_not() -> None:
    n = round(SECONDS * RATE)
    whine = sum(np.sin(2 * np.pi * hz * np.arange(n) / RATE) for hz in (800, 1600, 2400, 3000))
    for x in (voice(SECONDS), noise("white", n), noise("pink", n), noise("hum", n), whine, np.zeros(n)):
        assert music_s(np.asarray(x) + 1e-4 * noise("white", n)) == 0


@given(rows=st.lists(st.booleans(), min_size=1, max_size=60), hold=st.integers(1, 6))
def test_what_is_held_is_in_a_long_run(rows: list[bool], hold: int) -> None:
    got = held(np.array(rows)[:, np.newaxis], hold)[:, 0].tolist()
    truth: list[bool] = []
    for word in "".join("x" if row else "." for row in rows).replace(".", " . ").split():
        truth += [len(word) >= hold and word != "."] * len(word)
    assert got == truth
