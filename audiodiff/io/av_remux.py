"""What goes from one media file to another unchanged: pictures, subtitles, attachments, tags, chapters."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from audiodiff.io import av_library
from audiodiff.io.av_codecs import AUDIO_ONLY, MUXERS
from audiodiff.io.tag_id3 import PROGRAM
from audiodiff.io.tags import Tags, is_cover

_MOV = frozenset({"mp4", "mov"})
_FILES = {"image/jpeg": "cover.jpg", "image/png": "cover.png"}
_CODECS = {"image/jpeg": ("mjpeg", "yuvj420p"), "image/png": ("png", "rgb24")}
_BOTH = frozenset(
    {"title", "artist", "album", "comment", "date", "genre", "copyright", "creation_time", "location"}
)
_TEXTS = {
    "mov": _BOTH | {"make", "model", "keywords"},
    "mp4": _BOTH
    | {"album_artist", "composer", "track", "disc", "grouping", "lyrics", "synopsis", "show", "network"}
    | {
        "episode_id",
        "episode_sort",
        "season_number",
        "media_type",
        "compilation",
        "gapless_playback",
        "keywords",
    }
    | {"sort_name", "sort_artist", "sort_album", "sort_album_artist", "sort_composer", "sort_show"},
}
"""Texts that ffmpeg's writers know; Matroska takes any."""


class Copied:
    """Context manager over the streams of a source that are copied packet by packet.

    Streams are added to the output in the source's order; those that it cannot hold are left out.

    Args:
        suffix: Suffix of the output with its dot, lower case.
        add_audio: Adds the output's next audio stream in the place of the source's.

    Attributes:
        left_out: What was left out, one line each.
    """

    def __init__(self, source: Path, out: Any, suffix: str, add_audio: Callable[[], Any]) -> None:
        self._stack = contextlib.ExitStack()
        self._container = self._stack.enter_context(av_library.opened(source))
        self._out = out
        self._same_family = (MUXERS[suffix] in _MOV) == ("mp4" in self._container.format.name)
        self._streams: dict[int, Any] = {}
        self._with_timecode = False
        left_out = []
        discard = av_library.module().stream.Discard
        for stream in self._container.streams:
            if stream.type == "audio":
                _describe(stream, add_audio())
            why_not = self._add(stream, suffix)
            if why_not:
                left_out.append(f"{_called(stream)} is left out: {why_not}")
            if stream.index not in self._streams:
                stream.discard = discard.all
        self.left_out = tuple(left_out)
        self._packets = iter(self._container.demux(*self._sources()) if self._streams else ())
        self._waiting: Any = None

    def _sources(self) -> list[Any]:
        return [s for s in self._container.streams if s.index in self._streams and s.type != "attachment"]

    def _add(self, stream: Any, suffix: str) -> str:
        """Add one stream to the output, or say why not; "" too for what is treated elsewhere."""
        if stream.type == "audio" or is_cover(stream):
            return ""
        if stream.type == "data":
            # Chapters of mp4 are such a stream too; they are written anew from the list of chapters.
            # So is the timecode, from what the picture tells of it.
            told = self._container.chapters() and "Subtitle" in stream.metadata.get("handler_name", "")
            return (
                ""
                if told or ("timecode" in stream.metadata and self._with_timecode)
                else "data streams are not copied"
            )
        if suffix in AUDIO_ONLY:
            return f"{suffix} files hold audio only"
        if stream.type == "attachment" and MUXERS[suffix] != "matroska":
            return f"{suffix} files cannot hold it, .mkv can"
        av = av_library.module()
        try:
            new = self._out.add_stream_from_template(stream, opaque=True)
        except (ValueError, av.FFmpegError):
            return f"{suffix} files cannot hold it, .mkv can"
        if stream.codec_context is not None:
            if self._same_family and MUXERS[suffix] in _MOV:
                new.codec_context.codec_tag = stream.codec_context.codec_tag
            new.time_base = stream.time_base
        new.disposition = stream.disposition
        new.metadata.update(_kept(stream.metadata))
        self._time(stream, new, suffix)
        self._streams[stream.index] = new
        return ""

    def _time(self, stream: Any, new: Any, suffix: str) -> None:
        """Give a copied picture its timecode, of which mp4 and mov make a track."""
        if MUXERS[suffix] not in _MOV or stream.type != "video" or "timecode" not in stream.metadata:
            return
        rate = _timecode_rate(stream, MUXERS[suffix])
        if rate is None:
            del new.metadata["timecode"]  # the writer would refuse the whole file, at its end
        else:
            new.codec_context.framerate = rate
            self._with_timecode = True

    def advance(self, seconds: Fraction | None) -> None:
        """Copy the packets up to a time.

        Args:
            seconds: On the container's clock; None for all that are left.
        """
        while True:
            if self._waiting is None:
                self._waiting = next(self._packets, None)
            packet = self._waiting
            if packet is None:
                return
            stamp = packet.dts if packet.dts is not None else packet.pts
            if seconds is not None and stamp is not None and stamp * packet.time_base > seconds:
                return
            self._waiting = None
            # In damaged files packets of streams come that were not asked for.
            target = self._streams.get(packet.stream_index)
            if packet.size and stamp is not None and target is not None:
                packet.stream = target
                self._out.mux(packet)

    def __enter__(self) -> Copied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def add_cover(out: Any, tags: Tags, suffix: str) -> Any:
    """Prepare the cover of a file whose header is not written yet (see `lost_tags`).

    Args:
        suffix: Suffix of the output with its dot, lower case.

    Returns:
        A packet to write first, or None: there is no picture, the container holds none (mov, webm), or it is
        an attachment, which the header has.
    """
    picture = next((picture for picture in tags.pictures if picture.mime in _CODECS), None)
    if picture is None:
        return None
    av = av_library.module()
    if MUXERS[suffix] == "matroska":
        out.add_attachment(_FILES[picture.mime], picture.mime, picture.data)
        return None
    if MUXERS[suffix] != "mp4":
        return None
    codec, pixels = _CODECS[picture.mime]
    stream = out.add_stream(codec, rate=1)
    # Sizes must be told and are not used: the picture is stored as it is.
    stream.width = stream.height = 16
    stream.pix_fmt = pixels
    stream.disposition = av.stream.Disposition.attached_pic
    packet = av.Packet(picture.data)
    packet.stream = stream
    packet.pts = packet.dts = 0
    packet.time_base = Fraction(1, 90_000)
    packet.is_keyframe = True
    return packet


