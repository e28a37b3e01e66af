"""Promise: the review list names what was added or changed where it was, and nothing where nothing was."""

from __future__ import annotations

import numpy as np
import pytest

from audiodiff.report import findings
from audiodiff.report.findings import Levels
from audiodiff.report.report_data import Place

N, M = 200, 32


def speech(floor: float = -70.0, loud: float = -30.0) -> Levels:
    """Half of the frames are loud in all bands, half lie at the floor."""
    bands = np.full((N, M), floor, dtype=np.float32)
    bands[N // 2 :] = loud
    return bands


def test_a_denoiser_that_lowers_the_noise_is_not_accused() -> None:
    before = speech()
    after = before.copy()
    after[: N // 2] -= 40
    after[N // 2 :] -= 3
    assert not findings.added(before, after).any()
    assert findings.changed(before, after, findings.floor_db(before)).max() < findings.CHANGED_DB


def test_added_energy_is_told_with_its_amount() -> None:
    before = speech()
    after = before.copy()
    after[20:30, 5] = -35
    found = findings.added(before, after)
    assert np.flatnonzero(found).tolist() == list(range(20, 30))
    np.testing.assert_allclose(found[20:30], 35, atol=0.01)


def test_added_energy_that_nobody_hears_is_left_out() -> None:
    before = speech()
    after = before.copy()
    after[20:30, 5] = -55  # 15 dB above the input, but 40 dB below the loud frames
    assert not findings.added(before, after).any()


def test_a_sound_that_moves_by_two_frames_is_not_new() -> None:
    before = speech()
    moved = before.copy()
    moved[N // 2 - 2 : N // 2] = -30
    assert not findings.added(before, moved).any()


def test_a_lost_word_is_changed_and_added_says_nothing() -> None:
    before = speech()
    after = before.copy()
    after[150:170] -= 20
    found = findings.changed(before, after, findings.floor_db(before))
    (place,) = findings.runs(found, findings.CHANGED_DB, 0.0, 0.02, "changed")
    assert place.start_s == pytest.approx(3.0, abs=0.05)
    assert place.stop_s == pytest.approx(3.4, abs=0.05)
    assert place.amount_db == pytest.approx(20, abs=0.01)
    assert not findings.added(before, after).any()


def test_a_few_bands_are_no_word() -> None:
    before = speech(loud=-70)
    before[100:120, :3] = -20
    after = before.copy()
    after[100:120, :3] = -70
    assert not findings.changed(before, after, findings.floor_db(before)).any()


def test_equal_samples_do_not_disagree() -> None:
    strength, total, count = findings.spread(np.stack([speech()] * 3))
    assert not strength.any()
    assert total == 0
    assert count == N // 2 * M


def test_the_spread_is_the_standard_deviation() -> None:
    samples = np.stack([speech(loud=level) for level in (-30, -36, -33)])
    strength, total, count = findings.spread(samples)
    truth = float(np.std([-30, -36, -33]))
    np.testing.assert_allclose(strength[N // 2 :], truth, rtol=1e-5)
    assert not strength[: N // 2].any()
    assert total / count == pytest.approx(truth)


def test_runs_join_and_drop() -> None:
    strength = np.zeros(200, dtype=np.float32)
    strength[[10, 11, 12, 20, 21]] = [1, 3, 2, 5, 1]  # 0.14 s apart: one place
    strength[100] = 9  # 20 ms: too short
    (place,) = findings.runs(strength, 0.5, 0.0, 0.02, "added")
    assert (place.start_s, place.stop_s) == pytest.approx((0.19, 0.43))
    assert (place.kind, place.amount_db) == ("added", 5.0)


def test_the_shortlist_keeps_the_strongest_in_order_of_time() -> None:
    shortlist = findings.Shortlist()
    places = [Place(i, i + 1, "added", float((7 * i) % 40)) for i in range(40)]
    shortlist.add(places)
    kept = shortlist.places()
    assert len(kept) == findings.MAX_PLACES
    assert shortlist.left_out == 40 - findings.MAX_PLACES
    assert [place.start_s for place in kept] == sorted(place.start_s for place in kept)
    assert {place.amount_db for place in kept} == set(map(float, range(40 - findings.MAX_PLACES, 40)))
