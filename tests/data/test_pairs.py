"""Promise: a pair store gives back what was put in and grows; its batches follow from the step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.data.pairs import (
    Degradation,
    Draw,
    Pair,
    PairFormat,
    PairStore,
    Tracks,
    create,
    dev_pairs,
    has_part,
    pair_batch,
    write_part,
)
from audiodiff.errors import DataError

LAYOUT = PairFormat(sample_rate=8000, n_samples=4000, target_iterations=4, seed=0)
PAIR = Pair("ann", "A", 4000, -30.0, 1.0, "hifigan", 8, 7, Degradation(noise=0.2))


def tracks(seed: int) -> Tracks:
    noise = np.random.default_rng(seed).standard_normal((3, LAYOUT.n_samples)).astype(np.float32)
    return Tracks(*(0.1 * noise))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pairs"
    create(path, LAYOUT)
    for number in range(2):
        pairs = [(tracks(10 * number + i), replace(PAIR, seed=10 * number + i)) for i in range(3)]
        write_part(path, "train", number, pairs)
    write_part(path, "dev", 0, [(tracks(99), PAIR), (tracks(98), replace(PAIR, degradation=Degradation()))])
    return path


def test_what_was_written_comes_back_to_16_bits(folder: Path) -> None:
    store = PairStore(folder, "train")
    assert [pair.seed for pair in store.pairs] == [0, 1, 2, 10, 11, 12]
    assert store.pairs[0].degradation == PAIR.degradation
    assert store.seconds == 6 * 0.5
    for index, pair in enumerate(store.pairs):
        wanted, found = tracks(pair.seed), store.read(index)
        for name in ("start", "target", "truth"):
            assert np.abs(getattr(found, name) - getattr(wanted, name)).max() <= 0.51 * pair.gain
        part = store.read(index, 100, 50)
        assert np.array_equal(part.target, found.target[100:150])


def test_dev_pairs_are_start_and_truth_with_their_part(folder: Path) -> None:
    first, second = dev_pairs(folder, 5)
    assert (first.part, second.part) == ("noise", "clean")
    assert np.abs(first.noisy - tracks(99).start).max() < 1e-4
    assert np.abs(first.clean - tracks(99).truth).max() < 1e-4


def test_a_part_without_its_samples_is_not_there(folder: Path) -> None:
    (folder / "train-00002.json").write_text("[]")
    (folder / ".train-00002.partial.npy").write_bytes(b"half")
    assert not has_part(folder, "train", 2)
    assert len(PairStore(folder, "train").pairs) == 6


def test_a_batch_is_a_function_of_the_step(folder: Path) -> None:
    store = PairStore(folder, "train")
    draw = Draw(level_db=-25.0, gain_db=8.0, seed=3, batch=4, n_samples=1000)
    start, target, bandwidth_hz = pair_batch(store, draw, 5)
    assert start.shape == target.shape == (4, 1000)
    assert bandwidth_hz.tolist() == [4000.0] * 4
    for one, two in zip(pair_batch(store, draw, 5), (start, target, bandwidth_hz), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(pair_batch(store, draw, 6)[0], start)


def test_start_and_target_share_gain_and_place(folder: Path) -> None:
    """Each item is one stretch of one pair times one gain within +-8 dB of the wanted level."""
    store = PairStore(folder, "train")
    draw = Draw(level_db=-25.0, gain_db=8.0, seed=0, batch=6, n_samples=1000)
    start, target, _ = pair_batch(store, draw, 0)
    whole = np.stack([np.stack([t.start, t.target]) for t in map(store.read, range(len(store.pairs)))])
    stretches = np.lib.stride_tricks.sliding_window_view(whole, 1000, axis=2)
    for item in np.stack([start.numpy(), target.numpy()], axis=1):
        ratio = item[0, 0] / stretches[:, 0, :, 0]
        close = np.abs(ratio * stretches[:, 0, :, 1] - item[0, 1]) < 1e-5
        found = [
            ratio[pair, at]
            for pair, at in np.argwhere(close)
            if np.allclose(ratio[pair, at] * stretches[pair, :, at], item, atol=1e-5)
        ]
        assert len(found) == 1
        assert abs(20 * np.log10(found[0]) - (draw.level_db - PAIR.active_db)) <= 8.0


def test_another_format_and_damage_are_refused(folder: Path) -> None:
    create(folder, LAYOUT)
    with pytest.raises(DataError, match="take another folder"):
        create(folder, replace(LAYOUT, seed=1))
    with pytest.raises(DataError, match="audiodiff pairs"):
        PairStore(folder / "nowhere", "train")
    rows = json.loads((folder / "train-00001.json").read_text())
    (folder / "train-00001.json").write_text(json.dumps(rows[:2]))
    with pytest.raises(DataError, match="remove the part"):
        PairStore(folder, "train")
    (folder / "train-00001.json").write_text(json.dumps([{"speaker": "ann"}]))
    with pytest.raises(DataError, match="damaged"):
        PairStore(folder, "train")


@given(
    noise=st.sampled_from([0.0, 0.2]),
    blur=st.sampled_from([(1, 1), (3, 3)]),
    offset=st.sampled_from([0, 0.1]),
)
def test_parts_name_the_kind_of_degradation(noise: float, blur: tuple[int, int], offset: float) -> None:
    kinds = [name for name, on in (("noise", noise), ("blur", blur != (1, 1)), ("mixed", offset)) if on]
    wanted = "mixed" if offset or len(kinds) > 1 else (kinds or ["clean"])[0]
    assert Degradation(noise, *blur, offset).part == wanted