def lost_tags(tags: Tags, suffix: str) -> tuple[str, ...]:
    """Say what has no place in a media file.

    Args:
        suffix: Suffix of the output with its dot, lower case.
    """
    lost = []
    places = _TEXTS.get(MUXERS[suffix])
    if places is not None and (homeless := set(tags.text) - places):
        names = ", ".join(sorted(homeless))
        lost.append(f"there is no place for the tags {names} in {suffix} files")
    if tags.pictures and MUXERS[suffix] not in {"mp4", "matroska"}:
        lost.append(f"there is no cover, {suffix} files hold none")
    elif tags.pictures and not any(picture.mime in _CODECS for picture in tags.pictures):
        lost.append("there is no cover, only jpeg and png go into media files")
    elif len(tags.pictures) > 1:
        lost.append("of several pictures one was taken")
    return tuple(lost)


def add_tags(out: Any, tags: Tags, line: str | None, suffix: str) -> None:
    """Write texts and chapters into the header of a media file.

    Args:
        line: What processed the file, or None: mp4 tells it as the encoding tool, Matroska as AUDIODIFF; mov
            has no such place and tells it behind the comment.
        suffix: Suffix of the output with its dot, lower case.
    """
    out.metadata.update(tags.text)
    if line and MUXERS[suffix] == "mov":
        out.metadata["comment"] = "; ".join(filter(None, (tags.text.get("comment"), line)))
    elif line:
        out.metadata["encoding_tool" if MUXERS[suffix] == "mp4" else PROGRAM] = line
    out.set_chapters(
        [
            {
                "id": i + 1,
                "start": round(1000 * chapter.start),
                "end": round(1000 * chapter.end),
                "time_base": Fraction(1, 1000),
                "metadata": {"title": chapter.title},
            }
            for i, chapter in enumerate(tags.chapters)
        ]
    )


def _timecode_rate(stream: Any, muxer: str) -> Fraction | None:
    """The frame rate at which a writer takes the timecode of a picture; None if it takes it at none.

    What a writer takes is found by trial, on a file in memory: drop-frame timecodes need certain rates.
    """
    av = av_library.module()
    for rate in filter(None, (stream.average_rate, stream.guessed_rate)):
        try:
            with av.open(io.BytesIO(), "w", format=muxer) as out:
                new = out.add_stream_from_template(stream, opaque=True)
                new.time_base = stream.time_base
                new.metadata["timecode"] = stream.metadata["timecode"]
                new.codec_context.framerate = rate
                packet = av.Packet(bytes(16))
                packet.stream, packet.pts, packet.dts, packet.time_base = new, 0, 0, stream.time_base
                out.mux(packet)
        except (ValueError, av.FFmpegError):
            continue
        return Fraction(rate)
    return None


def _describe(old: Any, new: Any) -> None:
    """Give a new audio stream name, language and role of the one that it replaces."""
    new.metadata.update(_kept(old.metadata))
    new.disposition = old.disposition


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    """What a stream tells about itself that stays true."""
    untrue = ("DURATION", "BPS", "NUMBER_OF_", "_STATISTICS", "ENCODER", "VENDOR_ID")
    # mp4 is read with a "name" and written from a "title".
    renamed = {"title" if key == "name" else key: value for key, value in metadata.items()}
    return {key: value for key, value in renamed.items() if not key.upper().startswith(untrue)}


def _called(stream: Any) -> str:
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown"
    return f"{stream.type} stream {stream.index} ({codec})"
