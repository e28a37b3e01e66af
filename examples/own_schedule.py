"""Try a time grid of your own: a grid is a falling list of times from 1 to 0, and every sampler takes any."""

import torch

from audiodiff.diffusion import samplers, time_grids
from audiodiff.diffusion.bridges import BrownianBridge
from audiodiff.diffusion.prediction import Preconditioning, make_denoiser

process, generator = BrownianBridge(rho=1.0), torch.Generator().manual_seed(0)
y, *draws = torch.randn(3, 4000, 1, generator=generator)
moments = Preconditioning(sigma_x=1.0, sigma_y=1.05, sigma_xy=0.98)  # of x_0 and y
denoiser = make_denoiser(process, "x0", lambda x, _: torch.zeros_like(x), y, moments)  # exact for these


def sample(grid):
    return samplers.last(samplers.ddim(denoiser, process, y, grid, draws.__getitem__, y))


truth = sample(time_grids.tau2(4096))
for n in (4, 8, 64):
    cubes = [(1 - i / n) ** 3 for i in range(n + 1)]  # the schedule of your own
    grids = {"uniform": time_grids.uniform(n), "squares": time_grids.tau2(n), "cubes": cubes}
    errors = [f"{name} {(sample(grid) - truth).std():.4f}" for name, grid in grids.items()]
    print(f"{n} steps, error of the sample: {', '.join(errors)}")
