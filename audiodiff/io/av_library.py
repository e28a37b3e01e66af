"""The door to PyAV (ffmpeg): imported only when needed, local files only, a few containers only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audiodiff.errors import AudioFileError
from audiodiff.extras import install_hint
from audiodiff.io.byte_edit import open_binary, read_at
from audiodiff.io.formats import display_path

_MEDIA = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,amr,ogg"
_WITH_TAGS = f"{_MEDIA},mp3,flac,wav,aiff,caf,w64"
"""Demuxers that may open a file. None of them opens further files: playlists and scripts are refused."""


def is_media(path: Path) -> bool:
    """Whether PyAV reads a file and libsndfile does not: mp4, mov, Matroska, aac, amr, flac in Ogg.

    Args:
        path: A file; its first bytes decide, not its name.
    """
    if not path.is_file():
        return False
    try:
        fd = open_binary(path)
    except AudioFileError:
        return False
    try:
        head = read_at(fd, 0, 64)
    finally:
        os.close(fd)
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"} or head[:4] == b"\x1aE\xdf\xa3":
        return True
    if head.startswith(b"#!AMR") or (head[:4] == b"OggS" and b"\x7fFLAC" in head[28:]):
        return True
    # ADTS: twelve ones, layer 0. The layer of mp3 is another.
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def module() -> Any:
    """The module ``av`` (PyAV), imported late."""
    try:
        import av
    except ImportError:
        raise AudioFileError(
            f"video, m4a, aac, amr and Ogg FLAC files need PyAV; {install_hint('media')}",
            code="missing_extra",
        ) from None
    return av


def damages() -> tuple[type[Exception], ...]:
    """What PyAV raises where a file is damaged; OSError where it seeks to a place that cannot be."""
    return module().FFmpegError, OSError, ValueError


def available() -> bool:
    """Whether PyAV is installed."""
    try:
        module()
    except AudioFileError:
        return False
    return True


@contextlib.contextmanager
def opened(path: Path, also_tags: bool = False) -> Iterator[Any]:
    """Open a file with PyAV, by its descriptor: ffmpeg sees no names, no protocols, no other files.

    Args:
        also_tags: Open audio files too, to look at their tags.
    """
    try:
        av = module()
    except AudioFileError as error:
        raise AudioFileError(f"{display_path(path)}: {error}", code=error.code) from None
    fd = open_binary(path)
    with os.fdopen(fd, "rb") as file:
        limits = {
            "format_whitelist": _WITH_TAGS if also_tags else _MEDIA,
            "protocol_whitelist": "",
            "enable_drefs": "0",
        }
        try:
            container = av.open(file, "r", container_options=limits, metadata_errors="replace")
        except damages() as error:
            if os.fstat(file.fileno()).st_size == 0:
                line = f"{display_path(path)}: the file is empty (0 bytes); record or copy it again"
                raise AudioFileError(line, code="empty") from None
            line = (
                f"{display_path(path)}: cannot be read as audio or video ({plain(error)}); get a whole "
                "copy of it"
            )
            raise AudioFileError(line) from error
        with container:
            yield container


def plain(error: BaseException) -> str:
    """The words of PyAV's errors without numbers and internals."""
    return str(getattr(error, "strerror", None) or error)
