"""Promise: what is pushed block by block comes out as a file would, within the latency that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff import Denoiser
from audiodiff.errors import AudioFileError, ConfigError, ShapeError
from audiodiff.inference.chunk_denoiser import CORE_S
from audiodiff.inference.engine import Samples
from audiodiff.inference.live import LiveDenoiser
from audiodiff.model.model import Model

Recording = Callable[..., Samples]
BLOCK_S = 0.1
HOP, N_FFT = 64, 128  # of the toy


def pieces(x: npt.NDArray[Any], sizes: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
    start = 0
    for size in [*sizes, x.shape[1]]:
        yield x[:, start : start + size]
        start += size


def pushed(live: LiveDenoiser, x: npt.NDArray[Any], sizes: Sequence[int] = ()) -> npt.NDArray[Any]:
    return np.concatenate([*map(live.push, pieces(x, sizes)), live.flush()], axis=1)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_gives_what_a_file_gives(toy_model: Model, recording: Recording, rate: int, dtype: str) -> None:
    denoiser = Denoiser(toy_model)
    x = recording(9.0, rate, channels=2).astype(dtype)  # two chunks
    gain = denoiser.gain([x.astype(np.float32)], rate)
    filed = np.concatenate(list(denoiser.stream([x], rate, gain)), axis=1)
    live = denoiser.live(rate, 2, gain, CORE_S)
    found = pushed(live, x, [1000] * 20)
    assert found.dtype == dtype
    assert (found != x).any()
    np.testing.assert_array_equal(found, filed)


@settings(max_examples=10)
@given(
    st.lists(st.integers(0, 9000), max_size=8),
    st.sampled_from([8000, 16000, 22050]),
    st.sampled_from([None, 2.0]),
)
def test_push_sizes_do_not_change_a_bit(
    toy_model: Model, recording: Recording, sizes: list[int], rate: int, gain: float | None
) -> None:
    denoiser = Denoiser(toy_model, steps=1)
    x = recording(0.8, rate)
    once = pushed(denoiser.live(rate, gain=gain, block_s=BLOCK_S), x)
    assert once.shape == x.shape
    np.testing.assert_array_equal(pushed(denoiser.live(rate, gain=gain, block_s=BLOCK_S), x, sizes), once)


@settings(max_examples=10)
@given(st.integers(50, 3000), st.sampled_from([4000, 16000, 22050, 44100]))
def test_no_more_is_held_back_than_is_told(toy_model: Model, size: int, rate: int) -> None:
    live = Denoiser(toy_model, steps=1).live(rate, gain=1.0, block_s=BLOCK_S)
    n_in = n_out = most = 0
    while n_in < 2 * live.latency:
        n_in += size
        n_out += live.push(np.zeros((1, size), dtype=np.float32)).shape[1]
        most = max(most, n_in - n_out)
    assert most <= live.latency
    assert live.latency_s == live.latency / rate
    if rate == 16000:
        assert most > live.latency - size - HOP  # and not much less


@pytest.mark.parametrize(("steps", "reach"), [(1, 3), (2, 4)])
def test_the_latency_is_the_block_and_what_the_model_looks_ahead(
    toy_model: Model, steps: int, reach: int
) -> None:
    denoiser = Denoiser(toy_model, steps=steps)
    half = N_FFT // (2 * HOP)
    ahead = reach + 2 * half - 1  # frames: the network, and a window on its way in and out
    for frames in (3, 25, 125):
        live = denoiser.live(16000, block_s=frames * HOP / 16000)
        assert live.latency == (frames + ahead) * HOP
    slow = denoiser.live(8000, block_s=25 * HOP / 16000)
    assert slow.latency > (25 + ahead) * HOP // 2  # resampling holds back too


def test_shorter_blocks_change_nothing_but_roundings(toy_model: Model, recording: Recording) -> None:
    denoiser = Denoiser(toy_model, steps=1)
    x = recording(2.0)
    long = pushed(denoiser.live(16000, gain=2.0, block_s=8.0), x)
    np.testing.assert_allclose(pushed(denoiser.live(16000, gain=2.0, block_s=0.05), x), long, atol=1e-5)


def test_a_short_signal_is_measured_as_a_file_is(toy_model: Model, recording: Recording) -> None:
    denoiser = Denoiser(toy_model)
    x = recording(1.0, channels=2)
    np.testing.assert_array_equal(
        pushed(denoiser.live(16000, 2, block_s=8.0), x), denoiser.denoise(x.T, 16000).T
    )


def test_the_level_is_that_of_what_was_heard(toy_model: Model, recording: Recording) -> None:
    # What comes later changes nothing that is out; from there on, the level of the whole decides.
    denoiser = Denoiser(toy_model, steps=1)
    x = recording(2.0)
    ends = [0.1 * x, x, 3 * x]
    live = denoiser.live(16000, block_s=BLOCK_S)
    final = x.shape[1] - live.latency
    found = [pushed(denoiser.live(16000, block_s=BLOCK_S), np.concatenate([x, end], axis=1)) for end in ends]
    for other in found[1:]:
        np.testing.assert_array_equal(other[:, :final], found[0][:, :final])
    loud = pushed(denoiser.live(16000, block_s=BLOCK_S), 4 * x)
    np.testing.assert_allclose(loud, 4 * pushed(denoiser.live(16000, block_s=BLOCK_S), x), atol=1e-5)


def test_silence_stays_silence_until_something_sounds(toy_model: Model, recording: Recording) -> None:
    denoiser = Denoiser(toy_model, steps=1)
    x = np.concatenate([np.zeros((1, 16000), dtype=np.float32), recording(1.0)], axis=1)
    found = pushed(denoiser.live(16000, block_s=BLOCK_S), x, [500] * 10)
    assert not found[:, : 16000 - 2 * N_FFT].any()
    assert (found[:, 16000:] != x[:, 16000:]).any()


def test_nothing_in_nothing_out(toy_model: Model) -> None:
    live = Denoiser(toy_model).live(44100, 2)
    assert live.push(np.zeros((2, 0), dtype=np.float64)).dtype == np.float64
    assert live.flush().shape == (2, 0)
    assert live.flush().shape == (2, 0)
    with pytest.raises(ConfigError, match="flush"):
        live.push(np.zeros((2, 1), dtype=np.float32))


def test_the_callers_buffer_may_be_used_again(toy_model: Model, recording: Recording) -> None:
    denoiser = Denoiser(toy_model, steps=1)
    for rate in (8000, 16000):
        x = recording(1.0, rate)
        live, buffer, out = denoiser.live(rate, gain=1.0, block_s=BLOCK_S), np.empty((1, 100), np.float32), []
        for start in range(0, rate, 100):
            buffer[:] = x[:, start : start + 100]
            out.append(live.push(buffer))
        found = np.concatenate([*out, live.flush()], axis=1)
        np.testing.assert_array_equal(found, pushed(denoiser.live(rate, gain=1.0, block_s=BLOCK_S), x))


def test_strength_0_changes_nothing(toy_model: Model, recording: Recording) -> None:
    x = recording(1.0)
    np.testing.assert_array_equal(pushed(Denoiser(toy_model, strength=0.0).live(16000), x), x)


def test_what_no_signal_is_is_refused(toy_model: Model) -> None:
    live = Denoiser(toy_model).live(16000, 2)
    for block in (np.zeros((1, 5)), np.zeros((5, 2)), np.zeros(5)):
        with pytest.raises(ShapeError, match="transpose"):
            live.push(block)
    live.push(np.zeros((2, 30)))
    with pytest.raises(AudioFileError, match="sample 31 ") as caught:
        live.push(np.array([[0.0, np.nan], [0.0, 0.0]]))
    assert caught.value.code == "nonfinite"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 0},
        {"channels": 0},
        {"channels": 33},
        {"gain": 0.0},
        {"gain": float("nan")},
        {"block_s": 0.0},
        {"block_s": 61.0},
    ],
)
def test_arguments_out_of_range_are_refused(toy_model: Model, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Denoiser(toy_model).live(**{"sample_rate": 16000} | wrong)
