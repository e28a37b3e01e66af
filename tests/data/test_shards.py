"""Guards: shards come back as a store with every label, rooms bit for bit, speech but for the codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audiodiff.data.shards import HEADROOM, read_shards, travel_order, write_shards
from audiodiff.data.store import Labels, Store, StoreWriter
from audiodiff.errors import DataError

pytestmark = pytest.mark.slow


def by_name(store: Store) -> dict[tuple[str, int], int]:
    return {(entry.speaker, entry.length): position for position, entry in enumerate(store.entries)}


@pytest.fixture(scope="module")
def shard(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = write_shards(store, tmp_path_factory.mktemp("shards"), n_shards=3)
    assert len(paths) == 1
    return paths[0]


def test_round_trip(store: Store, shard: Path, tmp_path: Path) -> None:
    back = read_shards([shard], tmp_path / "back")
    assert back.sample_rate == store.sample_rate
    assert len(back.entries) == len(store.entries)
    there = by_name(store)
    for position, entry in enumerate(back.entries):
        origin = there[entry.speaker, entry.length]
        old = store.entries[origin]
        for name in ("kind", "bandwidth_hz", "category", "language", "split", "active_db", "direct"):
            assert getattr(entry, name) == getattr(old, name)
        x, y = store.read(origin), back.read(position)
        if entry.kind == "room":
            np.testing.assert_allclose(y, x, atol=1e-6)
        elif entry.kind == "speech":
            # Opus is not exact: in place (no lag), and within 8 dB of signal to error on harmonic tones.
            lags = np.fft.irfft(np.fft.rfft(y) * np.conj(np.fft.rfft(x)))
            assert int(np.argmax(lags)) == 0
            assert np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y)) > 0.92
            assert np.dot(y, y) == pytest.approx(np.dot(x, x), rel=0.15)


def test_shards_keep_to_their_size_and_each_stands_alone(store: Store, shard: Path, tmp_path: Path) -> None:
    limit = 60_000 + shard.stat().st_size // 2
    paths = write_shards(store, tmp_path / "parts", n_shards=2, shard_bytes=limit)
    assert all(path.stat().st_size <= limit for path in paths)
    first, second = (read_shards([path], tmp_path / path.stem) for path in paths)
    order = [store.entries[position].speaker for position in travel_order(store)]
    n_rooms = sum(entry.kind == "room" for entry in store.entries)
    for each in (first, second):
        clips = [entry.speaker for entry in each.entries if entry.kind != "room"]
        assert len(each.entries) - len(clips) == n_rooms
        assert clips
        assert clips == order[: len(clips)]
        del order[: len(clips)]
    both = read_shards(paths, tmp_path / "both")
    assert len(both.entries) == len(first.entries) + len(second.entries) - n_rooms


def test_best_travels_first(store: Store) -> None:
    order = travel_order(store)
    speech = [store.entries[p].category for p in order if store.entries[p].kind == "speech"]
    assert speech == sorted(speech)
    assert sorted(order) == [p for p, entry in enumerate(store.entries) if entry.kind != "room"]
    assert store.entries[order[0]].kind == "noise"


def test_loud_clips_do_not_clip(tmp_path: Path) -> None:
    time = np.arange(16_000) / 16_000
    square = np.sign(np.sin(2 * np.pi * 200 * time)).astype(np.float32) * 4
    with StoreWriter(tmp_path / "store", 16_000) as writer:
        writer.add(square, Labels("speech", "ann", 8000, "A", "", "train", 12.0))
    paths = write_shards(Store(tmp_path / "store"), tmp_path, 1)
    back = read_shards(paths, tmp_path / "back")
    # Without its upper harmonics a square wave overshoots: that must survive, so it needs the headroom.
    assert 4 < np.abs(back.read(0)).max() < 4 / HEADROOM


def test_faults(store: Store, shard: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not hold the rooms and one clip"):
        write_shards(store, tmp_path / "tiny", 1, shard_bytes=100_000)
    with pytest.raises(DataError, match="no shards"):
        read_shards([], tmp_path / "none")
    path = tmp_path / "damaged.zip"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a whole shard"):
        read_shards([path], tmp_path / "damaged")
    assert not (tmp_path / "damaged").exists()
    with StoreWriter(tmp_path / "odd", 44_100) as writer:
        writer.add(np.ones(10, np.float32), Labels("speech", "ann", 8000, "A", "", "train", 0.0))
    with pytest.raises(DataError, match="not 44100"):
        write_shards(Store(tmp_path / "odd"), tmp_path, 1)
