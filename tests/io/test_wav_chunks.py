"""Promise: chunks of wav, RF64 and aiff go over byte for byte, to files of any size."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.io import wav_chunks
from audiodiff.io.byte_edit import read_at, replace_bytes, write_at
from audiodiff.io.reader import probe

BEXT = (b"A description".ljust(256, b"\0") + bytes(346)) + b"A=PCM,F=48000,W=16,M=mono\r\n"
CUE = struct.pack("<I", 1) + struct.pack("<II4sIII", 1, 4800, b"data", 0, 0, 4800)
LABEL = b"adtl" + b"labl" + struct.pack("<II", 9, 1) + b"here\0\0"
SMPL = bytes(36) + bytes(24)


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)


def info(*entries: tuple[bytes, bytes]) -> bytes:
    return chunk(b"LIST", b"INFO" + b"".join(chunk(name, value) for name, value in entries))


BEFORE = (
    chunk(b"bext", BEXT),
    chunk(b"iXML", b"<BWFXML/>"),
    info((b"INAM", b"Title\0"), (b"ISFT", b"Recorder\0")),
)
AFTER = (chunk(b"cue ", CUE), chunk(b"LIST", LABEL), chunk(b"smpl", SMPL), chunk(b"odd!", b"123"))


def wave(
    path: Path, before: tuple[bytes, ...] = BEFORE, after: tuple[bytes, ...] = AFTER, n: int = 4801
) -> None:
    """A broadcast wave file as recorders write it, its data of an odd size if n is odd."""
    data = (np.arange(n) % 256).astype(np.uint8).tobytes()
    fmt = struct.pack("<HHIIHH", 1, 1, 48_000, 48_000, 1, 8)
    body = b"WAVE" + chunk(b"fmt ", fmt) + b"".join(before) + chunk(b"data", data) + b"".join(after)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR)


def collected(path: Path, whole: bool = True) -> wav_chunks.Carried:
    fd = opened(path)
    try:
        return wav_chunks.collect(fd, whole)
    finally:
        os.close(fd)


def put(path: Path, carried: wav_chunks.Carried) -> None:
    fd = opened(path)
    try:
        wav_chunks.insert(fd, carried)
    finally:
        os.close(fd)


@pytest.mark.parametrize("n", [4800, 4801])
@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("WAVEX", "FLOAT"), ("RF64", "PCM_24"), ("WAV", "PCM_U8")]
)
def test_chunks_go_over_byte_for_byte_on_their_side_of_the_samples(
    tmp_path: Path, container: str, subtype: str, n: int
) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    wave(source, n=n)
    carried = collected(source)
    assert carried == wav_chunks.Carried(BEFORE, AFTER)
    x = np.random.default_rng(0).integers(-100, 100, 1501) / 128
    soundfile.write(target, x, 48_000, format=container, subtype=subtype)
    put(target, carried)
    assert collected(target) == (wav_chunks.Carried(after=BEFORE + AFTER) if container == "RF64" else carried)
    np.testing.assert_array_equal(soundfile.read(target)[0], x)
    data = target.read_bytes()
    size = (
        struct.unpack_from("<Q", data, 20)[0] if container == "RF64" else struct.unpack_from("<I", data, 4)[0]
    )
    assert size == len(data) - 8
    if container != "RF64":  # there libsndfile looks for chunks behind the samples in a wrong place
        assert "bext" in soundfile.info(target).extra_info


def test_an_aiff_file_keeps_its_chunks(tmp_path: Path) -> None:
    source, target = tmp_path / "a.aiff", tmp_path / "b.aiff"
    extra = (
        chunk(b"NAME", b"Title", ">"),
        chunk(b"MARK", struct.pack(">HHIB", 1, 1, 4800, 4) + b"here\0", ">"),
        chunk(b"ID3 ", b"ID3\x04\0\0\0\0\0\0", ">"),
        chunk(b"APPL", b"stoc\4name", ">"),
    )
    x = np.random.default_rng(0).integers(-100, 100, 1501) / 128
    soundfile.write(source, x, 48_000)
    put(source, wav_chunks.Carried(after=extra))
    soundfile.write(target, x / 2, 48_000)
    put(target, collected(source))
    assert collected(target) == wav_chunks.Carried(after=extra)
    np.testing.assert_array_equal(soundfile.read(target)[0], x / 2)
    assert struct.unpack_from(">I", target.read_bytes(), 4)[0] == target.stat().st_size - 8


def test_what_describes_the_old_samples_is_not_taken(tmp_path: Path) -> None:
    stale = tuple(chunk(name, b"12345678") for name in (b"fact", b"PEAK", b"JUNK", b"FLLR", b"levl", b"MD5 "))
    wave(tmp_path / "a.wav", before=stale + BEFORE[:1], after=())
    assert collected(tmp_path / "a.wav") == wav_chunks.Carried(BEFORE[:1])


def test_of_a_part_of_the_recording_only_what_tells_no_time_is_taken(tmp_path: Path) -> None:
    wave(tmp_path / "a.wav", after=(*AFTER, chunk(b"id3 ", b"ID3")))
    assert collected(tmp_path / "a.wav", whole=False) == wav_chunks.Carried(
        BEFORE[2:], (chunk(b"id3 ", b"ID3"),)
    )


def test_the_line_joins_the_software_that_is_named(tmp_path: Path) -> None:
    wave(tmp_path / "a.wav")
    carried = wav_chunks.with_line(collected(tmp_path / "a.wav"), "processed", riff=True)
    wanted = info((b"INAM", b"Title\0"), (b"ISFT", b"Recorder; processed\0"))
    assert carried == wav_chunks.Carried((*BEFORE[:2], wanted), AFTER)
    assert wav_chunks.with_line(wav_chunks.Carried(), "processed", riff=True).after == (
        info((b"ISFT", b"processed\0")),
    )
    assert wav_chunks.with_line(wav_chunks.Carried(), "processed", riff=False).before == (
        chunk(b"ANNO", b"processed", ">"),
    )


def test_texts_are_read_by_other_programs(tmp_path: Path) -> None:
    fields = {"title": "Grüße ☃", "artist": "An Artist", "album": "An Album", "comment": "A comment"}
    fields |= {"date": "2024-05-17", "genre": "Podcast", "track": "3", "copyright": "somebody"}
    names = fields | {"tracknumber": "3"}
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100), 48_000)
    put(path, wav_chunks.texts(fields, riff=True))
    with soundfile.SoundFile(path) as file:
        found = file.copy_metadata()
    assert found == {key: names[key] for key in found}
    assert len(found) == 8
    path = tmp_path / "a.aiff"
    soundfile.write(path, np.zeros(100), 48_000)
    put(path, wav_chunks.texts(fields, riff=False))
    with soundfile.SoundFile(path) as file:
        assert file.copy_metadata() == {
            key: fields[key] for key in ("title", "artist", "comment", "copyright")
        }


def test_too_much_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav_chunks, "MAX_BYTES", 1000)
    wave(tmp_path / "a.wav", after=(chunk(b"_PMX", bytes(2000)), *AFTER))
    carried = collected(tmp_path / "a.wav")
    assert carried.after == AFTER
    assert carried.left_out == ("chunk '_PMX' of 2000 bytes",)


def sparse(path: Path, kind: bytes, size: int) -> None:
    """A mono PCM_U8 file of `size` samples that takes no room on the disk."""
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 48_000, 48_000, 1, 8))
    ds64 = chunk(b"ds64", struct.pack("<QQQI", size + 72 + 8 - 8, size, size, 0))
    head = kind + b"\xff" * 4 + b"WAVE" + ds64 + fmt + b"data" + b"\xff" * 4
    path.write_bytes(head)
    os.truncate(path, len(head) + size)


def test_rf64_beyond_4_gib_takes_chunks_and_is_read(tmp_path: Path) -> None:
    path, size = tmp_path / "long.wav", (5 << 30) + 2
    sparse(path, b"RF64", size)
    put(path, wav_chunks.Carried(after=AFTER))
    assert collected(path) == wav_chunks.Carried(after=AFTER)
    info_ = probe(path)
    assert (info_.container, info_.n_samples) == ("RF64", size)
    fd = opened(path)
    try:
        assert struct.unpack("<Q", read_at(fd, 20, 8))[0] == path.stat().st_size - 8
    finally:
        os.close(fd)


def test_a_wav_file_is_never_grown_beyond_4_gib(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    wave(path, before=(), after=(), n=100)
    os.truncate(path, (1 << 32) - 10)
    with pytest.raises(ValueError, match="4 GiB"):
        put(path, wav_chunks.Carried(after=AFTER))
    assert path.stat().st_size == (1 << 32) - 10


@given(st.binary(max_size=300), st.integers(0, 40))
def test_any_bytes_are_walked_to_an_end(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.wav"
    wave(path, n=10)
    data = path.read_bytes()
    path.write_bytes(data[:at] + content + data[at + len(content) :])
    carried = collected(path)
    assert sum(map(len, carried.before + carried.after)) <= path.stat().st_size + 8


@pytest.fixture
def numbered(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    data = np.random.default_rng(0).integers(0, 256, (5 << 19) + 3, dtype=np.uint8).tobytes()
    fd = os.open(tmp_path / "bytes", os.O_RDWR | os.O_CREAT)
    write_at(fd, 0, data)
    yield fd, data
    os.close(fd)


@pytest.mark.parametrize(
    ("start", "stop", "n"),
    [(0, 0, 7), (10, 30, 3), (10, 30, 20), (5, 5, 3 << 20), (100, 2 << 20, 9), (8, 1 << 30, 2)],
)
def test_splice_is_what_slices_do(numbered: tuple[int, bytes], start: int, stop: int, n: int) -> None:
    fd, data = numbered
    stop = min(stop, len(data))
    new = bytes(n)
    replace_bytes(fd, start, stop, new)
    assert read_at(fd, 0, 1 << 30) == data[:start] + new + data[stop:]
