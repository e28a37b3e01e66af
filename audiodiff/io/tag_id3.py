"""ID3v2 tags, in front of mp3 files: copied frame by frame, or made from general tags.

Layouts: ID3v2.2 to 2.4 and the chapter frame addendum (id3.org). Frames are not interpreted when copied, so
that private and unknown ones survive.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Set

from audiodiff.io.byte_edit import read_at, replace_bytes
from audiodiff.io.tag_behind import texts_behind
from audiodiff.io.tags import Tags

MAX_BYTES = 64 << 20
PROGRAM = "AUDIODIFF"
"""Name of the free text that tells what processed a file."""

_PADDING = 1024
_TEXT = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "album_artist": b"TPE2",
    "composer": b"TCOM",
    "date": b"TDRC",
    "genre": b"TCON",
    "track": b"TRCK",
    "disc": b"TPOS",
    "copyright": b"TCOP",
    "publisher": b"TPUB",
}
_TIMED = frozenset({b"CHAP", b"CTOC", b"SYLT", b"ETCO", b"TLEN", b"TLE", b"ETC", b"SLT"})
_UNSYNCHRONISED, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10
_FRAME_UNSYNCHRONISED = 0x02
_MAX_TAGS = 16
_ENCODINGS = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}


def size_of(fd: int) -> int:
    """Bytes that tags take at the start of a file.

    Returns:
        Their size with headers and footers, 0 if there is none.
    """
    return sum(_sizes(fd))


def _sizes(fd: int) -> list[int]:
    """Bytes of every tag at the start of a file: some programs put one before another."""
    sizes: list[int] = []
    while len(sizes) < _MAX_TAGS:
        head = read_at(fd, sum(sizes), 10)
        if len(head) < 10 or head[:3] != b"ID3" or not 2 <= head[3] <= 4:
            break
        sizes.append(10 + _from_7_bits(head[6:10]) + (10 if head[3] == 4 and head[5] & _FOOTER else 0))
    return sizes


def copied(fd: int, line: str | None, whole: bool = True) -> bytes:
    """The tag of a file with what processed it as one more frame.

    Args:
        whole: Whether the copy keeps all samples at their places; otherwise chapters and other frames that
            tell a time are left out.

    Returns:
        A tag of the same version, its frames byte for byte (without marks against false synchronisation), and
        what further tags in front (of that version) and tags behind the sound tell beyond that; b"" if there
        is nothing to tell.
    """
    sizes = _sizes(fd)
    behind = texts_behind(fd)
    if not sizes or sum(sizes) > MAX_BYTES:
        return built(Tags(behind), line)
    raws = [read_at(fd, sum(sizes[:i]), size) for i, size in enumerate(sizes)]
    version = raws[0][3]
    n = _id_size(version)
    frames = [frame for frame in _frames(raws[0]) if whole or frame[:n] not in _TIMED]
    for raw in raws[1:]:
        if raw[3] == version:
            known = {frame[:n] for frame in frames} | (frozenset() if whole else _TIMED)
            frames += [frame for frame in _frames(raw) if frame[:n] not in known]
    frames += _missing(version, behind, {frame[:n] for frame in frames})
    if line:
        frames.append(_line_frame(version, line))
    return _tag(version, b"".join(frames))


def _missing(version: int, texts: Mapping[str, str], known: Set[bytes]) -> list[bytes]:
    """Frames for texts that a tag does not tell yet; a tag of version 2.2 stays as it is."""
    dates = {b"TDRC", b"TYER"}
    frames = []
    for key, value in texts.items():
        name = _TEXT.get(key)
        if name is None or version == 2 or name in known or (name in dates and known & dates):
            continue
        if version == 4:
            frames.append(_frame(name, b"\x03" + value.encode()))
        else:
            content = b"\x01" + value.encode("utf-16")
            name = b"TYER" if name == b"TDRC" else name
            frames.append(name + struct.pack(">I", len(content)) + b"\0\0" + content)
    return frames


def texts(fd: int) -> dict[str, str]:
    """Texts of the first tag at the start of a file, of version 2.3 or 2.4, by their general names."""
    sizes = _sizes(fd)
    if not sizes or sizes[0] > MAX_BYTES:
        return {}
    names = {name: key for key, name in _TEXT.items()} | {b"TYER": "date"}
    found: dict[str, str] = {}
    for frame in _frames(read_at(fd, 0, sizes[0])):
        key, content = names.get(frame[:4]), frame[10:]
        if key is not None and content and content[0] in _ENCODINGS:
            text = content[1:].decode(_ENCODINGS[content[0]], "replace").strip("\0").replace("\0", "; ")
            found.setdefault(key, text)
    return {key: text for key, text in found.items() if text}


def built(tags: Tags, line: str | None) -> bytes:
    """A tag of version 2.4 from general tags.

    Returns:
        The tag; b"" if there is nothing to tell.
    """
    frames = []
    for key, value in tags.text.items():
        if key == "comment":
            frames.append(_frame(b"COMM", b"\x03und\0" + value.encode()))
        elif key in _TEXT:
            frames.append(_frame(_TEXT[key], b"\x03" + value.encode()))
        else:
            frames.append(_frame(b"TXXX", b"\x03" + key.encode() + b"\0" + value.encode()))
    if line:
        frames.append(_line_frame(4, line))
    frames += [
        _frame(b"APIC", b"\x03" + picture.mime.encode() + b"\0\x03\0" + picture.data)
        for picture in tags.pictures
    ]
    frames += _chapter_frames(tags)
    return _tag(4, b"".join(frames)) if frames else b""


def insert(fd: int, tag: bytes) -> None:
    """Put a tag in front of an mp3 file, in place of one that is there."""
    replace_bytes(fd, 0, size_of(fd), tag)


def _chapter_frames(tags: Tags) -> list[bytes]:
    # A table of contents counts its entries in one byte.
    chapters = tags.chapters[:255]
    if not chapters:
        return []
    names = [b"ch%d\0" % i for i in range(len(chapters))]
    frames = [_frame(b"CTOC", b"toc\0\x03" + bytes([len(names)]) + b"".join(names))]
    for name, chapter in zip(names, chapters, strict=True):
        span = (round(1000 * chapter.start), round(1000 * chapter.end))
        times = struct.pack(">IIII", *span, 0xFFFFFFFF, 0xFFFFFFFF)
        frames.append(_frame(b"CHAP", name + times + _frame(b"TIT2", b"\x03" + chapter.title.encode())))
    return frames


def _frames(raw: bytes) -> list[bytes]:
    """The frames of a tag with their headers; stops where they cease to make sense."""
    version, flags = raw[3], raw[5]
    body = raw[10:]
    if flags & _UNSYNCHRONISED and version < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    start = 0
    if flags & _EXTENDED and version == 3:
        start = 4 + int.from_bytes(body[:4], "big")
    elif flags & _EXTENDED and version == 4:
        start = _from_7_bits(body[:4])
    if version == 4:
        strict, plain = (_walked(body, start, 10, size) for size in (_from_7_bits, _from_8_bits))
        # iTunes once wrote plain sizes into tags of this version.
        found = max(strict, plain, key=lambda frames: sum(map(len, frames)))
        return [_restored(frame, bool(flags & _UNSYNCHRONISED)) for frame in found]
    return _walked(body, start, 6 if version == 2 else 10, _from_8_bits)


def _restored(frame: bytes, marked: bool) -> bytes:
    """A frame of version 2.4 without the zeros that its tag, or itself, says stand behind bytes of 255."""
    if not (marked or frame[9] & _FRAME_UNSYNCHRONISED):
        return frame
    content = frame[10:].replace(b"\xff\x00", b"\xff")
    flags = bytes([frame[8], frame[9] & ~_FRAME_UNSYNCHRONISED])
    return frame[:4] + _to_7_bits(len(content)) + flags + content


def _walked(body: bytes, position: int, header: int, size_of_frame: Callable[[bytes], int]) -> list[bytes]:
    frames = []
    id_size = 3 if header == 6 else 4
    while position + header < len(body):
        name = body[position : position + id_size]
        if not (name.isalnum() and name.upper() == name):
            break
        end = position + header + size_of_frame(body[position + id_size : position + 2 * id_size])
        if end > len(body):
            break
        frames.append(body[position:end])
        position = end
    return frames


def _id_size(version: int) -> int:
    return 3 if version == 2 else 4


def _line_frame(version: int, line: str) -> bytes:
    content = b"\0" + PROGRAM.encode() + b"\0" + line.encode("latin-1", "replace")
    if version == 2:
        return b"TXX" + len(content).to_bytes(3, "big") + content
    size = _to_7_bits(len(content)) if version == 4 else struct.pack(">I", len(content))
    return b"TXXX" + size + b"\0\0" + content


def _frame(name: bytes, content: bytes) -> bytes:
    return name + _to_7_bits(len(content)) + b"\0\0" + content


def _tag(version: int, frames: bytes) -> bytes:
    return b"ID3" + bytes([version, 0, 0]) + _to_7_bits(len(frames) + _PADDING) + frames + bytes(_PADDING)


def _from_7_bits(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value


def _from_8_bits(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _to_7_bits(value: int) -> bytes:
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))
