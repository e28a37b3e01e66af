"""Promise: every target holds x_0 exactly, and preconditioning leaves the network only what is unknown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.loss import sample_state
from audiodiff.diffusion.prediction import Preconditioning, Target, make_denoiser, target_of, to_x0
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy

NAMES = (
    "vp-linear vp-cosine vp-diffwave vp-zero cdiffuse cdiffuse-fast "
    "ouve ouve-48k brownian schroedinger flow flow-y"
).split()
MOMENTS = Preconditioning(0.9, 1.3, 0.8)
ZERO = torch.zeros(1, dtype=torch.float64)


@settings(deadline=None, max_examples=100)
@given(
    name=st.sampled_from(NAMES),
    target=st.sampled_from(("x0", "eps", "v", "velocity")),
    t=st.floats(0.02, 0.98),
)
def test_targets_round_trip(toy: Toy, name: str, target: Target, t: float) -> None:
    process, noise = toy.processes[name], toy.noise((3, 4))
    if target == "velocity" and name.startswith("cdiffuse"):
        return  # offers none, see test_refusals
    x_0, y, eps = noise(0), noise(1), noise(2)
    x_t = sample_state(process, x_0, y, t, eps)
    truth = target_of(process, target, x_0, y, eps, t)
    # eps is divided by a, 0.006 at the end of DDPM's table
    assert_close(to_x0(process, target, truth, x_t, y, t), x_0, rtol=1e-9, atol=1e-9)
    batch = torch.full((3,), t, dtype=torch.float64)
    assert_close(to_x0(process, target, truth, x_t, y, batch), x_0, rtol=1e-9, atol=1e-9)


def test_velocity_is_the_derivative_of_the_state(toy: Toy) -> None:
    noise = toy.noise((3, 4))
    x_0, y, eps = noise(0), noise(1), noise(2)
    h = 1e-5
    for name in ("ouve", "brownian", "schroedinger", "flow", "flow-y"):
        process = toy.processes[name]
        ahead = sample_state(process, x_0, y, 0.4 + h, eps)
        behind = sample_state(process, x_0, y, 0.4 - h, eps)
        assert_close(
            target_of(process, "velocity", x_0, y, eps, 0.4), (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-6
        )
    assert_close(target_of(Flow(), "velocity", x_0, None, eps, 0.3), eps - x_0)
    assert_close(target_of(Flow(0.5, to_y=True), "velocity", x_0, y, eps, 0.3), y - x_0 + 0.5 * eps)


def test_v_is_a_rotation(toy: Toy) -> None:
    noise = toy.noise((3, 4))
    x_0, eps = noise(0), noise(1)
    a, _, s = VP.diffwave().coeffs(0.6)
    assert_close(target_of(VP.diffwave(), "v", x_0, None, eps, 0.6), a * eps - s * x_0)  # a^2 + s^2 = 1 here


@pytest.mark.parametrize("process", [BrownianBridge(0.6), SchroedingerBridge(), BrownianBridge(0.0)])
def test_v_at_a_bridges_start(toy: Toy, process: Process) -> None:
    x_0, y = toy.noise((3, 4))(0), toy.noise((3, 4))(1)
    assert_close(target_of(process, "v", x_0, y, y, 1.0), -x_0)
    assert_close(to_x0(process, "v", -x_0, y, y, 1.0), x_0)


def test_targets_at_both_ends(toy: Toy) -> None:
    """v and x0 hold at t = 1 for every process; the flow's velocity holds at both of its ends."""
    noise = toy.noise((3, 4))
    x_0, y, eps = noise(0), noise(1), noise(2)
    for process in toy.processes.values():
        x_t = sample_state(process, x_0, y, 1.0, eps)
        assert_close(to_x0(process, "v", target_of(process, "v", x_0, y, eps, 1.0), x_t, y, 1.0), x_0)
    for flow in (Flow(), Flow(0.487, to_y=True)):
        for t in (0.0, 1.0):
            x_t = sample_state(flow, x_0, y, t, eps)
            velocity = target_of(flow, "velocity", x_0, y, eps, t)
            assert_close(to_x0(flow, "velocity", velocity, x_t, y, t), x_0)


