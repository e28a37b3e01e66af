"""Promise: equal samples give equal Ogg bytes, with checksums that are right by the definition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.io import ogg
from audiodiff.io.reader import AtomicWriter


def pages(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        n = content[at + 26]
        length = 27 + n + sum(content[at + 27 : at + 27 + n])
        yield content[at : at + length]
        at += length


def checksum(page: bytes) -> int:
    """Bit by bit, RFC 3533 section 6: generator 0x04c11db7, the field itself taken as zero."""
    register = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        register ^= byte << 24
        for _ in range(8):
            register = ((register << 1) ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_equal_samples_equal_bytes(tmp_path: Path, subtype: str) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal((2, 48000)).astype(np.float32)
    paths = [tmp_path / f"{name}.ogg" for name in "ab"]
    for path in paths:
        with AtomicWriter(path, 48000, 2, "OGG", subtype) as writer:
            writer.write(x)
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes()
    assert len(list(pages(content))) > 2
    for page in pages(content):
        assert int.from_bytes(page[14:18], "little") == ogg.SERIAL
        assert int.from_bytes(page[22:26], "little") == checksum(page)
    soundfile.write(tmp_path / "raw.ogg", x.T, 48000, subtype, format="OGG")
    raw = tmp_path / "raw.ogg"
    np.testing.assert_array_equal(soundfile.read(paths[0])[0], soundfile.read(raw)[0])
