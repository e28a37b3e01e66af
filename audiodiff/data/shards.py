"""Shards that travel: parts of a store in files small enough for a slow way to another machine.

A shard is a zip file (stored, not deflated) of three members, of use without any other shard.

`index.json`  format version, sample rate, the labels, lengths and gains of every clip
`audio.opus`  speech and noise as one Ogg Opus stream, clip after clip with short silences between
`rooms.flac`  every room of the store, bit for bit

The most valuable clips come first, so whoever has room for one shard only takes the first.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile

from audiodiff.data.packing import Progress
from audiodiff.data.store import Entry, Labels, Store, StoreWriter
from audiodiff.errors import DataError
from audiodiff.io.atomic import AtomicFile
from audiodiff.io.formats import RATES
from audiodiff.signal.types import Audio

FORMAT_VERSION = 1
SHARD_BYTES = 56 * 2**20
# libsndfile maps 0.8 to 56 kb/s for one channel, which keeps 20 kHz.
OPUS_COMPRESSION = 0.8
# Opus spreads a clip over at most one frame; the silence keeps neighbours out of each other.
SILENCE_S = 0.02
HEADROOM = 0.5
NOISE_SHARE = 0.2
# What an Ogg page, the index row of a long name and the zip directory may still add.
MARGIN_BYTES = 2**16
INDEX_ROW_BYTES = 400
# Full-band A and B first, then speakers, then the rest.
CLASS_RANK = {"A": 0, "B": 0, "C": 1, "a": 1, "b": 2, "c": 3}


def _value(position: int, entry: Entry) -> tuple[int, bytes]:
    """Best class first; within a class a fixed shuffle, so that a part holds all speakers and splits."""
    return CLASS_RANK.get(entry.category, 0), hashlib.sha256(str(position).encode()).digest()


def travel_order(store: Store) -> list[int]:
    """Speech and noise as they should travel: best first, noise a fifth of the time while it lasts."""
    entries = store.entries
    usable = [
        p
        for p, entry in enumerate(entries)
        if entry.kind != "room" and entry.split in ("train", "dev") and entry.active_db is not None
    ]
    speech = sorted((p for p in usable if entries[p].kind == "speech"), key=lambda p: _value(p, entries[p]))
    noise = sorted((p for p in usable if entries[p].kind == "noise"), key=lambda p: _value(p, entries[p]))
    order: list[int] = []
    total, noisy = 0, 0
    for position in speech:
        while noise and noisy <= NOISE_SHARE * total:
            order.append(noise.pop(0))
            noisy += entries[order[-1]].length
            total += entries[order[-1]].length
        order.append(position)
        total += entries[position].length
    return order + noise


def write_shards(
    store: Store,
    folder: Path,
    n_shards: int,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the most valuable part of a store, or all of it, as shards."""
    if store.sample_rate not in RATES["OPUS"]:
        raise DataError(
            f"{store.folder}: Opus knows {RATES['OPUS']} Hz, not {store.sample_rate}; pack at one of these"
        )
    if any(entry.kind == "noisy" for entry in store.entries):
        raise DataError(f"{store.folder}: pairs do not fit into shards; carry the store's folder instead")
    folder.mkdir(parents=True, exist_ok=True)
    rooms, rooms_index = _encode_rooms(store)
    order = travel_order(store)
    paths: list[Path] = []
    done = 0
    while done < len(order) and len(paths) < n_shards:
        budget = shard_bytes - len(rooms) - MARGIN_BYTES - INDEX_ROW_BYTES * len(rooms_index)
        audio, index = _encode_clips(store, order[done:], budget)
        if not index:
            raise DataError(
                f"{folder}: {shard_bytes} bytes do not hold the rooms and one clip; allow larger shards"
            )
        path = folder / f"shard-{len(paths):03d}.zip"
        _write_shard(path, store.sample_rate, (audio, index), (rooms, rooms_index))
        paths.append(path)
        done += len(index)
        if progress is not None:
            progress(done, len(order))
    return paths


def _row(entry: Entry) -> dict[str, Any]:
    row = asdict(entry)
    del row["offset"]
    return row


def _encode_rooms(store: Store) -> tuple[bytes, list[dict[str, Any]]]:
    positions = [p for p, entry in enumerate(store.entries) if entry.kind == "room"]
    rows = [_row(store.entries[p]) for p in positions]
    if not positions:
        return b"", rows
    stored = [np.round(store.read(p) / store.entries[p].gain).astype(np.int16) for p in positions]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(stored), store.sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue(), rows


