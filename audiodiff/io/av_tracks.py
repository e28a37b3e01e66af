"""What the audio streams of a media file are."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from audiodiff.errors import AudioFileError
from audiodiff.io import av_library
from audiodiff.io.formats import MAX_CHANNELS, MAX_RATE, MIN_RATE, AudioInfo, display_path
from audiodiff.io.tags import is_cover

_DEPTHS = {"u8": "PCM_U8", "s16": "PCM_16", "flt": "FLOAT", "dbl": "DOUBLE"}
_PADDING_PACKETS = 3
_LOSSLESS = frozenset({"flac", "alac", "wavpack", "tta", "truehd", "mlp"})


@dataclass(frozen=True)
class Track:
    """An audio stream of a media file.

    Attributes:
        info: As for audio files; the length is 0 where the container tells none.
        number: Which one of the audio streams, from 0.
        index: Which one of all streams.
        layout: ffmpeg's name of the channels' places.
        bit_rate: Bits a second, 0 if unknown.
        start: Seconds at which it begins, on the clock of the container.
    """

    info: AudioInfo
    number: int
    index: int
    codec: str
    layout: str
    bit_rate: int
    start: Fraction


def tracks(path: Path) -> tuple[Track, ...]:
    """Look at the audio streams of a media file."""
    with av_library.opened(path) as container:
        n = max(1, len(container.streams.audio))
    return tuple(track_of(path, number) for number in range(n))


def track_of(path: Path, number: int) -> Track:
    """Look at one audio stream of a media file."""
    # Opened anew for every track: going back does not restore a codec's beginning.
    with av_library.opened(path) as container:
        return _looked_at(path, container, number)


def mean_bit_rate(path: Path, seconds: float) -> float | None:
    """Bits a second of the sound of a file, or of the first track of a media file.

    Its packets are counted, so tags, covers and films weigh nothing. Without PyAV, and where the packets are
    damaged, the whole file is.

    Args:
        seconds: Duration of the sound.

    Returns:
        None for a media file that PyAV cannot count.
    """
    with contextlib.suppress(AudioFileError):
        with av_library.opened(path, also_tags=True) as container:
            sound = container.streams.audio[:1]
            try:
                n_bytes = sum(int(packet.size) for packet in container.demux(*sound)) if sound else 0
            except av_library.damages():
                n_bytes = 0
        if n_bytes:
            return 8 * n_bytes / seconds
    return None if av_library.is_media(path) else 8 * path.stat().st_size / seconds


def shows_film(path: Path) -> bool:
    """Whether a media file has a track of moving pictures."""
    with av_library.opened(path) as container:
        return any(not is_cover(stream) for stream in container.streams.video)


def lead(source: Path, target: Path) -> int:
    """How much earlier the first track of a copy begins than that of its source.

    Returns:
        Samples, 0 or more: the priming of a codec, where mp4 and mov cannot tell of it.
    """
    before, after = track_of(source, 0), track_of(target, 0)
    return max(0, round((before.start - after.start) * before.info.sample_rate))


def _looked_at(path: Path, container: Any, number: int) -> Track:
    streams = container.streams.audio
    if not streams:
        raise AudioFileError(f"{display_path(path)}: holds no audio; name a file with sound", code="empty")
    if number >= len(streams):
        raise AudioFileError(f"{display_path(path)}: has {len(streams)} audio tracks; choose one of these")
    stream = streams[number]
    context = stream.codec_context
    if context is None:
        raise AudioFileError(
            f"{display_path(path)}: audio track {number + 1} has a codec that is not known; convert it first",
            code="unsupported",
        )
    rate, channels, layout, sample_format = _first_frame(path, container, stream)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioFileError(
            f"{display_path(path)}: {rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz; resample the file",
            code="unsupported",
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioFileError(
            f"{display_path(path)}: {channels} channels, at most {MAX_CHANNELS} are processed; split the "
            "file",
            code="unsupported",
        )
    codec = _plain_codec(context.name)
    n_samples = _announced(container, stream, rate)
    kind = container.format.name.split(",")[0].upper()
    info = AudioInfo(path, rate, channels, n_samples, kind, _subtype(codec, sample_format))
    start = (stream.start_time or 0) * stream.time_base if stream.time_base else Fraction(0)
    bit_rate = stream.bit_rate or _number(stream.metadata.get("BPS", ""))
    return Track(info, number, stream.index, codec, layout, bit_rate, start)


def _first_frame(path: Path, container: Any, stream: Any) -> tuple[int, int, str, str]:
    """What the decoder really gives: HE-AAC has twice the rate that its header tells."""
    damages = av_library.damages()
    only(container, stream)
    try:
        for packet in container.demux(stream):
            with contextlib.suppress(*damages):
                for frame in packet.decode():
                    layout = frame.layout
                    return frame.sample_rate, layout.nb_channels, layout.name, frame.format.name
    except damages as error:
        why = av_library.plain(error)
    else:
        why = "nothing can be decoded"
    raise AudioFileError(
        f"{display_path(path)}: no sample could be read ({why}); get a whole copy of the file"
    )


def only(container: Any, stream: Any) -> None:
    """Spare the demuxer the other streams of a container."""
    discard = av_library.module().stream.Discard
    for other in container.streams:
        other.discard = discard.default if other.index == stream.index else discard.all


def _plain_codec(name: str) -> str:
    """The codec behind the name of a decoder."""
    return {"mp3float": "mp3", "libopus": "opus", "aac_fixed": "aac"}.get(name, name)


def _subtype(codec: str, sample_format: str) -> str:
    """Name that libsndfile has for a depth, or the codec's for lossy ones."""
    if codec in _LOSSLESS or codec.startswith("pcm_"):
        plain = sample_format.removesuffix("p")
        if plain == "s32":
            return "PCM_32" if codec.startswith("pcm_s32") else "PCM_24"
        return _DEPTHS.get(plain, "FLOAT")
    return codec.upper()


def tells_end(container: Any) -> bool:
    """Whether the duration of a stream is exact, as in mp4 and mov.

    Returns:
        False where it is rounded to milliseconds, estimated, or that of the longest stream.
    """
    return "mp4" in container.format.name


def _announced(container: Any, stream: Any, rate: int) -> int:
    if stream.duration and tells_end(container):
        return 0 if _goes_on(stream) else round(Fraction(stream.duration * stream.time_base * rate))
    if container.duration and container.format.name not in {"aac", "amr"}:
        return max(0, round(Fraction(container.duration, 1_000_000) * rate))
    return 0


def _goes_on(stream: Any) -> bool:
    """Whether the index of an mp4 holds packets behind the stated end, which is no end then.

    The last packets of a codec hold some padding, which the stated end rightly leaves out.
    """
    index = stream.index_entries
    if len(index) < 2 or index[-1].is_discard:
        return False
    packet = index[-1].timestamp - index[-2].timestamp
    there = index[-1].timestamp + packet - (stream.start_time or 0)
    return bool(there > stream.duration + _PADDING_PACKETS * packet)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
