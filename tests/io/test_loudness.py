"""Promise: loudness and true peak are those of BS.1770-4, whatever the blocks, layout and rate."""

from __future__ import annotations

import re
import sys

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from audiodiff.errors import ConfigError, ShapeError
from audiodiff.extras import install_hint
from audiodiff.io.loudness import Loudness, Meter, Target, require

pytestmark = pytest.mark.slow

pytest.importorskip("av")

Signal = npt.NDArray[np.float64]

# BS.1770-4, tables 1 and 2, at 48 kHz
SHELF = ([1.53512485958697, -2.69169618940638, 1.19839281085285], [1, -1.69065929318241, 0.73248077421585])
HIGHPASS = ([1.0, -2.0, 1.0], [1, -1.99004745483398, 0.99007225036621])


def truth(x: Signal, weights: tuple[float, ...]) -> float:
    """Annex 1 of the standard, word for word, at 48 kHz."""
    y = lfilter(*HIGHPASS, lfilter(*SHELF, x))
    starts = range(0, x.shape[1] - 19200 + 1, 4800)
    z = np.array([np.mean(y[:, i : i + 19200] ** 2, axis=1) @ np.array(weights) for i in starts])
    z = z[-0.691 + 10 * np.log10(z + 1e-30) > -70]
    z = z[10 * np.log10(z) > 10 * np.log10(z.mean()) - 10]
    return float(-0.691 + 10 * np.log10(z.mean()))


def measured(x: Signal, rate: int = 48000, block: int = 1 << 16) -> Loudness:
    meter = Meter(rate, len(x))
    for start in range(0, x.shape[1], block):
        meter.push(x[:, start : start + block])
    return meter.finish()


def tone(*parts: tuple[float, float], rate: int = 48000, channels: int = 2) -> Signal:
    """1 kHz; parts are (dBFS, seconds)."""
    levels = np.concatenate([np.full(round(s * rate), 10 ** (db / 20)) for db, s in parts])
    return np.tile(levels * np.sin(2 * np.pi * 1000 / rate * np.arange(len(levels))), (channels, 1))


@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
    ids=["3341-1", "3341-2", "3341-3", "3341-4", "3341-5"],
)
def test_vectors_of_ebu_tech_3341(parts: list[tuple[float, float]], lufs: float) -> None:
    assert measured(tone(*parts)).lufs == pytest.approx(lufs, abs=0.1)


def test_ebu_tech_3341_case_6_weighs_the_channels() -> None:
    # 5.0: left and right -28, centre -24, surrounds -30 dBFS
    x = tone((0, 10), channels=5) * 10 ** (np.array([[-28], [-28], [-24], [-30], [-30]]) / 20)
    assert measured(x).lufs == pytest.approx(-23.0, abs=0.1)
    with_bass = np.insert(x, 3, x[0] * 5, axis=0)  # 5.1: the bass channel does not count
    assert measured(with_bass).lufs == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000, 192000])
def test_the_rate_does_not_matter(rate: int) -> None:
    assert measured(tone((-23, 5), rate=rate), rate).lufs == pytest.approx(-23.0, abs=0.1)


def speech_like(seconds: float, channels: int, seed: int = 0) -> Signal:
    """Noise with the spectrum and the pauses of speech, roughly."""
    rng = np.random.default_rng(seed)
    n = round(48000 * seconds)
    x = lfilter([0.05], [1, -0.95], rng.standard_normal((channels, n)))
    steps = 10 ** (rng.uniform(-40, 0, 1 + n // 9600) / 20)
    return np.asarray(0.3 * x * np.repeat(steps, 9600)[:n])


@pytest.mark.parametrize(
    ("channels", "weights"),
    [
        (1, (1.0,)),
        (2, (1.0, 1.0)),
        (3, (1.0,) * 3),
        (4, (1.0,) * 4),
        (5, (1, 1, 1, 1.41, 1.41)),
        (9, (1.0,) * 9),
    ],
)
def test_it_is_the_standard(channels: int, weights: tuple[float, ...]) -> None:
    x = speech_like(8.05, channels)
    assert measured(x).lufs == pytest.approx(truth(x, weights), abs=0.02)


@pytest.mark.parametrize("channels", [1, 2])
def test_it_is_what_pyloudnorm_finds(channels: int) -> None:
    x = speech_like(10, channels, seed=1)
    other = pyloudnorm.Meter(48000).integrated_loudness(x.T)
    assert measured(x).lufs == pytest.approx(other, abs=0.1)


@given(st.lists(st.integers(1, 30000), min_size=1, max_size=8))
@settings(max_examples=10)
def test_blocks_do_not_matter(sizes: list[int]) -> None:
    x = speech_like(1.0, 2)
    meter, start = Meter(48000, 2), 0
    for size in [*sizes, 48000]:
        meter.push(x[:, start : start + size])
        start += size
    assert meter.finish() == measured(x)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("peak", [0.5, 0.0005])
def test_the_true_peak_lies_between_the_samples(rate: int, peak: float) -> None:
    # a quarter of the rate, sampled at 45 degrees: samples are 3 dB below the peak of the wave
    n = np.arange(rate)
    fade = np.minimum(1, np.minimum(n, n[::-1]) / (rate / 10))
    x = peak * (fade * np.sin(np.pi / 2 * n + np.pi / 4))[None]
    assert np.abs(x).max() == pytest.approx(peak * 0.7071, rel=1e-3)
    # BS.1770-4 with four times as many points: at most 0.7 dB below it
    assert measured(x, rate).true_peak_db == pytest.approx(20 * np.log10(peak), abs=0.2)


def test_the_true_peak_is_never_below_the_samples() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (2, 384000))
    assert measured(x, 384000).true_peak >= np.abs(x).max()


def test_silence_and_very_short_streams_have_no_loudness() -> None:
    assert measured(np.zeros((2, 48000))) == Loudness(None, 0.0)
    assert Loudness(None, 0.0).gain_db(Target(-16)) is None
    assert Meter(48000, 1).finish() == Loudness(None, 0.0)
    short = measured(tone((-20, 0.39)))
    assert short.lufs is None
    assert short.true_peak == pytest.approx(0.1, rel=0.01)
    assert measured(tone((-75, 2))).lufs is None


def test_the_gain_reaches_the_target_or_the_ceiling() -> None:
    loudness = Loudness(-30.0, 10 ** (-12 / 20))
    assert loudness.gain_db(Target(-24)) == pytest.approx(6)
    assert loudness.gain_db(Target(-16)) == pytest.approx(11)  # 14 would be 2 dBTP
    assert loudness.gain_db(Target(-16, -3)) == pytest.approx(9)
    assert loudness.gain_db(Target(-36)) == pytest.approx(-6)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[2, n\]"):
        Meter(48000, 2).push(np.zeros((1, 10)))


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=re.escape(install_hint("media"))) as caught:
        require()
    assert caught.value.code == "missing_extra"
