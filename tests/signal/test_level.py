"""Promise: the level is that of the speech without pauses, equal for every chunking, and follows a gain."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.errors import ShapeError
from audiodiff.signal.level import LevelMeter, mix_to_mono, mono_mix

RATE = 16000


def tone(seconds: float, amplitude: float, hz: float = 500.0) -> npt.NDArray[np.float32]:
    t = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None]


def level(x: npt.NDArray[np.float32], rate: int = RATE) -> float | None:
    meter = LevelMeter(rate)
    meter.push(x)
    return meter.active_db()


def bursts(seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    envelope = np.repeat(10 ** (rng.uniform(-50, -10, 60) / 20), 1234)
    return (envelope * rng.standard_normal(envelope.size)).astype(np.float32)[None]


def test_tone_has_its_power() -> None:
    assert level(tone(2, 0.1)) == pytest.approx(20 * np.log10(0.1) - 3.0103, abs=1e-3)


@pytest.mark.parametrize("pause_s", [0.4, 4.0])
def test_pauses_do_not_count(pause_s: float) -> None:
    pause = np.random.default_rng(0).standard_normal((1, int(pause_s * RATE))).astype(np.float32) * 1e-3
    with_pauses = np.concatenate([tone(1, 0.1), pause, tone(1, 0.1), pause], axis=1)
    assert level(with_pauses) == pytest.approx(20 * np.log10(0.1) - 3.0103, abs=0.01)


def test_silence_has_no_level() -> None:
    assert level(np.zeros((2, RATE), dtype=np.float32)) is None
    assert level(np.full((1, RATE), 0.2, dtype=np.float32)) is None
    assert level(tone(1, 10 ** (-68 / 20))) is None
    assert level(np.zeros((1, 0), dtype=np.float32)) is None
    assert LevelMeter(RATE).active_db() is None


def test_channels_count_by_their_mean_power() -> None:
    one = tone(1, 0.1)
    assert level(np.concatenate([one, one])) == pytest.approx(level(one))
    half = level(np.concatenate([one, 1e-3 * one]))
    assert half is not None
    assert half == pytest.approx((level(one) or 0) - 10 * np.log10(2), abs=1e-4)


@pytest.mark.parametrize("n", [RATE // 100, RATE])
def test_a_dead_channel_does_not_count(n: int) -> None:
    one = tone(1, 0.1)[:, :n]
    for dead in (0, 1, 3):
        assert level(np.insert(one, [0] * dead, 0, axis=0)) == level(one)


@given(st.integers(0, 20), st.floats(-20, 15))
@settings(deadline=None, max_examples=30)
def test_gain_moves_the_level_by_the_gain(seed: int, gain_db: float) -> None:
    x = bursts(seed)
    base, moved = level(x), level((x * 10 ** (gain_db / 20)).astype(np.float32))
    assert base is not None
    assert moved == pytest.approx(base + gain_db, abs=1e-4)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12))
@settings(deadline=None)
def test_chunks_do_not_matter(sizes: list[int]) -> None:
    x = np.repeat(bursts()[:, : sum(sizes)], 2, axis=0)
    meter = LevelMeter(RATE)
    for a, b in itertools.pairwise([0, *itertools.accumulate(sizes)]):
        meter.push(x[:, a:b])
    assert meter.active_db() == level(x)


def test_shorter_than_a_block() -> None:
    assert level(tone(0.02, 0.5)) == pytest.approx(20 * np.log10(0.5) - 3.0103, abs=0.01)
    assert level(np.ones((1, 1), dtype=np.float32)) is None


@pytest.mark.parametrize("rate", [8000, 44100, 384000])
def test_rate_does_not_matter(rate: int) -> None:
    t = np.arange(rate) / rate
    x = (0.1 * np.sin(2 * np.pi * 500 * t)).astype(np.float32)[None]
    assert level(x, rate) == pytest.approx(20 * np.log10(0.1) - 3.0103, abs=1e-3)


def test_wrong_shapes_are_refused() -> None:
    meter = LevelMeter(RATE)
    with pytest.raises(ShapeError):
        meter.push(np.zeros(10, dtype=np.float32))
    meter.push(np.zeros((2, 10), dtype=np.float32))
    with pytest.raises(ShapeError):
        meter.push(np.zeros((1, 10), dtype=np.float32))


@given(st.integers(0, 20), st.floats(-1.0, 1.0), st.lists(st.integers(0, 5000), max_size=4))
@settings(deadline=None, max_examples=40)
def test_channels_that_cancel_are_not_averaged(seed: int, share: float, sizes: list[int]) -> None:
    one = bursts(seed)
    x = np.concatenate([share * one, one]).astype(np.float32)
    edges = [0, *itertools.accumulate(sizes), x.shape[1]]
    mix = mono_mix(x[:, a:b] for a, b in itertools.pairwise(edges))
    loss_db = 20 * np.log10(max(abs(1 + share) / 2, 1e-9))
    if abs(loss_db + 10) > 1e-3:
        assert mix.channel == (1 if loss_db < -10 else None)
    assert bool(mix.note) == (mix.channel is not None)
    expected = x[1:] if mix.channel else mix_to_mono(x)
    np.testing.assert_array_equal(mix.apply(x), expected)


def test_what_has_no_loudest_channel_is_averaged() -> None:
    for x in (np.zeros((2, 100)), np.zeros((2, 0)), np.ones((1, 100))):
        assert mono_mix([x.astype(np.float32)]).channel is None
    assert mono_mix([]).channel is None
    dead = np.concatenate([np.zeros((1, RATE), np.float32), tone(1, 0.1)])
    assert mono_mix([dead]).channel is None  # 6 dB less: half of a voice is no cancellation
