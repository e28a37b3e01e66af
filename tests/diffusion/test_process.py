"""Promise: each process's coefficients are those of its forward process, and its log-SNR can be inverted."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from audiodiff.arrays import Doubles
from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.ouve import OUVE
from audiodiff.diffusion.process import Process, broadcast
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy

NAMES = (
    "vp-linear vp-cosine vp-diffwave vp-zero cdiffuse cdiffuse-fast "
    "ouve ouve-48k brownian schroedinger flow flow-y"
).split()
X_0, Y = 0.8, -0.5
PARTICLES = 20_000

# drift f(x, t) and diffusion g(t) of each published SDE, written without the package's closed forms
Drift = Callable[[Tensor, float], Tensor]
SDES: dict[str, tuple[Process, Drift, Callable[[float], float]]] = {
    "ouve": (
        OUVE(),
        lambda x, _: 1.5 * (Y - x),
        lambda t: 0.05 * 10.0**t * math.sqrt(2 * math.log(10.0)),
    ),
    "brownian": (BrownianBridge(0.6), lambda x, t: (Y - x) / (1 - t), lambda _: 0.6),
    # the reference dx = sqrt(c) k^t dw, conditioned on x_1 = y: drift g^2 (y - x)/(variance still to come)
    "schroedinger": (
        SchroedingerBridge(2.6, 0.4),
        lambda x, t: 0.4 * 2.6 ** (2 * t) * (Y - x) * 2 * math.log(2.6) / (0.4 * (2.6**2 - 2.6 ** (2 * t))),
        lambda t: math.sqrt(0.4) * 2.6**t,
    ),
    # the Markov process through the marginals of the flow: f = a'/a, g^2 = (s^2)' - 2 s^2 a'/a
    "flow-y": (
        Flow(0.487, to_y=True),
        lambda x, t: (Y - x) / (1 - t),
        lambda t: 0.487 * math.sqrt(2 * t + 2 * t * t / (1 - t)),
    ),
    "flow": (
        Flow(1.0),
        lambda x, t: -x / (1 - t),
        lambda t: math.sqrt(2 * t + 2 * t * t / (1 - t)),
    ),
}


def check_moments(particles: Tensor, process: Process, t: float, slack: float) -> None:
    """Mean and std of the particles against a x_0 + b y and s: five standard errors and a slack."""
    a, b, s = process.coeffs(t)
    allowed = 5 * s / math.sqrt(PARTICLES) + slack
    assert particles.mean().item() == pytest.approx(a * X_0 + b * Y, abs=allowed)
    assert particles.std().item() == pytest.approx(s, abs=allowed)


@pytest.mark.parametrize("name", SDES)
def test_coefficients_match_a_simulated_sde(name: str) -> None:
    process, drift, diffusion = SDES[name]
    generator = torch.Generator().manual_seed(1)
    x = torch.full((PARTICLES,), X_0, dtype=torch.float64)
    n = 400
    for i in range(int(0.9 * n) + 1):
        t = i / n
        if i in (100, 200, 300, 360):
            check_moments(x, process, t, slack=0.004)  # Euler's bias at dt = 1/400
        z = torch.randn(PARTICLES, generator=generator, dtype=torch.float64)
        # the midpoint in t of the coefficients halves the bias
        middle = t + 0.5 / n
        x = x + drift(x, middle) / n + diffusion(middle) / math.sqrt(n) * z


@pytest.mark.parametrize("process", [VP.diffwave(), VP.linear(200), VP.cosine(60)])
def test_tables_match_a_simulated_chain(process: VP) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.full((PARTICLES,), X_0, dtype=torch.float64)
    for i, beta in enumerate(process.betas):
        z = torch.randn(PARTICLES, generator=generator, dtype=torch.float64)
        x = math.sqrt(1 - beta) * x + math.sqrt(beta) * z
        if i % 20 == 9:
            check_moments(x, process, (i + 1) / len(process.betas), slack=0.0)


@pytest.mark.parametrize("process", [CDiffuSE.published(), CDiffuSE.fast()])
def test_cdiffuse_matches_its_simulated_chain(process: CDiffuSE) -> None:
    """x_n from x_{n-1}: r sqrt(alpha) x + (m_n - r m_{n-1}) sqrt(alpha_bar_n) y + fresh noise."""
    generator = torch.Generator().manual_seed(3)
    n = len(process.betas)
    x = torch.full((PARTICLES,), X_0, dtype=torch.float64)
    alpha_bar, m, delta = 1.0, 0.0, 0.0
    for i, beta in enumerate(process.betas):
        alpha_bar *= 1 - beta
        forced = process.inference and i == n - 1
        m_next = 1.0 if forced else math.sqrt(min((1 - alpha_bar) / math.sqrt(alpha_bar), 1.0))
        delta_next = max(1 - (1 + m_next**2) * alpha_bar, 0.0)
        r = (1 - m_next) / (1 - m)
        fresh = delta_next - r * r * (1 - beta) * delta
        z = torch.randn(PARTICLES, generator=generator, dtype=torch.float64)
        x = r * math.sqrt(1 - beta) * x + (m_next - r * m) * math.sqrt(alpha_bar) * Y + math.sqrt(fresh) * z
        m, delta = m_next, delta_next
        check_moments(x, process, (i + 1) / n, slack=0.0)


def test_zero_terminal_table_ends_in_pure_noise_and_keeps_its_first_entry() -> None:
    plain, rescaled = VP.linear(100), VP.linear(100, zero_terminal=True)
    assert rescaled.coeffs(1.0) == (0.0, 0.0, 1.0)
    assert rescaled.log_snr(1.0) == -math.inf
    assert rescaled.coeffs(0.01)[0] == pytest.approx(plain.coeffs(0.01)[0], abs=1e-15)


def test_log_snr_at_the_end_of_each_process(toy: Toy) -> None:
    ends = {"vp-diffwave": -0.946, "vp-linear": -10.1, "ouve": -1.11, "ouve-48k": -3.37}
    for name, process in toy.processes.items():
        if name in ends:
            assert process.log_snr(1.0) == pytest.approx(ends[name], abs=0.02)
        if name in ("vp-zero", "cdiffuse-fast", "brownian", "schroedinger", "flow", "flow-y"):
            assert process.log_snr(1.0) == -math.inf
        assert process.log_snr(0.0) == math.inf
        assert process.coeffs(0.0) == (1.0, 0.0, 0.0)


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(NAMES), t=st.floats(1e-3, 1.0))
def test_log_snr_can_be_inverted(toy: Toy, name: str, t: float) -> None:
    process = toy.processes[name]
    # a table near data holds t only through 1 - sqrt(alpha_bar)
    assert process.inverse_log_snr(process.log_snr(t)) == pytest.approx(t, rel=1e-6)
    assert process.inverse_log_snr(math.inf) == 0.0


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(NAMES), pair=st.tuples(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0)))
def test_log_snr_falls_strictly(toy: Toy, name: str, pair: tuple[float, float]) -> None:
    low, high = sorted(pair)
    if high - low > 1e-6:
        assert toy.processes[name].log_snr(high) < toy.processes[name].log_snr(low)


def test_log_snr_falls_on_a_fine_lattice(toy: Toy) -> None:
    t = torch.linspace(1e-4, 1.0, 5001, dtype=torch.float64)
    for name, process in toy.processes.items():
        values = process.log_snr(t)
        assert (values[1:] < values[:-1]).all(), name
        _, _, s = process.coeffs(t)
        assert torch.isfinite(s).all(), name


@pytest.mark.parametrize("name", NAMES)
def test_one_formula_for_floats_and_batches(toy: Toy, name: str) -> None:
    process = toy.processes[name]
    t = torch.tensor([0.0, 0.013, 0.4, 0.77, 1.0], dtype=torch.float64)
    batched = torch.stack(process.coeffs(t))
    single = torch.tensor([process.coeffs(v) for v in t.tolist()], dtype=torch.float64).T
    assert_close(batched, single, rtol=1e-15, atol=0)
    a, _, _ = process.coeffs(t.float())
    assert a.dtype == torch.float32


@settings(deadline=None, max_examples=80)
@given(
    name=st.sampled_from(NAMES),
    pair=st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)),
    eta=st.one_of(st.just(0.0), st.just(1.0), st.floats(0.0, 1.0)),
)
def test_step_keeps_the_marginal(toy: Toy, name: str, pair: tuple[float, float], eta: float) -> None:
    """With the true x_0, kappa^2 s_t^2 + n^2 = s_u^2; at eta = 1, cov(x_u, x_t) is the forward process's."""
    u, t = sorted(pair)
    if t - u < 1e-6:
        return
    process = toy.processes[name]
    kappa, n = process.step(t, u, eta)
    a_t, _, s_t = process.coeffs(t)
    a_u, _, s_u = process.coeffs(u)
    assert kappa**2 * s_t**2 + n**2 == pytest.approx(s_u**2, rel=1e-9, abs=1e-15)
    if eta == 1.0:
        assert kappa * s_t**2 == pytest.approx(a_t / a_u * s_u**2, rel=1e-9, abs=1e-15)
    if eta == 0.0 and s_t > 0.0:
        assert n == 0.0


