"""Promise: the losses of denoisers of waveforms are what they say, and hear no band that a clip lacks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from audiodiff.diffusion.bridges import BrownianBridge
from audiodiff.diffusion.loss import TimeLaw
from audiodiff.diffusion.prediction import Target
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError
from audiodiff.networks.contract import Features
from audiodiff.settings import parse
from audiodiff.training.ranks import ALONE
from audiodiff.training.recipe import MixData
from audiodiff.training.recordings import RecordingTask
from audiodiff.training.run_sections import RunSection
from audiodiff.training.step import TrainingContext
from audiodiff.training.wave_losses import WaveObjective, band_limited, wave_objective

RATE, T = 8000, 800
FULL = torch.full((2,), RATE / 2)
TIME = torch.arange(T) / RATE


def tone(hz: float) -> Tensor:
    return torch.sin(2 * math.pi * hz * TIME).expand(2, T)


def waves() -> tuple[Tensor, Tensor]:
    raise AssertionError("no term compares the waves")


def test_what_lies_above_the_edge_is_not_heard() -> None:
    both, edges = tone(500) + tone(2000), torch.tensor([1000.0, 4000.0])
    heard = band_limited(both, RATE, edges)  # both tones have whole periods: nothing leaks
    assert_close(heard[0], tone(500)[0], atol=2e-4, rtol=0)  # float32 sines
    assert_close(heard[1], both[1], atol=1e-5, rtol=0)
    config = WaveObjective(norm="l2")
    total, _ = wave_objective(config, both, waves, FULL, RATE, edges)
    assert total.tolist() == pytest.approx([0.5, 1.0], rel=1e-4)  # a sine has power 1/2


@pytest.mark.parametrize(("norm", "expected"), [("l1", 2 / math.pi), ("l2", 0.5)])
def test_the_error_of_the_prediction_in_closed_form(norm: Any, expected: float) -> None:
    # a period of 80 samples: their mean is the integral's to 2e-3
    total, terms = wave_objective(WaveObjective(norm=norm), tone(100), waves, FULL * 0, RATE, FULL)
    assert total.tolist() == pytest.approx([expected] * 2, rel=2e-3)
    assert terms.keys() == {"prediction"}


def test_a_term_of_the_estimate_carries_the_items_weight_and_a_term_of_the_prediction_does_not() -> None:
    config = WaveObjective(prediction=1.0, waveform=2.0)
    error, off = torch.full((2, T), 0.1), torch.full((2, T), 0.3)
    weight = torch.tensor([1.0, 0.25])
    total, terms = wave_objective(config, error, lambda: (off, 0 * off), weight, RATE, FULL)
    assert terms["waveform"].tolist() == pytest.approx([0.3, 0.3], rel=1e-5)
    assert total.tolist() == pytest.approx([0.1 + 0.6, 0.1 + 0.15], rel=1e-5)


def test_a_perfect_estimate_costs_nothing_but_minus_60_db() -> None:
    wave = tone(440)
    config = WaveObjective(waveform=1.0, mrstft=1.0, si_sdr=1.0, mrstft_windows=(64, 128))
    _, terms = wave_objective(config, 0 * wave, lambda: (wave, wave), FULL, RATE, FULL)
    assert terms["waveform"].abs().max() < 1e-6
    assert terms["mrstft"].abs().max() < 1e-3
    assert terms["si_sdr"].tolist() == pytest.approx([-60.0] * 2, abs=0.1)


def test_an_objective_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="every weight is 0"):
        parse(WaveObjective, {"prediction": 0.0}, at="objective")


def losses_of(process: Process, target: Target, say: Tensor, batch: tuple[Tensor, Tensor]) -> Any:
    """The losses of a task whose network says a given thing."""
    data = MixData(store="unused", batch=2, segment_s=0.1)
    law = TimeLaw((0.9, 0.5, 0.0), 0.4, 0.5)
    task = RecordingTask(RATE, process, target, law, WaveObjective(), data, RunSection())

    def net(_x_t: Tensor, _t: Tensor, _h: Features) -> Tensor:
        return say

    context = TrainingContext(task, 0, lambda y: (y,), net, torch.device("cpu"), False, ALONE)
    return task.losses(context, (*batch, FULL), 0, True)


def test_the_trivial_predictor_is_the_recording_or_no_noise() -> None:
    clean, noise = 0.5 * tone(300), 0.1 * tone(1300)
    batch = clean + noise, clean
    found = losses_of(BrownianBridge(0.5), "x0", clean, batch)
    assert found.total.item() == pytest.approx(0.0, abs=1e-6)
    assert found.trivial.item() == pytest.approx(noise.abs().mean().item(), rel=1e-4)
    silent = losses_of(VP.linear(), "eps", torch.zeros(2, T), batch)
    assert silent.total.item() == silent.trivial.item()
    assert silent.total.item() == pytest.approx(math.sqrt(2 / math.pi), rel=0.05)  # 1600 draws
