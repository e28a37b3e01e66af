"""Promise: the distances of sets are those of normal data in closed form, symmetric, and 0 for equal sets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from audiodiff.evaluation.distances import frechet_distance, frechet_of_normals, kernel_distance
from audiodiff.evaluation.embedding import SIZE, embed
from audiodiff.evaluation.score import Unscored
from tests.evaluation.conftest import RATE, syllables

Points = NDArray[np.float64]


def draw(n: int, seed: int, dim: int = 3, mean: float = 0.0, scale: float = 1.0) -> Points:
    return mean + scale * np.random.default_rng(seed).standard_normal((n, dim))


def covariance(seed: int, dim: int = 5) -> Points:
    root = np.random.default_rng(seed).standard_normal((dim, dim))
    return root @ root.T


def number(score: float | Unscored) -> float:
    assert not isinstance(score, Unscored)
    return score


def test_two_normals_of_one_axis_system_have_the_closed_form() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    one, two = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.0])
    means = np.array([1.0, 0.0, 2.0]), np.array([0.0, 0.0, 0.0])
    found = frechet_of_normals(means[0], turn * one @ turn.T, means[1], turn * two @ turn.T)
    assert found == pytest.approx(5 + np.square(np.sqrt(one) - np.sqrt(two)).sum())


def test_the_root_is_that_of_scipy() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    a, b, zero = covariance(1), covariance(2), np.zeros(5)
    expected = np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert frechet_of_normals(zero, a, zero, b) == pytest.approx(expected)
    assert frechet_of_normals(zero, b, zero, a) == pytest.approx(expected)


def test_samples_of_normals_come_near_the_closed_form() -> None:
    found = number(frechet_distance(draw(40_000, 1), draw(40_000, 2, mean=1, scale=2)))
    assert found == pytest.approx(3 * (1 + 1), rel=0.02)


def test_a_set_is_at_no_distance_from_itself_and_both_are_symmetric() -> None:
    x, y = draw(200, 3), draw(150, 4, mean=0.3)
    assert number(frechet_distance(x, x)) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(x, x) == 0
    for distance in (frechet_distance, kernel_distance):
        assert number(distance(x, y)) == pytest.approx(number(distance(y, x)))
        assert number(distance(x, y)) > 0


def test_the_kernel_distance_of_normals_has_its_closed_form() -> None:
    """E k(x, y) of normals is a normal density: (w^2 / v)^(D/2) exp(-m^2 / 2v), v = w^2 + both variances."""
    dim, width, mean, scale = 3, 1.5, 0.7, 1.2

    def expected(variance: float, apart: float) -> float:
        v = width**2 + variance
        return float((width**2 / v) ** (dim / 2) * np.exp(-dim * apart**2 / (2 * v)))

    analytic = expected(2, 0) + expected(2 * scale**2, 0) - 2 * expected(1 + scale**2, mean)
    pairs = ((draw(300, 2 * i), draw(200, 2 * i + 1, mean=mean, scale=scale)) for i in range(60))
    found = np.array([number(kernel_distance(*pair, width)) for pair in pairs])
    error = found.std() / np.sqrt(found.size)
    assert found.mean() == pytest.approx(analytic, abs=3 * error)
    assert analytic > 15 * error  # so that the line above says something


def test_halves_of_one_distribution_are_at_distance_0_on_average() -> None:
    found = np.array([number(kernel_distance(draw(30, 2 * i), draw(20, 2 * i + 1))) for i in range(300)])
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(found.size)
    assert (found < 0).any()
    assert found.std() < 0.05  # a biased estimate has a mean of about (1/30 + 1/20) (1 - E k), some 0.05
    assert abs(found.mean()) < 0.01


def test_the_sums_over_blocks_are_the_double_loop() -> None:
    x, y, width = draw(12, 5), draw(9, 6, mean=0.5), 1.3

    def k(a: Points, b: Points) -> float:
        return float(np.exp(-np.square(a - b).sum() / (2 * width**2)))

    within = [np.mean([k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    between = np.mean([k(a, b) for a in x for b in y])
    assert number(kernel_distance(x, y, width)) == pytest.approx(float(sum(within) - 2 * between))


def test_too_few_points_are_a_reason() -> None:
    for distance in (frechet_distance, kernel_distance):
        found = distance(draw(5, 1), draw(50, 2))
        assert isinstance(found, Unscored)
        assert found.code == "few"


def test_points_are_one_a_second_every_half_second_and_whole_recordings_hold_those_of_their_parts() -> None:
    x = syllables(4.0)
    points = embed(x, RATE)
    assert points.shape == (7, SIZE)
    # away from the ends, where frames see mirrored sound, a part has the points of the whole
    part = embed(x[RATE // 2 : -RATE // 2], RATE)
    np.testing.assert_allclose(part[1:-1], points[2:-2], atol=1e-4)
    assert embed(x[: RATE - 1], RATE).shape == (0, SIZE)


def test_a_gain_moves_only_the_first_mean() -> None:
    x = syllables(2.0) + 0.01 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    apart = embed(2 * x, RATE) - embed(x, RATE)
    np.testing.assert_allclose(apart[:, 0], np.log(2) * np.sqrt(40), atol=1e-2)
    np.testing.assert_allclose(apart[:, 1:], 0, atol=1e-2)
