"""Which channel is which: carried from a recording to its copy, where the copy's format can tell.

Layouts: WAVE_FORMAT_EXTENSIBLE (Microsoft, Multiple Channel Audio Data and WAVE Files, 2007), Sony Wave64,
the CHAN and chan chunks of aiff and caf (Apple, Core Audio Format Specification). libsndfile 1.2.2 writes the
usual places of so many channels into the first, and nothing into the others.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiodiff.errors import AudioFileError
from audiodiff.io import wav_chunks
from audiodiff.io.byte_edit import open_binary, read_at, replace_bytes, write_at
from audiodiff.io.formats import display_path

_EXTENSIBLE = 0xFFFE
_FORMAT_BYTES = 40
_PLAIN_GUID = bytes.fromhex("00001000800000aa00389b71")
"""Sub-formats of samples are a number of four bytes and these; those of ambisonics end otherwise."""
_USUAL = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""Channels -> mask of the places that formats without a mask mean."""
_BITMAP = 1 << 16
_MASKS = {100: 0x4, 101: 0x3, 108: 0x33, 113: 0x7, 117: 0x37, 121: 0x3F}
"""Apple's numbers of layouts whose order is that of a mask: mono to 5.1."""
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
_W64_END = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a"
_MAX_CHUNKS = 4096
_MAX_CHAN = 1 << 16
_HOLDS_MASK = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF"})


@dataclass(frozen=True)
class Layout:
    """What a file tells about its channels.

    Attributes:
        channels: How many there are.
        has_scene: Whether the file describes sound objects (axml and chna chunks, ITU-R BS.2076).
        format: The extensible format chunk of wav, RF64 and w64; empty where there is none.
        chan: Content of the CHAN chunk of aiff or the chan chunk of caf; empty where there is none.
    """

    channels: int = 0
    has_scene: bool = False
    format: bytes = b""
    chan: bytes = b""

    @property
    def mask(self) -> int | None:
        """A bit for each place, in their order; None where none is told, or no mask tells it."""
        if self.format:
            return int.from_bytes(self.format[20:24], "little")
        if len(self.chan) < 12:
            return None
        tag, bitmap = struct.unpack_from(">II", self.chan)
        return bitmap if tag == _BITMAP else _MASKS.get(tag >> 16)

    @property
    def is_ambisonic(self) -> bool:
        """Whether the samples are B-format, not loudspeakers."""
        return bool(self.format) and self.format[28:] != _PLAIN_GUID

    def container(self, container: str) -> str:
        """The container that holds it: plain wav files have no place for a mask, and mean the usual one."""
        unusual = self.mask and (self.channels > 2 or self.mask != _USUAL.get(self.channels))
        return "WAVEX" if container == "WAV" and (unusual or self.is_ambisonic) else container

    def lost(self, path: Path, container: str) -> tuple[str, ...]:
        """What a container cannot tell, as a line or none.

        Args:
            path: The recording.
        """
        if self.chan and container in {"AIFF", "CAF"}:
            return ()
        mask = self.mask
        if self.is_ambisonic and container not in {"WAVEX", "RF64", "W64"}:
            what = "that its channels are ambisonic (B-format)"
        elif mask and mask != _USUAL.get(self.channels) and container not in _HOLDS_MASK:
            what = f"its channel layout (mask 0x{mask:X})"
        elif self.has_scene and container not in {"WAV", "WAVEX", "RF64"}:
            what = "the scene that its axml and chna chunks describe"
        elif self.chan and mask is None:
            what = f"its channel layout (number {int.from_bytes(self.chan[:4], 'big') >> 16})"
        else:
            return ()
        return (f"{display_path(path)}: {container} files cannot tell {what}; left out",)

    def write_to(self, fd: int) -> None:
        """Put it into a finished file, open for reading and writing, as far as its format can tell."""
        head = read_at(fd, 0, 16)
        if head == _W64_RIFF:
            self._into_w64(fd)
        elif wav_chunks.is_riff(fd):
            self._into_riff(fd)
        elif chan := self._as_chan():
            if head[:4] == b"FORM":
                chunk = b"CHAN" + struct.pack(">I", len(chan)) + chan + bytes(len(chan) % 2)
                wav_chunks.insert(fd, wav_chunks.Carried(before=(chunk,)))
            elif head[:4] == b"caff":
                place = next(start for name, start, _ in _caf(fd) if name == b"data")
                replace_bytes(fd, place - 12, place - 12, b"chan" + struct.pack(">Q", len(chan)) + chan)

    def _as_chan(self) -> bytes:
        if self.chan or not self.mask or self.is_ambisonic:
            return self.chan
        return struct.pack(">III", _BITMAP, self.mask, 0)

    def _into_riff(self, fd: int) -> None:
        chunk = next((chunk for chunk in wav_chunks.walk(fd) if chunk.name == b"fmt "), None)
        if chunk is not None and chunk.size >= _FORMAT_BYTES:
            write_at(fd, chunk.start, self._changed(read_at(fd, chunk.start, _FORMAT_BYTES)))

    def _into_w64(self, fd: int) -> None:
        """Make its format chunk an extensible one; sizes count the header of 24 bytes, and end at eights."""
        found = next((start, size) for name, start, size in _w64(fd) if name == b"fmt ")
        if self.mask is None:
            return
        start, size = found
        plain = read_at(fd, start, 16)
        extended = struct.pack("<HHI", 22, int.from_bytes(plain[14:16], "little"), 0)
        guid = plain[:2] + bytes(2) + _PLAIN_GUID
        new = self._changed(struct.pack("<H", _EXTENSIBLE) + plain[2:] + extended + guid)
        header = b"fmt " + _W64_END + struct.pack("<Q", 24 + len(new))
        replace_bytes(fd, start - 24, start + size + -size % 8, header + new)
        write_at(fd, 16, struct.pack("<Q", os.fstat(fd).st_size))

    def _changed(self, new: bytes) -> bytes:
        """An extensible format chunk with what stays true of it."""
        if self.mask is None:
            return new
        valid, guid = new[18:20], new[24:]
        if self.format and self.format[14:16] == new[14:16]:
            valid = self.format[18:20]
        if self.format and self.format[24:28] == guid[:4]:
            guid = self.format[24:]
        return new[:18] + valid + struct.pack("<I", self.mask) + guid


