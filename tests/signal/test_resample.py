"""Promise: resampling has the exact length, no lag, and one result whatever the sizes of the blocks."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.errors import ShapeError
from audiodiff.signal.resample import StreamResampler, fit_length, resample, resampled_length

RATES = [8000, 16000, 22050, 44100, 48000, 96000]
rates = st.sampled_from(RATES)


def noise(channels: int, n_samples: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((channels, n_samples), dtype=np.float32) * 0.1


@given(rates, rates, st.integers(0, 3000))
@settings(deadline=None)
def test_length_is_exact_and_survives_the_round_trip(rate_in: int, rate_out: int, n_samples: int) -> None:
    length = resampled_length(n_samples, rate_in, rate_out)
    assert length == int(np.ceil(np.float64(n_samples) * rate_out / rate_in - 1e-9))
    y = resample(noise(1, n_samples), rate_in, rate_out)
    assert y.shape == (1, length)
    assert y.dtype == np.float32
    assert resampled_length(length, rate_out, rate_in) >= n_samples
    assert resample(y, rate_out, rate_in, n_out=n_samples).shape == (1, n_samples)


@given(rates, rates, st.lists(st.integers(0, 700), min_size=1, max_size=12), st.integers(1, 3))
@settings(deadline=None)
def test_chunks_equal_one_shot_bit_for_bit(
    rate_in: int, rate_out: int, sizes: list[int], channels: int
) -> None:
    x = noise(channels, sum(sizes))
    stream = StreamResampler(rate_in, rate_out, channels)
    edges = itertools.pairwise([0, *itertools.accumulate(sizes)])
    pieces = [stream.push(x[:, a:b]) for a, b in edges] + [stream.flush()]
    assert np.array_equal(np.concatenate(pieces, axis=1), resample(x, rate_in, rate_out))


def test_long_odd_chunks_equal_one_shot_bit_for_bit() -> None:
    x = noise(2, 300_001)
    stream = StreamResampler(44100, 48000, 2)
    pieces = [stream.push(x[:, i : i + 70_003]) for i in range(0, 300_001, 70_003)]
    assert np.array_equal(np.concatenate([*pieces, stream.flush()], axis=1), resample(x, 44100, 48000))


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(48000, 16000), (16000, 48000), (44100, 48000), (96000, 22050)]
)
def test_tone_and_chirp_come_out_without_lag(rate_in: int, rate_out: int) -> None:
    def scene(rate: int) -> npt.NDArray[np.float32]:
        t = np.arange(rate // 2) / rate
        window = np.sin(2 * np.pi * t) ** 2
        chirp = np.sin(2 * np.pi * (300 * t + 4000 * t**2))
        return np.stack([window * np.sin(2 * np.pi * 1234.5 * t + 0.4), window * chirp]).astype(np.float32)

    y = resample(scene(rate_in), rate_in, rate_out)
    truth = scene(rate_out)
    middle = slice(50, min(y.shape[1], truth.shape[1]) - 50)
    assert np.abs(y[:, middle] - truth[:, middle]).max() < 2e-4
    for ours, theirs in zip(y, truth, strict=True):
        n = min(ours.size, theirs.size)
        product = np.fft.rfft(ours[:n]) * np.fft.rfft(theirs[:n]).conj()
        assert np.fft.irfft(product).argmax() == 0


def test_tone_above_the_new_band_vanishes() -> None:
    tone = np.sin(2 * np.pi * 9500 * np.arange(48000) / 48000, dtype=np.float64).astype(np.float32)[None]
    assert np.abs(resample(tone, 48000, 16000)[:, 1500:-1500]).max() < 1e-5


@pytest.mark.parametrize("rate", [16000, 22050, 32000, 44100])
def test_there_and_back_keeps_the_band_up_to_its_last_fiftieth(rate: int) -> None:
    x = noise(1, 2 * rate)
    error = x - resample(resample(x, rate, 48000), 48000, rate, n_out=x.shape[1])
    middle = slice(rate // 4, -(rate // 4))
    share = np.fft.rfftfreq(x[0, middle].size) * 2
    of_error, of_x = (
        np.abs(np.fft.rfft(part[0, middle] * np.hanning(x[0, middle].size))) ** 2 for part in (error, x)
    )
    for low, high in ((0.01, 0.9), (0.9, 0.95), (0.95, 0.98)):
        band = (share >= low) & (share < high)
        assert 10 * np.log10(of_error[band].sum() / of_x[band].sum()) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), list(itertools.permutations([8000, 44100, 384000], 2)))
def test_one_sample_in(rate_in: int, rate_out: int) -> None:
    y = resample(np.ones((1, 1), dtype=np.float32), rate_in, rate_out)
    assert y.shape == (1, resampled_length(1, rate_in, rate_out))
    assert np.isfinite(y).all()
    assert y[0, 0] > 0


def test_constant_stays_constant_to_the_end() -> None:
    y = resample(np.ones((1, 4800), dtype=np.float32), 48000, 16000)
    assert np.abs(y[0, 700:-700] - 1).max() < 1e-4
    assert y[0, -1] > 0.3


def test_equal_rates_pass_the_samples_through() -> None:
    x = noise(2, 777)
    assert np.array_equal(resample(x, 16000, 16000), x)


def test_fit_length_cuts_and_fills() -> None:
    x = noise(2, 5)
    assert np.array_equal(fit_length(x, 3), x[:, :3])
    assert np.array_equal(fit_length(x, 8), np.pad(x, ((0, 0), (0, 3))))
    assert fit_length(x, 5) is x or np.array_equal(fit_length(x, 5), x)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError):
        resample(np.zeros(10, dtype=np.float32), 8000, 16000)
    with pytest.raises(ShapeError):
        StreamResampler(8000, 16000, 2).push(np.zeros((1, 10), dtype=np.float32))
