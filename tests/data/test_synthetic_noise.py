"""Guards: a generated noise has unit power and its stated spectrum or rhythm; its generator decides all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from audiodiff.data import synthetic_noise

RATE = 48_000
Audio = NDArray[np.float32]
Make = Callable[[int, np.random.Generator], Audio]

MAKERS: dict[str, Make] = {
    "white": lambda n, rng: synthetic_noise.coloured(n, rng, RATE, 0.0),
    "brown": lambda n, rng: synthetic_noise.coloured(n, rng, RATE, 2.0),
    "speech_shaped": lambda n, rng: synthetic_noise.speech_shaped(n, rng, RATE),
    "hum": lambda n, rng: synthetic_noise.hum(n, rng, RATE, 50.0, 10, 6.0),
    "fan": lambda n, rng: synthetic_noise.fan(n, rng, RATE, 120.0, -6.0, 400.0),
    "clicks": lambda n, rng: synthetic_noise.clicks(n, rng, RATE, 5.0),
    "keys": lambda n, rng: synthetic_noise.key_bursts(n, rng, RATE, 5.0),
    "babble": lambda n, rng: synthetic_noise.babble(
        [rng.standard_normal(n, dtype=np.float32) for _ in range(5)], rng
    ),
}


def density(x: Audio, length: int = 8192) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    freqs, power = scipy.signal.welch(x.astype(np.float64), RATE, nperseg=length)
    return freqs, 10 * np.log10(power + 1e-20)


@pytest.mark.parametrize("name", MAKERS)
@given(st.integers(1, 5000), st.integers(0, 2**32))
def test_unit_power_finite_and_repeatable(name: str, n: int, seed: int) -> None:
    x = MAKERS[name](n, np.random.default_rng(seed))
    assert x.shape == (n,)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    power = float(np.mean(x.astype(np.float64) ** 2))
    # A click on the very last sample may start with a zero; nothing else is silent.
    assert power == pytest.approx(1, abs=1e-3) or (n < 2000 and power == 0)
    np.testing.assert_array_equal(x, MAKERS[name](n, np.random.default_rng(seed)))


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 1.0, 2.0])
def test_colour(exponent: float) -> None:
    freqs, level = density(synthetic_noise.coloured(15 * RATE, np.random.default_rng(0), RATE, exponent))
    band = (freqs > 60) & (freqs < 20_000)
    slope = np.polyfit(np.log2(freqs[band]), level[band], 1)[0]
    assert slope == pytest.approx(-3.01 * exponent, abs=0.1)


def test_speech_shaped_third_octaves() -> None:
    x = synthetic_noise.speech_shaped(20 * RATE, np.random.default_rng(0), RATE)
    freqs, power = scipy.signal.welch(x.astype(np.float64), RATE, nperseg=16384)
    found, wanted = [], []
    for centre, level in synthetic_noise.SPEECH_BANDS:
        if 100 <= centre <= 12_500:
            found.append(
                10 * np.log10(power[(freqs > centre * 2 ** (-1 / 6)) & (freqs < centre * 2 ** (1 / 6))].sum())
            )
            wanted.append(level)
    # 100 Hz bands hold eight bins: 1.5 dB covers their edges and the slope inside a band.
    difference = np.array(found) - np.array(wanted)
    assert np.abs(difference - difference.mean()).max() < 1.5


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_hum_is_lines_at_multiples_of_the_mains(mains_hz: float) -> None:
    x = synthetic_noise.hum(8 * RATE, np.random.default_rng(3), RATE, mains_hz, 12, 6.0).astype(np.float64)
    power = np.abs(np.fft.rfft(x * scipy.signal.windows.blackmanharris(x.size))) ** 2
    freqs = np.fft.rfftfreq(x.size, 1 / RATE)
    # The grid may be off by 0.1 Hz, so line k by 0.1 k; the window's main lobe is 0.5 Hz wide at each side.
    near = np.zeros(freqs.size, dtype=bool)
    for k in range(1, 13):
        line = np.abs(freqs - k * mains_hz) < 0.1 * k + 0.6
        assert power[line].sum() > 1e-4 * power.sum()
        near |= line
    assert power[~near].sum() < 1e-7 * power.sum()


def test_hum_leaves_out_lines_above_nyquist() -> None:
    x = synthetic_noise.hum(2000, np.random.default_rng(0), 400, 60.0, 10, 0.0)
    freqs = np.fft.rfftfreq(2000, 1 / 400)
    power = np.abs(np.fft.rfft(x)) ** 2
    assert power[(freqs > 15) & (freqs < 45)].max() < 0.01 * power.max()


def test_fan_has_blade_lines_over_falling_air() -> None:
    freqs, level = density(
        synthetic_noise.fan(20 * RATE, np.random.default_rng(1), RATE, 200.0, 0.0, 300.0), 16384
    )

    def around(hz: float, width: float) -> NDArray[np.float64]:
        return level[np.abs(freqs - hz) < width]

    # The drift of 2 % spreads the line over some bins.
    assert around(200, 8).max() > around(300, 20).mean() + 8
    fall = around(4000, 200).mean() - around(8000, 400).mean()
    assert 5 < fall < 13


def test_slow_curves_are_bounded_and_slow() -> None:
    curve = synthetic_noise.slow(10 * RATE, np.random.default_rng(0), RATE, 0.5)
    assert np.abs(curve).max() <= 1
    # Two draws differ by 2 at most, and lie 0.5 s apart.
    assert np.abs(np.diff(curve)).max() <= 2 / (0.5 * RATE) * 1.01
    assert curve.std() > 0.2


@pytest.mark.parametrize("make", [synthetic_noise.clicks, synthetic_noise.key_bursts])
def test_events_are_short_and_as_many_as_asked(make: Callable[..., Audio]) -> None:
    x = make(30 * RATE, np.random.default_rng(0), RATE, 2.0)
    blocks = (x.reshape(-1, RATE // 100) ** 2).mean(axis=1)
    loud = blocks > 1e-3 * blocks.max()
    onsets = int(np.sum(loud[1:] & ~loud[:-1]))
    # 60 expected, two sounds a key; those that meet or are faint are not counted.
    assert 30 < onsets < 130
    assert loud.mean() < 0.35


def test_babble_holds_every_voice() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    voices = [np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (300, 700, 1100, 1900)]
    power = np.abs(np.fft.rfft(synthetic_noise.babble(voices, rng))) ** 2
    found = 10 * np.log10(power[[300, 700, 1100, 1900]] / power.sum())
    # Gains within +-5 dB: no voice is more than 10 dB under another.
    assert found.max() - found.min() <= 10
    assert power[[300, 700, 1100, 1900]].sum() > 0.999 * power.sum()
