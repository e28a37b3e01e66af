"""Promise: DiffWave, CDiffuSE, DDPM and the Schroedinger bridge come out as published."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.loss import sample_state
from audiodiff.diffusion.ouve import OUVE
from audiodiff.diffusion.prediction import make_denoiser, target_of
from audiodiff.diffusion.samplers import ddim, last
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy

FAST = (1e-4, 1e-3, 1e-2, 5e-2, 0.2, 0.5)


def fake_net(x: Tensor, t: Tensor) -> Tensor:
    """Any smooth function of state and time."""
    return torch.tanh(x + t.reshape(-1, 1)) - 0.2 * x


def test_diffwave_training_table() -> None:
    process = VP.diffwave()
    alpha_bar = [process.coeffs((i + 1) / 50)[0] ** 2 for i in (0, 1, 2, 49)]
    assert alpha_bar == pytest.approx([0.9999, 0.99878174449, 0.996647612885, 0.27967250019], abs=5e-12)


def test_diffwave_aligned_steps() -> None:
    process = VP.diffwave()
    grid = time_grids.from_betas(process, FAST)
    expected = [42.918643059932, 22.992493307367, 10.451816523911, 4.086654023014, 0.894134103442, 0.0]
    steps = process.network_time(torch.tensor(grid[:-1], dtype=torch.float64))
    assert_close(steps, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-11)
    assert grid[0] == pytest.approx(0.878, abs=1e-3)
    assert grid[-1] == 0.0
    with pytest.raises(ConfigError, match="alpha_bar"):
        time_grids.from_betas(process, (*FAST, 0.5))


def test_diffwave_fast_schedule_scalars() -> None:
    process = VP.diffwave()
    grid = time_grids.from_betas(process, FAST)
    sigma, noise_gain, state_gain = [], [], []
    for t, u in pairwise(grid):
        kappa, n = process.step(t, u, 1.0)
        a_t, _, s_t = process.coeffs(t)
        a_u, _, _ = process.coeffs(u)
        sigma.append(n)
        # x_u = (a_u/a_t) x_t - (a_u/a_t - kappa) s_t eps + n z
        state_gain.append(a_u / a_t)
        noise_gain.append((a_u / a_t - kappa) * s_t * a_t / a_u)
    assert sigma[::-1][1:] == pytest.approx(
        [0.009535059314, 0.031494328128, 0.095703524835, 0.220757988665, 0.446085612753], abs=1e-11
    )
    assert noise_gain[::-1] == pytest.approx(
        [0.01, 0.030152505057, 0.094963288816, 0.203221046074, 0.401263913594, 0.632853705881], abs=1e-11
    )
    assert state_gain[::-1] == pytest.approx(
        [1.00005000375, 1.000500375313, 1.005037815259, 1.025978352085, 1.118033988750, 1.414213562373],
        abs=1e-11,
    )


def test_diffwave_loop_without_its_clamp(toy: Toy) -> None:
    """The published loop over an eps network, written out, gives the same wave."""
    process = VP.diffwave()
    grid = time_grids.from_betas(process, FAST)
    noise = toy.noise((2, 7))
    denoiser = make_denoiser(process, "eps", lambda x, t: fake_net(x, process.network_time(t) / 50))
    ours = last(ddim(denoiser, process, process.start(None, noise(0), grid[0]), grid, noise, eta=1.0))
    x = noise(0)
    alpha_bars = torch.cumprod(1 - torch.tensor(FAST, dtype=torch.float64), 0).tolist()
    for i, n in enumerate(range(5, -1, -1)):
        step = torch.full((2,), grid[i] * 50 - 1, dtype=torch.float64)
        x = x - FAST[n] / math.sqrt(1 - alpha_bars[n]) * fake_net(x, step / 50)
        x = x / math.sqrt(1 - FAST[n])
        if n > 0:
            x = x + math.sqrt((1 - alpha_bars[n - 1]) / (1 - alpha_bars[n]) * FAST[n]) * noise(i + 1)
    assert_close(ours, x, rtol=1e-10, atol=1e-10)


def published_cdiffuse(betas: tuple[float, ...], net: list[Tensor], y: Tensor, z: list[Tensor]) -> Tensor:
    """The published posterior steps from x_N = y, the last one the plain DDPM mean."""
    alpha_bar, m, delta = [1.0], [0.0], [0.0]
    for beta in betas:
        alpha_bar.append(alpha_bar[-1] * (1 - beta))
        m.append(math.sqrt(min((1 - alpha_bar[-1]) / math.sqrt(alpha_bar[-1]), 1.0)))
        delta.append(max(1 - (1 + m[-1] ** 2) * alpha_bar[-1], 0.0))
    m[-1] = 1.0
    delta[-1] = max(1 - 2 * alpha_bar[-1], 0.0)
    x = y
    for i, n in enumerate(range(len(betas), 0, -1)):
        alpha = 1 - betas[n - 1]
        if n == 1:
            return (x - betas[0] / math.sqrt(1 - alpha_bar[1]) * net[i]) / math.sqrt(alpha)
        r = (1 - m[n]) / (1 - m[n - 1])
        dc = delta[n] - r * r * alpha * delta[n - 1]
        c1 = r * delta[n - 1] / delta[n] * math.sqrt(alpha) + (1 - m[n - 1]) * dc / delta[n] / math.sqrt(
            alpha
        )
        c2 = (m[n - 1] * delta[n] - m[n] * r * alpha * delta[n - 1]) * math.sqrt(alpha_bar[n - 1]) / delta[n]
        c3 = (1 - m[n - 1]) * dc / delta[n] * math.sqrt(1 - alpha_bar[n]) / math.sqrt(alpha)
        x = c1 * x + c2 * y - c3 * net[i] + math.sqrt(dc * delta[n - 1] / delta[n]) * z[i]
    raise AssertionError("the loop ends at n = 1")


@pytest.mark.parametrize(
    "inference",
    [
        CDiffuSE.fast(),
        CDiffuSE(CDiffuSE.published().betas, inference=True),
        CDiffuSE(FAST, inference=True),
    ],
)
def test_cdiffuse_steps_are_the_published_posterior(toy: Toy, inference: CDiffuSE) -> None:
    n = len(inference.betas)
    noise = toy.noise((2, 5))
    y = noise(50)
    outputs = [0.5 * noise(100 + i) for i in range(n)]
    answers = iter(outputs)
    denoiser = make_denoiser(inference, "eps", lambda _x, _t: next(answers), y)
    grid = time_grids.uniform(n)
    ours = last(ddim(denoiser, inference, inference.start(y, noise(0), 1.0), grid, noise, y, eta=1.0))
    theirs = published_cdiffuse(inference.betas, outputs, y, [noise(i + 1) for i in range(n)])
    assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_cdiffuse_forces_the_last_m_at_inference_only() -> None:
    train, run = CDiffuSE.published(), CDiffuSE(CDiffuSE.published().betas, inference=True)
    assert run.coeffs(1.0)[0] == 0.0
    assert train.coeffs(1.0)[0] > 0.01
    for i in range(49):
        assert train.coeffs((i + 1) / 50) == run.coeffs((i + 1) / 50)
    fast = CDiffuSE.fast()
    t = train.time_of(fast.alpha_bar(0.5))
    assert train.alpha_bar(t) == pytest.approx(0.9999 * 0.999 * 0.99, abs=1e-12)
    with pytest.raises(ConfigError, match="alpha_bar"):
        train.time_of(0.3)


def test_cdiffuse_target_is_the_published_one(toy: Toy) -> None:
    process, noise = CDiffuSE.published(), toy.noise((3, 4))
    x_0, y, eps = noise(0), noise(1), noise(2)
    n = 20
    alpha_bar = math.prod(1 - beta for beta in process.betas[:n])
    m = math.sqrt((1 - alpha_bar) / math.sqrt(alpha_bar))
    delta = 1 - (1 + m * m) * alpha_bar
    expected = (m * math.sqrt(alpha_bar) * (y - x_0) + math.sqrt(delta) * eps) / math.sqrt(1 - alpha_bar)
    assert_close(target_of(process, "eps", x_0, y, eps, n / 50), expected)
    x_t = sample_state(process, x_0, y, n / 50, eps)
    denoiser = make_denoiser(process, "eps", lambda _x, _t: expected, y)
    assert_close(denoiser(x_t, n / 50), x_0)


def test_schroedinger_bridge_steps(toy: Toy) -> None:
    """Both published steps from s to t, in terms of sigma_t alone, with alpha = 1."""
    process, noise = SchroedingerBridge(2.6, 0.4), toy.noise((2, 5))
    x_s, x_hat, y, z = (noise(i) for i in range(4))

    def variance(t: float) -> float:
        return 0.4 * (math.pow(2.6, 2 * t) - 1) / (2 * math.log(2.6))

    end = variance(1.0)
    assert math.sqrt(end) == pytest.approx(1.098, abs=1e-3)
    assert max(process.coeffs(i / 1000)[2] for i in range(1001)) == pytest.approx(0.549, abs=1e-3)
    for s, t in ((0.9, 0.5), (0.5, 0.02), (0.999, 0.998)):
        v_s, v_t = variance(s), variance(t)
        sde = v_t / v_s * x_s + (1 - v_t / v_s) * x_hat + math.sqrt(v_t) * math.sqrt(1 - v_t / v_s) * z
        root = math.sqrt(v_t * (end - v_t) / (v_s * (end - v_s)))
        ode = (
            root * x_s
            + (end - v_t - math.sqrt((end - v_s) * v_t * (end - v_t) / v_s)) / end * x_hat
            + (v_t - math.sqrt(v_s * v_t * (end - v_t) / (end - v_s))) / end * y
        )
        for eta, expected in ((1.0, sde), (0.0, ode)):
            state = next(ddim(lambda _x, _t: x_hat, process, x_s, [s, t, 0.0], lambda _: z, y, eta))
            assert_close(state.x, expected, rtol=1e-9, atol=1e-9)
    # from s = 1 the published SDE step stays finite and is ours
    state = next(ddim(lambda _x, _t: x_hat, process, y, [1.0, 0.4, 0.0], lambda _: z, y, 1.0))
    ratio = variance(0.4) / end
    assert_close(state.x, ratio * y + (1 - ratio) * x_hat + math.sqrt(variance(0.4) * (1 - ratio)) * z)


def test_closed_forms_of_step_and_noise() -> None:
    assert OUVE().coeffs(1.0)[2] == pytest.approx(0.389, abs=5e-4)
    assert OUVE().coeffs(1.0)[0] == pytest.approx(0.223, abs=5e-4)
    assert SchroedingerBridge().step(0.7, 0.2, 1.0)[0] == pytest.approx(
        (2.6**0.4 - 1) / (2.6**1.4 - 1), rel=1e-12
    )
    assert BrownianBridge(0.3).step(0.7, 0.2, 1.0)[0] == pytest.approx(2 / 7, rel=1e-15)


def test_ddpm_posterior_on_neighbouring_entries() -> None:
    """The posterior mean and variance of Ho et al. (2020), equations 6 and 7."""
    process = VP.linear(1000)
    for i in (1, 10, 500, 999):
        before, now = process.coeffs(i / 1000)[0] ** 2, process.coeffs((i + 1) / 1000)[0] ** 2
        beta = process.betas[i]
        kappa, n = process.step((i + 1) / 1000, i / 1000, 1.0)
        assert n**2 == pytest.approx((1 - before) / (1 - now) * beta, rel=1e-8)
        assert kappa == pytest.approx(math.sqrt(1 - beta) * (1 - before) / (1 - now), rel=1e-8)
        gain = math.sqrt(before) - kappa * math.sqrt(now)
        assert gain == pytest.approx(math.sqrt(before) * beta / (1 - now), rel=1e-8)
