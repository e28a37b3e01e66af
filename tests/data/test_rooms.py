"""Guards: a room delays nothing, its target is the first 50 ms, simulated rooms ring as long as asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.data.rooms import (
    DISTANCE_RANGE_M,
    EARLY_S,
    RT60_RANGE_S,
    SPEED_OF_SOUND_M_S,
    Room,
    in_room,
    simulate_rooms,
)

pytestmark = pytest.mark.slow

RATE = 16_000


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    pytest.importorskip("pyroomacoustics", reason="simulating rooms needs the extra train")
    return list(simulate_rooms(4, RATE, seed=1))


@given(st.integers(0, 3000), st.integers(1, 5000), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_wet_and_target_are_plain_convolutions(direct: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n).astype(np.float32)
    response = (rng.standard_normal(4000) * np.exp(-np.arange(4000) / 400)).astype(np.float32)
    wet, target = in_room(x, response, direct, RATE)
    assert wet.shape == target.shape == x.shape
    full = np.convolve(x.astype(np.float64), response)[direct : direct + n]
    early = np.convolve(x.astype(np.float64), response[: direct + round(EARLY_S * RATE)])[direct : direct + n]
    # Float32 transforms: 1e-4 of sums of a few thousand unit terms.
    np.testing.assert_allclose(wet, full, atol=2e-3)
    np.testing.assert_allclose(target, early, atol=2e-3)


def test_direct_path_has_no_delay() -> None:
    response = np.zeros(2000, dtype=np.float32)
    response[300], response[300 + round(EARLY_S * RATE)] = 1.0, 0.5
    x = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    wet, target = in_room(x, response, 300, RATE)
    np.testing.assert_allclose(target, x, atol=1e-5)
    late = np.concatenate([np.zeros(round(EARLY_S * RATE)), 0.5 * x])[: x.size]
    np.testing.assert_allclose(wet - target, late, atol=1e-5)


def test_simulated_rooms(rooms: list[Room]) -> None:
    for room in rooms:
        assert RT60_RANGE_S[0] <= room.rt60_s <= RT60_RANGE_S[1]
        assert DISTANCE_RANGE_M[0] <= room.distance_m <= DISTANCE_RANGE_M[1]
        # pyroomacoustics puts its 81-tap fractional delays 40 samples late.
        assert room.direct == pytest.approx(room.distance_m / SPEED_OF_SOUND_M_S * RATE + 40, abs=9)
        assert np.isfinite(room.response).all()
        assert np.abs(room.response).max() == pytest.approx(1, abs=1e-6)
        energy = np.cumsum(room.response[::-1].astype(np.float64) ** 2)[::-1]
        decay_db = 10 * np.log10(energy / energy[0] + 1e-12)
        span = np.flatnonzero((decay_db < -5) & (decay_db > -25))
        rt60 = 3 * (span[-1] - span[0]) / RATE
        # Sabine's formula and specular walls agree to about a factor of two in rooms this small.
        assert 0.4 * room.rt60_s < rt60 < 2.2 * room.rt60_s


def test_rooms_depend_on_seed_and_number_alone(rooms: list[Room]) -> None:
    again = list(simulate_rooms(1, RATE, seed=1))
    for room, other in zip(rooms, again, strict=False):
        np.testing.assert_array_equal(room.response, other.response)
    assert next(iter(simulate_rooms(1, RATE, seed=2))).rt60_s != rooms[0].rt60_s
