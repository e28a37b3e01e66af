"""Guards: a packed clip is the decoded file to 16 bits, in place, and a store is whole or absent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.data.manifest import Clip
from audiodiff.data.packing import PackSettings, decode, high_pass, pack
from audiodiff.data.store import Labels, Store, StoreWriter
from audiodiff.errors import AudioFileError, DataError

RATE = 16_000
LABELS = Labels("speech", "ann", 8000, "A", "en", "train", -20.0)


def test_round_trip_is_exact_to_half_a_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # A clip above full scale, a faint one, silence.
    clips = [
        (3 * rng.standard_normal(1000)).astype(np.float32),
        np.full(7, 1e-5, np.float32),
        np.zeros(5, np.float32),
    ]
    with StoreWriter(tmp_path / "store", RATE) as writer:
        for clip in clips:
            writer.add(clip, LABELS)
    store = Store(tmp_path / "store")
    for position, clip in enumerate(clips):
        step = np.abs(clip).max() / 32767
        np.testing.assert_allclose(store.read(position), clip, atol=0.51 * step + 1e-12)
    np.testing.assert_array_equal(store.read(0, 990, 50), store.read(0)[990:])
    np.testing.assert_array_equal(store.read(0, 10, 20), store.read(0)[10:30])
    assert store.entries[1].offset == 1000
    assert store.entries[0].speaker == "ann"


def test_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with StoreWriter(tmp_path / "store", RATE) as writer:
            writer.add(np.ones(10, np.float32), LABELS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_inverted_channel_is_not_packed_as_silence(tmp_path: Path) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    paths = [tmp_path / "plain.wav", tmp_path / "inverted.wav"]
    soundfile.write(paths[0], np.stack([x, 0.99 * x], 1), RATE, "FLOAT")
    soundfile.write(paths[1], np.stack([x, -0.99 * x], 1), RATE, "FLOAT")
    clips = [Clip(path, "speech", "a", "ann", "en", RATE, "A", "CC0", "train") for path in paths]
    report = pack(clips, tmp_path / "store", PackSettings(RATE, 0))
    assert (report.n_clips, len(report.notes)) == (2, 1)
    lines: list[str] = []
    np.testing.assert_allclose(decode(paths[1], RATE, lines.append), x, atol=1e-6)
    assert lines == list(report.notes)
    assert report.notes[0].startswith(str(paths[1]))


@pytest.mark.parametrize("bad", [np.array([]), np.array([0.0, np.nan]), np.ones((2, 5))])
def test_unusable_samples_are_refused(tmp_path: Path, bad: np.ndarray) -> None:
    with (
        pytest.raises(DataError, match="ann: expected finite"),
        StoreWriter(tmp_path / "store", RATE) as writer,
    ):
        writer.add(bad.astype(np.float32), LABELS)


def test_damage_is_found(tmp_path: Path) -> None:
    target = tmp_path / "store"
    with StoreWriter(target, RATE) as writer:
        writer.add(np.ones(10, np.float32), LABELS)
    with pytest.raises(DataError, match="already exists"):
        StoreWriter(target, RATE)
    index = target / "index.json"
    good = index.read_text()
    index.write_text(good.replace("ann", "bob"))
    with pytest.raises(DataError, match="its own hash"):
        Store(target)
    index.write_text(json.dumps(json.loads(good) | {"format_version": 99}))
    with pytest.raises(DataError, match="format_version 1, found 99"):
        Store(target)
    index.write_text(good)
    (target / "audio.i16").write_bytes(b"12")
    with pytest.raises(DataError, match="expected 20 bytes, found 2"):
        Store(target)
    index.unlink()
    with pytest.raises(DataError, match="not a readable store index"):
        Store(target)


@pytest.mark.parametrize("rate_in", [8_000, 22_050, 44_100, 48_000])
def test_decode_keeps_time_and_length(tmp_path: Path, rate_in: int) -> None:
    n = rate_in + 3
    time = np.arange(n) / rate_in
    tone = np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "x.wav", np.stack([tone, 0 * tone], axis=1), rate_in, subtype="FLOAT")
    x = decode(tmp_path / "x.wav", RATE)
    assert x.size == -(-n * RATE // rate_in)
    truth = 0.5 * np.sin(2 * np.pi * 440 * np.arange(x.size) / RATE)
    inner = slice(500, -500)
    np.testing.assert_allclose(x[inner], truth[inner], atol=1e-3)


def test_decode_faults(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_text("text")
    with pytest.raises(AudioFileError, match="cannot be read as audio"):
        decode(path, RATE)
    soundfile.write(path, np.zeros(0), RATE)
    with pytest.raises(AudioFileError, match="no samples"):
        decode(path, RATE)
    soundfile.write(path, np.array([0.0, np.inf]), RATE, subtype="FLOAT")
    with pytest.raises(AudioFileError, match="not a finite number"):
        decode(path, RATE)


def test_high_pass_has_zero_phase() -> None:
    time = np.arange(4 * RATE) / RATE
    low, middle = np.sin(2 * np.pi * 30 * time), np.sin(2 * np.pi * 300 * time)
    y = high_pass((low + middle).astype(np.float32), RATE)
    inner = slice(RATE, -RATE)
    # |H|^2 of a second-order Butterworth, once forwards and once backwards: 30 Hz keeps -29.7 dB.
    kept = 1 / (1 + (70 / 30) ** 4)
    np.testing.assert_allclose(y[inner], (kept * low + middle)[inner], atol=5e-3)


def test_unusable_files_are_left_out_and_reported(clips: list[Clip], tmp_path: Path) -> None:
    missing = replace(clips[0], path=tmp_path / "gone.wav")
    unused = replace(clips[1], split="unused")
    seen: list[tuple[int, int]] = []
    settings = PackSettings(RATE, n_rooms=2, seed=5)
    report = pack([missing, unused, clips[0]], tmp_path / "store", settings, lambda *done: seen.append(done))
    assert [path for path, _ in report.left_out] == [tmp_path / "gone.wav"]
    assert report.n_clips == 3
    assert seen == [(1, 2), (2, 2)]
    store = Store(tmp_path / "store")
    assert len(store.select("speech", "train")) == 1
    assert (len(store.select("room", "train")), len(store.select("room", "dev"))) == (1, 1)
    with pytest.raises(DataError, match="none of 1 clips"):
        pack([missing], tmp_path / "other", settings)


def test_labels_survive(clips: list[Clip], store: Store) -> None:
    for clip, entry in zip(clips, store.entries, strict=True):
        assert (entry.kind, entry.speaker, entry.category, entry.split) == (
            clip.kind,
            clip.speaker,
            clip.category,
            clip.split,
        )
        assert entry.bandwidth_hz == min(clip.bandwidth_hz, RATE // 2)
        assert entry.direct == (40 if clip.kind == "room" else 0)
        assert (entry.active_db is None) == (clip.kind == "room")