def test_refusals(toy: Toy) -> None:
    x, y = toy.noise((3, 4))(0), toy.noise((3, 4))(1)
    ones = torch.tensor([0.5, 1.0, 0.2], dtype=torch.float64)
    for process in (BrownianBridge(0.6), SchroedingerBridge(), Flow(), VP.linear(100, zero_terminal=True)):
        for t in (1.0, ones):
            with pytest.raises(ConfigError, match="holds nothing of x_0"):
                to_x0(process, "eps", x, x, y, t)
    for bridge in (BrownianBridge(0.6), SchroedingerBridge()):
        with pytest.raises(ConfigError, match="holds nothing of x_0"):
            to_x0(bridge, "velocity", x, x, y, 1.0)
        with pytest.raises(ConfigError, match="infinite"):
            target_of(bridge, "velocity", x, y, x, 1.0)
    with pytest.raises(ConfigError, match="no velocity"):
        to_x0(CDiffuSE.published(), "velocity", x, x, y, 0.5)
    with pytest.raises(ConfigError, match="pass y"):
        to_x0(Flow(to_y=True), "v", x, x, None, 0.5)
    with pytest.raises(ConfigError, match="target 'x0'"):
        make_denoiser(Flow(), "v", lambda v, _: v, None, Preconditioning(1.0))
    with pytest.raises(ConfigError, match="needs y"):
        make_denoiser(BrownianBridge(), "x0", lambda v, _: v, None, Preconditioning(1.0))
    with pytest.raises(ConfigError, match="rho = 0"):
        make_denoiser(BrownianBridge(0.0), "x0", lambda v, _: v, y, MOMENTS)(x, 0.5)
    for bad in ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 1.0, -1.2), (math.nan, 1.0, 0.0)):
        with pytest.raises(ConfigError, match="remeasure"):
            Preconditioning(*bad)


