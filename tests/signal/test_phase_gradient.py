"""Promise: the phase gradient gives the phase of sines and chirps; the integration follows its definition."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.errors import ConfigError
from audiodiff.signal import phase_gradient
from audiodiff.signal.framed_stft import FramedSTFT
from audiodiff.signal.phase_gradient import gradient_phase, random_phase

pytest.importorskip("numba")

GRIDS = [(1024, 1024, 256), (2048, 1200, 300), (1024, 1024, 128)]


def framed(n_fft: int, win: int, hop: int) -> FramedSTFT:
    return FramedSTFT(torch.hann_window(win, dtype=torch.float64), n_fft, hop)


def time(stft: FramedSTFT, n_frames: int = 60) -> torch.Tensor:
    return torch.arange(stft.n_samples(n_frames), dtype=torch.float64)


def wrapped(angle: torch.Tensor) -> torch.Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def errors(x: torch.Tensor, stft: FramedSTFT, known: int = 0) -> tuple[torch.Tensor, float]:
    """Phase errors of the strong bins up to one constant, and how far the spectrum is from a signal's."""
    z = stft.forward(x)
    magnitude = z.abs().float()
    start = torch.zeros_like(magnitude)
    start[:, :known] = z.angle()[:, :known]
    found = gradient_phase(magnitude, start, stft, known)
    error = z.angle() - found
    if not known:
        error = error - torch.polar(z.abs() ** 2, error).sum().angle()
    spectrum = torch.polar(magnitude.double(), found.double())
    again = stft.forward(stft.inverse(spectrum, x.shape[-1])).abs()
    away = float((again - z.abs()).norm() / z.abs().norm())
    return wrapped(error)[z.abs() > 0.1 * z.abs().max()].abs(), away


@pytest.mark.parametrize("grid", GRIDS)
def test_stationary_sine_on_a_bin(grid: tuple[int, int, int]) -> None:
    stft = framed(*grid)
    error, away = errors(torch.sin(2 * math.pi * 40 / stft.n_fft * time(stft)), stft)
    assert error.max() < 1e-3
    assert away < 0.01


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("bins", [40.25, 91.3])
def test_stationary_sine_between_bins(grid: tuple[int, int, int], bins: float) -> None:
    """A Hann window is no Gaussian: the frequency is wrong by up to 0.03 of sample_rate / win."""
    stft = framed(*grid)
    error, away = errors(torch.sin(2 * math.pi * bins / stft.n_fft * time(stft)), stft)
    half = 0.5 * 60 * 2 * math.pi * stft.hop / stft.win
    assert error.max() < 0.03 * half
    assert away < 0.04


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("rate", [1e-6, 5e-6, -3e-6])
@pytest.mark.parametrize("known", [0, 8])
def test_chirp(grid: tuple[int, int, int], rate: float, known: int) -> None:
    stft = framed(*grid)
    t = time(stft)
    x = torch.cos(2 * math.pi * ((0.1 if rate > 0 else 0.3) * t + 0.5 * rate * t * t))
    error, away = errors(x, stft, known)
    assert error.median() < 0.1
    assert away < 0.04


def test_known_frames_stay_and_set_the_constant() -> None:
    stft = framed(1024, 1024, 256)
    z = stft.forward(torch.sin(2 * math.pi * 40 / 1024 * time(stft) + 1.234))
    magnitude = z.abs().float()
    start = torch.zeros_like(magnitude)
    start[:, :5] = z.angle()[:, :5]
    found = gradient_phase(magnitude, start, stft, 5)
    assert wrapped(found - start)[:, :5].abs().max() < 1e-5
    assert wrapped(found - z.angle())[40].abs().max() < 1e-3


def test_weak_bins_keep_their_start() -> None:
    stft = framed(64, 64, 16)
    magnitude = torch.full((33, 9), 0.9e-3)
    magnitude[10, 4] = 1.0
    start = random_phase(0, 0, 33, 9)
    assert (gradient_phase(magnitude, start, stft) - start).abs().max() < 1e-6
    assert torch.equal(gradient_phase(torch.zeros(33, 9), start, stft), start)


def test_items_of_a_batch_do_not_meet() -> None:
    stft = framed(64, 64, 16)
    magnitude = random_phase(1, 0, 33, 40).reshape(2, 33, 20).abs()
    start = random_phase(2, 0, 33, 20)
    together = gradient_phase(magnitude, start, stft)
    assert torch.equal(together[1], gradient_phase(magnitude[1], start, stft))


def reference(level: np.ndarray, steps: tuple[np.ndarray, np.ndarray], n_bins: int) -> np.ndarray:
    """The integration with the standard library's heap, from the strongest bin on, all bins strong."""
    out = np.full(level.size, np.nan)
    heap = [(-level.max(), int(level.argmax()))]
    out[heap[0][1]] = 0.0
    while heap:
        _, i = heapq.heappop(heap)
        f = i % n_bins
        for j, step in ((i + n_bins, steps[0]), (i - n_bins, steps[0]), (i + 1, steps[1]), (i - 1, steps[1])):
            inside = 0 <= j < level.size and (abs(j - i) == n_bins or 0 <= f + j - i < n_bins)
            if inside and np.isnan(out[j]):
                out[j] = out[i] + np.sign(j - i) * 0.5 * (step[i] + step[j])
                heapq.heappush(heap, (-level[j], j))
    return out


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 999))
@settings(deadline=None)
def test_integration_equals_a_plain_one(n_bins: int, n_frames: int, seed: int) -> None:
    from audiodiff.signal.phase_gradient_numba import spread

    rng = np.random.default_rng(seed)
    level, along, across = rng.standard_normal((3, n_bins * n_frames)).astype(np.float32)
    found, done = np.zeros(level.size), np.zeros(level.size, dtype=np.bool_)
    none = np.zeros(0, dtype=np.int64)
    spread(level, (along, across), found, done, n_bins, none, np.argsort(-level))
    assert done.all()
    np.testing.assert_allclose(found, reference(level, (along, across), n_bins), atol=1e-5)


def test_random_phase_depends_on_the_position_alone() -> None:
    whole = random_phase(7, 0, 33, 400)
    assert torch.equal(random_phase(7, 100, 33, 50), whole[:, 100:150])
    assert not torch.equal(random_phase(8, 0, 33, 400), whole)
    sorted_values = whole.flatten().sort().values
    expected = torch.linspace(-math.pi, math.pi, sorted_values.numel())
    assert (sorted_values - expected).abs().max() < 0.06  # Kolmogorov-Smirnov, 5 % at 0.012 of 2 pi = 0.074


def test_without_numba_the_gradient_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phase_gradient, "available", lambda: False)
    with pytest.raises(ConfigError, match="pip install numba"):
        gradient_phase(torch.ones(33, 4), torch.zeros(33, 4), framed(64, 64, 16))
