"""Diffusion processes, and the walk back from a degraded signal to a clean one.

One equation serves every process:

    x_t = a(t) x_0 + b(t) y + s(t) eps

x_0 is clean, y the recording (absent where b = 0), eps standard normal; t = 0 is data and t = 1 the start of
sampling. A denoiser D(x_t, t) estimates x_0, and one step goes from t down to u:

    x_u = a_u D + b_u y + kappa (x_t - a_t D - b_t y) + n z

A process gives a, b, s and (kappa, n); ``make_denoiser`` turns a network into D; a grid says at which times;
a sampler repeats the step. Loss and samplers use the same denoiser.
"""

from audiodiff.diffusion import grids
from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.diffwave import FAST_BETAS, diffwave, projected, start_late, table_times
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.loss import TimeLaw, item_mean, sample_state, snr_weight
from audiodiff.diffusion.ouve import OUVE
from audiodiff.diffusion.predict import (
    Denoiser,
    NetFn,
    Preconditioning,
    Target,
    make_denoiser,
    target_of,
    to_x0,
)
from audiodiff.diffusion.prior import EnergyPrior, LevelPrior, Prior, noise_loss
from audiodiff.diffusion.process import Process, Time
from audiodiff.diffusion.samplers import Noise, State, ddim, dpmpp_2m, heun, last, prior_noise
from audiodiff.diffusion.vp import VP

__all__ = [
    "FAST_BETAS",
    "OUVE",
    "VP",
    "BrownianBridge",
    "CDiffuSE",
    "Denoiser",
    "EnergyPrior",
    "Flow",
    "LevelPrior",
    "NetFn",
    "Noise",
    "Preconditioning",
    "Prior",
    "Process",
    "SchroedingerBridge",
    "State",
    "Target",
    "Time",
    "TimeLaw",
    "ddim",
    "diffwave",
    "dpmpp_2m",
    "grids",
    "heun",
    "item_mean",
    "last",
    "make_denoiser",
    "noise_loss",
    "prior_noise",
    "projected",
    "sample_state",
    "snr_weight",
    "start_late",
    "table_times",
    "target_of",
    "to_x0",
]
