"""Every term of the objective equals its closed form, and nothing above a clip's bandwidth counts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from audiodiff.signal.stft import STFT, Compression
from audiodiff.training.losses import (
    Front,
    ObjectiveConfig,
    band_mask,
    complex_mse,
    magnitude_mse,
    multi_resolution_stft,
    negative_si_sdr,
    objective,
    over_suppression,
    power_magnitude,
    waveform_l1,
)

RATE = 8000
FRONT = Front(STFT(64, 32), Compression(0.5, 0.33), RATE)
EVERYTHING = ObjectiveConfig(
    complex=0.3, magnitude=0.7, over=0.2, waveform=1.0, mrstft=0.1, si_sdr=0.01, mrstft_windows=(64, 128)
)
FULL = torch.full((2,), RATE / 2)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_band_mask_counts_the_bins_up_to_the_bandwidth() -> None:
    mask = band_mask(64, RATE, torch.tensor([0.0, 250.0, 4000.0, 1e5]))  # bins are 125 Hz apart
    assert mask.shape == (4, 33, 1)
    assert mask.sum(dim=(1, 2)).tolist() == [1, 3, 33, 33]


def test_complex_error_is_the_mean_over_masked_bins() -> None:
    x_0 = torch.zeros(1, 4, 3, 2)
    x0_hat = x_0.clone()
    x0_hat[0, 0, :, 0], x0_hat[0, 0, :, 1] = 3.0, 4.0  # |error|^2 = 25 in one of the two bins that count
    x0_hat[0, 3] = 100.0
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 4, 1)
    assert complex_mse(x0_hat, x_0, mask).item() == pytest.approx(12.5)


@given(magnitude=st.floats(0.01, 30.0), exponent=st.floats(0.2, 1.0))
def test_magnitudes_change_their_power_law_exactly(magnitude: float, exponent: float) -> None:
    z = torch.polar(torch.tensor(magnitude), torch.tensor(0.7))
    compressed = torch.view_as_real(FRONT.compression.apply(z)).view(1, 1, 1, 2)
    found = power_magnitude(compressed, FRONT.compression, exponent).item()
    # the floor (1e-8 in the square of a compressed value above 0.03) moves the result by less than 1e-5
    assert found == pytest.approx(0.33 * magnitude**exponent, rel=2e-5)


def test_over_suppression_counts_only_what_is_missing() -> None:
    m = torch.tensor([1.0, 1.0, 1.0, 1.0]).view(1, 2, 2)
    m_hat = torch.tensor([0.5, 1.5, 1.0, 0.0]).view(1, 2, 2)
    mask = torch.ones(1, 2, 1)
    assert over_suppression(m_hat, m, mask).item() == pytest.approx((0.25 + 1.0) / 4)
    assert magnitude_mse(m_hat, m, mask).item() == pytest.approx((0.25 + 0.25 + 1.0) / 4)


def test_waveform_error_is_the_mean_absolute_difference() -> None:
    assert waveform_l1(torch.tensor([[1.0, -1.0], [0.0, 0.0]]), torch.zeros(2, 2)).tolist() == [1.0, 0.0]


@given(gain=st.floats(0.1, 0.9))
def test_multi_resolution_loss_of_a_gain_is_closed_form(gain: float) -> None:
    wave = noise(2, 2048)  # far above the floor of -80 dBFS in every bin that matters
    found = multi_resolution_stft(gain * wave, wave, (64, 256), RATE, FULL)
    assert found.tolist() == pytest.approx([(1 - gain) - math.log(gain)] * 2, rel=5e-3)


@given(level_db=st.floats(-40.0, 40.0), gain=st.floats(0.1, 10.0))
def test_si_sdr_of_orthogonal_noise_is_its_level(level_db: float, gain: float) -> None:
    n = torch.arange(800)
    wave, other = torch.sin(2 * math.pi * n / 40)[None], torch.cos(2 * math.pi * n / 40)[None]
    found = negative_si_sdr(gain * (wave + 10 ** (-level_db / 20) * other), wave)
    assert found.item() == pytest.approx(-level_db, abs=0.05)


def test_a_silent_truth_adds_no_si_sdr_and_no_gradient() -> None:
    wave_hat = noise(1, 100).requires_grad_()
    loss = negative_si_sdr(wave_hat, torch.zeros(1, 100))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert wave_hat.grad is not None
    assert not wave_hat.grad.any()


def test_changes_above_the_bandwidth_change_nothing() -> None:
    wave = noise(2, 640)
    x_0, x0_hat = FRONT.spectrum(wave), FRONT.spectrum(wave + 0.3 * noise(2, 640, seed=1))
    bandwidth = torch.tensor([1000.0, 4000.0])
    edge = 1000 * 64 // RATE
    first, _ = objective(EVERYTHING, FRONT, x0_hat, x_0, bandwidth, 640)
    x0_hat, x_0 = x0_hat.clone(), x_0.clone()
    x0_hat[0, edge + 1 :] += 5.0
    x_0[0, edge + 1 :] -= 3.0
    second, _ = objective(EVERYTHING, FRONT, x0_hat, x_0, bandwidth, 640)
    assert torch.equal(first, second)
    x0_hat[0, edge] += 5.0
    third, _ = objective(EVERYTHING, FRONT, x0_hat, x_0, bandwidth, 640)
    assert third[0] != first[0]
    assert third[1] == first[1]


def test_the_total_is_the_weighted_sum_and_the_truth_costs_nothing() -> None:
    x_0 = FRONT.spectrum(noise(2, 640))
    total, terms = objective(EVERYTHING, FRONT, FRONT.spectrum(noise(2, 640, seed=1)), x_0, FULL, 640)
    expected = sum(getattr(EVERYTHING, name) * value for name, value in terms.items())
    assert set(terms) == {"complex", "magnitude", "over", "waveform", "mrstft", "si_sdr"}
    assert torch.allclose(total, torch.as_tensor(expected))
    best, terms = objective(EVERYTHING.model_copy(update={"si_sdr": 0.0}), FRONT, x_0, x_0, FULL, 640)
    assert "si_sdr" not in terms
    assert best.max() < 1e-4


@pytest.mark.parametrize("silent", ["estimate", "truth", "both"])
def test_silence_gives_finite_losses_and_gradients(silent: str) -> None:
    wave = noise(1, 640)
    x0_hat = FRONT.spectrum(torch.zeros_like(wave) if silent != "truth" else wave).requires_grad_()
    x_0 = FRONT.spectrum(torch.zeros_like(wave) if silent != "estimate" else wave)
    total, _ = objective(EVERYTHING, FRONT, x0_hat, x_0, FULL[:1], 640)
    total.sum().backward()  # type: ignore[no-untyped-call]
    assert total.isfinite().all()
    assert x0_hat.grad is not None
    assert x0_hat.grad.isfinite().all()
