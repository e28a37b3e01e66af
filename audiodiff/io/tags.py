"""Tags as all containers have them: texts under general names, a cover, chapters."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import soundfile

from audiodiff.errors import AudioFileError
from audiodiff.io import av_library
from audiodiff.io.sound import sound_file
from audiodiff.io.tag_behind import texts_behind

_MAX_PICTURE = 32 << 20
_MIMES = {
    "mjpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
}
_TECHNICAL = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|encoding_tool|duration|handler_name|vendor_id|language"
    r"|timecode|metadata_block_picture|chapter\d+(name)?|bps|number_of_(frames|bytes)|_statistics.*"
)
"""Not for a reader, or untrue of another file."""

_OTHER_NAMES = {
    "tracknumber": "track",
    "discnumber": "disc",
    "albumartist": "album_artist",
    "author": "artist",
    "description": "comment",
}


@dataclass(frozen=True)
class Picture:
    """A cover.

    Attributes:
        mime: Its type, such as ``image/jpeg``.
        data: The bytes of the image file.
    """

    mime: str
    data: bytes


@dataclass(frozen=True)
class Chapter:
    """A chapter; start and end are seconds."""

    start: float
    end: float
    title: str


@dataclass(frozen=True)
class Tags:
    """What tells about a recording.

    Attributes:
        text: Values by their general names in lower case: title, artist, album, comment, date, genre, track,
            copyright, and whatever else there is under its own name.
    """

    text: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    chapters: tuple[Chapter, ...] = ()


def read_tags(path: Path) -> Tags:
    """Read the tags of an audio or media file.

    With PyAV, everything; without it the texts that libsndfile reads (title, artist, album, comment, date,
    genre, track, copyright).

    Returns:
        Its tags; empty where nothing can be read.
    """
    # Tags that are damaged, and a PyAV that is not there, leave the texts that libsndfile reads.
    with contextlib.suppress(AudioFileError):
        with av_library.opened(path, also_tags=True) as container, contextlib.suppress(*av_library.damages()):
            tags = tags_of(container)
            return replace(tags, text=_with_behind(path, tags.text))
    return Tags(read_texts(path))


def read_texts(path: Path) -> dict[str, str]:
    """The texts that libsndfile reads, and those behind the sound; quick, and empty where it reads none."""
    return _with_behind(path, _sound_texts(path))


def _with_behind(path: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Texts with those of tags behind the sound, where they are missing or were cut (ID3v1: 30 letters)."""
    try:
        with path.open("rb") as file:
            found = _general(texts_behind(file.fileno()))
    except OSError:
        found = {}
    return {**texts, **{key: text for key, text in found.items() if text.startswith(texts.get(key, ""))}}


def tags_of(container: Any) -> Tags:
    """The tags of a container that is open and of which nothing has been read."""
    found = dict(container.metadata)
    if container.streams.audio and "ogg" in container.format.name:
        found |= container.streams.audio[0].metadata
    return Tags(_general(found), _pictures(container), _chapters(container))


def _general(found: Mapping[str, str]) -> dict[str, str]:
    text: dict[str, str] = {}
    for key, value in found.items():
        name = _OTHER_NAMES.get(key.lower(), key.lower())
        if value and not _TECHNICAL.fullmatch(name):
            text.setdefault(name, value.replace("\0", "; "))
    return text


def _pictures(container: Any) -> tuple[Picture, ...]:
    covers = [stream for stream in container.streams.video if is_cover(stream)]
    if not covers:
        return ()
    pictures: dict[int, Picture] = {}
    # ffmpeg gives attached pictures before everything else.
    for packet in itertools.islice(container.demux(*covers), 4 * len(covers)):
        mime = _MIMES.get(packet.stream.codec_context.name)
        if mime and 0 < packet.size <= _MAX_PICTURE:
            pictures.setdefault(packet.stream_index, Picture(mime, bytes(packet)))
    return tuple(pictures[index] for index in sorted(pictures))


def is_cover(stream: Any) -> bool:
    """Whether a stream is a still picture that belongs to the whole file."""
    return bool(stream.type == "video" and stream.disposition & type(stream.disposition).attached_pic)


def _chapters(container: Any) -> tuple[Chapter, ...]:
    chapters = []
    for entry in container.chapters():
        start, end = (float(entry[side] * entry["time_base"]) for side in ("start", "end"))
        chapters.append(Chapter(start, max(start, end), entry["metadata"].get("title", "")))
    return tuple(chapters)


def _sound_texts(path: Path) -> dict[str, str]:
    try:
        # Not the file object: what fails in its callbacks is printed and not raised.
        with path.open("rb") as file, soundfile.SoundFile(sound_file(file.fileno()), closefd=False) as sound:
            return _general(sound.copy_metadata())
    except (soundfile.SoundFileError, OSError):
        return {}
