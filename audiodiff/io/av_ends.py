"""Where a media file should end by what its outermost structure says."""

from __future__ import annotations

import os
from pathlib import Path

from audiodiff.io.byte_edit import open_binary, read_at


def missing(path: Path) -> str:
    """How the bytes of a media file fall short of the boxes of mp4 or the segment of Matroska.

    Returns:
        A few words, "" if nothing is missing or the file does not tell.
    """
    fd = open_binary(path)
    try:
        size = os.fstat(fd).st_size
        head = read_at(fd, 0, 64)
        promised = _matroska_end(head) if head[:4] == b"\x1aE\xdf\xa3" else _boxes_end(fd)
    finally:
        os.close(fd)
    return f"{promised} bytes promised, {size} there" if promised > size else ""


def _boxes_end(fd: int) -> int:
    """Where the last outermost box of an mp4 file ends (ISO/IEC 14496-12, section 4.2)."""
    position = 0
    for _ in range(4096):
        head = read_at(fd, position, 16)
        if len(head) < 8 or not head[4:8].isalnum():
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            break
        position += length
    return position


def _matroska_end(head: bytes) -> int:
    """Where the segment of a Matroska file ends, 0 if it does not tell (RFC 8794, sections 4 and 6)."""
    header, width = _vint(head, 4)
    start = 4 + width + header
    if head[start : start + 4] != b"\x18S\x80g":
        return 0
    length, width = _vint(head, start + 4)
    unknown = length == (1 << 7 * width) - 1
    return 0 if unknown or width == 0 else start + 4 + width + length


def _vint(data: bytes, start: int) -> tuple[int, int]:
    """A number of variable size and the bytes it takes; (0, 0) if there is none."""
    if start >= len(data) or data[start] == 0:
        return 0, 0
    width = 9 - data[start].bit_length()
    return int.from_bytes(data[start : start + width], "big") & ((1 << 7 * width) - 1), width
