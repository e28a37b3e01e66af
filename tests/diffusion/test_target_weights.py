"""Promise: start and loss follow the target, so that no time of the process rules the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.loss import snr_weight, x0_weight
from audiodiff.diffusion.ouve import OUVE
from audiodiff.diffusion.prediction import (
    LARGEST_GAIN,
    Target,
    check_target,
    natural_start,
    to_x0,
    x0_gain,
)
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy

NAMES = (
    "vp-linear vp-cosine vp-diffwave vp-zero cdiffuse cdiffuse-fast "
    "ouve ouve-48k brownian schroedinger flow flow-y"
).split()
TARGETS: tuple[Target, ...] = ("x0", "eps", "v", "velocity")
TIMES = torch.tensor([0.05, 0.4, 0.9], dtype=torch.float64)


@settings(deadline=None, max_examples=30)
@given(name=st.sampled_from(NAMES), target=st.sampled_from(TARGETS), t=st.floats(0.02, 0.98))
def test_the_gain_is_that_of_an_error_of_the_prediction(
    toy: Toy, name: str, target: Target, t: float
) -> None:
    process, noise = toy.processes[name], toy.noise((3, 4))
    if target == "velocity" and name.startswith("cdiffuse"):
        return  # offers none
    said, x_t, y, error = (noise(i) for i in range(4))
    moved = to_x0(process, target, said + error, x_t, y, t) - to_x0(process, target, said, x_t, y, t)
    gain = x0_gain(process, target, torch.tensor([t], dtype=torch.float64))
    # differences of numbers that are divided by a, 0.006 at the end of DDPM's table
    assert_close(moved.abs(), gain * error.abs(), rtol=1e-9, atol=1e-9)


def test_gains_in_closed_form() -> None:
    a, _, s = VP.diffwave().coeffs(TIMES)
    assert_close(x0_gain(VP.diffwave(), "x0", TIMES), torch.ones_like(TIMES))
    assert_close(x0_gain(VP.diffwave(), "eps", TIMES), s / a)
    assert_close(x0_gain(VP.diffwave(), "v", TIMES), s)
    assert_close(x0_gain(Flow(), "velocity", TIMES), TIMES)
    assert_close(x0_gain(BrownianBridge(0.3), "velocity", TIMES), 2 * TIMES)
    root = torch.tensor([CDiffuSE.published().alpha_bar(float(t)) for t in TIMES], dtype=TIMES.dtype).sqrt()
    assert_close(x0_gain(CDiffuSE.published(), "eps", TIMES), (1 - root**2).sqrt() / root)


@pytest.mark.parametrize(
    "process", [VP.linear(), VP.cosine(200), OUVE(), BrownianBridge(0.3), SchroedingerBridge()]
)
def test_the_weight_of_eps_is_min_snr_at_one(process: Process) -> None:
    assert_close(x0_weight(process, "eps", TIMES), snr_weight(process, TIMES, 1.0))
    for target in ("x0", "v"):
        assert_close(x0_weight(process, target, TIMES), torch.ones_like(TIMES))
    assert x0_weight(process, "eps", TIMES.float()).dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_start_at_which_it_can_be_learned(toy: Toy, name: str, target: Target) -> None:
    process = toy.processes[name]
    if target == "velocity" and name.startswith("cdiffuse"):
        with pytest.raises(ConfigError, match="no velocity"):
            natural_start(process, target)
        return
    start = natural_start(process, target)
    check_target(process, target, start)
    assert 0.0 < start <= 1.0
    at_end = x0_gain(process, "eps", TIMES[-1:] * 0 + 0.999).item()
    if target == "eps" and at_end > LARGEST_GAIN:
        assert x0_gain(process, "eps", torch.tensor([start], dtype=torch.float64)).item() == pytest.approx(
            LARGEST_GAIN, rel=1e-6
        )
    elif target in ("x0", "v") or process.coeffs(1.0)[2] > 0:
        assert start == 1.0
    else:
        assert start < 1.0


def test_starts_in_closed_form() -> None:
    # s/a = rho sqrt(t/(1 - t)) = 2
    assert natural_start(BrownianBridge(0.5), "eps") == pytest.approx(4 / (4 + 0.25), rel=1e-9)
    assert natural_start(BrownianBridge(0.5), "velocity") == natural_start(BrownianBridge(0.5), "eps")
    assert natural_start(Flow(), "eps") == pytest.approx(2 / 3, rel=1e-9)
    assert natural_start(Flow(), "velocity") == 1.0
    assert natural_start(OUVE(), "eps") == 1.0
    ddpm = VP.linear()
    assert ddpm.coeffs(natural_start(ddpm, "eps"))[0] == pytest.approx(1 / math.sqrt(5), rel=1e-6)


@pytest.mark.parametrize(
    ("process", "target", "start", "line"),
    [
        (BrownianBridge(0.5), "eps", 1.0, "holds nothing of x_0"),
        (BrownianBridge(0.5), "velocity", 1.0, "holds nothing of x_0"),
        (CDiffuSE.published(), "velocity", 0.5, "no velocity"),
        (BrownianBridge(0.0), "v", 0.9, "without noise"),
        (BrownianBridge(0.0), "eps", 0.9, "without noise"),
    ],
)
def test_what_says_nothing_is_refused(process: Process, target: Target, start: float, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        check_target(process, target, start)
