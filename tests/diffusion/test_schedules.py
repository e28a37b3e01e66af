"""Promise: schedules by name are the published curves, fall, and end in pure noise if asked to."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.diffusion.vp import VP, Schedule, betas_of, sigmoid_betas
from audiodiff.errors import ConfigError
from audiodiff.model.model import build_process

NAMES: tuple[Schedule, ...] = get_args(Schedule)


@given(
    start=st.floats(-6, 0),
    width=st.floats(0.5, 8),
    tau=st.floats(0.2, 3),
    n_entries=st.integers(1, 200),
)
def test_a_sigmoid_table_is_the_closed_form(start: float, width: float, tau: float, n_entries: int) -> None:
    end = start + width
    bars = np.cumprod(1.0 - np.array(sigmoid_betas(n_entries, start, end, tau)))
    u = np.arange(1, n_entries + 1) / n_entries
    # 1 / (1 + e^-x), the published way to write it
    low, at, high = (1 / (1 + np.exp(-x / tau)) for x in (start, start + u * (end - start), end))
    np.testing.assert_allclose(bars, np.clip((high - at) / (high - low), 1e-9, 1), rtol=1e-6, atol=1e-11)


def test_the_published_sigmoid_is_symmetric_about_its_middle() -> None:
    process = VP(schedule="sigmoid")
    assert process.coeffs(0.5)[0] ** 2 == pytest.approx(0.5, abs=1e-12)
    for t in (0.1, 0.3, 0.45):
        assert process.coeffs(t)[0] ** 2 + process.coeffs(1 - t)[0] ** 2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("start", "end", "tau"), [(3.0, -3.0, 1.0), (0.0, 0.0, 1.0), (-3.0, 3.0, 0.0)])
def test_a_stretch_that_does_not_rise_is_refused(start: float, end: float, tau: float) -> None:
    with pytest.raises(ConfigError):
        sigmoid_betas(10, start, end, tau)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("zero_terminal", [False, True])
def test_a_schedule_by_name_falls_and_ends_where_it_should(name: Schedule, zero_terminal: bool) -> None:
    process = build_process({"kind": "vp", "schedule": name, "zero_terminal": zero_terminal})
    assert isinstance(process, VP)
    assert len(process.betas) == (50 if name == "diffwave" else 1000)
    assert process.table[0] == 1.0
    assert (np.diff(process.table) < 0).all()
    assert process == VP(betas_of(name), zero_terminal)
    if zero_terminal:
        assert process.coeffs(1.0) == (0.0, 0.0, 1.0)  # a signal-to-noise ratio of exactly 0
        assert process.log_snr(1.0) == -math.inf
        plain = VP(schedule=name)
        assert process.table[1] == pytest.approx(plain.table[1], abs=1e-12)
    else:
        assert process.coeffs(1.0)[0] > 0
