"""Promise: inputs that once broke a reader (`benchmarks/fuzz_readers.py`) end well or as our error."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.errors import AudioFileError, ModelError
from audiodiff.io import tag_flac, tag_vorbis, wav_chunks
from audiodiff.io.mel_file import read_mel
from audiodiff.io.tags import read_tags
from audiodiff.model.import_diffwave import read_checkpoint
from tests.errors import refused


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(100), 16000, format="WAV")
    return file.getvalue()


def carried(path: Path, data: bytes) -> wav_chunks.Carried:
    path.write_bytes(data)
    with path.open("rb") as file:
        return wav_chunks.collect(file.fileno())


def test_a_chunk_that_ends_beyond_all_addresses(tmp_path: Path) -> None:
    """lseek raised OverflowError."""
    sizes = struct.pack("<QQQI", 100, (1 << 64) - 2, 50, 0)
    data = b"RF64\xff\xff\xff\xffWAVE" + b"ds64" + struct.pack("<I", 28) + sizes + b"data\xff\xff\xff\xff"
    assert carried(tmp_path / "x.wav", data + bytes(50)) == wav_chunks.Carried()


@pytest.mark.parametrize("name", [b"LF\xe0\xae", b"RF64", b"\0\0\0\0"])
def test_a_chunk_without_a_name_is_not_copied(tmp_path: Path, name: bytes) -> None:
    """It came in front of the samples, where libsndfile then found none."""
    data = wav()
    bad = name + struct.pack("<I", 4) + b"some"
    found = carried(tmp_path / "x.wav", data[:36] + bad + data[36:])
    copy = tmp_path / "copy.wav"
    copy.write_bytes(data)
    fd = os.open(copy, os.O_RDWR)
    wav_chunks.insert(fd, found)
    os.close(fd)
    assert soundfile.info(copy).frames == 100


def test_a_chunk_whose_size_stands_elsewhere_is_copied_with_it(tmp_path: Path) -> None:
    """Its mark for that, copied into a plain wav file, hid the samples."""
    sizes = struct.pack("<QQQI", 100, 50, 25, 0)
    data = b"RF64\xff\xff\xff\xffWAVE" + b"ds64" + struct.pack("<I", 28) + sizes + b"note\xff\xff\xff\xff1234"
    found = carried(tmp_path / "x.wav", data)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(wav())
    fd = os.open(copy, os.O_RDWR)
    wav_chunks.insert(fd, found)
    os.close(fd)
    assert found.before == (b"note\4\0\0\x001234",)
    assert soundfile.info(copy).frames == 100


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (6, b""),
        (6, bytes(4) + b"\0\0\xff\xff" + bytes(40)),
        (6, bytes(33)),
        (5, bytes(395) + b"\x02" + bytes(36)),
        (2, b"ab"),
    ],
)
def test_a_damaged_block_of_a_flac_file_is_not_copied(tmp_path: Path, kind: int, content: bytes) -> None:
    """The copy could not be opened."""
    paths = [tmp_path / "x.flac", tmp_path / "copy.flac"]
    for path in paths:
        soundfile.write(path, np.zeros(100), 16000)
    source, copy = (os.open(path, os.O_RDWR) for path in paths)
    tag_flac.insert(source, [(kind, content)])
    tag_flac.insert(copy, tag_flac.copied(source, "processed"))
    for fd in (source, copy):
        os.close(fd)
    assert soundfile.info(paths[1]).frames == 100
    assert b"AUDIODIFF=processed" in paths[1].read_bytes()


def test_a_header_of_an_array_that_is_cut_short(tmp_path: Path) -> None:
    """Python's tokenizer raised TokenError."""
    path = tmp_path / "mel.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f4\n\n")
    with refused(AudioFileError, "unreadable", path):
        read_mel(path)


def test_an_archive_with_names_that_are_no_text(tmp_path: Path) -> None:
    """zipfile raised UnicodeDecodeError."""
    path = tmp_path / "checkpoint.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/ä", b"")
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xf4\x80"))
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "damaged"


def test_pages_without_packets(tmp_path: Path) -> None:
    """mutagen raised IndexError."""
    pytest.importorskip("mutagen")
    path = tmp_path / "x.ogg"
    path.write_bytes(b"OggS\0\2" + bytes(8) + bytes(4) + bytes(4) + bytes(4) + b"\0")
    with path.open("rb") as file:
        assert tag_vorbis.copied(file.fileno(), None) == []


def test_tags_of_a_place_that_cannot_be_reached(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """soundfile printed a traceback from its callback."""
    monkeypatch.setattr("audiodiff.io.av_library.module", no_pyav)
    path = tmp_path / "x.wav"
    sizes = struct.pack("<QQQI", 100, (1 << 64) - 2, 50, 0)
    head = b"RF64\xff\xff\xff\xffWAVE" + b"ds64" + struct.pack("<I", 28) + sizes
    path.write_bytes(head + wav()[12:36] + b"data\xff\xff\xff\xff" + bytes(50))
    read_tags(path)
    assert capfd.readouterr().err == ""


def no_pyav() -> None:
    raise AudioFileError("not here", code="missing_extra")
