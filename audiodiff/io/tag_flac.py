"""Metadata blocks in front of flac files: copied byte for byte, or made from general tags.

Layout: RFC 9639, section 8. Vorbis comments as in the Vorbis I specification, section 5.
"""

from __future__ import annotations

import base64
import struct

from audiodiff.io import tag_id3
from audiodiff.io.byte_edit import read_at, replace_bytes
from audiodiff.io.tags import Picture, Tags

_MAX_BLOCKS = 1024
_MAX_BYTES = 64 << 20
_STREAMINFO, _PADDING, _APPLICATION, _SEEKTABLE, _COMMENT, _CUESHEET, _PICTURE = range(7)
_NAMES = {"track": "TRACKNUMBER", "disc": "DISCNUMBER", "album_artist": "ALBUMARTIST"}

Block = tuple[int, bytes]


def copied(fd: int, line: str | None, whole: bool = True) -> list[Block]:
    """The blocks of a recording that go over to a processed copy.

    Args:
        line: What processed it, or None: becomes one more comment.
        whole: Whether the copy keeps all samples at their places; otherwise cue sheet and chapters are left
            out.

    Returns:
        (type, content) of comments, pictures, cue sheet and application data, in their order; without the
        damaged ones, at which a decoder would give the whole file up.
    """
    kept = {_APPLICATION, _COMMENT, _PICTURE} | ({_CUESHEET} if whole else set())
    blocks = [block for block in _read(fd)[0] if block[0] in kept and _is_sound(*block)]
    if not any(kind == _COMMENT for kind, _ in blocks):
        blocks.insert(0, (_COMMENT, _comment_block(b"", [])))

    def changed(block: Block) -> Block:
        if block[0] != _COMMENT:
            return block
        vendor, comments = _comments(block[1])
        if not whole:
            comments = [one for one in comments if not one.upper().startswith(b"CHAPTER")]
        return _COMMENT, _comment_block(vendor, comments + _line_comment(line))

    return [changed(block) for block in blocks]


def completed(blocks: list[Block], tags: Tags) -> list[Block]:
    """Blocks with the texts and pictures of general tags that they do not have."""
    own = [_comments(content) for kind, content in blocks if kind == _COMMENT]
    known = {one.split(b"=")[0].upper() for _, comments in own for one in comments}
    more = [one.encode() for one in comments_of(Tags(tags.text))]
    missing = [one for one in more if one.split(b"=")[0].upper() not in known]
    done = [
        (kind, _comment_block(own[0][0], own[0][1] + missing) if kind == _COMMENT else content)
        for kind, content in blocks
    ]
    if not any(kind == _PICTURE for kind, _ in blocks):
        done += [(_PICTURE, picture_block(picture)) for picture in tags.pictures]
    return done


def built(tags: Tags, line: str | None) -> list[Block]:
    """Blocks (type, content) from general tags."""
    comments = [one.encode() for one in comments_of(tags)] + _line_comment(line)
    return [
        (_COMMENT, _comment_block(b"audiodiff", comments)),
        *((_PICTURE, picture_block(picture)) for picture in tags.pictures),
    ]


def comments_of(tags: Tags) -> list[str]:
    """Vorbis comments from general tags; chapters as the comments CHAPTER000 and CHAPTER000NAME."""
    lines = [f"{_NAMES.get(key, key.upper())}={value}" for key, value in tags.text.items()]
    for i, chapter in enumerate(tags.chapters[:1000]):
        minutes, ms = divmod(round(1000 * chapter.start), 60_000)
        lines.append(
            f"CHAPTER{i:03d}={minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}.{ms % 1000:03d}"
        )
        lines.append(f"CHAPTER{i:03d}NAME={chapter.title}")
    return lines


def picture_block(picture: Picture) -> bytes:
    """Content of a PICTURE block (section 8.8); in Ogg files its base64 is a comment.

    Returns:
        The bytes; width, height and depth are told as 0, unknown.
    """
    mime = picture.mime.encode()
    head = struct.pack(">II", 3, len(mime)) + mime + struct.pack(">I", 0)
    return head + struct.pack(">IIIII", 0, 0, 0, 0, len(picture.data)) + picture.data


def picture_comment(picture: Picture) -> str:
    """Value of the comment METADATA_BLOCK_PICTURE, base64."""
    return base64.b64encode(picture_block(picture)).decode()


def insert(fd: int, blocks: list[Block]) -> None:
    """Give a finished flac file its metadata, in place of what it has beside stream info and seek table."""
    found, end = _read(fd)
    own = [block for block in found if block[0] in {_STREAMINFO, _SEEKTABLE}]
    fitting = [block for block in blocks if len(block[1]) < 1 << 24]
    everything = [*own, *fitting, (_PADDING, bytes(1024))]
    data = b"".join(
        bytes([kind | (0x80 if i == len(everything) - 1 else 0)]) + len(content).to_bytes(3, "big") + content
        for i, (kind, content) in enumerate(everything)
    )
    replace_bytes(fd, 0, end, b"fLaC" + data)


def in_front(fd: int) -> bytes:
    """What stands in front of the sound of a flac or mp3 file, whole; empty where that is nothing."""
    return read_at(fd, 0, min(_read(fd)[1], _MAX_BYTES))


def _read(fd: int) -> tuple[list[Block], int]:
    """The blocks of a file and the place of its first frame."""
    position = tag_id3.size_of(fd)
    blocks: list[Block] = []
    if read_at(fd, position, 4) != b"fLaC":
        return blocks, position
    position += 4
    total = 0
    for _ in range(_MAX_BLOCKS):
        head = read_at(fd, position, 4)
        if len(head) < 4:
            break
        size = int.from_bytes(head[1:], "big")
        total += size
        if total <= _MAX_BYTES:
            content = read_at(fd, position + 4, size)
            if len(content) == size:
                blocks.append((head[0] & 0x7F, content))
        position += 4 + size
        if head[0] & 0x80:
            break
    return blocks, position


def _is_sound(kind: int, content: bytes) -> bool:
    """Whether the lengths inside a block add up to its own."""
    if kind == _APPLICATION:
        return len(content) >= 4
    if kind == _PICTURE:
        end = 4  # its type; then MIME type, description, four numbers, data
        for skip in (0, 0, 16):
            end += skip
            end += 4 + int.from_bytes(content[end : end + 4], "big")
        return end == len(content)
    if kind == _CUESHEET:
        end = 396
        for _ in range(content[395] if len(content) >= end else 0):
            end += 36 + 12 * (content[end + 35] if len(content) >= end + 36 else 0)
        return end == len(content)
    return True


def _line_comment(line: str | None) -> list[bytes]:
    return [f"{tag_id3.PROGRAM}={line}".encode()] if line else []


def _comments(content: bytes) -> tuple[bytes, list[bytes]]:
    """Vendor and comments of a block; what a damaged length would reach for is left out."""
    fields: list[bytes] = []
    size = int.from_bytes(content[:4], "little")
    vendor, position = content[4 : 4 + size], 8 + size
    count = int.from_bytes(content[4 + size : 8 + size], "little")
    while len(fields) < count and position + 4 <= len(content):
        size = int.from_bytes(content[position : position + 4], "little")
        if position + 4 + size > len(content):
            break
        fields.append(content[position + 4 : position + 4 + size])
        position += 4 + size
    return vendor, fields


def _comment_block(vendor: bytes, comments: list[bytes]) -> bytes:
    parts = [struct.pack("<I", len(vendor)) + vendor, struct.pack("<I", len(comments))]
    return b"".join(parts + [struct.pack("<I", len(one)) + one for one in comments])