def test_plain_x0_passes_state_and_output_through(toy: Toy) -> None:
    x_t, y = toy.noise((3, 4))(0), toy.noise((3, 4))(1)
    seen: list[tuple[Tensor, Tensor]] = []

    def net(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return 3.0 * x

    denoiser = make_denoiser(SchroedingerBridge(), "x0", net, y)
    assert torch.equal(denoiser(x_t, 0.25), 3.0 * x_t)
    assert seen[0][0] is x_t
    assert torch.equal(seen[0][1], torch.full((3,), 0.25, dtype=torch.float64))
    batch = torch.tensor([0.1, 0.2, 0.3])
    denoiser(x_t, batch)
    assert seen[1][1] is batch


@pytest.mark.parametrize("target", ["x0", "eps", "v", "velocity"])
def test_float_time_equals_batch_of_it_and_single_precision_stays(toy: Toy, target: Target) -> None:
    y = toy.noise((3, 4))(1).float()
    x_t = toy.noise((3, 4))(0).float()
    denoiser = make_denoiser(Flow(0.5, to_y=True), target, lambda x, t: x * t.reshape(-1, 1), y)
    single, batched = denoiser(x_t, 0.5), denoiser(x_t, torch.full((3,), 0.5))
    assert single.dtype == batched.dtype == torch.float32
    assert_close(single, batched)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", [1e-3, 0.3, 0.8, 1.0])
def test_preconditioning_on_linear_gaussian_data(toy: Toy, name: str, t: float) -> None:
    """D with F = 0 is the Wiener estimate from (x_t, y); F's target and input have unit variance."""
    process = toy.processes[name]
    moments = MOMENTS if process.uses_y else Preconditioning(0.9)
    a, b, s = process.coeffs(t)
    scales = moments.scales(process, t)
    skip, from_y, out, scale_in = (v.item() for v in (scales.c_skip, scales.c_y, scales.c_out, scales.c_in))
    assert all(math.isfinite(v) for v in (skip, from_y, out, scale_in))
    beta = moments.sigma_xy / moments.sigma_y**2
    residual = moments.sigma_x**2 - moments.sigma_xy**2 / moments.sigma_y**2
    var = a * a * residual + s * s
    # Wiener: E[x_0 | x_t, y] = beta y + gain (x_t - (a beta + b) y); at a bridge's start x_t = y
    if var > 0:
        gain = a * residual / var
        assert skip == pytest.approx(gain, rel=1e-9, abs=1e-12)
        assert from_y == pytest.approx(beta - gain * (a * beta + b), rel=1e-9, abs=1e-9)
        error = residual * s * s / var
    else:
        assert skip + from_y == pytest.approx(beta, rel=1e-12)
        error = residual
    assert error / out**2 == pytest.approx(1.0, rel=1e-9)
    x_var = a * a * moments.sigma_x**2 + b * b * moments.sigma_y**2 + 2 * a * b * moments.sigma_xy + s * s
    assert scale_in**2 * x_var == pytest.approx(1.0, rel=1e-12)
    weight = moments.weight(process, torch.tensor([t], dtype=torch.float64))
    assert weight.item() == pytest.approx(1 / error, rel=1e-9)


def test_preconditioning_is_minus_v_on_the_residual(toy: Toy) -> None:
    process, noise = BrownianBridge(0.6), toy.noise((3, 4))
    x_0, y, eps, t = noise(0), noise(1), noise(2), 0.4
    x_t = sample_state(process, x_0, y, t, eps)
    scales = MOMENTS.scales(process, t)
    target = (x_0 - scales.c_skip * x_t - scales.c_y * y) / scales.c_out
    a, _, s = process.coeffs(t)
    residual = (x_0 - MOMENTS.beta * y) / MOMENTS.sigma_r
    a = a * MOMENTS.sigma_r  # in units of the residual
    assert_close(target, (s * residual - a * eps) / math.hypot(a, s))


def test_preconditioning_at_a_bridges_start(toy: Toy) -> None:
    residual = MOMENTS.sigma_r**2
    brownian = MOMENTS.scales(BrownianBridge(0.6), 1.0)
    assert brownian.c_skip.item() == pytest.approx(residual / 0.36, rel=1e-12)
    bridge = SchroedingerBridge()
    schroedinger = MOMENTS.scales(bridge, 1.0)
    assert schroedinger.c_skip.item() == pytest.approx(residual / bridge.variance_end, rel=1e-12)
    y = toy.noise((3, 4))(0)
    for process in (BrownianBridge(0.6), bridge):
        assert MOMENTS.scales(process, 1.0).c_out.item() == pytest.approx(MOMENTS.sigma_r, rel=1e-12)
        silent = make_denoiser(process, "x0", lambda x, _: torch.zeros_like(x), y, MOMENTS)
        assert_close(silent(y, 1.0), MOMENTS.beta * y)
        assert_close(silent(y, torch.ones(3, dtype=torch.float64)), MOMENTS.beta * y)


def test_preconditioned_network_sees_unit_variance_and_the_time(toy: Toy) -> None:
    process, x_t = VP.diffwave(), toy.noise((3, 4))(0)
    seen: list[tuple[Tensor, Tensor]] = []

    def net(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return x

    result = make_denoiser(process, "x0", net, None, Preconditioning(0.5))(x_t, 0.5)
    a, _, s = process.coeffs(0.5)
    scaled = x_t / math.sqrt(a * a * 0.25 + s * s)
    assert_close(seen[0][0], scaled)
    assert torch.equal(seen[0][1], torch.full((3,), 0.5, dtype=torch.float64))
    var = a * a * 0.25 + s * s
    assert_close(result, a * 0.25 / var * x_t + 0.5 * s / math.sqrt(var) * scaled)
