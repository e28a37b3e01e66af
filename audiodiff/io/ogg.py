"""Ogg pages: give a stream a fixed serial number, so that equal samples give equal bytes.

libsndfile draws the number at random. Nothing depends on it in a file with one stream, but it stands in every
page and under every page's checksum (RFC 3533, section 6).
"""

from __future__ import annotations

import os

SERIAL = 1

_HEAD = 27
_MAX_PAGE = _HEAD + 255 + 255 * 255
_POLYNOMIAL = 0x04C11DB7


def fix_serial(descriptor: int) -> None:
    """Write `SERIAL` into every page of a file with one Ogg stream.

    The checksum is linear: that of the new page is that of the old one xor that of the changed bits, which
    depends only on them and on how many bytes follow. So the content need not be read.
    """
    position, size = 0, os.fstat(descriptor).st_size
    changes: list[int] = []
    change = 0
    while position + _HEAD <= size:
        os.lseek(descriptor, position, os.SEEK_SET)
        head = bytearray(os.read(descriptor, _HEAD + 255))
        if head[:4] != b"OggS":
            return
        n_segments = head[26]
        length = _HEAD + n_segments + sum(head[_HEAD : _HEAD + n_segments])
        old = int.from_bytes(head[14:18], "little")
        if not changes or old ^ SERIAL != change:
            change = old ^ SERIAL
            changes = _checksums(change.to_bytes(4, "little"))
        checksum = int.from_bytes(head[22:26], "little") ^ changes[length - 18]
        head[14:18] = SERIAL.to_bytes(4, "little")
        head[22:26] = checksum.to_bytes(4, "little")
        os.lseek(descriptor, position, os.SEEK_SET)
        os.write(descriptor, head[:_HEAD])
        position += length


def checksum(page: bytes | bytearray) -> int:
    """Checksum of a page whose own field is zero."""
    register = 0
    table = _table()
    for byte in page:
        register = ((register << 8) & 0xFFFFFFFF) ^ table[(register >> 24) ^ byte]
    return register


def _checksums(bits: bytes) -> list[int]:
    """Checksums of these bytes followed by 0, 1, 2 ... zero bytes, up to the length of the longest page."""
    table = _table()
    register = checksum(bits)
    found = [register]
    for _ in range(_MAX_PAGE - 18):
        register = ((register << 8) & 0xFFFFFFFF) ^ table[register >> 24]
        found.append(register)
    return found


def _table() -> list[int]:
    table = []
    for value in range(256):
        register = value << 24
        for _ in range(8):
            register = ((register << 1) & 0xFFFFFFFF) ^ (_POLYNOMIAL if register >> 31 else 0)
        table.append(register)
    return table
