"""Tags of Ogg files (Vorbis and Opus) through mutagen, which is GPL and therefore an extra of its own.

Only imported when such a file is written and mutagen is installed.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import Any

from audiodiff.io import tag_id3
from audiodiff.io.byte_edit import read_at
from audiodiff.io.tag_flac import comments_of, picture_comment
from audiodiff.io.tags import Tags

_PICTURE = "METADATA_BLOCK_PICTURE"

Comments = list[tuple[str, str]]


def available() -> bool:
    """Whether mutagen is installed."""
    try:
        import mutagen  # noqa: F401
    except ImportError:
        return False
    return True


def copied(fd: int, line: str | None, whole: bool = True) -> Comments:
    """All comments of an Ogg file, its cover and chapters among them.

    Args:
        whole: Whether the copy keeps all samples at their places; otherwise chapters are left out.
    """
    from mutagen import MutagenError

    comments: Comments = []
    # Comments that are damaged are lost; the sound is not.
    damaged = (MutagenError, ValueError, LookupError, EOFError, OverflowError, struct.error)
    with os.fdopen(os.dup(fd), "rb") as file, contextlib.suppress(*damaged):
        comments = [(name, value) for name, value in _opened(file, fd).tags or []]
    if not whole:
        comments = [one for one in comments if not one[0].upper().startswith("CHAPTER")]
    return comments + _line(line)


def built(tags: Tags, line: str | None) -> Comments:
    """Comments (name, value) from general tags."""
    pairs = (comment.split("=", 1) for comment in comments_of(tags))
    pictures = [(_PICTURE, picture_comment(picture)) for picture in tags.pictures]
    return [(name, value) for name, value in pairs] + pictures + _line(line)


def insert(fd: int, comments: Comments) -> None:
    """Give a finished Ogg file its comments, in place of those it has."""
    from mutagen import MutagenError

    with os.fdopen(os.dup(fd), "r+b") as file:
        try:
            found = _opened(file, fd)
            found.tags.clear()
            found.tags.extend(comments)
            file.seek(0)
            found.save(file)
        except MutagenError as error:
            raise ValueError(f"its comments cannot be written ({error})") from error


def _opened(file: Any, fd: int) -> Any:
    from mutagen.oggopus import OggOpus
    from mutagen.oggvorbis import OggVorbis

    kind = OggOpus if b"OpusHead" in read_at(fd, 0, 256) else OggVorbis
    file.seek(0)  # the descriptors share their position
    return kind(file)


def _line(line: str | None) -> Comments:
    return [(tag_id3.PROGRAM, line)] if line else []
