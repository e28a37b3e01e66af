"""A Gaussian world in which the exact denoiser, the exact ODE and the exact chains are closed forms.

Given y, x_0 is normal with mean gain * y + shift and standard deviation std, coordinate by coordinate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.ouve import OUVE
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.samplers import State
from audiodiff.diffusion.vp import VP

Denoise = Callable[[Tensor, float | Tensor], Tensor]
Solver = Callable[
    [Denoise, Process, Tensor, Sequence[float], Callable[[int], Tensor], Tensor | None],
    Iterator[State[Tensor]],
]


def column(c: Tensor, x: Tensor) -> Tensor:
    return c.reshape(-1, *(1 for _ in x.shape[1:]))


@dataclass(frozen=True)
class GaussianWorld:
    """y, shift and std are [B, D] in float64."""

    y: Tensor
    gain: float
    shift: Tensor
    std: Tensor

    @property
    def centre(self) -> Tensor:
        return self.gain * self.y + self.shift

    def items(self, index: slice) -> GaussianWorld:
        return GaussianWorld(self.y[index], self.gain, self.shift[index], self.std[index])

    def coeffs(self, process: Process, t: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if isinstance(t, Tensor):
            a, b, s = process.coeffs(t)
            return column(a, self.y), column(b, self.y), column(s, self.y)
        a0, b0, s0 = process.coeffs(t)
        one = torch.ones((), dtype=torch.float64)
        return a0 * one, b0 * one, s0 * one

    def state_mean(self, process: Process, t: float | Tensor) -> Tensor:
        a, b, _ = self.coeffs(process, t)
        return a * self.centre + b * self.y

    def state_var(self, process: Process, t: float | Tensor) -> Tensor:
        a, _, s = self.coeffs(process, t)
        return (a * self.std) ** 2 + s**2

    def denoiser(self, process: Process) -> Denoise:
        """E[x_0 | x_t, y], by the rule for joint normals."""

        def exact(x_t: Tensor, t: float | Tensor) -> Tensor:
            a, _, _ = self.coeffs(process, t)
            var = self.state_var(process, t)
            gain = torch.where(var == 0, 0.0, a * self.std**2 / torch.where(var == 0, 1.0, var))
            return self.centre + gain * (x_t - self.state_mean(process, t))

        return exact

    def solve(self, process: Process, x_t: Tensor, t: float, u: float) -> Tensor:
        """The exact probability-flow ODE: a normal state keeps its standardised value."""
        ratio = (self.state_var(process, u) / self.state_var(process, t)).sqrt()
        return self.state_mean(process, u) + ratio * (x_t - self.state_mean(process, t))

    def sample_state(self, process: Process, t: float, seed: int) -> Tensor:
        z = torch.randn(self.y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return self.state_mean(process, t) + self.state_var(process, t).sqrt() * z

    def chain_moments(self, process: Process, grid: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Mean and variance after an ancestral chain with the exact denoiser, one posterior after another.

        The posterior of x_u given x_t, x_0 and y follows from the forward transition x_t | x_u by Bayes' rule
        for normals, in precisions, which shares no formula with the package.
        """
        mean, var = self.state_mean(process, grid[0]), self.state_var(process, grid[0])
        for t, u in pairwise(grid):
            if u == 0.0:
                gain = self.coeffs(process, t)[0] * self.std**2 / self.state_var(process, t)
                return self.centre + gain * (mean - self.state_mean(process, t)), gain**2 * var
            a_t, b_t, s_t = self.coeffs(process, t)
            a_u, b_u, s_u = self.coeffs(process, u)
            forward = a_t / a_u
            forward_var = s_t**2 - (forward * s_u) ** 2
            v = 1.0 / (1.0 / s_u**2 + forward**2 / forward_var)
            c_x = v * forward / forward_var
            estimate_gain = a_t * self.std**2 / self.state_var(process, t)
            estimate = self.centre + estimate_gain * (mean - self.state_mean(process, t))
            prior = (a_u * estimate + b_u * self.y) / s_u**2
            pulled = forward * (mean - (b_t - forward * b_u) * self.y) / forward_var
            slope = c_x + v * a_u / s_u**2 * estimate_gain
            mean, var = v * (prior + pulled), slope**2 * var + v
        return mean, var


class Counted:
    """A denoiser that counts its evaluations."""

    def __init__(self, inner: Denoise) -> None:
        self.inner = inner
        self.calls = 0

    def __call__(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x_t, t)


class Toy:
    """A world, every process, and reproducible noise; no dataclass, its repr is huge."""

    def __init__(self, world: GaussianWorld, processes: dict[str, Process]) -> None:
        self.world = world
        self.processes = processes

    def noise(self, shape: Sequence[int], seed: int = 0) -> Callable[[int], Tensor]:
        def draw(index: int) -> Tensor:
            generator = torch.Generator().manual_seed(1000 * seed + index)
            return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)

        return draw

    def counted(self, inner: Denoise) -> Counted:
        return Counted(inner)


def make_world(batch: int = 4, size: int = 6) -> GaussianWorld:
    generator = torch.Generator().manual_seed(5)
    y = torch.randn(batch, size, generator=generator, dtype=torch.float64)
    shift = 0.3 * torch.randn(batch, size, generator=generator, dtype=torch.float64)
    std = 0.2 + torch.rand(batch, size, generator=generator, dtype=torch.float64)
    return GaussianWorld(y, 0.7, shift, std)


def make_processes() -> dict[str, Process]:
    return {
        "vp-linear": VP.linear(),
        "vp-cosine": VP.cosine(200),
        "vp-diffwave": VP.diffwave(),
        "vp-zero": VP.linear(100, zero_terminal=True),
        "cdiffuse": CDiffuSE.published(),
        "cdiffuse-fast": CDiffuSE.fast(),
        "ouve": OUVE(),
        "ouve-48k": OUVE(2.0, 0.1, 1.0),
        "brownian": BrownianBridge(0.6),
        "schroedinger": SchroedingerBridge(),
        "flow": Flow(),
        "flow-y": Flow(0.487, to_y=True),
    }
