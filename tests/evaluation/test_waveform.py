"""Promise: SI-SDR and log-spectral distance equal their closed forms, and what has no score says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.errors import ShapeError
from audiodiff.evaluation.score import Unscored, check_pair
from audiodiff.evaluation.waveform import (
    MAX_SI_SDR_DB,
    log_spectral_distance,
    si_sdr,
)
from audiodiff.signal.frames import PIECE_FRAMES, frame_power

RATE = 16000
T = np.arange(RATE) / RATE
SINE, COSINE = np.sin(2 * np.pi * 100 * T), np.cos(2 * np.pi * 100 * T)
NOISE = np.random.default_rng(1).standard_normal(RATE)


@given(st.floats(-50, 80))
def test_si_sdr_of_orthogonal_noise_is_the_power_ratio(ratio_db: float) -> None:
    assert si_sdr(SINE, SINE + COSINE * 10 ** (-ratio_db / 20)) == pytest.approx(ratio_db, abs=1e-6)


@given(st.floats(0.01, 100), st.booleans(), st.floats(-1, 1))
def test_si_sdr_ignores_gain_sign_and_mean(gain: float, negative: bool, mean: float) -> None:
    estimate = SINE + 0.3 * NOISE
    other = (-gain if negative else gain) * estimate + mean
    assert si_sdr(SINE, other) == pytest.approx(si_sdr(SINE, estimate), abs=1e-6)


def test_si_sdr_is_finite_at_both_ends() -> None:
    assert si_sdr(NOISE, NOISE) == MAX_SI_SDR_DB
    assert si_sdr(SINE, COSINE) == -MAX_SI_SDR_DB


@given(st.floats(-20, 30))
def test_log_spectral_distance_of_a_gain_is_the_gain(gain_db: float) -> None:
    assert log_spectral_distance(NOISE, NOISE * 10 ** (gain_db / 20), RATE) == pytest.approx(
        abs(gain_db), abs=0.01
    )


def test_log_spectral_distance_is_finite_where_the_estimate_is_digitally_silent() -> None:
    gated = NOISE.copy()
    gated[: RATE // 2] = 0
    distance = log_spectral_distance(NOISE, gated, RATE)
    assert isinstance(distance, float)
    assert 20 < distance < 80


@pytest.mark.parametrize(
    ("ref", "est", "code"),
    [
        (NOISE, NOISE[:-2], "length"),
        (NOISE[:0], NOISE[:0], "empty"),
        (NOISE, np.where(T == 0.5, np.nan, NOISE), "nonfinite"),
        (np.zeros(RATE), NOISE, "silence"),
        (NOISE, np.full(RATE, 0.1), "silence"),
    ],
)
def test_what_cannot_be_compared_has_a_reason(ref: np.ndarray, est: np.ndarray, code: str) -> None:
    for score in (si_sdr(ref, est), log_spectral_distance(ref, est, RATE)):
        assert isinstance(score, Unscored)
        assert score.code == code


def test_one_sample_of_difference_is_cut_off() -> None:
    pair = check_pair(NOISE, NOISE[:-1])
    assert not isinstance(pair, Unscored)
    assert pair[0].size == pair[1].size == RATE - 1


def test_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match="mix channels down"):
        si_sdr(NOISE[None], NOISE[None])


@pytest.mark.parametrize("n_frames", [PIECE_FRAMES - 1, PIECE_FRAMES, PIECE_FRAMES + 1, 2 * PIECE_FRAMES + 7])
def test_log_spectral_distance_in_pieces_is_that_of_the_whole(n_frames: int) -> None:
    rng = np.random.default_rng(n_frames)
    ref, est = rng.standard_normal((2, 511 + 128 * (n_frames - 1) + 60))
    ref[: ref.size // 2] *= 0.01  # the strongest bin, which sets the floor, lies in a late piece
    whole = [frame_power(x, 512, 128) for x in (ref, est)]
    floor = whole[0].max() * 1e-8
    difference_db = 10 * np.log10((whole[0] + floor) / (whole[1] + floor))
    expected = np.sqrt((difference_db**2).mean(axis=1)).mean()
    assert log_spectral_distance(ref, est, RATE) == pytest.approx(expected, rel=1e-12)


def test_less_than_a_window_has_no_log_spectral_distance() -> None:
    assert log_spectral_distance(NOISE[:511], NOISE[:511], RATE) == Unscored(
        "short", "shorter than one window of 512 samples"
    )