def _encode_clips(store: Store, positions: Iterable[int], budget: int) -> tuple[bytes, list[dict[str, Any]]]:
    """As many clips as fit into `budget` bytes with their index rows."""
    file = io.BytesIO()
    rows: list[dict[str, Any]] = []
    silence = np.zeros(round(SILENCE_S * store.sample_rate), dtype=np.float32)
    # 56 kb/s is 7 bytes a millisecond; what the encoder still holds back is not in the file yet.
    bytes_per_sample = 7000 / store.sample_rate
    with soundfile.SoundFile(
        file, "w", store.sample_rate, 1, "OPUS", format="OGG", compression_level=OPUS_COMPRESSION
    ) as stream:
        for position in positions:
            entry = store.entries[position]
            expected = 1.5 * bytes_per_sample * (entry.length + 2 * store.sample_rate)
            if file.tell() + expected + INDEX_ROW_BYTES * (len(rows) + 1) > budget:
                break
            stored = store.read(position) / np.float32(entry.gain)
            stream.write(np.concatenate([stored * np.float32(HEADROOM / 32767), silence]))
            rows.append(_row(entry))
    return file.getvalue(), rows


def _write_shard(
    path: Path,
    sample_rate: int,
    clips: tuple[bytes, list[dict[str, Any]]],
    rooms: tuple[bytes, list[dict[str, Any]]],
) -> None:
    index = {
        "format_version": FORMAT_VERSION,
        "sample_rate": sample_rate,
        "clips": clips[1],
        "rooms": rooms[1],
    }
    with AtomicFile(path.parent) as file:
        with file.stream() as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("index.json", json.dumps(index, ensure_ascii=False))
            archive.writestr("audio.opus", clips[0])
            archive.writestr("rooms.flac", rooms[0])
        file.commit(path, replace=True)


def read_shards(paths: Sequence[Path], target: Path) -> Store:
    """Unpack shards into a store."""
    if not paths:
        raise DataError(f"{target}: no shards to unpack; give at least one shard file")
    rate = _load(paths[0])[0]["sample_rate"]
    with StoreWriter(target, rate) as writer:
        for number, path in enumerate(paths):
            index, members = _load(path)
            if index["sample_rate"] != rate:
                raise DataError(
                    f"{path}: is at {index['sample_rate']} Hz, {paths[0].name} at {rate}; unpack apart"
                )
            for row, audio in _decode_clips(path, members["audio.opus"], index["clips"]):
                writer.add(audio, _labels(row))
            if number == 0 and index["rooms"]:
                for row, audio in _decode_rooms(path, members["rooms.flac"], index["rooms"]):
                    writer.add(audio, _labels(row))
    return Store(target)


def _load(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The index and the other members; zip checks their CRC."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in ("index.json", "audio.opus", "rooms.flac")}
            index: dict[str, Any] = json.loads(members["index.json"])
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a whole shard ({error}); copy it again") from error
    if index.get("format_version") != FORMAT_VERSION:
        raise DataError(f"{path}: shard format {index.get('format_version')} is unknown here; write it again")
    return index, members


def _labels(row: dict[str, Any]) -> Labels:
    return Labels(**{name: value for name, value in row.items() if name not in ("length", "gain")})


def _decode_clips(
    path: Path, data: bytes, rows: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Audio]]:
    with closing(soundfile.SoundFile(io.BytesIO(data))) as stream:
        silence = round(SILENCE_S * stream.samplerate)
        for row in rows:
            audio = cast(Audio, stream.read(row["length"] + silence, dtype="float32"))
            if audio.size != row["length"] + silence:
                raise DataError(f"{path}: audio ends within clip {row['speaker']}; write the shard again")
            yield row, audio[: row["length"]] * np.float32(row["gain"] * 32767 / HEADROOM)


def _decode_rooms(
    path: Path, data: bytes, rows: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Audio]]:
    stored, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    if stored.size != sum(row["length"] for row in rows):
        raise DataError(f"{path}: rooms and index differ in length; write the shard again")
    start = 0
    for row in rows:
        piece = stored[start : start + row["length"]]
        yield row, piece.astype(np.float32) * np.float32(row["gain"])
        start += row["length"]
