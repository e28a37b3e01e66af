"""Where the samples of wav, RF64, aiff, caf and au files end, whatever size their headers tell.

A recorder that lost its power never wrote the sizes, or wrote them a minute before. What stands behind the
announced end is sound unless it reads as chunks, as a tag or as another file.
Layouts: RIFF (1991), RF64 (EBU Tech 3306), AIFF 1.3 and CAF (Apple), au (NeXT).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from audiodiff.io.pieces import Part, Piece, Window

MAX_CHUNKS = 4096
_MAX_PARTS = 1 << 12
_NO_SOUND = 512
"""Fewer bytes than these behind what a header announces are no sound."""
_MAX_FORMAT = 1 << 12
_UNKNOWN = 0xFFFFFFFF
_RIFFS = frozenset({b"RIFF", b"RIFX", b"RF64", b"BW64"})
_KNOWN = frozenset(
    {b"fmt ", b"data", b"LIST", b"fact", b"bext", b"iXML", b"cue ", b"smpl", b"id3 ", b"ID3 ", b"JUNK"}
    | {b"COMM", b"SSND", b"MARK", b"INST", b"APPL", b"NAME", b"AUTH", b"ANNO", b"PEAK", b"axml", b"_PMX"}
)
_FOREIGN = (b"ID3", b"<?xml", b"PK\x03\x04", b"APETAGEX", b"LYRICSBEGIN")
_CAF_PLAIN = frozenset({b"lpcm", b"ulaw", b"alaw"})
Endian = Literal["little", "big"]


def unknown_size(length: int) -> bool:
    """Whether 32 bits of size are what programs write that do not know it: near 2^31 and 2^32."""
    return 0x7FFFF000 <= length <= 0x80001000 or length >= 0xFFFFF000


@dataclass
class _Riff:
    """What a walk over the chunks of a RIFF file finds."""

    start: int
    magic: bytes
    order: Endian
    format: bytes = b""
    announced: int = -1
    data: list[tuple[int, int]] = field(default_factory=list)
    odd: bool = False
    """Whether libsndfile would lose something."""
    stop: int = 0


def riff(window: Window, start: int, stop: int) -> tuple[Part, ...]:
    """Find the samples of a wav, RF64 or BW64 file, or of several, one behind the other.

    Returns:
        A part for each; none where libsndfile reads the file as it is.
    """
    found: list[_Riff] = []
    while start < stop and len(found) < _MAX_PARTS:
        one = _walk(window, start, stop)
        found.append(one)
        start = one.stop
    if len(found) == 1 and not found[0].odd:
        return ()
    parts = tuple(_rebuilt(one) for one in found if one.format and one.data)
    return parts if len(found) == len(parts) or len(parts) > 1 or found[0].odd else ()


def _walk(window: Window, start: int, stop: int) -> _Riff:
    magic = window.at(start, 4)
    one = _Riff(start, magic, "big" if magic == b"RIFX" else "little", stop=stop, odd=magic == b"BW64")
    place = start + 12
    for _ in range(MAX_CHUNKS):
        head = window.at(place, 8)
        if len(head) < 8 or place >= stop:
            break
        name, size = head[:4], int.from_bytes(head[4:], one.order)
        if name == b"data":
            place = _samples(window, one, place + 8, size, stop)
            continue
        if _joined(window, place):
            one.stop = place
            break
        if name == b"fmt " and size <= _MAX_FORMAT and not one.format:
            one.format = window.at(place + 8, size)
            one.odd = one.odd or bool(one.data)
        if name == b"ds64":
            one.announced = int.from_bytes(window.at(place + 16, 8), "little")
        end = place + 8 + size
        place = end + size % 2
        if size % 2 and window.at(place, 4) not in _KNOWN and window.at(end, 4) in _KNOWN:
            place = end
            one.odd = one.odd or not one.data
    return one


def _samples(window: Window, one: _Riff, start: int, size: int, stop: int) -> int:
    """Note the samples that begin here; return where the next chunk begins."""
    large = one.magic in {b"RF64", b"BW64"} and size == _UNKNOWN
    claimed = one.announced if large and one.announced >= 0 else size
    if claimed > stop - start:
        one.odd = one.odd or (large and claimed >= 1 << 62) or bool(one.data) or stop < window.stop
        one.data.append((start, stop))
        return stop
    end = start + claimed
    after = _after(window, end, stop, "little" if one.order == "little" else "big", claimed)
    if after < 0:
        one.odd, end, after = True, stop, stop
    if end > start:
        one.odd = one.odd or bool(one.data)
        one.data.append((start, end))
    return after


def _after(window: Window, end: int, stop: int, order: Endian, claimed: int) -> int:
    """Where the chunks go on behind the samples; `stop` if nothing of use follows, -1 if sound does."""
    for place in (end + claimed % 2, end):
        head = window.at(place, 8)
        if len(head) < 8 and stop - end < 8:
            return stop
        size = int.from_bytes(head[4:], order)
        inside = place + 8 + size <= stop + 1
        if head[:4] in _KNOWN or _joined(window, place):
            return place
        if inside and all(32 <= byte < 127 for byte in head[:4]) and head[:4].strip():
            return place
    if any(window.at(place, 11).startswith(_FOREIGN) for place in (end, end + 1)):
        return stop
    return -1 if stop - end >= (_NO_SOUND if claimed else 8) else stop


def _joined(window: Window, place: int) -> bool:
    head = window.at(place, 12)
    return head[:4] in _RIFFS and head[8:] == b"WAVE"


def _rebuilt(one: _Riff) -> Part:
    n_bytes = sum(stop - start for start, stop in one.data)
    chunk = b"fmt " + len(one.format).to_bytes(4, one.order) + one.format + bytes(len(one.format) % 2)
    unknown = b"\xff\xff\xff\xff"
    if one.magic in {b"RF64", b"BW64"}:
        sizes = b"".join(n.to_bytes(8, "little") for n in (n_bytes + len(chunk) + 48, n_bytes, 0))
        head = b"RF64" + unknown + b"WAVEds64\x1c\0\0\0" + sizes + bytes(4)
    else:
        head = one.magic + unknown + b"WAVE"
    per_second = int.from_bytes(one.format[8:12], one.order)
    pieces: tuple[Piece, ...] = (head + chunk + b"data" + unknown, *one.data)
    return Part(pieces, seconds=n_bytes / per_second if per_second else 0.0)


def aiff(window: Window, start: int, stop: int) -> tuple[Part, ...]:
    """Find the samples of an aiff file whose size is told too small; libsndfile mends a size of 0 itself."""
    for place, name, size in _chunks(window, start + 12, stop, 4):
        if name != b"SSND" or not 8 <= size <= stop - place - 8:
            continue
        if _after(window, place + 8 + size, stop, "big", size) >= 0:
            return ()
        sizes = (stop - start - 8, stop - place - 8)
        outer, inner = (min(n, _UNKNOWN).to_bytes(4, "big") for n in sizes)
        return (Part(((start, start + 4), outer, (start + 8, place + 4), inner, (place + 8, stop))),)
    return ()


def caf(window: Window, start: int, stop: int) -> tuple[tuple[Part, ...], int]:
    """Find the samples of a caf file whose size is unknown (-1, which Apple permits), too small or too large.

    Returns:
        The part, none where libsndfile reads the file as it is, and the bytes that its header promises; 0
        if they are there.
    """
    plain = False
    for place, name, size in _chunks(window, start + 8, stop, 8):
        if name == b"desc":
            plain = window.at(place + 20, 4) in _CAF_PLAIN
        if name != b"data":
            continue
        body = place + 12
        there = stop - body
        whole = size == there or (0 < there - size < _NO_SOUND) or _caf_chunk(window, body + size, stop)
        if not plain or (0 <= size <= there and whole):
            return (), 0
        part = Part(((start, place + 4), there.to_bytes(8, "big"), (body, stop)))
        return (part,), body - start + size if size > there else 0
    return (), 0


def _caf_chunk(window: Window, place: int, stop: int) -> bool:
    head = window.at(place, 12)
    size = int.from_bytes(head[4:], "big", signed=True)
    return all(32 <= byte < 127 for byte in head[:4]) and 0 <= size <= stop - place - 12


def _chunks(window: Window, place: int, stop: int, width: int) -> Iterator[tuple[int, bytes, int]]:
    """Place, name and size of the chunks of a big-endian file."""
    for _ in range(MAX_CHUNKS):
        head = window.at(place, 4 + width)
        if len(head) < 4 + width or place >= stop:
            return
        size = int.from_bytes(head[4:], "big", signed=width == 8)
        yield place, head[:4], size
        if size < 0:
            return
        place += 4 + width + size + (size % 2 if width == 4 else 0)


def au(window: Window, start: int, stop: int) -> tuple[tuple[Part, ...], int]:
    """Find the samples of an au file; nothing may follow them.

    Returns:
        As `caf`.
    """
    head = window.at(start, 12)
    order: Endian = "big" if head[:4] == b".snd" else "little"
    offset, size = int.from_bytes(head[4:8], order), int.from_bytes(head[8:12], order)
    there = stop - start - offset
    if offset < 24 or there <= 0 or size == _UNKNOWN or 0 <= there - size < (_NO_SOUND if size else 1):
        return (), 0
    if size < there and window.at(start + offset + size, 11).startswith(_FOREIGN):
        return (), 0
    part = Part(((start, start + 8), b"\xff\xff\xff\xff", (start + 12, stop)))
    return (part,), offset + size if size > there and not unknown_size(size) else 0
