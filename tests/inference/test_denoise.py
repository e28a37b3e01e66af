"""Promise: the denoiser keeps length, level and type, and gives the same whole, chunked or streamed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from audiodiff import Denoiser
from audiodiff.errors import AudioFileError, ConfigError, ModelError, ShapeError
from audiodiff.inference.arguments import Channels, Quality
from audiodiff.inference.chunk_denoiser import ChunkDenoiser
from audiodiff.inference.chunks import Chunk
from audiodiff.inference.device import autocast_dtype, pick_device
from audiodiff.inference.engine import Engine, Samples
from audiodiff.inference.torch_evaluator import TorchEvaluator
from audiodiff.model.config import ModelConfig, Presets, SamplerPreset
from audiodiff.model.model import Model, assemble
from audiodiff.signal.resample import resampled_length
from tests.builders import WAVEFORM_NET, WAVEFORM_UNET, spectral_model, waveform_denoiser
from tests.errors import refused

Recording = Callable[..., Samples]
CPU = torch.device("cpu")


def evaluator(model: Model) -> TorchEvaluator:
    return TorchEvaluator(model.net, CPU)


def blocks_of(x: npt.NDArray[Any], sizes: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
    start = 0
    for size in [*sizes, x.shape[1]]:
        yield x[:, start : start + size]
        start += size


def stream(denoiser: Denoiser, x: npt.NDArray[Any], rate: int, sizes: Sequence[int] = ()) -> Samples:
    gain = denoiser.gain([x], rate)
    return np.concatenate(list(denoiser.stream(blocks_of(x, sizes), rate, gain)), axis=1)


def with_preset(model: Model, preset: SamplerPreset) -> Model:
    presets = Presets(fast=preset, balanced=preset, best=preset)
    return assemble(model.config.model_copy(update={"presets": presets}), model.net)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("seconds", [0.0004, 0.1, 1.0])
def test_length_type_and_shape_stay(
    toy_model: Model, recording: Recording, rate: int, seconds: float
) -> None:
    denoiser = Denoiser(toy_model)
    stereo = recording(seconds, rate, channels=2).T
    for audio in (stereo, stereo[:, 0], stereo.astype(np.float64), stereo.astype(np.float16)):
        result = denoiser.denoise(audio, rate)
        assert result.shape == audio.shape
        assert result.dtype == audio.dtype
        assert np.isfinite(result).all()
    tensor = torch.from_numpy(stereo)
    assert torch.equal(denoiser.denoise(tensor, rate), torch.from_numpy(denoiser.denoise(stereo, rate)))


def test_it_changes_a_noisy_recording(toy_model: Model, recording: Recording) -> None:
    x = recording()[0]
    removed = x - Denoiser(toy_model).denoise(x, 16000)
    assert np.sqrt(np.mean(removed**2)) > 0.05 * np.sqrt(np.mean(x**2))


@settings(max_examples=15)
@given(st.lists(st.integers(0, 30_000), max_size=6), st.sampled_from([16000, 44100]))
def test_push_sizes_do_not_change_a_bit(
    toy_model: Model, recording: Recording, sizes: list[int], rate: int
) -> None:
    denoiser = Denoiser(toy_model, steps=1)
    x = recording(1.5, rate, channels=2)
    once = stream(denoiser, x, rate)
    assert once.shape == x.shape
    np.testing.assert_array_equal(stream(denoiser, x, rate, sizes), once)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "heun"])
@pytest.mark.parametrize("process", [{"kind": "brownian", "rho": 0.5}, {"kind": "ouve"}])
def test_chunks_equal_the_whole(
    toy_model: Model, recording: Recording, sampler: Any, process: dict[str, Any]
) -> None:
    config = toy_model.config.model_copy(update={"process": process})
    preset = SamplerPreset(steps=3, sampler=sampler, eta=0.7 if sampler == "ddim" else 0.0)
    model = assemble(config, toy_model.net)
    worker = ChunkDenoiser(model, preset, seed=3, evaluator=evaluator(model))
    x = recording(2.03, 16000, channels=2)

    def run(core_s: float) -> Samples:
        engine = Engine(worker.plan(core_s), 2, lambda audio, chunk: worker.residual(audio, chunk, 1.5))
        return np.concatenate([engine.push(x), engine.flush()], axis=1)

    whole = run(60.0)
    for core_s in (0.1, 0.33):
        np.testing.assert_allclose(run(core_s), whole, atol=1e-5)


@pytest.mark.parametrize("network", [WAVEFORM_NET, WAVEFORM_UNET], ids=["wavenet", "unet1d"])
@pytest.mark.parametrize("process", [{"kind": "brownian", "rho": 0.5}, {"kind": "ouve"}])
def test_a_network_of_waveforms_fits_through_the_same_door(
    recording: Recording, network: dict[str, Any], process: dict[str, Any]
) -> None:
    model = waveform_denoiser(network, process=process)
    x = recording(1.03, 16000, channels=2)

    def run(core_s: float) -> Samples:
        worker = ChunkDenoiser(model, model.config.presets.best, seed=3, evaluator=evaluator(model))
        engine = Engine(worker.plan(core_s), 2, lambda audio, chunk: worker.residual(audio, chunk, 1.5))
        return np.concatenate([engine.push(x), engine.flush()], axis=1)

    whole = run(60.0)
    assert np.abs(whole).max() > 0.01
    np.testing.assert_allclose(run(0.1), whole, atol=2e-5)
    denoised = Denoiser(model).denoise(x.T, 16000)
    assert denoised.shape == x.T.shape
    np.testing.assert_array_equal(Denoiser(model, strength=0.0).denoise(x.T, 16000), x.T)


def test_noise_is_a_function_of_the_absolute_frame(toy_model: Model) -> None:
    like = np.zeros((2, 65, 40, 2), dtype=np.float32)

    def _noise(seed: int, draw: int, like: Samples, first_frame: int) -> Samples:
        place = Chunk(first_frame, like.shape[2], 0, 0, 0, 0)
        return toy_model.representation.noise(seed, draw, like, place)

    whole = _noise(1, 2, like, 100)
    part = _noise(1, 2, like[:, :, :7], 120)
    assert np.array_equal(part, whole[:, :, 20:27])
    assert np.array_equal(whole[0], whole[1])
    # complex noise of total variance 1; 5200 values: the standard error of the variance is about 1 %
    assert (whole[0] ** 2).sum(-1).mean() == pytest.approx(1.0, abs=0.1)
    for other in (_noise(2, 2, like, 100), _noise(1, 3, like, 100)):
        assert not np.array_equal(other, whole)


def test_the_seed_decides(toy_model: Model, recording: Recording) -> None:
    x = recording()[0]
    first, again, other = (Denoiser(toy_model, seed=seed).denoise(x, 16000) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_silence_stays_silence_without_the_model(toy_config: ModelConfig, rate: int) -> None:
    class Broken(nn.Module):
        reach_encode, reach_step = toy_config.reach_encode, toy_config.reach_step

        def encode(self, cond: torch.Tensor) -> tuple[torch.Tensor, ...]:
            raise AssertionError(f"the model was called with {cond.shape}")

    denoiser = Denoiser(assemble(toy_config, Broken()))
    silence = np.zeros((3000, 2), dtype=np.float32)
    np.testing.assert_array_equal(denoiser.denoise(silence, rate), silence)


@pytest.mark.parametrize("gain_db", [-20.0, 20.0])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_gain_goes_through(toy_model: Model, recording: Recording, gain_db: float, rate: int) -> None:
    denoiser = Denoiser(toy_model)
    x = recording(rate=rate)[0]
    gain = 10 ** (gain_db / 20)
    plain = denoiser.denoise(x, rate)
    loud = denoiser.denoise((gain * x).astype(np.float32), rate)
    assert np.abs(loud / gain - plain).max() < 1e-3 * np.abs(plain).max()


def test_strength_mixes(toy_model: Model, recording: Recording) -> None:
    x = recording(channels=2).T
    full = Denoiser(toy_model).denoise(x, 16000)
    half = Denoiser(toy_model, strength=0.5).denoise(x, 16000)
    np.testing.assert_allclose(half, 0.5 * (x + full), atol=1e-6)
    nothing = Denoiser(toy_model, strength=0)
    np.testing.assert_array_equal(nothing.denoise(x, 44100), x)
    wide = np.random.default_rng(0).standard_normal((1, 5000))
    np.testing.assert_array_equal(stream(nothing, wide, 16000, [7, 900]), wide)


def test_bands_above_the_model_pass(toy_model: Model, recording: Recording) -> None:
    # 48 kHz file, model up to 8 kHz: all that goes away lies below, save for the resampler's stop band.
    x = recording(rate=48000)[0].astype(np.float64)
    removed = x - Denoiser(toy_model).denoise(x, 48000)
    window = np.hanning(len(x))
    spectrum = np.abs(np.fft.rfft(removed * window))
    frequency = np.fft.rfftfreq(len(x), 1 / 48000)
    assert spectrum[frequency > 8100].max() < 1e-5 * spectrum.max()
    assert np.abs(removed).max() > 0.01


def test_equal_channels_are_one(toy_model: Model, recording: Recording) -> None:
    mono = recording()
    calls: list[int] = []

    class Counting(nn.Module):
        reach_encode, reach_step = toy_model.net.reach_encode, toy_model.net.reach_step

        def encode(self, cond: torch.Tensor) -> tuple[torch.Tensor, ...]:
            calls.append(len(cond))
            return toy_model.net.encode(cond)

        def forward(self, x_t: torch.Tensor, t: torch.Tensor, h: tuple[torch.Tensor, ...]) -> torch.Tensor:
            return toy_model.net(x_t, t, h)

    denoiser = Denoiser(assemble(toy_model.config, Counting()))
    dual = denoiser.denoise(np.repeat(mono, 6, axis=0).T, 16000)
    assert calls == [1]
    for channel in dual.T:
        np.testing.assert_array_equal(channel, dual[:, 0])
    np.testing.assert_array_equal(dual[:, 0], denoiser.denoise(mono[0], 16000))


def test_channels_share_noise_and_gain_but_nothing_else(toy_model: Model, recording: Recording) -> None:
    x = recording(channels=3)
    denoiser = Denoiser(toy_model)
    together = np.concatenate(list(denoiser.stream([x], 16000, 2.0)), axis=1)
    for channel in range(3):
        alone = np.concatenate(list(denoiser.stream([x[channel : channel + 1]], 16000, 2.0)), axis=1)
        np.testing.assert_allclose(together[channel], alone[0], atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("quality", ["fast", "balanced", "best"])
@pytest.mark.parametrize("channels", ["each", "linked"])
def test_a_dead_channel_stays_dead_and_changes_nothing(
    recording: Recording, rate: int, quality: Quality, channels: Channels
) -> None:
    denoiser = Denoiser(spectral_model(), quality=quality, channels=channels)
    one = recording(0.4, rate)
    alone = stream(denoiser, one, rate)
    assert (alone != one).any()
    for dead in (0, 1):
        cleaned = stream(denoiser, np.insert(one, dead, 0, axis=0), rate, [1000])
        assert not cleaned[dead].any()
        np.testing.assert_array_equal(cleaned[1 - dead], alone[0])


def test_memory_is_flat_in_the_length(toy_model: Model, recording: Recording) -> None:
    denoiser = Denoiser(toy_model, steps=1)
    block = recording(1.0, 16000)

    def peak(n_blocks: int) -> int:
        tracemalloc.start()
        for _ in denoiser.stream((block for _ in range(n_blocks)), 16000, 1.0):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(20)
    assert peak(120) < 1.1 * peak(30)


def test_a_double_recording_keeps_its_digits(toy_model: Model, recording: Recording) -> None:
    # What float32 would round away (here an offset of 1e-9) is still in a float64 recording's result.
    x = recording()[0].astype(np.float64)
    shifted = x + 1e-9
    denoiser = Denoiser(toy_model)
    difference = denoiser.denoise(shifted, 16000) - denoiser.denoise(x, 16000)
    assert np.median(difference) == pytest.approx(1e-9, rel=0.1)


@pytest.mark.parametrize(
    ("audio", "line"),
    [
        (np.zeros((2, 48000), dtype=np.float32), "transpose"),
        (np.zeros((0,), dtype=np.float32), "at least one sample"),
        (np.zeros((5, 0), dtype=np.float32), "at least one sample"),
        (np.zeros((2, 3, 4), dtype=np.float32), r"\(T,\) or \(T, C\)"),
        (np.zeros(100, dtype=np.int16), "floating point"),
    ],
)
def test_wrong_arrays_are_refused(toy_model: Model, audio: npt.NDArray[Any], line: str) -> None:
    with pytest.raises(ShapeError, match=line):
        Denoiser(toy_model).denoise(audio, 16000)


def test_samples_that_are_not_finite_are_refused(toy_model: Model, recording: Recording) -> None:
    x = recording()[0]
    x[1234] = np.inf
    with refused(AudioFileError, "nonfinite", "sample 1234 "):
        Denoiser(toy_model).denoise(x, 16000)
    with refused(AudioFileError, "nonfinite", "sample 1234 "):
        list(Denoiser(toy_model).stream(blocks_of(x[None], [1000]), 16000, 1.0))
    with pytest.raises(ShapeError, match="transpose"):
        list(Denoiser(toy_model).stream([np.zeros((100, 2), dtype=np.float32)], 16000, 1.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"strength": 1.5},
        {"strength": float("nan")},
        {"seed": -1},
        {"threads": 0},
        {"device": "tpu"},
    ],
)
def test_options_out_of_range_are_refused(toy_model: Model, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(wrong)))):
        Denoiser(toy_model, **wrong)


def test_a_model_that_fails_is_told(toy_config: ModelConfig, toy_model: Model, recording: Recording) -> None:
    class Failing(nn.Module):
        reach_encode, reach_step = toy_config.reach_encode, toy_config.reach_step

        def encode(self, cond: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (cond,)

        def forward(self, x_t: torch.Tensor, t: torch.Tensor, h: tuple[torch.Tensor, ...]) -> torch.Tensor:
            return (x_t + h[0]) / (0.0 * t[0])

    with pytest.raises(ModelError, match="NaN or infinity near"):
        Denoiser(assemble(toy_config, Failing())).denoise(recording()[0], 16000)


def test_steps_come_from_the_model_or_the_caller(toy_model: Model) -> None:
    assert Denoiser(toy_model).steps == 2
    assert Denoiser(toy_model, steps=5).steps == 5


def test_the_preset_is_what_runs(toy_model: Model, recording: Recording) -> None:
    # eta and start noise of the preset reach the sampler: each changes the result.
    x = recording()[0]
    variants = [
        SamplerPreset(steps=3),
        SamplerPreset(steps=3, eta=1.0),
        SamplerPreset(steps=3, start_noise=0.0),
        SamplerPreset(steps=3, sampler="heun"),
        SamplerPreset(steps=4),
    ]
    results = [Denoiser(with_preset(toy_model, preset)).denoise(x, 16000) for preset in variants]
    for i, left in enumerate(results):
        assert all(not np.array_equal(left, right) for right in results[i + 1 :])


def test_threads_are_put_back(toy_model: Model, recording: Recording) -> None:
    before = torch.get_num_threads()
    Denoiser(toy_model, threads=before + 1).denoise(recording()[0], 16000)
    assert torch.get_num_threads() == before


def test_bfloat16_stays_close(toy_model: Model, recording: Recording) -> None:
    # 8 bits of mantissa: a relative error of 2^-9 in each product, a few of them in a row
    x = recording()[0]
    full = Denoiser(toy_model).denoise(x, 16000)
    half = Denoiser(toy_model, precision="bfloat16").denoise(x, 16000)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.03 * np.abs(full).max()


def test_precision_is_detected() -> None:
    assert autocast_dtype("float32", CPU) is None
    assert autocast_dtype("bfloat16", CPU) is torch.bfloat16
    assert autocast_dtype("auto", CPU) in (None, torch.bfloat16)
    assert pick_device("cpu") == CPU
    with pytest.raises(ConfigError, match="not on this machine"):
        pick_device("cuda:99")


@given(st.integers(1, 10**7), st.integers(4000, 384000), st.integers(4000, 384000))
def test_there_and_back_is_never_too_short(n: int, rate: int, model_rate: int) -> None:
    assert resampled_length(resampled_length(n, rate, model_rate), model_rate, rate) >= n
