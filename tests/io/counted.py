"""Makes recordings whose headers say what is not so, and reads them, for the tests of lengths."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from audiodiff.io.formats import Truncated
from audiodiff.io.ogg import checksum
from audiodiff.io.reader import probe, read_blocks

Array = npt.NDArray[np.float32]
RATE = 48_000
ID3V1 = b"TAG" + b"A title".ljust(125, b"\0")
APE = b"APETAGEX" + struct.pack("<IIII8x", 2000, 2000, 0, 0)
COVER = b"ID3\3\0\0\0\0\x4e\x20" + b"APIC" + bytes(range(256)) * 39 + bytes(28)
KINDS = [("WAV", "PCM_16"), ("AIFF", "PCM_24"), ("CAF", "PCM_16"), ("AU", "PCM_16"), ("RF64", "PCM_16")]
KINDS += [
    ("W64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def sound(seconds: float, channels: int = 1, rate: int = RATE, seed: int = 0) -> npt.NDArray[np.float64]:
    n = round(seconds * rate)
    rng = np.random.default_rng(seed)
    envelope = 0.2 + np.abs(np.sin(np.arange(n) / rate * 7))[:, None]
    return 0.1 * envelope * rng.standard_normal((n, channels))


def made(
    container: str, subtype: str, seconds: float = 1.0, seed: int = 0, channels: int = 1, rate: int = RATE
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(seconds, channels, rate, seed), rate, subtype, format=container)
    return buffer.getvalue()


def mp3(seconds: float, seed: int = 0, rate: int = RATE, quality: float = 0.5, info: bool = True) -> bytes:
    """A constant bitrate; libsndfile puts an Info frame in front, which has the length of the others."""
    buffer = io.BytesIO()
    x = sound(seconds, 1, rate, seed)
    how = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": quality}
    soundfile.write(buffer, x, rate, **how)
    data = buffer.getvalue()
    assert b"Info" in data[:64]
    return data if info else data[data.find(data[:2], 4) :]


def n_frames(data: bytes) -> int:
    at = data.find(b"Info") + 8
    return int.from_bytes(data[at : at + 4], "big")


def with_count(data: bytes, frames: int) -> bytes:
    at = data.find(b"Info") + 8
    return data[:at] + frames.to_bytes(4, "big") + data[at + 4 :]


def put(folder: Path, data: bytes, name: str = "talk.audio") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def got(path: Path) -> tuple[Array, Truncated | None]:
    """All samples [C, T] and the note; probe and reader agree on the length."""
    with read_blocks(path, 5000) as reader:
        x = np.concatenate(list(reader), axis=1)
    info = probe(path)
    assert info == reader.info
    if info.n_samples and reader.truncated is None:
        assert info.n_samples == x.shape[1]
    return x, reader.truncated


def truth(data: bytes) -> Array:
    x, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return np.asarray(x.T, dtype=np.float32)


def whole(path: Path) -> Array:
    x, note = got(path)
    assert note is None
    return x


def pages(data: bytes) -> list[bytearray]:
    found, place = [], 0
    while place < len(data):
        n = data[place + 26]
        size = 27 + n + sum(data[place + 27 : place + 27 + n])
        found.append(bytearray(data[place : place + size]))
        place += size
    return found


def ogg(data: bytes, serial: int, shift: int = 0) -> bytes:
    """The same stream with another serial number and later granule positions."""
    done = []
    for page in pages(data):
        page[14:18] = serial.to_bytes(4, "little")
        granule = int.from_bytes(page[6:14], "little")
        page[6:14] = (granule + shift * (granule > 0)).to_bytes(8, "little")
        page[22:26] = bytes(4)
        page[22:26] = checksum(page).to_bytes(4, "little")
        done.append(bytes(page))
    return b"".join(done)


def replaced(data: bytes, name: bytes, offset: int, value: int, width: int, order: str) -> bytes:
    at = data.find(name) + offset
    field = struct.pack({"big": ">", "little": "<"}[order] + {4: "I", 8: "q"}[width], value)
    return data[:at] + field + data[at + width :]
