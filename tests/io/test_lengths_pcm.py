"""Promise: samples behind sizes that are wrong are all read, and nothing else is taken for sound."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from audiodiff.errors import AudioFileError
from audiodiff.io.reader import probe
from tests.io.counted import (
    ID3V1,
    RATE,
    got,
    made,
    put,
    replaced,
    truth,
    whole,
)


def le32(n: int) -> bytes:
    return n.to_bytes(4, "little")


SIZES = [
    (0, 0),
    (36, 0),
    (4294967295, 4294967295),
    (0, 4294967295),
    (2147483684, 2147483648),
    (2147483647, 2147483647),
    (0, 10000),
    (10036, 10000),
    (96036, 0),
    (96036, 48000),
]


@pytest.mark.parametrize("behind", [b"", ID3V1])
@pytest.mark.parametrize(("outer", "inner"), SIZES)
def test_wav_with_sizes_that_were_not_written(tmp_path: Path, outer: int, inner: int, behind: bytes) -> None:
    data = made("WAV", "PCM_16")
    assert data[36:40] == b"data"
    x = whole(put(tmp_path, data[:4] + le32(outer) + data[8:40] + le32(inner) + data[44:] + behind))
    assert np.array_equal(x, truth(data))


def test_silence_behind_an_unwritten_size_is_kept(tmp_path: Path) -> None:
    data = made("WAV", "PCM_16")
    x = whole(put(tmp_path, data[:40] + bytes(4) + bytes(len(data) - 44)))
    assert x.shape == (1, RATE)
    assert not x.any()


@pytest.mark.parametrize(
    "behind",
    [
        b"LIST" + le32(800) + b"INFO" + bytes(796),
        b"ID3\x03\x00\x00" + bytes(2000),
        b"<?xml" + b" " * 900,
        b"wxyz" + le32(900) + bytes(900),
        b"LIST" + le32(100000) + b"INFO" + bytes(900),
        bytes(200),
        ID3V1,
    ],
)
def test_what_is_no_sound_behind_a_wav_stays_out(tmp_path: Path, behind: bytes) -> None:
    data = made("WAV", "PCM_16")
    assert np.array_equal(whole(put(tmp_path, data + behind)), truth(data))


def test_empty_wav_with_texts_stays_empty(tmp_path: Path) -> None:
    data = made("WAV", "PCM_16")[:40] + bytes(4) + b"LIST" + le32(800) + b"INFO" + bytes(796)
    with pytest.raises(AudioFileError) as caught:
        probe(put(tmp_path, data[:4] + le32(len(data) - 8) + data[8:]))
    assert caught.value.code == "empty"


def test_joined_wav_is_both(tmp_path: Path) -> None:
    a, b = made("WAV", "PCM_16", 1.1), made("WAV", "PCM_24", 0.7, 1)
    both = np.concatenate([truth(a), truth(b)], axis=1)
    assert np.array_equal(whole(put(tmp_path, a + b)), both)
    x, note = got(put(tmp_path, a + made("WAV", "PCM_16", 0.7, rate=16_000)))
    assert np.array_equal(x, truth(a))
    assert "0.700 s are missing" in str(note)


def test_chunks_of_wav_in_odd_order(tmp_path: Path) -> None:
    data = made("WAV", "PCM_16")
    head, form, body = data[:12], data[12:36], data[44:]
    odd = b"LIST" + le32(17) + b"INFOINAM" + le32(5) + b"abcd\0"
    halves = b"data" + le32(40_000) + body[:40_000] + b"data" + le32(56_000) + body[40_000:]
    size = b"data" + le32(96_000)
    for content in (
        form + halves,
        size + body + form,
        form + odd + size + body,
        form + odd + b"\0" + size + body,
    ):
        assert np.array_equal(whole(put(tmp_path, head + content)), truth(data))
    size = b"data\xff\xff\xff\xff"
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 96_072, 96_000, 0, 0)
    bw64 = b"BW64\xff\xff\xff\xffWAVE" + ds64 + form + size + body
    path = put(tmp_path, bw64)
    assert np.array_equal(whole(path), truth(data))
    assert probe(path).container == "RF64"


@pytest.mark.parametrize(
    ("container", "name", "offset", "values", "width", "order"),
    [
        ("RF64", b"ds64", 16, (0, 40_000, -1), 8, "little"),
        ("W64", b"data", 16, (0, 24, 40_024, -1), 8, "little"),
        ("AIFF", b"SSND", 4, (0, 8, 40_008, 0xFFFFFFFF), 4, "big"),
        ("AIFF", b"COMM", 10, (0, 40_000, 0xFFFFFFFF), 4, "big"),
        ("CAF", b"data", 4, (-1, 0, 4, 40_004), 8, "big"),
        ("AU", b".snd", 8, (0, 40_000, 0xFFFFFFFF, 0x7FFFFFFF), 4, "big"),
    ],
)
def test_sizes_that_lie_elsewhere(
    tmp_path: Path, container: str, name: bytes, offset: int, values: tuple[int, ...], width: int, order: str
) -> None:
    data = made(container, "PCM_16")
    for value in values:
        x = whole(put(tmp_path, replaced(data, name, offset, value, width, order)))
        assert np.array_equal(x, truth(data)), value


def test_cut_au_gives_what_is_there_and_a_note(tmp_path: Path) -> None:
    data = made("AU", "PCM_16")
    x, note = got(put(tmp_path, data[:60_024]))
    assert np.array_equal(x, truth(data)[:, :30_000])
    assert note is not None
    assert "96024 bytes promised, 60024 there" in str(note)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "W64", "RF64", "CAF", "AU"])
def test_cut_file_tells_about_how_much_is_missing(tmp_path: Path, container: str) -> None:
    data = made(container, "PCM_16")
    x, note = got(put(tmp_path, data[: len(data) - 48_000]))
    assert x.shape == (1, 24_000)
    assert note is not None
    found = re.search(r"about (\d\.\d{3}) s are missing", str(note))
    assert found
    assert float(found[1]) == pytest.approx(0.5, abs=0.005)
