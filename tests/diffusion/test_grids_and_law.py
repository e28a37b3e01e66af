"""Promise: grids fall from the start to exact 0, training draws t where sampling looks, items stay apart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.loss import TimeLaw, item_mean, sample_state, snr_weight
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy

NAMES = (
    "vp-linear vp-cosine vp-diffwave vp-zero cdiffuse cdiffuse-fast "
    "ouve ouve-48k brownian schroedinger flow flow-y"
).split()
UNIT = st.floats(0.0, 1.0, exclude_max=True)


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(NAMES), n_steps=st.integers(1, 30), t_start=st.floats(0.3, 1.0))
def test_every_grid_falls_from_its_start_to_zero(toy: Toy, name: str, n_steps: int, t_start: float) -> None:
    process = toy.processes[name]
    assume(process.log_snr(t_start) < 10)  # where the log-SNR grids end
    for grid in (
        time_grids.uniform(n_steps, t_start),
        time_grids.tau2(n_steps, t_start),
        time_grids.log_snr(process, n_steps, t_start),
        time_grids.rho(process, n_steps, t_start),
        time_grids.default(process, n_steps, t_start),
    ):
        assert len(grid) == n_steps + 1
        assert grid[0] == t_start
        assert grid[-1] == 0.0
        assert all(u < t for t, u in pairwise(grid))


def test_log_snr_grid_is_even_between_its_ends() -> None:
    process = VP.linear()
    values = [process.log_snr(t) for t in time_grids.log_snr(process, 9, 0.8, (-8.0, 4.0))[:-1]]
    steps = [high - low for low, high in pairwise(values)]
    assert steps == pytest.approx([steps[0]] * 8, rel=1e-6)
    assert values[0] == pytest.approx(process.log_snr(0.8))
    assert values[-1] == pytest.approx(4.0, rel=1e-9)
    bridge = SchroedingerBridge()
    inner = [bridge.log_snr(t) for t in time_grids.log_snr(bridge, 6, 1.0, (-4.0, 4.0))[1:-1]]
    assert inner == pytest.approx([-4.0, -2.0, 0.0, 2.0, 4.0], abs=1e-9)
    assert [
        bridge.log_snr(t) for t in time_grids.log_snr(bridge, 2, 1.0, (-4.0, 2.0))[1:-1]
    ] == pytest.approx([-1.0])


def test_rho_grid_is_edms() -> None:
    """On a flow, s/a = t/(1 - t) plays EDM's sigma."""
    grid = time_grids.rho(Flow(), 6, 1.0, (-4.0, 4.0), 7.0)[1:-1]
    high, low = 2.718281828459045**2, 2.718281828459045**-2
    for i, t in enumerate(grid):
        sigma = (high ** (1 / 7) + i / 4 * (low ** (1 / 7) - high ** (1 / 7))) ** 7
        assert t / (1 - t) == pytest.approx(sigma, rel=1e-9)


