"""Promise: known gains are found in the right class; a signal recombined with itself is the signal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from audiodiff.errors import ShapeError
from audiodiff.evaluation.magnitude import LEVELS, Error, magnitude_errors, recombine

RATE = 16000
Wave = NDArray[np.float32]


@pytest.mark.parametrize("gain_db", [-12.0, 6.0])
def test_a_gain_is_a_bias_without_spread(speech: Wave, gain_db: float) -> None:
    errors = magnitude_errors(speech, speech * 10 ** (gain_db / 20), RATE)
    assert set(errors) == set(LEVELS)
    for level in LEVELS[:3]:
        assert errors[level].count > 0
        assert errors[level].bias_db == pytest.approx(gain_db, abs=1e-3)
        assert errors[level].spread_db == pytest.approx(0, abs=1e-3)


def test_noise_in_a_pause_is_seen_in_the_pauses_alone(speech: Wave) -> None:
    clean = np.concatenate([speech, np.zeros(RATE, np.float32)])
    estimate = clean.copy()
    estimate[-RATE // 2 :] = np.random.default_rng(0).standard_normal(RATE // 2) * 0.01
    errors = magnitude_errors(clean, estimate, RATE)
    assert errors["pauses"].bias_db > 10
    assert all(abs(errors[level].bias_db) < 1e-6 for level in LEVELS[:4])


def test_every_bin_is_counted_once(speech: Wave) -> None:
    errors = magnitude_errors(speech, speech, RATE)
    assert sum(error.count for error in errors.values()) == 257 * (1 - (-speech.size // 128))


@given(st.lists(st.floats(-60, 60), min_size=2, max_size=20), st.integers(1, 19))
def test_pooled_moments_are_those_of_all_values(values: list[float], cut: int) -> None:
    parts = [np.array(values[:cut]), np.array(values[cut:])]
    pooled = sum((Error(p.size, float(p.sum()), float((p**2).sum())) for p in parts), Error())
    assert pooled.bias_db == pytest.approx(np.mean(values), abs=1e-9)
    assert pooled.spread_db == pytest.approx(np.std(values), abs=1e-5)


def test_no_bins_give_nan() -> None:
    assert np.isnan(Error().bias_db)
    assert np.isnan(Error().spread_db)


def test_its_own_phase_gives_the_signal_back(noisy: Wave) -> None:
    assert np.abs(recombine(noisy, noisy, RATE) - noisy).max() < 1e-6


def test_the_phase_of_a_negative_signal_flips_it(speech: Wave) -> None:
    assert np.abs(recombine(speech, -3 * speech, RATE) + speech).max() < 1e-6


def test_unequal_or_silent_signals_are_refused(speech: Wave) -> None:
    with pytest.raises(ShapeError, match="one length"):
        recombine(speech, speech[1:], RATE)
    with pytest.raises(ShapeError, match="silent"):
        magnitude_errors(np.zeros_like(speech), speech, RATE)
