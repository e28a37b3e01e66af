"""Tags behind the sound of mp3 files: APEv2 and ID3v1, read as general texts.

Layouts: ID3v1.1 and the APEv2 specification of the Hydrogenaudio wiki.
"""

from __future__ import annotations

import os

from audiodiff.io.byte_edit import read_at

_MAX_BYTES = 16 << 20
_MAX_ITEMS = 1000
_NAMES = {"year": "date", "albumartist": "album_artist", "album artist": "album_artist"}
_FIELDS = (("title", 3, 33), ("artist", 33, 63), ("album", 63, 93), ("date", 93, 97), ("comment", 97, 127))


def texts_behind(fd: int) -> dict[str, str]:
    """Texts of the tags at the end of a file, by their general names; APEv2 before ID3v1, which cuts them.

    Returns:
        The texts; empty if there is no such tag.
    """
    end = os.fstat(fd).st_size
    last = read_at(fd, max(0, end - 128), 128)
    old = _id3v1(last) if len(last) == 128 and last[:3] == b"TAG" else {}
    if old:
        end -= 128
    new = _ape(fd, end)
    if "track" in new and "track" in old:
        del old["track"]
    return old | new


def _id3v1(tag: bytes) -> dict[str, str]:
    texts = {name: _plain(tag[start:stop]) for name, start, stop in _FIELDS}
    if tag[125] == 0 and tag[126]:
        texts["track"] = str(tag[126])
        texts["comment"] = _plain(tag[97:125])
    return {name: text for name, text in texts.items() if text}


def _plain(data: bytes) -> str:
    content = data.split(b"\0")[0]
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        return content.decode("latin-1").strip()


def _ape(fd: int, end: int) -> dict[str, str]:
    """Texts of the APE tag that ends there."""
    footer = read_at(fd, max(0, end - 32), 32)
    if len(footer) < 32 or footer[:8] != b"APETAGEX":
        return {}
    size, count = (int.from_bytes(footer[at : at + 4], "little") for at in (12, 16))
    if not 32 <= size <= min(end, _MAX_BYTES):
        return {}
    body = read_at(fd, end - size, size - 32)
    texts: dict[str, str] = {}
    at = 0
    for _ in range(min(count, _MAX_ITEMS)):
        stop = body.find(b"\0", at + 8)
        if stop < 0:
            break
        length, flags = (int.from_bytes(body[at + i : at + i + 4], "little") for i in (0, 4))
        name = body[at + 8 : stop].decode("latin-1").lower()
        content = body[stop + 1 : stop + 1 + length]
        if flags & 6 == 0:  # a text, not bytes or an address
            texts[_NAMES.get(name, name)] = content.decode("utf-8", "replace").replace("\0", "; ")
        at = stop + 1 + length
    return {name: text for name, text in texts.items() if text}