def test_defaults_and_refusals() -> None:
    assert time_grids.default(SchroedingerBridge(), 4) == [1.0, 0.5625, 0.25, 0.0625, 0.0]
    assert time_grids.default(BrownianBridge(0.0), 2) == [1.0, 0.25, 0.0]
    assert time_grids.default(Flow(), 4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    refused: list[Callable[[], list[float]]] = [
        lambda: time_grids.uniform(0),
        lambda: time_grids.tau2(3, 0.0),
        lambda: time_grids.uniform(3, 1.1),
        lambda: time_grids.log_snr(Flow(), 3, 1.0, (3.0, 2.0)),
        lambda: time_grids.rho(Flow(), 3, power=0.0),
    ]
    for make in refused:
        with pytest.raises(ConfigError):
            make()


@settings(deadline=None, max_examples=60)
@given(
    n_steps=st.integers(1, 6),
    p_start=st.floats(0.0, 1.0),
    jitter=st.floats(0.0, 0.99),
    uniforms=st.lists(st.tuples(UNIT, UNIT, UNIT), min_size=1, max_size=8),
)
def test_times_stay_in_range_and_items_apart(
    n_steps: int, p_start: float, jitter: float, uniforms: list[tuple[float, float, float]]
) -> None:
    law = TimeLaw(time_grids.tau2(n_steps), p_start, jitter)
    u = torch.tensor(uniforms, dtype=torch.float64)
    t = law.draw(u)
    assert t.shape == (len(uniforms),)
    assert ((t > 0) & (t <= 1)).all()
    assert torch.equal(t[-1:], law.draw(u[-1:]))


def test_law_of_t() -> None:
    u = torch.rand(100_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    atom = TimeLaw([1.0, 0.25, 0.0], 0.4, 0.0).draw(u)
    # 0.4 + 0.6/2 at the start and 0.3 at 0.25, to five standard errors
    assert (atom == 1.0).double().mean().item() == pytest.approx(0.7, abs=0.008)
    assert (atom == 0.25).double().mean().item() == pytest.approx(0.3, abs=0.008)
    spread = TimeLaw([1.0, 0.75, 0.5, 0.25, 0.0], 0.0, 0.5).draw(u)
    assert spread.min().item() == pytest.approx(0.125, abs=1e-3)
    counts = torch.histc(spread, 4, 0.125, 0.875) / len(u)
    # inner ranges are [0.125, 0.375) and so on, a quarter each; the start's is [0.875, 1]
    assert counts.sum().item() == pytest.approx(0.75, abs=0.008)
    assert TimeLaw([1.0, 0.0], 0.0, 0.5).draw(u).min().item() == pytest.approx(0.5, abs=1e-3)


def test_law_refusals() -> None:
    for grid, p_start, jitter in (
        ([1.0], 0.4, 0.5),
        ([1.0, 0.5], 0.4, 0.5),
        ([0.5, 1.0, 0.0], 0.4, 0.5),
        ([1.5, 0.0], 0.4, 0.5),
        ([1.0, 0.0], 1.4, 0.5),
        ([1.0, 0.0], 0.4, 1.0),
    ):
        with pytest.raises(ConfigError):
            TimeLaw(grid, p_start, jitter)
    with pytest.raises(ShapeError, match="uniforms"):
        TimeLaw([1.0, 0.0]).draw(torch.rand(4, 2))


def test_states_are_per_item_and_carry_the_prior(toy: Toy) -> None:
    noise = toy.noise((3, 5, 4, 2))
    x_0, y, eps = noise(0), noise(1), noise(2)
    scale = noise(3)[:1].abs()
    t = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    for process in toy.processes.values():
        batch = sample_state(process, x_0, y, t, eps, scale)
        for i in range(3):
            a, b, s = process.coeffs(t[i].item())
            assert_close(batch[i], a * x_0[i] + b * y[i] + s * scale[0] * eps[i])
        assert torch.equal(batch[0], x_0[0])
    with pytest.raises(ShapeError):
        sample_state(Flow(), x_0, None, t[:2], eps)


def test_weights_and_means() -> None:
    error = torch.arange(12, dtype=torch.float64).reshape(2, 3, 2)
    assert_close(item_mean(error), torch.tensor([2.5, 8.5], dtype=torch.float64))
    weight = torch.tensor([2.0, 0.5], dtype=torch.float64)
    assert_close(item_mean(error, weight), torch.tensor([5.0, 4.25], dtype=torch.float64))
    for bad in (torch.ones(2, 1), torch.ones(3), torch.ones(1)):
        with pytest.raises(ShapeError):
            item_mean(error, bad)
    t = torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64)
    a, _, s = VP.diffwave().coeffs(t)
    expected = torch.minimum((a / s).square(), torch.tensor(5.0, dtype=torch.float64))
    assert_close(snr_weight(VP.diffwave(), t, 5.0), expected)
    assert snr_weight(SchroedingerBridge(), torch.ones(1), 5.0).item() == 0.0
    with pytest.raises(ConfigError):
        snr_weight(Flow(), t, 0.0)
