"""Write a diffusion process of your own and sample it with a denoiser that is exact for Gaussian data."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from audiodiff.diffusion import samplers, time_grids
from audiodiff.diffusion.bridges import BrownianBridge
from audiodiff.diffusion.prediction import Preconditioning, make_denoiser
from audiodiff.diffusion.process import Process


@dataclass(frozen=True)
class SineBridge(Process):
    """x_t = (1 - b) x_0 + b y + rho sqrt(b (1 - b)) eps with b = sin^2(pi t / 2)."""

    rho: float = 1.0

    def path(self, t):  # the three coefficients (a, b, s) at float64 times
        b = np.sin(0.5 * math.pi * t) ** 2
        return 1 - b, b, self.rho * np.sqrt(b * (1 - b))

    def noise_ratio(self, t):  # s^2/a, which path alone would make 0/0 at t = 1
        return self.rho**2 * np.sin(0.5 * math.pi * t) ** 2

    def time_at(self, ratio):  # the time at which s^2/a^2 is `ratio`
        return 2 / math.pi * math.asin(math.sqrt(ratio / (self.rho**2 + ratio)))


y = torch.full((20_000, 1), 0.7)
noise = torch.randn(65, *y.shape, generator=torch.Generator().manual_seed(0))
moments = Preconditioning(sigma_x=1.0, sigma_y=1.05, sigma_xy=0.98)  # of x_0 and y
print(f"exact: mean {0.7 * moments.beta:.3f}, standard deviation {moments.sigma_r:.3f}")
for process in (SineBridge(), BrownianBridge(rho=1.0)):
    denoiser = make_denoiser(process, "x0", lambda x, _: torch.zeros_like(x), y, moments)
    grid = time_grids.default(process, 64)
    x = samplers.last(samplers.ddim(denoiser, process, y, grid, noise.__getitem__, y, eta=1.0))
    print(f"{type(process).__name__}: mean {x.mean():.3f}, standard deviation {x.std():.3f}")
