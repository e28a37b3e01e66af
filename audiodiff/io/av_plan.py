"""What goes into a media file that is made from a recording."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from audiodiff.io import av_library
from audiodiff.io.av_codecs import Encoding, encoding
from audiodiff.io.av_tracks import tracks
from audiodiff.io.bit_rates import source_bit_rate
from audiodiff.io.formats import AudioInfo
from audiodiff.io.tags import Tags, read_tags


@dataclass(frozen=True)
class Plan:
    """What goes into a media file.

    Attributes:
        rates: Sample rate in Hz of every audio track.
        channels: Channels of every audio track.
        encodings: How every audio track is encoded.
        starts: Seconds at which every track begins.
        source: Media file whose other streams are copied; None if there is none.
        tags: Texts, cover and chapters.
        line: What processed it, or None.
    """

    rates: tuple[int, ...]
    channels: tuple[int, ...]
    encodings: tuple[Encoding, ...]
    starts: tuple[Fraction, ...]
    source: Path | None = None
    tags: Tags = field(default_factory=Tags)
    line: str | None = None


def media_plan(
    info: AudioInfo, suffix: str, line: str | None = None, whole: bool = True, bit_rate: int = 0
) -> Plan:
    """Decide what a media file made from a recording holds.

    Args:
        info: The recording's header; if it is a media file, all its audio tracks are taken.
        whole: Whether the output has all samples at their places; otherwise it gets the first track, no
            picture, no subtitles and no chapters.
        bit_rate: Bits a second of every track; 0 for those of the recording.
    """
    tags = read_tags(info.path)
    if not whole:
        tags = replace(tags, chapters=())
    if not av_library.is_media(info.path):
        only = encoding(info, suffix, bit_rate=source_bit_rate(info), wish=bit_rate)
        return Plan((info.sample_rate,), (info.channels,), (only,), (Fraction(0),), None, tags, line)
    found = tracks(info.path) if whole else tracks(info.path)[:1]
    return Plan(
        rates=tuple(track.info.sample_rate for track in found),
        channels=tuple(track.info.channels for track in found),
        encodings=tuple(
            encoding(track.info, suffix, track.codec, track.bit_rate, track.layout, bit_rate)
            for track in found
        ),
        starts=tuple(track.start if whole else Fraction(0) for track in found),
        source=info.path if whole else None,
        tags=tags,
        line=line,
    )
