"""What goes over from a recording to its processed copy beside the samples: the policy, format by format.

The same family of containers (wav and RF64, aiff, flac, mp3, Ogg): everything, byte for byte. Another one:
texts, and with PyAV covers and chapters, as far as the format has a place for them. `benchmarks/tags.md` has
the table.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from audiodiff.errors import AudioFileError
from audiodiff.io import tag_flac, tag_id3, tag_vorbis, wav_chunks
from audiodiff.io.byte_edit import open_binary
from audiodiff.io.formats import AudioInfo, display_path
from audiodiff.io.tags import Tags, read_tags

_FAMILIES = {
    "WAV": "riff",
    "WAVEX": "riff",
    "RF64": "riff",
    "AIFF": "aiff",
    "FLAC": "flac",
    "MP3": "mp3",
    "OGG": "ogg",
}
_STRINGS = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "comment": "comment",
    "date": "date",
    "genre": "genre",
    "tracknumber": "track",
    "copyright": "copyright",
}
"""libsndfile's names of texts and ours."""

_MAX_STRING = 2000

_HOLDS = {
    "riff": {"texts"},
    "aiff": {"texts"},
    "flac": {"texts", "pictures", "chapters"},
    "mp3": {"texts", "pictures", "chapters"},
    "ogg": {"texts", "pictures", "chapters"},
}


@dataclass(frozen=True)
class CopiedTags:
    """What a finished file still gets.

    Attributes:
        put: Writes it, given the descriptor of the file, open for reading and writing.
        strings: Texts that libsndfile must be given before the first sample (`AtomicWriter.describe`), where
            it alone can write them.
        notes: What cannot go over, one line each.
    """

    put: Callable[[int], None]
    strings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def write_to(self, target: Path, fd: int) -> None:
        """Write it into a finished file that has no name yet."""
        try:
            self.put(fd)
        except ValueError as error:
            raise AudioFileError(
                f"{display_path(target)}: not written, {error}; use .w64", code="tags"
            ) from error


def collect_tags(info: AudioInfo, container: str, line: str | None = None, whole: bool = True) -> CopiedTags:
    """Collect from a recording what its processed copy gets; nothing is written.

    Args:
        whole: Whether the copy has all samples at their places; otherwise chapters, cue points and time
            codes stay behind.

    Returns:
        The tags; for containers without tags (w64, au) an empty one with a note.
    """
    family = _FAMILIES.get(container, "")
    if container == "CAF" or (family == "ogg" and not tag_vorbis.available()):
        return _strings(info.path, container, line)
    if family and family == _FAMILIES.get(info.container):
        return _same(info.path, family, line, whole)
    tags = read_tags(info.path)
    if not whole:
        tags = replace(tags, chapters=())
    return _other(info.path, tags, container, line)


def only_line(path: Path, container: str, line: str | None) -> CopiedTags:
    """Tags that tell nothing but what made a file; none where the container has no place for them."""
    if line is None:
        return CopiedTags(_nothing)
    if container == "CAF":
        return CopiedTags(_nothing, {"software": line})
    return _other(path, Tags(), container, line)


def _strings(path: Path, container: str, line: str | None) -> CopiedTags:
    tags = read_tags(path)
    # libsndfile loses all texts of a caf file if one is very long.
    texts = {key: value for key, value in tags.text.items() if len(value) < _MAX_STRING}
    found = {key: texts[name] for key, name in _STRINGS.items() if texts.get(name)}
    if line:
        found["software"] = line
    notes = _lost(path, replace(tags, text={}), "", container)
    if container == "OGG" and notes:
        notes = (f"{notes[0]} (the extra [tags] keeps them: mutagen, GPL)",)
    return CopiedTags(_nothing, found, notes)


def _same(path: Path, family: str, line: str | None, whole: bool) -> CopiedTags:
    fd = open_binary(path)
    try:
        match family:
            case "flac":
                blocks = tag_flac.copied(fd, line, whole)
                if tag_id3.size_of(fd):  # a tag that does not belong in front of flac
                    tags = read_tags(path)
                    texts = {**tag_id3.texts(fd), **tags.text}
                    blocks = tag_flac.completed(blocks, replace(tags, text=texts))
                return CopiedTags(functools.partial(tag_flac.insert, blocks=blocks))
            case "mp3":
                return CopiedTags(functools.partial(_tag_if_any, tag=tag_id3.copied(fd, line, whole)))
            case "ogg":
                return CopiedTags(
                    functools.partial(tag_vorbis.insert, comments=tag_vorbis.copied(fd, line, whole))
                )
        carried = wav_chunks.collect(fd, whole)
        notes = tuple(
            f"{display_path(path)}: {what} is left out, it is too large" for what in carried.left_out
        )
        if line:
            carried = wav_chunks.with_line(carried, line, family == "riff")
        return CopiedTags(functools.partial(wav_chunks.insert, carried=carried), notes=notes)
    finally:
        os.close(fd)


def _other(path: Path, tags: Tags, container: str, line: str | None) -> CopiedTags:
    family = _FAMILIES.get(container, "")
    notes = _lost(path, tags, family, container)
    match family:
        case "flac":
            return CopiedTags(
                functools.partial(tag_flac.insert, blocks=tag_flac.built(tags, line)), notes=notes
            )
        case "mp3":
            return CopiedTags(functools.partial(_tag_if_any, tag=tag_id3.built(tags, line)), notes=notes)
        case "ogg":
            return CopiedTags(
                functools.partial(tag_vorbis.insert, comments=tag_vorbis.built(tags, line)), notes=notes
            )
        case "riff" | "aiff":
            carried = wav_chunks.texts(tags.text, family == "riff")
            if line:
                carried = wav_chunks.with_line(carried, line, family == "riff")
            return CopiedTags(functools.partial(wav_chunks.insert, carried=carried), notes=notes)
    return CopiedTags(_nothing, notes=notes)


def _lost(path: Path, tags: Tags, family: str, container: str) -> tuple[str, ...]:
    holds: Set[str] = _HOLDS.get(family, set())
    lost = [
        name
        for kind, name, value in (
            ("texts", "tags", tags.text),
            ("pictures", "cover", tags.pictures),
            ("chapters", "chapters", tags.chapters),
        )
        if value and kind not in holds
    ]
    notes = []
    if lost:
        notes.append(f"{display_path(path)}: {container} files hold no {' and no '.join(lost)}; left out")
    if family in {"riff", "aiff"} and (homeless := set(tags.text) - wav_chunks.fields(family == "riff")):
        names = ", ".join(sorted(homeless))
        notes.append(f"{display_path(path)}: {container} files have no place for the tags {names}; left out")
    return tuple(notes)


def _tag_if_any(fd: int, tag: bytes) -> None:
    if tag:
        tag_id3.insert(fd, tag)


def _nothing(fd: int) -> None:
    """Formats without tags."""
    del fd
