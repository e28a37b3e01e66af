"""Promise: DiffWave's sampler and the pieces around it do what their formulas say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.diffwave import FAST_BETAS, diffwave, projected, start_late, table_times
from audiodiff.diffusion.loss import sample_state
from audiodiff.diffusion.noise_prior import EnergyPrior, LevelPrior, noise_loss
from audiodiff.diffusion.prediction import make_denoiser, target_of
from audiodiff.diffusion.process import Time
from audiodiff.diffusion.samplers import ddim, dpmpp_2m, last, prior_noise
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy


def fake_net(x: Tensor, t: Tensor) -> Tensor:
    """Any smooth function of state and time, large enough for the clamp to act."""
    return torch.tanh(x + t.reshape(-1, 1)) - 0.4 * x


def published_loop(x: Tensor, draws: list[Tensor], steps: list[float], scale: Tensor | float = 1.0) -> Tensor:
    """The published loop with its clamp after every step, the last one too."""
    levels = torch.cumprod(1 - torch.tensor(FAST_BETAS, dtype=torch.float64), 0).tolist()
    for i, n in enumerate(range(5, -1, -1)):
        step = torch.full((len(x),), steps[i], dtype=torch.float64)
        x = x - FAST_BETAS[n] / math.sqrt(1 - levels[n]) * fake_net(x, step / 50)
        x = x / math.sqrt(1 - FAST_BETAS[n])
        if n > 0:
            variance = (1 - levels[n - 1]) / (1 - levels[n]) * FAST_BETAS[n]
            x = x + math.sqrt(variance) * scale * draws[i + 1]
        x = x.clamp(-1, 1)
    return x


STEPS = [42.918643059932, 22.992493307367, 10.451816523911, 4.086654023014, 0.894134103442, 0.0]


@pytest.mark.parametrize("with_prior", [False, True])
def test_the_published_loop(toy: Toy, with_prior: bool) -> None:
    process, draw = VP.diffwave(), toy.noise((2, 9))
    scale = torch.linspace(0.1, 1, 9, dtype=torch.float64) if with_prior else torch.ones(9).double()
    noise = prior_noise(draw, scale)
    grid = time_grids.from_betas(process, FAST_BETAS)
    denoiser = make_denoiser(process, "eps", lambda x, t: fake_net(x, process.network_time(t) / 50))
    states = list(diffwave(denoiser, process, process.start(None, noise(0), grid[0]), grid, noise))
    expected = published_loop(scale * draw(0), [draw(i) for i in range(6)], STEPS, scale)
    assert_close(states[-1].x, expected, rtol=0, atol=1e-9)
    assert [state.i for state in states] == [0, 1, 2, 3, 4, 5]
    assert [state.t for state in states] == grid[1:]
    assert all(bool((state.x.abs() <= 1).all()) for state in states)
    unclamped = last(ddim(denoiser, process, noise(0), grid, noise, eta=1.0))
    assert not torch.allclose(unclamped, states[-1].x, atol=1e-3)


def test_without_a_clamp_to_feel_it_is_ddim(toy: Toy) -> None:
    """A denoiser whose states stay small: both samplers agree, at eta = 0 too."""
    process, noise = VP.diffwave(), toy.noise((2, 9))
    grid = time_grids.from_betas(process, FAST_BETAS)
    x = 0.01 * noise(0)
    for eta in (0.0, 1.0):
        ours = last(diffwave(lambda x, _t: 0.1 * x, process, x, grid, lambda i: 0.01 * noise(i), eta=eta))
        assert_close(
            ours, last(ddim(lambda x, _t: 0.1 * x, process, x, grid, lambda i: 0.01 * noise(i), eta=eta))
        )


def test_eta_0_draws_nothing() -> None:
    process = VP.diffwave()

    def no_noise(index: int) -> Tensor:
        raise AssertionError(f"draw {index}")

    x = torch.full((1, 4), 0.2)
    assert (
        last(diffwave(lambda x, _t: x, process, x, time_grids.uniform(3), no_noise, eta=0.0)).shape == x.shape
    )


def test_schedules_that_do_not_fit_are_refused(toy: Toy) -> None:
    process, noise = VP.diffwave(), toy.noise((1, 4))
    with pytest.raises(ConfigError, match="alpha_bar must lie in"):
        time_grids.from_betas(process, (*FAST_BETAS, 0.5))
    # where the published search loses a step without a word: between the last two entries all is well
    assert len(time_grids.from_betas(process, (*FAST_BETAS, 0.25))) == 8
    with pytest.raises(ConfigError, match="at least two times"):
        last(diffwave(lambda x, _t: x, process, noise(0), [1.0], noise))
    with pytest.raises(ConfigError, match="fall strictly"):
        last(diffwave(lambda x, _t: x, process, noise(0), [0.5, 0.7, 0.0], noise))


def test_zero_terminal_snr_samples_from_pure_noise(toy: Toy) -> None:
    """The last entry holds nothing of x_0: v says it there, eps cannot."""
    process, noise = VP(VP.diffwave().betas, zero_terminal=True), toy.noise((2, 6))
    assert process.coeffs(1.0)[0] == pytest.approx(0, abs=1e-12)
    x_0 = 0.5 * torch.tanh(noise(77))

    def perfect(x: Tensor, t: Tensor) -> Tensor:
        a, _, s = process.coeffs(t[:1])
        return a / s * x - x_0 / s if float(s) else -x_0

    denoiser = make_denoiser(process, "v", perfect)
    assert_close(last(diffwave(denoiser, process, noise(0), time_grids.uniform(7), noise)), x_0)
    with pytest.raises(ConfigError, match="eps determines no x_0"):
        last(
            diffwave(make_denoiser(process, "eps", perfect), process, noise(0), time_grids.uniform(7), noise)
        )


def test_late_start_is_the_closed_form(toy: Toy) -> None:
    process, noise = VP.diffwave(), toy.noise((2, 9))
    grid = time_grids.from_betas(process, FAST_BETAS)
    rough, scale = torch.tanh(noise(5)), torch.linspace(0.1, 1, 9, dtype=torch.float64)
    levels = torch.cumprod(1 - torch.tensor(FAST_BETAS, dtype=torch.float64), 0)
    for n_steps in range(1, 7):
        x, rest = start_late(process, grid, rough, noise(0), n_steps, scale)
        level = levels[n_steps - 1]
        assert_close(x, level.sqrt() * rough + (1 - level).sqrt() * scale * noise(0))
        assert rest == grid[-1 - n_steps :]
        assert_close(x, start_late(process, grid, rough, prior_noise(noise, scale)(0), n_steps)[0])
    for n_steps in (0, 7):
        with pytest.raises(ConfigError, match="keeps 1 to 6 steps"):
            start_late(process, grid, rough, noise(0), n_steps)


def test_projection_acts_on_every_estimate(toy: Toy) -> None:
    """A projection onto a mean: every estimate and the result have it, and it can look at the time."""
    process, noise = VP.linear(50), toy.noise((2, 9))
    times: list[float] = []

    def centre(x0_hat: Tensor, t: Time) -> Tensor:
        times.append(float(t))
        return x0_hat - x0_hat.mean(dim=1, keepdim=True) + 0.25

    denoiser = projected(lambda x, _t: 0.3 * torch.tanh(x), centre)
    grid = time_grids.uniform(4)
    for run in (
        diffwave(denoiser, process, noise(0), grid, noise),
        dpmpp_2m(denoiser, process, noise(0), grid, noise),
    ):
        times.clear()
        states = list(run)
        assert times == grid[:-1]
        assert_close(states[-1].x.mean(dim=1), torch.full((2,), 0.25).double())


@given(st.lists(st.floats(0, 0.9999), min_size=1, max_size=20))
def test_training_times_are_the_entries(uniforms: list[float]) -> None:
    process = VP.diffwave()
    t = table_times(process, torch.tensor(uniforms, dtype=torch.float64))
    steps = process.network_time(t)
    assert_close(steps, torch.tensor([float(math.floor(50 * u)) for u in uniforms]).double())


def test_training_times_are_even() -> None:
    t = table_times(VP.diffwave(), (torch.arange(500) + 0.5) / 500)
    assert torch.unique(t, return_counts=True)[1].tolist() == [10] * 50
    with pytest.raises(ShapeError, match="one uniform number"):
        table_times(VP.diffwave(), torch.zeros(2, 3))


def test_energy_prior_is_the_published_formula() -> None:
    mel = torch.randn(2, 80, 5, generator=torch.Generator().manual_seed(0)) - 2
    mel[0, :, 1], mel[1, :, 2] = -11.5, 2.0
    prior = EnergyPrior(low=0.05)
    found = prior.scale(mel.exp(), 3)
    for item in range(2):
        for frame in range(5):
            energy = min(math.sqrt(sum(math.exp(value) for value in mel[item, :, frame].tolist())), 4.0)
            expected = max((energy - 0.05) / (4.0 - 0.05), 0.1)
            assert found[item, 3 * frame : 3 * frame + 3].tolist() == pytest.approx([expected] * 3, rel=1e-5)
    assert found[0, 3] == pytest.approx(0.1)
    assert found[1, 6] == 1.0
    for wrong in ((4.0, 4.0, 0.1), (0.0, 4.0, 0.0), (-1.0, 4.0, 0.1), (0.0, math.inf, 0.1)):
        with pytest.raises(ConfigError, match="a prior needs"):
            EnergyPrior(*wrong)
    with pytest.raises(ShapeError, match=r"\[B, M, N\]"):
        prior.scale(torch.ones(80, 5), 256)


def test_level_prior_is_the_root_mean_square() -> None:
    """White noise of standard deviation 1 has the mean power sum(window^2) in every bin."""
    window = torch.hann_window(64, dtype=torch.float64)
    power = torch.full((1, 33, 5), float(window.square().sum()), dtype=torch.float64)
    assert_close(LevelPrior().level(power.sqrt(), window), torch.ones(1, 5).double())
    assert_close(LevelPrior(0.01).level(0 * power, window), torch.full((1, 5), 0.01).double())
    for wrong in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(ConfigError, match="a prior needs"):
            LevelPrior(wrong)
    with pytest.raises(ShapeError, match=r"\[B, F, N\]"):
        LevelPrior().level(torch.ones(33, 5), window)


def test_prior_scales_state_and_target_and_divides_the_loss(toy: Toy) -> None:
    """x_t = a x_0 + s_t (s z); the network says s z; a fault of the size of s costs 1 everywhere."""
    process, noise = VP.diffwave(), toy.noise((3, 8))
    x_0, z = noise(1), noise(2)
    scale = torch.linspace(0.1, 1, 8, dtype=torch.float64).expand(3, -1)
    t = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    a, _, s = process.coeffs(t)
    x_t = sample_state(process, x_0, None, t, z, scale)
    assert_close(x_t, a[:, None] * x_0 + s[:, None] * scale * z)
    target = target_of(process, "eps", x_0, None, scale * z, t)
    assert_close(make_denoiser(process, "eps", lambda _x, _t: target)(x_t, t), x_0)
    assert_close(noise_loss(target, target + scale, "l2", scale), torch.ones(3).double())
    assert_close(noise_loss(target, target - 2 * scale, "l1", scale), 2 * torch.ones(3).double())
    assert_close(noise_loss(target, target + 0.5), torch.full((3,), 0.5).double())
    assert_close(noise_loss(target, target + 0.5, "l2"), torch.full((3,), 0.25).double())
