"""Promise: a copy tells of its channels what its recording told, or a line tells what is left out."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.io.channel_layout import Layout, read_layout
from audiodiff.io.reader import probe, read, read_blocks
from audiodiff.io.recording_copy import RecordingCopy
from tests.io.test_wav_chunks import chunk

RATE = 48_000
PLAIN = bytes.fromhex("00001000800000aa00389b71")
AMBISONIC = bytes.fromhex("00002107d3118644c8c1ca000000")
CENTRE_AND_BACKS = 0x4 | 0x10 | 0x20 | 0x8 | 0x200 | 0x400
BITMAP = 1 << 16
QUAD = 108 << 16 | 4
ATMOS = 192 << 16 | 6


def samples(channels: int, n: int = 301) -> npt.NDArray[np.int32]:
    """[T, C] of 24 bits in 32."""
    return np.random.default_rng(0).integers(-(1 << 22), 1 << 22, (n, channels), np.int32) << 8


def extensible(channels: int, mask: int, valid: int = 24, end: bytes = PLAIN, bits: int = 24) -> bytes:
    """Content of a format chunk."""
    frame = channels * bits // 8
    plain = struct.pack("<HHIIHH", 0xFFFE, channels, RATE, RATE * frame, frame, bits)
    return plain + struct.pack("<HHII", 22, valid, mask, 1) + end[-12:]


def wave(path: Path, format: bytes, extra: bytes = b"", magic: bytes = b"RIFF") -> Path:
    channels = int.from_bytes(format[2:4], "little")
    x = samples(channels)
    data = b"".join(int(value >> 8).to_bytes(3, "little", signed=True) for value in x.ravel())
    body = chunk(b"fmt ", format) + chunk(b"data", data) + extra
    if magic == b"RIFF":
        path.write_bytes(magic + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    else:
        large = chunk(b"ds64", struct.pack("<QQQI", len(body) + 40, len(data), len(x), 0))
        path.write_bytes(magic + b"\xff" * 4 + b"WAVE" + large + body)
    return path


def apple(path: Path, chan: bytes, channels: int) -> Path:
    """An aiff or caf file with a channel layout in front of its samples."""
    soundfile.write(path, samples(channels), RATE, "PCM_24")
    data = path.read_bytes()
    if path.suffix == ".aiff":
        place = data.find(b"SSND")
        data = data[:place] + chunk(b"CHAN", chan, ">") + data[place:]
        data = data[:4] + struct.pack(">I", len(data) - 8) + data[8:]
    else:
        place = data.find(b"data\0")
        data = data[:place] + b"chan" + struct.pack(">Q", len(chan)) + chan + data[place:]
    path.write_bytes(data)
    return path


def copied(source: Path, name: str) -> tuple[Path, tuple[str, ...]]:
    target = source.with_name(name)
    with RecordingCopy(probe(source), target, line="made") as output, read_blocks(source) as reader:
        for block in reader:
            output.write(block)
    (x, _), (y, _) = read(source), read(target)
    if target.suffix not in {".mp3", ".ogg", ".m4a"}:
        np.testing.assert_array_equal(x, y)
    assert x.shape == y.shape
    return target, output.notes


def told(path: Path) -> Layout:
    return read_layout(path, probe(path).channels)


@pytest.mark.parametrize("name", ["b.wav", "b.rf64", "b.w64"])
@pytest.mark.parametrize(
    "format",
    [
        extensible(6, CENTRE_AND_BACKS),
        extensible(6, 0),
        extensible(2, 0x600, valid=20),
        extensible(4, 0, end=AMBISONIC),
        extensible(1, 0x1),
    ],
    ids=["surround", "nowhere", "20 bits", "b-format", "left"],
)
def test_an_extensible_format_stays_as_it_is(tmp_path: Path, format: bytes, name: str) -> None:
    source = wave(tmp_path / "a.wav", format)
    target, notes = copied(source, name)
    assert told(source).format == format
    assert told(target).format == format
    assert not [note for note in notes if "cannot tell" in note]
    back, _ = copied(target, "c.wav")
    if told(source).mask or told(source).is_ambisonic:
        assert told(back).format == format


@pytest.mark.parametrize("first", ["a.aiff", "a.caf"])
@pytest.mark.parametrize("second", ["b.aiff", "b.caf"])
@pytest.mark.parametrize(
    "chan",
    [struct.pack(">III", BITMAP, 0x33, 0), struct.pack(">III", QUAD, 0, 0), struct.pack(">III", ATMOS, 0, 0)],
)
def test_a_channel_layout_of_apple_goes_over(tmp_path: Path, first: str, second: str, chan: bytes) -> None:
    target, notes = copied(apple(tmp_path / first, chan, 4), second)
    assert told(target).chan == chan
    assert not [note for note in notes if "layout" in note]
    assert target.read_bytes().count(b"CHAN" if second == "b.aiff" else b"chan") == 1


@pytest.mark.parametrize("name", ["b.aiff", "b.caf"])
def test_a_mask_goes_to_apple_and_back(tmp_path: Path, name: str) -> None:
    source = wave(tmp_path / "a.wav", extensible(6, CENTRE_AND_BACKS))
    target, notes = copied(source, name)
    assert told(target).chan == struct.pack(">III", BITMAP, CENTRE_AND_BACKS, 0)
    assert notes == ()
    assert told(copied(target, "c.wav")[0]).format == extensible(6, CENTRE_AND_BACKS)


def test_apples_numbers_become_masks(tmp_path: Path) -> None:
    quad = apple(tmp_path / "a.caf", struct.pack(">III", QUAD, 0, 0), 4)
    assert told(copied(quad, "b.wav")[0]).mask == 0x33
    stereo = apple(tmp_path / "c.aiff", struct.pack(">III", 101 << 16 | 2, 0, 0), 2)
    target, notes = copied(stereo, "d.wav")
    assert (probe(target).container, told(target).format, notes) == ("WAV", b"", ())


@pytest.mark.parametrize("name", ["b.flac", "b.ogg", "b.au"])
def test_what_a_format_cannot_tell_is_a_line(tmp_path: Path, name: str) -> None:
    usual = wave(tmp_path / "usual.wav", extensible(6, 0x3F))
    for format, extra, lines in (
        (extensible(6, CENTRE_AND_BACKS), b"", 1),
        (extensible(4, 0, end=AMBISONIC), b"", 1),
        (extensible(6, 0x3F), chunk(b"chna", bytes(44)) + chunk(b"axml", b"<a/>"), 1),
        (extensible(6, 0), b"", 0),
    ):
        target, notes = copied(wave(tmp_path / "a.wav", format, extra), name)
        assert len(notes) == len(copied(usual, f"usual{target.suffix}")[1]) + lines
        for path in (target, target.with_stem("usual")):
            path.unlink()


def test_a_layout_without_a_mask_is_told_where_it_is_lost(tmp_path: Path) -> None:
    source = apple(tmp_path / "a.caf", struct.pack(">III", ATMOS, 0, 0), 4)
    assert len(copied(source, "b.wav")[1]) == 1
    b_format = wave(tmp_path / "a.wav", extensible(4, 0, end=AMBISONIC))
    assert len(copied(b_format, "c.aiff")[1]) == 1


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_a_scene_stays_in_the_file_of_its_kind(tmp_path: Path, magic: bytes) -> None:
    scene = (chunk(b"chna", bytes(range(44))), chunk(b"axml", b"<ebuCoreMain/>"))
    source = wave(tmp_path / "a.wav", extensible(4, 0x33), b"".join(scene), magic)
    target, notes = copied(source, "b.wav")
    data = target.read_bytes()
    assert data[:4] == magic
    assert all(data.count(each) == 1 for each in scene)
    assert notes == ()
    assert int.from_bytes(data[20:28], "little") == len(data) - 8
    assert told(target).format == told(source).format


@given(st.binary(max_size=200), st.sampled_from(["RIFF", "FORM", "caff", "w64"]), st.integers(0, 120))
@settings(deadline=None, max_examples=60)
def test_damaged_headers_tell_nothing_and_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, kind: str, place: int
) -> None:
    path = tmp_path_factory.mktemp("layout") / "a"
    soundfile.write(
        path,
        samples(2),
        RATE,
        "PCM_24",
        format={"RIFF": "WAVEX", "FORM": "AIFF", "caff": "CAF", "w64": "W64"}[kind],
    )
    data = path.read_bytes()
    path.write_bytes(data[:place] + noise + data[place + len(noise) :])
    found = read_layout(path, 2)
    assert len(found.format) in {0, 40}
    assert found.mask is None or 0 <= found.mask < 1 << 32
