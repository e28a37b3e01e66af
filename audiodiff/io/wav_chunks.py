"""Chunks of wav, RF64 and aiff files that hold no samples: found, and copied byte for byte.

Layouts: RIFF (Multimedia Programming Interface and Data Specifications 1.0, 1991), RF64 (EBU Tech 3306),
broadcast wave (EBU Tech 3285), AIFF 1.3 (Apple, 1989). Nothing of a chunk's content is interpreted, except
that the list of texts gets one more line.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from audiodiff.io.byte_edit import read_at, replace_bytes, write_at

MAX_BYTES = 64 << 20
"""What is copied of one file at most."""

_MAX_CHUNKS = 4096
_LIMIT = 0xFFFFFFFF
_SAMPLES = {"RIFF": b"data", "FORM": b"SSND"}
_MADE_ANEW = frozenset(
    # What the new file has of its own, room left free, and sums over samples that are no longer there.
    {
        b"fmt ",
        b"data",
        b"fact",
        b"ds64",
        b"PEAK",
        b"JUNK",
        b"junk",
        b"PAD ",
        b"FLLR",
        b"filr",
        b"levl",
        b"MD5 ",
    }
    | {b"wavl", b"slnt", b"COMM", b"SSND", b"FVER", b"CHAN"}
)
_OUTER = frozenset({b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"})
_TIMELESS = frozenset({b"id3 ", b"ID3 ", b"_PMX", b"NAME", b"AUTH", b"(c) ", b"ANNO"})
_INFO = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "comment": b"ICMT",
    "date": b"ICRD",
    "genre": b"IGNR",
    "track": b"ITRK",
    "copyright": b"ICOP",
}
_AIFF_TEXT = {"title": b"NAME", "artist": b"AUTH", "copyright": b"(c) ", "comment": b"ANNO"}


@dataclass(frozen=True)
class Chunk:
    """Place of a chunk in a file.

    Attributes:
        start: First byte after its header.
        size: Bytes of content, without the byte that pads an odd size.
    """

    name: bytes
    start: int
    size: int


@dataclass(frozen=True)
class Carried:
    """Whole chunks, headers and padding included, as they lie in a file.

    Attributes:
        before: Those in front of the samples.
        left_out: What was too large, one line each.
        bw64: Whether the file is a BW64 file (ITU-R BS.2088), which is RF64 under another name.
    """

    before: tuple[bytes, ...] = ()
    after: tuple[bytes, ...] = ()
    left_out: tuple[str, ...] = ()
    bw64: bool = False


def fields(riff: bool) -> frozenset[str]:
    """General names of the texts that a format has a place for."""
    return frozenset(_INFO if riff else _AIFF_TEXT)


def walk(fd: int) -> Iterator[Chunk]:
    """Go through the chunks of a RIFF, RF64 or AIFF file; ends where they stop to make sense.

    Yields:
        Chunks in their order, at most 4096; the last may reach beyond the end of a file that is cut short.
    """
    size = os.fstat(fd).st_size
    large = _large_sizes(fd)
    order = _order(fd)
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > size:  # also beyond what a system can address
            return
        head = read_at(fd, position, 8)
        name, length = head[:4], int.from_bytes(head[4:], order)
        if not _is_name(name):
            return
        if length == _LIMIT:
            length = large.get(name, size - position - 8)
        yield Chunk(name, position + 8, length)
        position += 8 + length + length % 2


def _is_name(name: bytes) -> bool:
    """Whether it can be the name of an inner chunk; behind any other libsndfile finds no samples."""
    return name not in _OUTER and all(0x20 <= letter < 0x7F for letter in name)


def is_riff(fd: int) -> bool:
    """Whether a file is of the RIFF kind (wav, RF64), not aiff."""
    return read_at(fd, 0, 4) in {b"RIFF", b"RF64", b"BW64"}


def collect(fd: int, whole: bool = True) -> Carried:
    """Take from a file the chunks that go over to a processed copy of it.

    Args:
        whole: Whether the copy has all its samples at the same places; otherwise only texts and pictures go
            over, since cue points, loops and time codes would be wrong.
    """
    samples = _SAMPLES["RIFF" if is_riff(fd) else "FORM"]
    size = os.fstat(fd).st_size
    sides: tuple[list[bytes], list[bytes]] = ([], [])
    left_out: list[str] = []
    total = behind = 0
    for chunk in walk(fd):
        if chunk.name == samples:
            behind = 1
        if chunk.name in _MADE_ANEW or chunk.start + chunk.size > size:
            continue
        timeless = chunk.name in _TIMELESS or (
            chunk.name == b"LIST" and read_at(fd, chunk.start, 4) == b"INFO"
        )
        if not (whole or timeless):
            continue
        total += chunk.size
        if total > MAX_BYTES:
            total -= chunk.size
            left_out.append(f"chunk {chunk.name.decode('latin-1').strip()!r} of {chunk.size} bytes")
            continue
        # A size of an RF64 file that stands elsewhere is told here: no other format knows of that.
        sides[behind].append(_chunk(chunk.name, read_at(fd, chunk.start, chunk.size), _order(fd)))
    return Carried(tuple(sides[0]), tuple(sides[1]), tuple(left_out), read_at(fd, 0, 4) == b"BW64")


def texts(values: Mapping[str, str], riff: bool) -> Carried:
    """Chunks that hold texts: a LIST INFO chunk, or NAME, AUTH, (c) and ANNO of aiff.

    Args:
        values: By their general names (title, artist, album, comment, date, genre, track, copyright).

    Returns:
        The chunks; what has no place in the format is left out.
    """
    if riff:
        entries = [(name, values[key].encode()) for key, name in _INFO.items() if values.get(key)]
        return Carried(after=(_info_chunk(entries),)) if entries else Carried()
    found = [(name, values[key].encode()) for key, name in _AIFF_TEXT.items() if values.get(key)]
    return Carried(after=tuple(_chunk(name, value, "big") for name, value in found))


def with_line(carried: Carried, line: str, riff: bool) -> Carried:
    """Add what processed a recording: to ISFT (software) of LIST INFO, or as an annotation of aiff.

    Args:
        line: The words. Behind the software that is named already, which stays.
    """
    if not riff:
        # In front: readers take the last annotation for the comment, and that is the recording's own.
        return replace(carried, before=(_chunk(b"ANNO", line.encode(), "big"), *carried.before))

    def changed(chunk: bytes) -> bytes:
        entries = _entries(chunk)
        old = next((value for name, value in entries if name == b"ISFT"), b"")
        new = old + b"; " * bool(old) + line.encode()
        return _info_chunk([entry for entry in entries if entry[0] != b"ISFT"] + [(b"ISFT", new)])

    def is_info(chunk: bytes) -> bool:
        return chunk[:4] == b"LIST" and chunk[8:12] == b"INFO"

    if not any(map(is_info, carried.before + carried.after)):
        return replace(carried, after=(*carried.after, _info_chunk([(b"ISFT", line.encode())])))
    sides = [_first_changed(side, is_info, changed) for side in (carried.before, carried.after)]
    if sides[0] != carried.before:  # the line is told once
        sides[1] = carried.after
    return replace(carried, before=sides[0], after=sides[1])


def insert(fd: int, carried: Carried) -> None:
    """Put chunks into a finished file, on the side of the samples where they were; in RF64 files all behind.

    (libsndfile 1.2.2 cannot read RF64 files with a chunk of odd size in front of the samples.)

    Args:
        fd: Descriptor of a wav, RF64 or aiff file, open for reading and writing.
    """
    before, after = b"".join(carried.before), b"".join(carried.after)
    kind = read_at(fd, 0, 4)
    if kind == b"RF64":
        before, after = b"", before + after
    size = os.fstat(fd).st_size
    total = size + size % 2 + len(before) + len(after)
    if kind != b"RF64" and total - 8 > _LIMIT:
        raise ValueError("its chunks would make it larger than 4 GiB")
    samples = _SAMPLES["RIFF" if is_riff(fd) else "FORM"]
    place = next(chunk.start - 8 for chunk in walk(fd) if chunk.name == samples)
    write_at(fd, size, bytes(size % 2) + after)
    if before:
        replace_bytes(fd, place, place, before)
    if kind == b"RF64":
        write_at(fd, 20, struct.pack("<Q", total - 8))
        if carried.bw64:
            write_at(fd, 0, b"BW64")
    else:
        write_at(fd, 4, (total - 8).to_bytes(4, _order(fd)))


def _first_changed(
    chunks: tuple[bytes, ...], wanted: Callable[[bytes], bool], changed: Callable[[bytes], bytes]
) -> tuple[bytes, ...]:
    for i, chunk in enumerate(chunks):
        if wanted(chunk):
            return (*chunks[:i], changed(chunk), *chunks[i + 1 :])
    return chunks


def _entries(chunk: bytes) -> list[tuple[bytes, bytes]]:
    """The texts of a LIST INFO chunk, without their closing zeros."""
    entries = []
    position, end = 12, min(len(chunk), 8 + int.from_bytes(chunk[4:8], "little"))
    while position + 8 <= end:
        name, size = (
            chunk[position : position + 4],
            int.from_bytes(chunk[position + 4 : position + 8], "little"),
        )
        entries.append((name, chunk[position + 8 : min(end, position + 8 + size)].rstrip(b"\0")))
        position += 8 + size + size % 2
    return entries


def _info_chunk(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    return _chunk(b"LIST", b"INFO" + b"".join(_chunk(name, value + b"\0") for name, value in entries))


def _chunk(name: bytes, content: bytes, order: str = "little") -> bytes:
    size = struct.pack("<I" if order == "little" else ">I", len(content))
    return name + size + content + bytes(len(content) % 2)


def _order(fd: int) -> Literal["little", "big"]:
    return "little" if is_riff(fd) else "big"


def _large_sizes(fd: int) -> dict[bytes, int]:
    """Sizes beyond 4 GiB, which the ds64 chunk of an RF64 file tells (EBU Tech 3306, section 5)."""
    head = read_at(fd, 12, 8)
    if head[:4] != b"ds64":
        return {}
    content = read_at(fd, 20, min(int.from_bytes(head[4:], "little"), 1 << 16))
    if len(content) < 28:
        return {}
    sizes = {b"data": struct.unpack_from("<Q", content, 8)[0]}
    for i in range(min(struct.unpack_from("<I", content, 24)[0], (len(content) - 28) // 12)):
        name, size = struct.unpack_from("<4sQ", content, 28 + 12 * i)
        sizes.setdefault(name, size)
    return sizes