def read_layout(path: Path, channels: int) -> Layout:
    """Read what a file tells about its channels; nothing where it tells nothing, or cannot be read."""
    try:
        fd = open_binary(path)
    except AudioFileError:
        return Layout()
    try:
        return Layout(channels, _has_scene(fd), _format(fd), _chan(fd))
    finally:
        os.close(fd)


def _has_scene(fd: int) -> bool:
    return wav_chunks.is_riff(fd) and any(chunk.name in {b"axml", b"chna"} for chunk in wav_chunks.walk(fd))


def _format(fd: int) -> bytes:
    if wav_chunks.is_riff(fd):
        places = _chunks(fd)
    elif read_at(fd, 0, 16) == _W64_RIFF:
        places = _w64(fd)
    else:
        return b""
    for name, start, size in places:
        if name == b"fmt " and size >= _FORMAT_BYTES:
            found = read_at(fd, start, _FORMAT_BYTES)
            whole = len(found) == _FORMAT_BYTES
            return found if whole and int.from_bytes(found[:2], "little") == _EXTENSIBLE else b""
    return b""


def _chan(fd: int) -> bytes:
    head = read_at(fd, 0, 4)
    if head == b"FORM":
        places = _chunks(fd)
    elif head == b"caff":
        places = _caf(fd)
    else:
        return b""
    for name, start, size in places:
        if name.lower() == b"chan" and 12 <= size <= _MAX_CHAN:
            return read_at(fd, start, size)
    return b""


def _chunks(fd: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of the chunks of a wav, RF64 or aiff file."""
    return ((chunk.name, chunk.start, chunk.size) for chunk in wav_chunks.walk(fd))


def _caf(fd: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of the chunks of a caf file, up to the one that has no size."""
    place, end = 8, os.fstat(fd).st_size
    for _ in range(_MAX_CHUNKS):
        if place + 12 > end:  # also beyond what a system can address
            return
        head = read_at(fd, place, 12)
        size = int.from_bytes(head[4:], "big", signed=True)
        yield head[:4], place + 12, size
        if size < 0:
            return
        place += 12 + size


def _w64(fd: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of the chunks of a w64 file."""
    place, end = 40, os.fstat(fd).st_size
    for _ in range(_MAX_CHUNKS):
        if place + 24 > end:
            return
        head = read_at(fd, place, 24)
        size = int.from_bytes(head[16:], "little") - 24
        if head[4:16] != _W64_END or size < 0:
            return
        yield head[:4], place + 24, size
        place += 24 + size + -size % 8
