"""Real small files of eight containers, damaged by seed, and a process that reads them as users do.

    python tests/mutation.py CONTAINER FIRST LAST FOLDER [TMP]

Prints a line before and after each seed, so that whoever started it sees which one ended the process.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

CONTAINERS = ("wav", "flac", "ogg", "opus", "mp3", "aiff", "caf", "m4a")

MAX_SECONDS = 600
"""What a reader may make of a file of a few kilobytes; then reading ends, as `--max-hours` ends it."""

_CHANGES = ("flip", "cut", "repeat", "length", "swap")
_LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def _entry(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


_TABLE = [_entry(byte) for byte in range(256)]


def mutated(content: bytes, seed: int) -> bytes:
    """A damaged copy: flipped bits, a cut, a piece twice or moved, a number where a length may be."""
    rng = random.Random(seed)
    data = bytearray(content)
    for change in rng.choices(_CHANGES, k=1 + seed % 3):
        # half of the damage goes to the header, where the sizes are
        place = rng.randrange(min(len(data), 256) if rng.random() < 0.5 else len(data))
        n = rng.randrange(1, 1 + min(200, len(data)))
        match change:
            case "flip":
                for _ in range(rng.randrange(1, 20)):
                    at = min(len(data) - 1, place + rng.randrange(64))
                    data[at] ^= 1 << rng.randrange(8)
            case "cut":
                del data[max(1, place) :]
            case "repeat":
                data[place:place] = data[place : place + n] * rng.randrange(1, 4)
            case "length":
                value, width = rng.choice(_LENGTHS), rng.choice((1, 2, 4, 8))
                number = (value % (1 << (8 * width))).to_bytes(width, "little")
                data[place : place + width] = number if rng.random() < 0.5 else number[::-1]
            case _:
                piece = data[place : place + n]
                del data[place : place + n]
                at = rng.randrange(len(data) + 1)
                data[at:at] = piece
        if not data:
            return b"\0"
    if seed % 2:  # half of the damaged pages of Ogg go on to the decoder
        _seal_pages(data)
    return bytes(data)


def _seal_pages(data: bytearray) -> None:
    """Put the right checksum into every page of Ogg (RFC 3533, section 6)."""
    start = data.find(b"OggS")
    while 0 <= start < len(data) - 27:
        segments = data[start + 27 : start + 27 + data[start + 26]]
        end = start + 27 + len(segments) + sum(segments)
        data[start + 22 : start + 26] = bytes(4)
        data[start + 22 : start + 26] = _checksum(data[start:end]).to_bytes(4, "little")
        start = data.find(b"OggS", start + 4)


def _checksum(page: bytearray) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


def outcome(path: Path) -> str:
    """``ok`` or the code of our error; everything else is raised."""
    from audiodiff.cli.info import look
    from audiodiff.errors import AudiodiffError
    from audiodiff.io.reader import probe, read_blocks

    try:
        probe(path)
        seconds = 0.0
        with read_blocks(path) as reader:
            for block in reader:
                assert block.shape[0] == reader.info.channels
                seconds += block.shape[1] / reader.info.sample_rate
                if seconds > MAX_SECONDS:
                    return "too_long"
        look(path)
    except AudiodiffError as error:
        return error.code
    return "ok"


def main() -> None:
    container, first, last, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    content = (folder / f"whole.{container}").read_bytes()
    path = folder / f"damaged.{container}"
    for seed in range(first, last):
        sys.stdout.write(f"{seed} ")
        sys.stdout.flush()
        path.write_bytes(mutated(content, seed))
        sys.stdout.write(f"{outcome(path)}\n")
    sys.stdout.write("end\n")


if __name__ == "__main__":
    main()
