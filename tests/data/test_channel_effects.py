"""Guards: filters, overload, quantisation, codecs and speed do what their physical parameters say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from audiodiff.data import channel_effects

RATE = 48_000
Audio = NDArray[np.float32]


def noise(n: int, seed: int = 0) -> Audio:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def response_db(sections: NDArray[np.float64], hz: list[float]) -> NDArray[np.float64]:
    _, h = scipy.signal.sosfreqz(sections, worN=hz, fs=RATE)
    return np.asarray(20 * np.log10(np.abs(h)))


@given(st.floats(50, 20_000), st.floats(-20, 20), st.floats(0.3, 4))
def test_bell_has_its_gain_at_the_centre_and_none_far_away(centre: float, gain_db: float, q: float) -> None:
    found = response_db(channel_effects.peaking(centre, gain_db, q, RATE), [1e-3, centre, RATE / 2])
    np.testing.assert_allclose(found, [0, gain_db, 0], atol=1e-6)


@given(st.integers(0, 2**32), st.floats(0, 12))
def test_random_equaliser_is_stable_and_bounded(seed: int, largest_db: float) -> None:
    sections = channel_effects.random_equaliser(np.random.default_rng(seed), RATE, largest_db)
    assert 2 <= len(sections) <= 4
    assert all(np.abs(np.roots(section[3:])).max() < 1 for section in sections)
    gains = response_db(sections, list(np.geomspace(20, 23_000, 200)))
    assert np.abs(gains).max() <= largest_db * len(sections) + 1e-9


def test_low_cut() -> None:
    sections = channel_effects.high_pass_sections(200.0, RATE)
    np.testing.assert_allclose(response_db(sections, [200.0, 20.0]), [-3.01, -40], atol=0.05)


@pytest.mark.parametrize("cutoff", [4000, 5500, 8000, 11000, 12000, 16000])
def test_band_limit(cutoff: int) -> None:
    x = noise(RATE)
    y = channel_effects.band_limit(np.stack([x, -x]), cutoff, RATE)
    np.testing.assert_array_equal(y[1], -y[0])
    power_x, power_y = np.abs(np.fft.rfft(x)) ** 2, np.abs(np.fft.rfft(y[0])) ** 2
    assert power_y[cutoff:].sum() < 1e-8 * power_x.sum()
    # Zero phase and unit gain up to 0.92 of the cut-off: bin by bin the same.
    kept = slice(0, int(0.92 * cutoff))
    np.testing.assert_allclose(
        np.fft.rfft(y[0])[kept], np.fft.rfft(x)[kept], atol=1e-3 * np.sqrt(power_x.max())
    )


@given(st.floats(0, 20), st.integers(0, 1000))
def test_overload_lowers_the_peak_and_nothing_else(over_db: float, seed: int) -> None:
    x = noise(500, seed)
    y = channel_effects.overload(x, over_db)
    peak = np.abs(x).max() * 10 ** (-over_db / 20)
    assert np.abs(y).max() == pytest.approx(peak, rel=1e-5)
    inside = np.abs(x) < 0.999 * peak
    np.testing.assert_array_equal(y[inside], x[inside])


def test_mu_law_has_the_known_quantisation_noise() -> None:
    x = np.sin(2 * np.pi * 997 * np.arange(RATE) / RATE).astype(np.float32)
    for gain in (1.0, 1e-3):
        y = channel_effects.mu_law(gain * x)
        error = y - gain * x
        # G.711 keeps a full-scale sine at about 38 dB; its curve without 14-bit segments comes close.
        assert 10 * np.log10(np.mean((gain * x) ** 2) / np.mean(error**2)) == pytest.approx(38, abs=1.5)
    assert not channel_effects.mu_law(np.zeros(9, np.float32)).any()


@pytest.mark.parametrize("codec", channel_effects.CODECS, ids=lambda c: f"{c.subtype}-{c.compression}")
def test_codecs_keep_time_level_and_their_band(codec: channel_effects.Codec) -> None:
    x = noise(2 * RATE)
    y = channel_effects.coded(x, codec, RATE)
    assert y.shape == x.shape
    lags = np.fft.irfft(np.fft.rfft(y) * np.conj(np.fft.rfft(x)))
    assert int(np.argmax(lags)) == 0
    freqs, before = scipy.signal.welch(x, RATE, nperseg=2048)
    _, after = scipy.signal.welch(y, RATE, nperseg=2048)
    loss_db = 10 * np.log10(before / (after + 1e-20))
    band = (freqs > 100) & (freqs < 0.97 * codec.keeps_hz)
    assert np.abs(loss_db[band]).max() < 3
    assert not channel_effects.coded(np.zeros(2000, np.float32), codec, RATE).any()


@given(st.floats(0.9, 1.1))
def test_speed_moves_a_tone_and_the_length(factor: float) -> None:
    n = RATE // 2
    tone = np.sin(2 * np.pi * 1000 * np.arange(n) / RATE).astype(np.float32)
    y = channel_effects.speed(tone, factor, RATE)
    exact = round(RATE * factor) / RATE
    assert abs(y.size - n / exact) <= 1
    truth = np.sin(2 * np.pi * 1000 * exact * np.arange(y.size) / RATE)
    np.testing.assert_allclose(y[500:-500], truth[500:-500], atol=2e-3)


@given(st.floats(0, 12), st.integers(0, 1000))
def test_gain_drift_stays_in_range(range_db: float, seed: int) -> None:
    gains = channel_effects.gain_drift(RATE, np.random.default_rng(seed), RATE, range_db)
    assert np.abs(20 * np.log10(gains)).max() <= range_db + 1e-4


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_every_rate_has_codecs_that_know_it(rate: int) -> None:
    codecs = channel_effects.codecs_at(rate)
    assert codecs
    assert (codecs == channel_effects.CODECS) == (rate in (8_000, 16_000, 48_000))  # Opus knows few rates
    x = noise(rate // 2)
    for codec in codecs:
        assert channel_effects.coded(x, codec, rate).shape == x.shape
