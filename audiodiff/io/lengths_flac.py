"""How long a flac file is: its last block is looked at, and whether another file follows (RFC 9639)."""

from __future__ import annotations

import re
from functools import cache

from audiodiff.io.pieces import Part, Piece, Window

_STREAM = re.compile(rb"fLaC[\x00\x80]\0\0\x22")
_SYNC = re.compile(rb"\xff[\xf8\xf9][\x10-\xff]", re.DOTALL)
_STEP = 60_000
_MAX_PARTS = 1 << 12
_TAIL = 1 << 18
_MAX_TRIES = 64
_LEAST_BLOCK = 10
"""Bytes: header, a constant sub-block and the checksum (RFC 9639, section 9)."""
_TOTAL = 21
"""Where the four low bits before the total count stand, behind the start."""


def count(window: Window, start: int, stop: int) -> tuple[Part, ...]:
    """Find the recordings of a flac file, and those whose header counts too little.

    Args:
        stop: Where the file ends without tags behind it.

    Returns:
        A part for each; none where libsndfile reads the file as it is.
    """
    starts = _starts(window, start, stop)
    found = [_part(window, one, end) for one, end in zip(starts, [*starts[1:], stop], strict=True)]
    if len(found) == 1 and found[0][1] and stop == window.stop:
        return ()
    return tuple(part for part, _ in found)


def _starts(window: Window, start: int, stop: int) -> list[int]:
    starts, place = [start], start + 8
    while place < stop and len(starts) < _MAX_PARTS:
        rest = window.rest(place)
        starts += [place + found.start() for found in _STREAM.finditer(rest) if place + found.start() < stop]
        if len(rest) < 8:
            break
        place += len(rest) - 7
    return starts[:_MAX_PARTS]


def _part(window: Window, start: int, stop: int) -> tuple[Part, bool]:
    """A part, and whether its header may stay as it is."""
    head = window.at(start, 42)
    rate = int.from_bytes(head[18:21], "big") >> 4
    total = int.from_bytes(head[_TOTAL : _TOTAL + 5], "big") & 0xFFFFFFFFF
    there = _last(window, start, stop) if len(head) == 42 and total else 0
    # More blocks than there are bytes for: the count is wrong, and nothing tells that something is missing.
    possible = (stop - start) // _LEAST_BLOCK * int.from_bytes(head[10:12], "big")
    if there <= total <= possible:
        return Part(((start, stop),), seconds=total / rate if rate else 0.0), True
    field = (head[_TOTAL] & 0xF0) << 32 | min(there, (1 << 36) - 1)
    pieces: tuple[Piece, ...] = (
        (start, start + _TOTAL),
        field.to_bytes(5, "big"),
        (start + _TOTAL + 5, stop),
    )
    return Part(pieces, seconds=there / rate if rate else 0.0), False


def _last(window: Window, start: int, stop: int) -> int:
    """Samples up to the end of the last block, 0 if it cannot be found."""
    head = window.at(start, 42)
    least, most = int.from_bytes(head[8:10], "big"), int.from_bytes(head[10:12], "big")
    begin = max(start + 42, stop - _TAIL)
    tail = b"".join(window.at(at, min(_STEP, stop - at)) for at in range(begin, stop, _STEP))
    places = [found.start() for found in _SYNC.finditer(tail)][-_MAX_TRIES * 16 :]
    tries = _MAX_TRIES
    for place in reversed(places):
        number, n_samples, length = _header(tail[place : place + 20])
        if not length or tries == 0:
            continue
        tries -= 1
        if _crc16(tail[place:-2]) == int.from_bytes(tail[-2:], "big"):
            fixed = tail[place + 1] == 0xF8
            return (number * most if fixed and least == most else number) + n_samples
    return 0


def _header(data: bytes) -> tuple[int, int, int]:
    """Number of a block, its samples, and the bytes of its header; zeros if this is none (section 9.1)."""
    if len(data) < 20 or data[3] & 1:
        return 0, 0, 0
    width = 1 if data[4] < 0x80 else 8 - (data[4] ^ 0xFF).bit_length()
    if not 1 <= width <= 7 or data[4] == 0xFF:
        return 0, 0, 0
    number = data[4] & (0x7F if width == 1 else (1 << max(0, 7 - width)) - 1)
    for byte in data[5 : 4 + width]:
        number = number << 6 | byte & 0x3F
    at, code = 4 + width, data[2] >> 4
    if code == 1:
        n = 192
    elif code < 6:
        n = 576 << code - 2
    elif code < 8:
        n = int.from_bytes(data[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        n = 256 << code - 8
    at += {12: 1, 13: 2, 14: 2}.get(data[2] & 15, 0)
    return (number, n, at + 1) if at < len(data) and _crc8(data[:at]) == data[at] else (0, 0, 0)


def _crc8(data: bytes) -> int:
    register = 0
    for byte in data:
        register = _table(0x07, 8)[register ^ byte]
    return register


def _crc16(data: bytes) -> int:
    register, table = 0, _table(0x8005, 16)
    for byte in data:
        register = ((register << 8) & 0xFFFF) ^ table[(register >> 8) ^ byte]
    return register


@cache
def _table(polynomial: int, width: int) -> tuple[int, ...]:
    mask, found = (1 << width) - 1, []
    for value in range(256):
        register = value << width - 8
        for _ in range(8):
            register = (register << 1) ^ (polynomial if register >> width - 1 else 0)
            register &= mask
        found.append(register)
    return tuple(found)
