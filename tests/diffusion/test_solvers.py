"""Promise: solvers have their stated orders, moments and costs, and treat every process and batch alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.prediction import Denoiser
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.samplers import Noise, State, ddim, dpmpp_2m, heun, heun_weight, last, prior_noise
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy

Sampler = Callable[
    [Denoiser[Tensor], Process, Tensor, Sequence[float], Noise[Tensor], Tensor | None],
    Iterator[State[Tensor]],
]


def posterior(
    denoiser: Denoiser[Tensor],
    process: Process,
    x: Tensor,
    grid: Sequence[float],
    noise: Noise[Tensor],
    y: Tensor | None,
) -> Iterator[State[Tensor]]:
    return ddim(denoiser, process, x, grid, noise, y, eta=1.0)


SOLVERS: dict[str, tuple[Sampler, float]] = {
    "ddim": (ddim, 1.0),
    "heun": (heun, 2.0),
    "dpmpp_2m": (dpmpp_2m, 2.0),
}
SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "posterior": posterior, "heun": heun, "dpmpp_2m": dpmpp_2m}


def no_noise(index: int) -> Tensor:
    raise AssertionError(f"a deterministic solver asked for noise {index}")


def slope(counts: Sequence[int], errors: Sequence[float]) -> float:
    """Least-squares slope of -log(error) against log(count)."""
    xs, ys = [math.log(n) for n in counts], [math.log(e) for e in errors]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return -covariance / sum((x - mean_x) ** 2 for x in xs)


def observed_order(
    toy: Toy, solver: Sampler, process: Process, span: tuple[float, float], power: float
) -> float:
    """Order on even steps in t^(1/power) from span[0] to span[1], against the exact ODE."""
    world = toy.world
    x = world.sample_state(process, span[0], 3)
    truth = world.solve(process, x, *span)
    first, final = span[0] ** (1 / power), span[1] ** (1 / power)
    # the multistep solver starts with a first-order step, whose trace fades later than the others' remainders
    counts = (64, 128, 256) if solver is dpmpp_2m else (16, 32, 64, 128)
    errors = []
    for n in counts:
        grid = [(first + (final - first) * i / n) ** power for i in range(n + 1)]
        result = last(solver(world.denoiser(process), process, x, grid, no_noise, world.y))
        errors.append((result - truth).square().mean().sqrt().item())
    return slope(counts, errors)


@pytest.mark.parametrize("name", ["vp-linear", "vp-diffwave", "cdiffuse", "ouve", "flow", "flow-y"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_order_of_smooth_processes(toy: Toy, name: str, solver: str) -> None:
    function, order = SOLVERS[solver]
    # out of log-SNR -inf the ratio of neighbouring steps never settles and 2M falls to h^2 log h
    first = 0.9 if name.startswith("flow") and solver == "dpmpp_2m" else 1.0
    assert observed_order(toy, function, toy.processes[name], (first, 0.05), 1.0) == pytest.approx(
        order, abs=0.15
    )


@pytest.mark.parametrize("name", ["brownian", "schroedinger"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_order_of_bridges_in_tau(toy: Toy, name: str, solver: str) -> None:
    # s ~ sqrt(1 - t) is not smooth at the very start either, so the interval stops short of it
    function, order = SOLVERS[solver]
    assert observed_order(toy, function, toy.processes[name], (0.9, 0.0025), 2.0) == pytest.approx(
        order, abs=0.15
    )


@pytest.mark.parametrize("name", ["brownian", "schroedinger"])
def test_tau_grid_beats_the_uniform_grid_on_bridges(toy: Toy, name: str) -> None:
    process, world = toy.processes[name], toy.world
    x = world.sample_state(process, 0.9, 3)
    truth = world.solve(process, x, 0.9, 0.0)

    def error(solver: Sampler, grid: list[float]) -> float:
        result = last(solver(world.denoiser(process), process, x, grid, no_noise, world.y))
        return (result - truth).square().mean().sqrt().item()

    assert error(heun, time_grids.tau2(32, 0.9)) < 0.2 * error(heun, time_grids.uniform(32, 0.9))
    assert error(dpmpp_2m, time_grids.tau2(32, 0.9)) < 0.5 * error(dpmpp_2m, time_grids.uniform(32, 0.9))


def test_posterior_chain_has_the_exact_moments(toy: Toy) -> None:
    """Every process, four steps: the closed-form recursion against the sampler's own affine response."""
    world = toy.world
    for name, process in toy.processes.items():
        t_start = 0.95 if process.coeffs(1.0)[0] == 0.0 else 1.0  # the recursion divides by a and s
        grid = time_grids.uniform(4, t_start)
        mean, var = world.chain_moments(process, grid)
        denoiser = world.denoiser(process)

        # affine in the start and the draws: the mean is the run without noise, the variance the sum of the
        # squared responses to one unit in the start and in each draw
        def run(
            start: float, unit: int, process: Process = process, denoiser: Denoiser[Tensor] = denoiser
        ) -> Tensor:
            x = world.state_mean(process, grid[0]) + start * world.state_var(process, grid[0]).sqrt()  # noqa: B023
            noise = {unit: torch.ones_like(x)}
            draw = lambda index: noise.get(index, torch.zeros_like(x))  # noqa: E731
            return last(posterior(denoiser, process, x, grid, draw, world.y))  # noqa: B023

        centre = run(0.0, -1)
        responses = [run(1.0, -1) - centre] + [run(0.0, unit) - centre for unit in range(1, 4)]
        total = torch.stack(responses).square().sum(0)
        assert_close(centre, mean, rtol=1e-9, atol=1e-9, msg=name)
        assert_close(total, var, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", ["vp-linear", "ouve", "schroedinger", "flow-y"])
def test_fine_posterior_chain_reaches_the_data(toy: Toy, name: str) -> None:
    """With many steps the chain's law tends to that of x_0 given y: first order in the step."""
    process, world = toy.processes[name], toy.world
    errors = []
    for n in (100, 200):
        mean, var = world.chain_moments(process, [0.9 * ((n - i) / n) ** 2 for i in range(n + 1)])
        assert_close(mean, world.centre, rtol=0, atol=1e-9)
        errors.append((var / world.std**2 - 1.0).abs().max().item())
    assert errors[1] < 0.05
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.4)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_stated_number_of_evaluations(toy: Toy, sampler: str, n_steps: int) -> None:
    for process in toy.processes.values():
        world = toy.world
        noise = toy.noise(world.y.shape)
        counted = toy.counted(world.denoiser(process))
        x = process.start(world.y, noise(0), 1.0)
        states = list(
            SAMPLERS[sampler](counted, process, x, time_grids.default(process, n_steps), noise, world.y)
        )
        assert counted.calls == (2 * n_steps - 1 if sampler == "heun" else n_steps)
        assert [state.i for state in states] == list(range(n_steps))
        assert states[-1].t == 0.0
        assert torch.equal(states[-1].x, states[-1].x0_hat)  # u = 0 returns the estimate itself
        assert torch.isfinite(states[-1].x).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_batched_equals_per_item(toy: Toy, sampler: str) -> None:
    world = toy.world
    noise = toy.noise(world.y.shape)
    for process in toy.processes.values():
        grid = time_grids.default(process, 3)
        x = process.start(world.y, noise(0), 1.0)
        whole = last(SAMPLERS[sampler](world.denoiser(process), process, x, grid, noise, world.y))
        part = world.items(slice(2, 3))
        own = last(
            SAMPLERS[sampler](part.denoiser(process), process, x[2:3], grid, lambda i: noise(i)[2:3], part.y)
        )
        assert torch.equal(whole[2:3], own)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_process_up_to_scale_and_time(toy: Toy, sampler: str) -> None:
    """On one log-SNR grid, from one standardised start and draws, all processes give the same samples."""
    world = toy.world
    noise = toy.noise(world.y.shape)
    z = noise(99)
    results = []
    for name, process in toy.processes.items():
        times = [process.inverse_log_snr(value) for value in (-0.5, 0.5, 1.7, 3.0)]
        _, b, s = process.coeffs(times[0])
        a = process.coeffs(times[0])[0]
        x = a * world.centre + b * world.y + s * z
        grid = [*times, 0.0]
        results.append(
            (name, last(SAMPLERS[sampler](world.denoiser(process), process, x, grid, noise, world.y)))
        )
    for name, result in results[1:]:
        # a table's time carries log-SNR to about 1e-13, and the chain amplifies it a little
        assert_close(result, results[0][1], rtol=0, atol=1e-9, msg=f"{name} differs from {results[0][0]}")


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp_2m"])
def test_bridges_flows_and_zero_terminal_tables_agree_from_pure_noise(toy: Toy, sampler: str) -> None:
    """From log-SNR -inf too: a bridge's fresh noise is what the others start with."""
    world = toy.world
    eps = toy.noise(world.y.shape)(0)
    names = ["vp-zero", "brownian", "schroedinger", "flow", "flow-y"]
    results = []
    for name in names:
        process = toy.processes[name]
        grid = [1.0, *(process.inverse_log_snr(value) for value in (-2.0, 0.0, 2.0)), 0.0]
        x = process.start(world.y, eps, 1.0)
        results.append(
            last(SAMPLERS[sampler](world.denoiser(process), process, x, grid, lambda _: eps, world.y))
        )
    for result in results[1:]:
        assert_close(result, results[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("process", [BrownianBridge(0.6), SchroedingerBridge()])
def test_bridge_start(toy: Toy, process: Process) -> None:
    world = toy.world
    noise = toy.noise(world.y.shape)
    x = process.start(world.y, noise(0), 1.0)
    assert torch.equal(x, world.y)
    for eta in (0.0, 0.3, 1.0):
        first = next(ddim(world.denoiser(process), process, x, [1.0, 0.6, 0.0], noise, world.y, eta))
        a, b, s = process.coeffs(0.6)
        assert_close(first.x, a * world.centre + b * world.y + s * noise(1))
    ode = next(ddim(world.denoiser(process), process, x, [1.0, 0.6, 0.0], no_noise, world.y, start_noise=0.0))
    assert_close(ode.x, process.mean(world.centre, world.y, 0.6))


def test_bridge_without_noise_is_cold_diffusion(toy: Toy) -> None:
    world, process = toy.world, BrownianBridge(0.0)
    assert process.step(0.8, 0.2, 0.0) == process.step(0.8, 0.2, 1.0) == (0.25, 0.0)
    states = list(ddim(lambda x, _: 0.5 * x, process, world.y, [1.0, 0.5, 0.0], no_noise, world.y))
    # x_u = x_t + (1 - u/t)(D - x_t) for this process
    assert_close(states[0].x, 0.75 * world.y)
    with pytest.raises(ConfigError, match="rho = 0"):
        next(heun(lambda x, _: x, process, world.y, [1.0, 0.5, 0.0], no_noise, world.y))


def test_2m_equals_ddim_for_three_steps_from_minus_infinity(toy: Toy) -> None:
    world = toy.world
    for process in (toy.processes["vp-zero"], Flow(0.5, to_y=True), SchroedingerBridge()):
        noise = toy.noise(world.y.shape)
        x = process.start(world.y, noise(0), 1.0)
        for n_steps, same in ((1, True), (2, True), (3, True), (4, False)):
            grid = time_grids.default(process, n_steps)
            first = last(ddim(world.denoiser(process), process, x, grid, noise, world.y))
            second = last(dpmpp_2m(world.denoiser(process), process, x, grid, noise, world.y))
            assert torch.equal(first, second) is same


def test_heun_weight_against_quadrature() -> None:
    """The weight is the mean of (l - l_t)/h under e^l: midpoint sums with 20000 points, error below 1e-8."""
    for h in (1e-4, 9e-4, 1.1e-3, 0.1, 1.0, 5.0, 20.0):
        points = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
        density = torch.exp(h * (points - 1.0))
        assert heun_weight(h) == pytest.approx(((points * density).sum() / density.sum()).item(), abs=1e-6)
    assert heun_weight(math.inf) == 0.5


def test_energy_prior_scales_every_draw(toy: Toy) -> None:
    """An oracle that knows x_0 leaves the noise of the state with the prior's scale at every step."""
    world, process = toy.world, Flow()
    scale = torch.linspace(0.1, 1.0, world.y.shape[1], dtype=torch.float64)
    plain = toy.noise(world.y.shape)
    noise = prior_noise(plain, scale)

    def oracle(x_t: Tensor, t: float | Tensor) -> Tensor:
        return world.centre

    grid = time_grids.uniform(4)
    scaled = list(posterior(oracle, process, noise(0), grid, noise, None))
    unit = list(posterior(oracle, process, plain(0), grid, plain, None))
    for with_prior, without in zip(scaled, unit, strict=True):
        mean = process.mean(world.centre, None, with_prior.t)
        assert_close(with_prior.x - mean, scale * (without.x - mean))


def test_grids_that_do_not_fall_are_refused(toy: Toy) -> None:
    world, process = toy.world, Flow()
    for grid in ([1.0], [0.5, 1.0], [1.0, 1.0, 0.0], [1.2, 0.0]):
        with pytest.raises(ConfigError, match="grid"):
            last(ddim(world.denoiser(process), process, world.y, grid, no_noise))
    with pytest.raises(ConfigError, match="no step"):
        last(iter(()))
    with pytest.raises(ConfigError, match="pass y"):
        last(ddim(lambda x, _: x, CDiffuSE.published(), world.y, [1.0, 0.5, 0.0], no_noise))