def test_step_at_both_ends(toy: Toy) -> None:
    for process in toy.processes.values():
        for eta in (0.0, 0.5, 1.0):
            assert process.step(0.5, 0.0, eta) == (0.0, 0.0)
            kappa, n = process.step(1.0, 0.5, eta)
            assert math.isfinite(kappa)
            assert math.isfinite(n)
    assert BrownianBridge(0.6).step(1.0, 0.3, 1.0)[0] == 0.3


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("cdiffuse")])
def test_rates_are_the_derivatives(toy: Toy, name: str) -> None:
    process = toy.processes[name]
    t, h = np.array([0.1234, 0.5017, 0.8765]), 1e-4  # +- 2 h stays between two entries of every table

    def terms(at: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        a, b, s = process.path(at)
        return a, b, 0.5 * s * s

    points = [terms(t + k * h) for k in (-2, -1, 1, 2)]
    for rate, p in zip(process.rates(t), zip(*points, strict=True), strict=True):
        # the derivative of the quartic through five points
        truth = (p[0] - 8 * p[1] + 8 * p[2] - p[3]) / (12 * h)
        np.testing.assert_allclose(rate, truth, rtol=1e-9, atol=1e-10)


def test_states_of_both_libraries_walk_the_same_way(toy: Toy) -> None:
    rng = np.random.default_rng(3)
    x_0, y, eps = rng.normal(size=(3, 2, 5)).astype(np.float32)
    for process in toy.processes.values():
        for t in (0.7, np.array([0.2, 0.9])):
            own = process.mean(x_0, y, t)
            tensors = torch.from_numpy(x_0), torch.from_numpy(y)
            there = process.mean(*tensors, torch.from_numpy(t) if isinstance(t, np.ndarray) else t)
            assert own.dtype == np.float32
            np.testing.assert_allclose(own, there.numpy(), rtol=1e-6, atol=1e-7)
        first, second = (process.start(y, eps, 0.9), process.start(tensors[1], torch.from_numpy(eps), 0.9))
        assert np.array_equal(first, second.numpy())


def test_starts(toy: Toy) -> None:
    y = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eps = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = {name: process.start(y, eps, 1.0) for name, process in toy.processes.items()}
    assert torch.equal(VP.diffwave().start(None, eps, 0.878), eps)
    for name in ("brownian", "schroedinger", "cdiffuse", "cdiffuse-fast"):
        assert torch.equal(start[name], y)
    assert_close(start["ouve"], y + OUVE().coeffs(1.0)[2] * eps)
    assert_close(start["flow-y"], y + 0.487 * eps)
    assert torch.equal(start["flow"], eps)
    with pytest.raises(ConfigError, match="pass y"):
        OUVE().start(None, eps, 1.0)


def test_broadcast_is_strict() -> None:
    x = torch.zeros(3, 2, 5)
    assert (broadcast(np.asarray(2.0), x) * x).dtype == torch.float32
    assert (broadcast(np.ones(3), x) * x).shape == (3, 2, 5)
    assert (broadcast(np.ones(3), x) * x).dtype == torch.float32
    for bad in (np.ones(2), np.ones(1), np.ones((3, 1))):
        with pytest.raises(ShapeError, match="one time per item"):
            broadcast(bad, x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VP(()),
        lambda: VP((0.1, 1.0)),
        lambda: VP((0.1,), zero_terminal=True),
        lambda: CDiffuSE((0.5, 0.5)),
        lambda: CDiffuSE((0.1, 0.1), inference=True),
        lambda: OUVE(theta=0.0),
        lambda: OUVE(sigma_min=0.5, sigma_max=0.1),
        lambda: BrownianBridge(-0.1),
        lambda: SchroedingerBridge(k=1.0),
        lambda: Flow(0.0),
        lambda: Flow().coeffs(1.5),
        lambda: Flow().step(0.5, 0.5, 0.0),
        lambda: Flow().step(0.5, 0.2, 1.5),
        lambda: VP.diffwave().inverse_log_snr(-3.0),
        lambda: BrownianBridge(0.0).log_snr(0.5),
        lambda: BrownianBridge(0.0).inverse_log_snr(0.5),
        lambda: CDiffuSE.published().rates(np.asarray(0.5)),
    ],
)
def test_refusals(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_processes_are_values() -> None:
    assert VP.linear(10) == VP.linear(10)
    assert hash(VP.linear(10)) == hash(VP.linear(10))
    assert VP.linear(10) != VP.linear(10, zero_terminal=True)
    assert len({CDiffuSE.fast(), CDiffuSE.fast()}) == 1
    assert all(first != second for first, second in pairwise([Flow(), Flow(2.0), Flow(2.0, to_y=True)]))
