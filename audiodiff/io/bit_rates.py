"""How many bits a second lossy audio has: what a recording came with, and how libsndfile keeps it."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soundfile

from audiodiff.errors import AudioFileError
from audiodiff.io import lengths
from audiodiff.io.byte_edit import open_binary, read_at
from audiodiff.io.formats import AudioInfo, display_path
from audiodiff.io.lengths_mp3 import RATES_KBPS

LOSSY = frozenset({"MPEG_LAYER_III", "VORBIS", "OPUS"})
"""Sample formats of libsndfile that take a bit rate."""

USUAL = {
    "aac": (96_000, 80_000),
    "opus": (64_000, 64_000),
    "mp3": (96_000, 80_000),
    "vorbis": (96_000, 80_000),
}
"""Lossy codec -> bits a second of one channel, alone and among others, where the source tells none."""

_CODECS = {"MPEG_LAYER_III": "mp3", "VORBIS": "vorbis", "OPUS": "opus"}
_FULL_BAND_HZ = 44_100
_OPUS_RANGE = (6_000, 256_000)
_AAC_BITS_A_FRAME, _AAC_FRAME = 6144, 1024
"""Most that one channel of AAC may take (ISO/IEC 14496-3, 4.5.3.3), and its samples."""
_VORBIS_MAX_HZ = 48_000
"""Above 50 kHz the encoder does not tell what it aims at."""
_NEAR = 0.01
_LAME_TAG = 192
"""Bytes of the frame that tells the exact length; at a constant rate that is a frame as all others are."""
_STEPS = 12


@dataclass(frozen=True)
class Coder:
    """What libsndfile is told before the first sample.

    Attributes:
        level: Its compression level, 0 (large) to 1 (small); None for its own choice.
        mode: Its bit rate mode, ``CONSTANT`` or ``AVERAGE``; None for its own choice.
    """

    level: float | None = None
    mode: str | None = None


def source_bit_rate(info: AudioInfo) -> int:
    """Bits a second of an mp3 or Ogg recording: the mean of its sound without tags and headers.

    Of Vorbis what its encoder aimed at, if that is told: the same aim gives the same quality.

    Returns:
        0 for other files, and where the length is not known.
    """
    if info.container not in {"MP3", "OGG"} or info.subtype not in LOSSY or not info.n_samples:
        return 0
    fd = open_binary(info.path)
    try:
        aim = _vorbis_aim(read_at(fd, 0, 1 << 10)) if info.subtype == "VORBIS" else 0
        return aim if aim > 0 else round(lengths.coded_bit_rate(fd, info.seconds))
    finally:
        os.close(fd)


def output_bit_rate(info: AudioInfo, subtype: str, wish: int = 0, source: int = 0) -> int:
    """Bits a second of a copy that libsndfile writes.

    Args:
        info: Header of the recording; its rate and channels are the copy's too.
        subtype: Sample format of the copy.
        wish: What was asked for, 0 for what the recording has, or what is usual if it is lossless.
        source: Bits a second of a recording that libsndfile did not read, 0 if unknown.

    Returns:
        0 for lossless formats.

    Raises:
        AudioFileError: Code ``unsupported``: a wish that the format cannot meet.
    """
    if subtype not in LOSSY:
        if wish:
            raise lossless_wish(info, subtype)
        return 0
    codec = _CODECS[subtype]
    low, high = limits(codec, info.sample_rate, info.channels)
    if wish:
        check_wish(info, codec, wish)
        return wish
    source = source or source_bit_rate(info)
    if not source:
        usual = USUAL[codec][info.channels > 1] * info.channels
        source = round(usual * min(1.0, info.sample_rate / _FULL_BAND_HZ))
    return min(max(source, low), high)


def lossless_wish(info: AudioInfo, kind: str) -> AudioFileError:
    """The error for a bit rate that is asked of a lossless format."""
    line = f"would become {kind}, which takes no bit rate; leave out --bitrate, or add --format mp3"
    return AudioFileError(f"{display_path(info.path)}: {line}", code="unsupported")


def check_wish(info: AudioInfo, codec: str, wish: int) -> None:
    """Refuse a bit rate that a codec cannot meet at the rate and the channels of a recording."""
    low, high = limits(codec, info.sample_rate, info.channels)
    if not low <= wish <= high:
        kind = f"{codec} with {info.channels} channels at {info.sample_rate} Hz"
        line = f"{kind} holds {low / 1000:g}k to {high / 1000:g}k, not {wish / 1000:g}k; change --bitrate"
        raise AudioFileError(f"{display_path(info.path)}: {line}", code="unsupported")


def limits(codec: str, sample_rate: int, channels: int) -> tuple[int, int]:
    """The least and the most bits a second that a codec takes."""
    match codec:
        case "mp3":
            # libsndfile takes no more than 64 kbit/s at 8 to 12 kHz
            table = RATES_KBPS[sample_rate >= 32_000]
            return table[1] * 1000, (64 if sample_rate < 16_000 else table[-1]) * 1000
        case "opus":
            return _OPUS_RANGE[0] * channels, _OPUS_RANGE[1] * channels
        case "vorbis":
            return _aim(1.0, sample_rate, channels), _aim(0.0, sample_rate, channels)
    return 8_000 * channels, _AAC_BITS_A_FRAME * sample_rate // _AAC_FRAME * channels


def coder(subtype: str, sample_rate: int, channels: int, bit_rate: int) -> Coder:
    """How libsndfile is told a bit rate within `limits`; 0 leaves it alone, as do lossless formats."""
    if not bit_rate or subtype not in LOSSY:
        return Coder()
    low, high = limits(_CODECS[subtype], sample_rate, channels)
    if subtype == "OPUS":
        return Coder(_level(bit_rate, low, high))
    if subtype == "VORBIS":
        return Coder(_vorbis_level(bit_rate, sample_rate, channels))
    table = RATES_KBPS[sample_rate >= 32_000][1:]
    nearest = min(table, key=lambda kbps: abs(1000 * kbps - bit_rate))
    frame = (144 if sample_rate >= 32_000 else 72) * 1000 * nearest / sample_rate
    if abs(1000 * nearest - bit_rate) <= _NEAR * bit_rate and frame >= _LAME_TAG:
        # it cuts fractions of a kbit/s off
        return Coder(_level(1000 * nearest + 100, low, high), "CONSTANT")
    return Coder(_level(bit_rate + 100, low, high), "AVERAGE")


def _level(bit_rate: int, low: int, high: int) -> float:
    return min(max((high - bit_rate) / (high - low), 0.0), 1.0)


@lru_cache(64)
def _vorbis_level(bit_rate: int, sample_rate: int, channels: int) -> float:
    """The level at which the encoder aims at a bit rate, found by halving."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _aim(middle, sample_rate, channels) > bit_rate:
            low = middle
        else:
            high = middle
    return high


@lru_cache(256)
def _aim(level: float, sample_rate: int, channels: int) -> int:
    """Bits a second that the encoder of Vorbis says it aims at."""
    stream = io.BytesIO()
    with soundfile.SoundFile(
        stream,
        "w",
        min(sample_rate, _VORBIS_MAX_HZ),
        channels,
        "VORBIS",
        format="OGG",
        compression_level=level,
    ) as file:
        file.write(np.zeros((1, channels), dtype=np.float32))
    return _vorbis_aim(stream.getvalue())


def _vorbis_aim(head: bytes) -> int:
    """The nominal bit rate in the first page of a stream (Vorbis I, 4.2.2); 0 or less if it is not told."""
    at = head.find(b"\x01vorbis")
    return int.from_bytes(head[at + 20 : at + 24], "little", signed=True) if at >= 0 else 0
