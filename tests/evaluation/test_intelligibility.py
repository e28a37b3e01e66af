"""Promise: ESTOI equals pystoi's value, and what pystoi cannot score has a reason without a warning."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pystoi import stoi as pystoi_stoi

from audiodiff.evaluation.intelligibility import stoi
from audiodiff.evaluation.score import Unscored

RATE = 16000
Wave = NDArray[np.float32]


@pytest.mark.parametrize("extended", [True, False])
def test_it_is_the_value_of_pystoi(speech: Wave, noisy: Wave, extended: bool) -> None:
    expected = pystoi_stoi(speech.astype(float), noisy.astype(float), RATE, extended=extended)
    assert stoi(speech, noisy, RATE, extended=extended) == pytest.approx(expected, abs=1e-8)


def test_perfect_is_one(speech: Wave) -> None:
    assert stoi(speech, speech, RATE) == pytest.approx(1.0, abs=1e-3)


def test_too_little_speech_has_a_reason(speech: Wave, noisy: Wave) -> None:
    assert stoi(speech[:5000], noisy[:5000], RATE) == Unscored("short", "less than 384 ms of speech")


def test_silence_has_a_reason(speech: Wave) -> None:
    score = stoi(speech, np.zeros_like(speech), RATE)
    assert score == Unscored("silence", "the estimate is silent")


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("n", [2, 10, 100, 320, 500, 1500])
def test_a_clip_of_less_than_a_frame_has_a_reason(speech: Wave, noisy: Wave, n: int, rate: int) -> None:
    assert stoi(speech[3000:][:n], noisy[3000:][:n], rate) == Unscored("short", "less than 384 ms of speech")


def test_a_clip_on_which_pystoi_fails_has_a_reason(
    speech: Wave, noisy: Wave, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> float:
        raise np.exceptions.AxisError("axis 1\nis out of bounds")

    monkeypatch.setattr("pystoi.stoi", fails)
    assert stoi(speech, noisy, RATE) == Unscored("failed", "STOI: axis 1 is out of bounds")
