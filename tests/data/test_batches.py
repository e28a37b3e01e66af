"""Guards: items and batches are functions of their numbers, so resuming changes nothing; dev sets stay."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiodiff.data.batches import (
    DEV_KINDS,
    DevKind,
    batches,
    dev_config,
    dev_set,
    epoch_items,
    item,
    make_batch,
    write_pairs,
)
from audiodiff.data.manifest import Clip, hold_out
from audiodiff.data.mixing import MixConfig
from audiodiff.data.packing import PackSettings, pack
from audiodiff.data.sources import open_sources
from audiodiff.data.store import Labels, Store, StoreWriter
from audiodiff.errors import DataError
from audiodiff.signal.level import active_db

RATE, N = 16_000, 16_000
MIX = MixConfig(p_codec=0.0)


def test_item_is_a_function_of_its_number(store: Store) -> None:
    sources = open_sources(store, "train", MIX.class_weights)
    other = open_sources(Store(store.folder), "train", MIX.class_weights)
    for number in range(20):
        first, again = item(sources, MIX, 7, 1, number, N), item(other, MIX, 7, 1, number, N)
        np.testing.assert_array_equal(first.noisy, again.noisy)
        np.testing.assert_array_equal(first.clean, again.clean)
        assert first.meta == again.meta
    base = item(sources, MIX, 7, 1, 0, N).noisy
    for key in ((8, 1, 0), (7, 2, 0), (7, 1, 1)):
        assert not np.array_equal(base, item(sources, MIX, *key, N).noisy)


def test_resumed_batches_are_those_of_an_unbroken_run(store: Store) -> None:
    whole = list(islice(batches(store, MIX, 3, 0, 4, N), 6))
    resumed = list(islice(batches(store, MIX, 3, 4, 4, N), 2))
    for (noisy, clean, bandwidth), other in zip(whole[4:], resumed, strict=True):
        assert noisy.shape == clean.shape == (4, N)
        assert bandwidth.shape == (4,)
        assert noisy.dtype == clean.dtype == bandwidth.dtype == torch.float32
        assert all(torch.equal(a, b) for a, b in zip((noisy, clean, bandwidth), other, strict=True))
    sources = open_sources(store, "train", MIX.class_weights)
    assert all(torch.equal(a, b) for a, b in zip(whole[1], make_batch(sources, MIX, 3, 1, 4, N), strict=True))
    # Items are counted on from pass to pass.
    a_pass = epoch_items(sources, N)
    assert a_pass == round(5 * 4.1)
    epoch, number = divmod(5 * 4 + 1, a_pass)
    np.testing.assert_array_equal(whole[5][0][1].numpy(), item(sources, MIX, 3, epoch, number, N).noisy)


def test_closing_ends_the_thread(store: Store) -> None:
    stream = batches(store, MIX, 0, 0, 1, 800)
    next(stream)
    assert any(thread.name == "batches" for thread in threading.enumerate())
    stream.close()
    assert not any(thread.name == "batches" for thread in threading.enumerate())


def test_a_store_of_pauses_is_an_error_not_a_hang(tmp_path: Path) -> None:
    audio = np.zeros(100 * RATE, dtype=np.float32)
    audio[:400] = 0.5
    with StoreWriter(tmp_path / "store", RATE) as writer:
        writer.add(audio, Labels("speech", "ann", 8000, "A", "", "train", -6.0))
    with pytest.raises(DataError, match="silence only"):
        next(batches(Store(tmp_path / "store"), MIX, 0, 0, 1, 1600))


def test_dev_set_is_fixed_and_told_apart(store: Store) -> None:
    first, again = dev_set(store, 6, 1, "everyday"), dev_set(store, 6, 1, "everyday")
    assert [mixture.name for mixture in first] == [mixture.name for mixture in again]
    for mixture, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(mixture.noisy, other.noisy)
        np.testing.assert_array_equal(mixture.clean, other.clean)
        assert 4 * RATE <= mixture.noisy.size <= 8 * RATE
        assert mixture.meta.snr_db is not None
        assert 0 <= mixture.meta.snr_db <= 20
        assert mixture.meta.speaker in {f"speaker{k}" for k in range(5, 9)}
        assert active_db(mixture.noisy, RATE) == pytest.approx(-25, abs=0.01)
    assert [mixture.full_band for mixture in first] == [True, False] * 3
    assert {mixture.meta.category for mixture in first if mixture.full_band} == {"A"}
    # More mixtures leave the first ones alone.
    np.testing.assert_array_equal(dev_set(store, 8, 1, "everyday")[5].noisy, first[5].noisy)


@pytest.mark.parametrize("kind", DEV_KINDS)
def test_dev_sets_of_two_rate_classes_stay_as_they_are(store: Store, kind: DevKind) -> None:
    # Runs are compared by them: the mixtures that were, worked out once more, item by item and by turns.
    for number, mixture in enumerate(dev_set(store, 6, 1, kind)):
        config = dev_config(number % 2 == 0, kind)
        sources = open_sources(store, "dev", config.class_weights)
        segment = round(float(np.random.default_rng([1, number]).uniform(4.0, 8.0)) * RATE)
        expected = item(sources, config, 1, 0, number, segment)
        assert mixture.name == f"{number:03d}_{('full', 'narrow')[number % 2]}"
        np.testing.assert_array_equal(mixture.noisy, expected.noisy)
        np.testing.assert_array_equal(mixture.clean, expected.clean)
        assert mixture.meta == expected.meta


@pytest.mark.parametrize(("category", "full_band"), [("A", True), ("a", False)])
def test_dev_set_of_one_rate_class(clips: list[Clip], tmp_path: Path, category: str, full_band: bool) -> None:
    kept = [clip for clip in clips if clip.kind == "noise" or clip.category == category]
    pack(kept, tmp_path / "store", PackSettings(RATE, n_rooms=0))
    mixtures = dev_set(Store(tmp_path / "store"), 4, 1, "everyday")
    assert [mixture.full_band for mixture in mixtures] == [full_band] * 4
    assert {mixture.meta.category for mixture in mixtures} == {category}


def test_the_end_of_a_single_file_is_dev(clips: list[Clip], tmp_path: Path) -> None:
    (whole,) = [clip for clip in clips if clip.speaker == "speaker0" and clip.path.stem == "s0-2"]
    held = hold_out([replace(whole, by_name=True)])
    pack(held, tmp_path / "store", PackSettings(RATE, n_rooms=0))
    entries = Store(tmp_path / "store").entries
    assert [(entry.split, entry.length) for entry in entries] == [("train", 43_200), ("dev", 4_800)]


def test_a_store_without_dev_speech_says_so(clips: list[Clip], tmp_path: Path) -> None:
    pack([clip for clip in clips if clip.split == "train"], tmp_path / "store", PackSettings(RATE, n_rooms=0))
    with pytest.raises(DataError, match="no speech of split dev"):
        dev_set(Store(tmp_path / "store"), 4, 1, "everyday")


def test_written_pairs_read_back(store: Store, tmp_path: Path) -> None:
    mixtures = dev_set(store, 2, 0, "podcast")
    write_pairs(mixtures, tmp_path)
    rows = json.loads((tmp_path / "pairs.json").read_text(encoding="utf-8"))
    for mixture, row in zip(mixtures, rows, strict=True):
        noisy, rate = soundfile.read(tmp_path / "noisy" / f"{mixture.name}.flac")
        clean, _ = soundfile.read(tmp_path / "clean" / f"{mixture.name}.flac")
        assert rate == RATE
        assert soundfile.info(tmp_path / "clean" / f"{mixture.name}.flac").subtype == "PCM_16"
        gain = min(1.0, 0.99 / max(np.abs(mixture.noisy).max(), np.abs(mixture.clean).max()))
        np.testing.assert_allclose(noisy, gain * mixture.noisy, atol=2 / 32768)
        np.testing.assert_allclose(clean, gain * mixture.clean, atol=2 / 32768)
        assert row["snr_db"] == mixture.meta.snr_db
        assert row["noises"] == list(asdict(mixture.meta)["noises"])
