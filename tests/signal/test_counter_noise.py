"""Promise: noise is standard normal and depends on (seed, stream, step, position) alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audiodiff.errors import ConfigError
from audiodiff.signal.counter_noise import gaussian

N = 200_000


@given(st.integers(0, 1 << 45), st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
@settings(deadline=None)
def test_overlapping_ranges_agree_exactly(start: int, shift: int, n: int, m: int) -> None:
    first = gaussian(7, 1, 2, start, shift + n)
    second = gaussian(7, 1, 2, start + shift, m)
    common = min(n, m)
    assert np.array_equal(first[shift : shift + common], second[:common])
    assert second.shape == (m,)
    assert second.dtype == np.float32


def test_moments_and_distribution() -> None:
    x = gaussian(0, 0, 0, 0, N).astype(np.float64)
    assert abs(x.mean()) < 4 / N**0.5
    assert abs(x.var() - 1) < 4 * (2 / N) ** 0.5
    assert abs(stats.skew(x)) < 4 * (6 / N) ** 0.5
    assert abs(stats.kurtosis(x)) < 4 * (24 / N) ** 0.5
    assert stats.kstest(x, "norm").pvalue > 0.01


def test_neighbours_are_independent() -> None:
    x = gaussian(0, 0, 0, 0, N).astype(np.float64)
    for lag in (1, 2, 3, 4, 8, 1024):
        assert abs(np.mean(x[lag:] * x[:-lag])) < 4.5 / N**0.5
        assert abs(np.corrcoef(x[lag:] ** 2, x[:-lag] ** 2)[0, 1]) < 4.5 / N**0.5


@pytest.mark.parametrize(
    "other", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1 << 32, 0, 0), (0, 1 << 32, 0), (1 << 63, 0, 0)]
)
def test_another_seed_stream_or_step_is_unrelated(other: tuple[int, int, int]) -> None:
    a = gaussian(0, 0, 0, 0, N).astype(np.float64)
    b = gaussian(*other, 0, N).astype(np.float64)
    assert abs(np.mean(a * b)) < 4.5 / N**0.5
    assert not np.array_equal(a, b)


def test_roles_of_the_three_numbers_do_not_mix() -> None:
    draws = {
        gaussian(*key, 0, 8).tobytes() for key in [(1, 2, 3), (2, 1, 3), (3, 2, 1), (1, 3, 2), (0, 1, 2)]
    }
    assert len(draws) == 5


def test_values_stay_what_they_are() -> None:
    golden = gaussian(1, 2, 3, 1000, 4)
    assert golden == pytest.approx(GOLDEN, abs=1e-6)


def test_positions_far_away() -> None:
    x = gaussian(5, 0, 0, 1 << 62, 1000)
    assert np.isfinite(x).all()
    assert 0.9 < x.std() < 1.1


@pytest.mark.parametrize("bad", [(-1, 0, 0, 0, 1), (0, 1 << 64, 0, 0, 1), (0, 0, 0, -1, 1), (0, 0, 0, 0, -1)])
def test_numbers_out_of_range_are_refused(bad: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ConfigError):
        gaussian(*bad)


GOLDEN = [0.4306618, -1.2289255, -0.0376260, -0.5803980]
