"""Promise: at any level of noise a model of spectra pays for the error of its prediction, no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from audiodiff.diffusion.loss import TimeLaw
from audiodiff.diffusion.prediction import Target, natural_start, target_of
from audiodiff.diffusion.vp import VP
from audiodiff.signal.stft import STFT, Compression
from audiodiff.training.losses import Front, ObjectiveConfig
from audiodiff.training.ranks import ALONE
from audiodiff.training.recipe import MixData
from audiodiff.training.run_sections import RunSection
from audiodiff.training.spectra import SpectralTask
from audiodiff.training.step import Losses, TrainingContext

RATE, T = 8000, 1600
FRONT = Front(STFT(64, 32), Compression(0.5, 0.33), RATE)
PROCESS = VP.linear()
CPU = torch.device("cpu")


def losses(target: Target, start: float, net: Callable[[Tensor, Tensor], Tensor], clean: Tensor) -> Losses:
    """Of a network ``(x_t, t) -> prediction``; every time is the start."""
    law = TimeLaw((start, 0.5 * start, 0.0), p_start=1.0)
    data = MixData(store="unused", batch=2, segment_s=0.2)
    objective = ObjectiveConfig(complex=1.0, magnitude=0.0)
    task = SpectralTask(FRONT, PROCESS, target, law, objective, data, RunSection())

    def forward(x_t: Tensor, t: Tensor, _h: tuple[Tensor, ...]) -> Tensor:
        return net(x_t, t)

    context = TrainingContext(task, 0, lambda y: (y,), forward, CPU, False, ALONE)
    return task.losses(context, (clean, clean, torch.full((2,), RATE / 2)), 0, True)


def silence(x_t: Tensor, _t: Tensor) -> Tensor:
    return torch.zeros_like(x_t)


@pytest.mark.parametrize(("target", "start"), [("eps", None), ("eps", 0.9), ("v", None), ("x0", None)])
def test_an_error_of_the_prediction_costs_its_square(target: Target, start: float | None) -> None:
    t0 = natural_start(PROCESS, target) if start is None else start
    clean = 0.1 * torch.randn(2, T, generator=torch.Generator().manual_seed(1))
    x_0 = FRONT.spectrum(clean)

    def wrong_by(error: float) -> Callable[[Tensor, Tensor], Tensor]:
        def net(x_t: Tensor, t: Tensor) -> Tensor:
            a, _, s = PROCESS.coeffs(t)
            eps = (x_t - a[:, None, None, None] * x_0) / s[:, None, None, None]
            return target_of(PROCESS, target, x_0, None, eps, t) + error

        return net

    assert losses(target, t0, wrong_by(0.0), clean).total.item() == pytest.approx(0.0, abs=1e-6)
    # both parts of every bin are off by 0.1, at times with s >= a
    assert losses(target, t0, wrong_by(0.1), clean).total.item() == pytest.approx(0.02, rel=1e-3)


def test_the_trivial_predictor_of_noise_says_none() -> None:
    clean = 0.1 * torch.randn(2, T, generator=torch.Generator().manual_seed(1))
    found = losses("eps", natural_start(PROCESS, "eps"), silence, clean)
    assert found.trivial is not None
    assert found.total.item() == found.trivial.item()
    assert found.total.item() == pytest.approx(1.0, rel=0.05)  # complex noise of total variance 1
    handed_on = losses("x0", 1.0, silence, clean).trivial
    assert handed_on is not None
    assert handed_on.item() == 0.0  # the recording is clean here
