"""Promise: bootstrap intervals are those of theory where theory has them, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.evaluation.bootstrap import Difference, mean_interval

floats = st.floats(-100, 100).map(lambda x: round(x, 3))


def test_normal_data_have_the_interval_of_the_normal_distribution() -> None:
    x = np.random.default_rng(1).normal(0.3, 2.0, 400)
    found = mean_interval(list(x))
    half = 1.96 * x.std() / np.sqrt(x.size)
    assert found.mean == pytest.approx(x.mean())
    assert found.low == pytest.approx(x.mean() - half, abs=0.05 * half)
    assert found.high == pytest.approx(x.mean() + half, abs=0.05 * half)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    found = [mean_interval(list(rng.normal(0, 1, 50)), resamples=500) for _ in range(400)]
    covered = np.mean([f.low is not None and f.high is not None and f.low < 0 < f.high for f in found])
    assert 0.90 < covered < 0.98


def test_two_values_give_the_quartiles_of_their_four_resamples() -> None:
    found = mean_interval([0.0, 1.0])
    assert (found.low, found.high) == (0.0, 1.0)  # each of them has a quarter of the resamples
    assert not found.clear


@given(st.lists(floats, min_size=2, max_size=20), floats, st.floats(0.1, 10))
def test_intervals_move_and_stretch_with_the_data(values: list[float], shift: float, scale: float) -> None:
    one = mean_interval(values, resamples=200)
    two = mean_interval([scale * v + shift for v in values], resamples=200)
    for a, b in ((one.low, two.low), (one.mean, two.mean), (one.high, two.high)):
        assert a is not None
        assert b == pytest.approx(scale * a + shift, abs=1e-6)
    assert min(values) - 1e-9 <= (one.low or 0) <= (one.high or 0) <= max(values) + 1e-9


def test_the_seed_decides_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(np.random.default_rng(3).normal(size=30))
    whole = mean_interval(values, resamples=1000)
    assert mean_interval(values, resamples=1000) == whole
    assert mean_interval(values, resamples=1000, seed=1) != whole
    monkeypatch.setattr("audiodiff.evaluation.bootstrap._DRAWS_AT_ONCE", 100)
    assert mean_interval(values, resamples=1000) == whole


def test_without_clips_there_is_no_interval() -> None:
    assert mean_interval([]) == Difference(None, None, None, 0)
    assert mean_interval([2.0]) == Difference(2.0, None, None, 1)
