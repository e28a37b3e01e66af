"""Promise: limits hold bin by bin, linked channels keep their image, an excerpt is as in the whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff import ConfigError, Denoiser
from audiodiff.inference.chunk_denoiser import SuppressionLimits
from audiodiff.inference.engine import Samples
from audiodiff.model.model import Model

Recording = Callable[..., Samples]


def bins(seed: int, channels: int = 2) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    parts = np.random.default_rng(seed).normal(size=(2, channels, 9, 7, 2))
    parts[0, :, :, 0] = 0
    z, r = parts[..., 0] + 1j * parts[..., 1]
    return z, r


@given(
    seed=st.integers(0, 99),
    strength=st.floats(0.01, 1),
    limit_db=st.floats(0, 60),
    linked=st.booleans(),
)
def test_no_bin_falls_further_than_the_limit(
    seed: int, strength: float, limit_db: float, linked: bool
) -> None:
    z, r = bins(seed)
    floor = 10 ** (-limit_db / 20)
    mix = SuppressionLimits(strength, floor, linked)
    out = z - strength * mix.limit(z, r)
    assert (abs(out) >= floor * abs(z) * (1 - 1e-9)).all()
    free = z - strength * SuppressionLimits(strength, 0.0, linked).limit(z, r)
    held = abs(free) < floor * abs(z)
    np.testing.assert_allclose(out[held], floor * z[held], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(out[~held], free[~held], rtol=1e-7, atol=1e-7)


@given(seed=st.integers(0, 99), strength=st.floats(0, 1), channels=st.integers(2, 6))
def test_linked_channels_get_one_gain(seed: int, strength: float, channels: int) -> None:
    z, r = bins(seed, channels)
    out = z - strength * SuppressionLimits(strength, 0.0, True).limit(z, r)
    there = abs(z).sum(axis=0) > 0
    energy = (abs(z - r)[:, there] ** 2).sum(axis=0) / (abs(z)[:, there] ** 2).sum(axis=0)
    gain = 1 - strength + strength * np.sqrt(energy).clip(max=1)
    np.testing.assert_allclose(out[:, there], gain * z[:, there], rtol=1e-7, atol=1e-7)
    assert (out[:, ~there] == 0).all()


def test_one_channel_and_no_limit_change_nothing(toy_model: Model, recording: Recording) -> None:
    mono, stereo = recording(1.0), recording(1.0, channels=2)
    denoiser = Denoiser(toy_model)
    linked = Denoiser(toy_model, channels="linked")
    np.testing.assert_array_equal(linked.denoise(mono[0], 16000), denoiser.denoise(mono[0], 16000))
    same = Denoiser(toy_model, max_reduction_db=math.inf, channels="each", strength=1.0, quality="balanced")
    np.testing.assert_array_equal(same.denoise(stereo.T, 16000), denoiser.denoise(stereo.T, 16000))
    assert not np.array_equal(linked.denoise(stereo.T, 16000), denoiser.denoise(stereo.T, 16000))


@pytest.mark.parametrize("channels", [2, 5])
def test_linked_keeps_the_image_of_a_panned_voice(
    toy_model: Model, recording: Recording, channels: int
) -> None:
    pans = np.linspace(1.0, -0.5, channels, dtype=np.float32)
    x = recording(9.0)[0][:, None] * pans
    y = Denoiser(toy_model, channels="linked").denoise(x, 16000)
    np.testing.assert_allclose(y, y[:, :1] * pans, atol=2e-6)
    assert np.abs(y - x).max() > 0.01


def test_dual_mono_stays_dual_mono(toy_model: Model, recording: Recording) -> None:
    x = np.repeat(recording(1.0).T, 2, axis=1)
    y = Denoiser(toy_model, channels="linked").denoise(x, 16000)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])


def test_where_all_is_held_the_output_is_the_recording_turned_down(
    toy_model: Model, recording: Recording
) -> None:
    x = recording(1.0)[0]
    denoiser = Denoiser(toy_model)
    y = Denoiser(toy_model, max_reduction_db=6.0).denoise(x, 16000)
    free = denoiser.denoise(x, 16000)
    assert np.sum(y**2) > np.sum(free**2)
    z, _ = bins(3)
    np.testing.assert_allclose(z - SuppressionLimits(1.0, 0.5).limit(z, z), 0.5 * z)


@pytest.mark.parametrize(
    ("rate", "start", "stop"), [(16000, 0, 32000), (44100, 450_001, 500_000), (48000, 1_000_000, math.inf)]
)
def test_an_excerpt_is_what_the_whole_gives_there(
    toy_model: Model, recording: Recording, rate: int, start: int, stop: float
) -> None:
    x = recording(26.0, rate)
    denoiser = Denoiser(toy_model)
    blocks = [x[:, i : i + 10_000] for i in range(0, x.shape[1], 10_000)]
    gain = denoiser.gain(blocks, rate)
    whole = np.concatenate(list(denoiser.stream(blocks, rate, gain)), axis=1)
    part = np.concatenate(list(denoiser.stream(blocks, rate, gain, (start, stop))), axis=1)
    wanted = slice(start, None if math.isinf(stop) else int(stop))
    np.testing.assert_allclose(part[:, wanted], whole[:, wanted], atol=1e-7)
    assert part.shape == x.shape
    assert not np.array_equal(part, whole)  # something was spared


def test_presets_are_known_and_wrong_decisions_refused(toy_model: Model) -> None:
    half, best = Denoiser(toy_model, strength=0.5), Denoiser(toy_model, quality="fast")
    assert (half.steps, half.strength) == (2, 0.5)
    assert (best.steps, best.strength) == (1, 1.0)
    assert best.model is half.model
    assert Denoiser(toy_model, steps=7, quality="fast").steps == 7
    for limit_db in (-1.0, math.nan):
        with pytest.raises(ConfigError, match="out of range"):
            Denoiser(toy_model, max_reduction_db=limit_db)
    with pytest.raises(ConfigError, match="out of range"):
        Denoiser(toy_model, strength=2.0)
    with pytest.raises(ConfigError, match="use fast, balanced, best"):
        Denoiser(toy_model, quality="good")  # type: ignore[arg-type]
