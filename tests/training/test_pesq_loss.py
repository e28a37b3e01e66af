"""Promise: the perceptual distance orders recordings as PESQ does, and its gradient is finite."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch

from audiodiff.training.pesq_loss import PerceptualDistance

pytestmark = pytest.mark.slow

RATE = 16000


def voice(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Syllables of a gliding harmonic tone with two moving formants: enough of speech for PESQ."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    pitch = 120 * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = np.zeros_like(t)
    for k in range(1, 40):
        formants = np.exp(-(((pitch * k - 600 - 200 * np.sin(5 * t)) / 250) ** 2))
        formants += 0.5 * np.exp(-(((pitch * k - 1800 - 400 * np.cos(4 * t)) / 350) ** 2))
        wave += (formants + 0.02) * np.sin(k * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * t + rng.uniform(0, 6)), 0, 1) ** 0.5
    return np.asarray(0.05 * wave * syllables, dtype=np.float32)


def noisy(wave: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(len(wave))
    noise = np.convolve(noise, np.ones(1 + seed % 5) / 3, "same")
    return np.asarray(wave + noise * wave.std() / noise.std() * 10 ** (-snr_db / 20), dtype=np.float32)


def distance(estimate: np.ndarray, truth: np.ndarray, rate: int = RATE) -> float:
    return PerceptualDistance(rate)(torch.tensor(estimate)[None], torch.tensor(truth)[None]).item()


def test_equal_signals_are_at_no_distance() -> None:
    wave = voice(2.0, 1)
    assert distance(wave, wave) < 1e-2  # the floors under two roots


def test_level_does_not_count() -> None:
    wave = voice(2.0, 2)
    degraded = noisy(wave, 10, 3)
    assert distance(0.1 * degraded, wave) == pytest.approx(distance(degraded, wave), rel=1e-4)


def test_more_noise_is_farther() -> None:
    wave = voice(2.0, 3)
    distances = [distance(noisy(wave, snr, 4), wave) for snr in (40, 30, 20, 10, 0)]
    assert distances == sorted(distances)


def test_sample_rate_does_not_count() -> None:
    wave = voice(2.0, 4)
    degraded = noisy(wave, 10, 5)
    high = [soxr.resample(x, RATE, 3 * RATE, quality="VHQ") for x in (degraded, wave)]
    # the steep filter of the resampler takes the last of 49 bands
    assert distance(high[0], high[1], 3 * RATE) == pytest.approx(distance(degraded, wave), rel=0.03)


def test_orders_recordings_as_pesq_does() -> None:
    pesq = pytest.importorskip("pesq").pesq
    scores, distances = [], []
    for seed in range(12):
        wave = voice(4.0, seed)
        degraded = noisy(wave, 30 - 3 * seed, seed)
        if seed % 3 == 0:  # gaps as a gate makes them
            degraded = degraded * (np.sin(np.arange(len(wave)) / 900 + seed) > -0.8)
        scores.append(pesq(RATE, wave, degraded.astype(np.float32), "wb"))
        distances.append(distance(degraded.astype(np.float32), wave))
    ranks = [np.argsort(np.argsort(values)) for values in (scores, distances)]
    assert np.corrcoef(ranks[0], ranks[1])[0, 1] < -0.9


def test_gradient_is_finite_on_silence() -> None:
    truth = torch.tensor(np.stack([voice(1.0, 6), np.zeros(RATE, np.float32), voice(1.0, 7)]))
    estimate = torch.zeros_like(truth)
    estimate[1] = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    estimate[2] = truth[2] + 0.01 * torch.randn(RATE, generator=torch.Generator().manual_seed(1))
    estimate.requires_grad_(True)
    values = PerceptualDistance(RATE)(estimate, truth)
    values.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert estimate.grad is not None
    assert torch.isfinite(values).all()
    assert torch.isfinite(estimate.grad).all()
    assert values[1] == 0
    assert not estimate.grad[1].any()
    assert estimate.grad[2].any()


def test_a_gradient_that_follows_is_the_slope_of_the_distance_along_a_filter() -> None:
    truth = torch.tensor(voice(2.0, 3))[None]
    estimate = torch.tensor(noisy(voice(2.0, 3), 12.0, 1))[None]
    spectrum = torch.fft.rfft(estimate)
    low = torch.fft.irfft(torch.where(torch.arange(spectrum.shape[1]) < 2400, spectrum, 0), n=truth.shape[1])
    step = 0.02
    far = [PerceptualDistance(RATE)(estimate + sign * step * low, truth).item() for sign in (1, -1)]
    slope = (far[0] - far[1]) / (2 * step)
    gain = torch.zeros((), requires_grad=True)
    PerceptualDistance(RATE, follow=True)(estimate + gain * low, truth).sum().backward()  # type: ignore[no-untyped-call]
    assert gain.grad is not None
    assert gain.grad.item() == pytest.approx(slope, rel=0.1, abs=0.01)
    fixed = torch.zeros((), requires_grad=True)
    PerceptualDistance(RATE)(estimate + fixed * low, truth).sum().backward()  # type: ignore[no-untyped-call]
    assert fixed.grad is not None
    assert abs(fixed.grad.item() - slope) > 0.2 * abs(slope)  # what following is for
