"""What an audio file is, and which container and sample format an output gets."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from audiodiff.errors import AudioFileError

Dtype = Literal["float32", "float64"]

MIN_RATE, MAX_RATE = 4_000, 384_000
MAX_CHANNELS = 32

_RIFF = frozenset({"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
_SIGNED = _RIFF - {"PCM_U8"} | {"PCM_S8"}
_SUBTYPES = {
    "WAV": _RIFF,
    "WAVEX": _RIFF,
    "RF64": _RIFF,
    "W64": _RIFF,
    "AIFF": _SIGNED | {"PCM_U8"},
    "AU": _SIGNED,
    "CAF": _SIGNED | {"ALAC_16", "ALAC_24"},
    "FLAC": frozenset({"PCM_S8", "PCM_16", "PCM_24"}),
    "OGG": frozenset({"VORBIS", "OPUS"}),
    "MP3": frozenset({"MPEG_LAYER_III"}),
}
"""Sample formats that a container keeps and that hold a length to the sample (ADPCM and GSM pad theirs)."""

_CONTAINERS = {
    ".wav": ("WAV", "WAVEX", "RF64"),
    ".wave": ("WAV", "WAVEX", "RF64"),
    ".rf64": ("RF64",),
    ".w64": ("W64",),
    ".aiff": ("AIFF",),
    ".aif": ("AIFF",),
    ".aifc": ("AIFF",),
    ".au": ("AU",),
    ".caf": ("CAF",),
    ".flac": ("FLAC",),
    ".ogg": ("OGG",),
    ".oga": ("OGG",),
    ".opus": ("OGG",),
    ".mp3": ("MP3",),
}
"""Suffix -> containers that bear it, the usual one first."""

_MEDIA_CONTAINERS = {".mp4": ("MOV",), ".mkv": ("MATROSKA",), ".m4a": ("AAC",)}

MEDIA_SUFFIXES = frozenset({".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".mkv", ".mka", ".webm", ".aac", ".amr"})
"""Suffixes, in lower case, of files that PyAV reads (the extra ``[media]``)."""

AUDIO_SUFFIXES = frozenset(_CONTAINERS) | MEDIA_SUFFIXES
"""Suffixes, in lower case, that name an audio file."""

WRITTEN_AS = {
    ".aac": ".m4a",
    ".amr": ".m4a",
    ".m4r": ".m4a",
    ".3gp": ".mp4",
    ".3g2": ".mp4",
    ".qt": ".mov",
    ".mp2": ".mp3",
    ".mpga": ".mp3",
    ".bwf": ".wav",
    ".sph": ".wav",
    ".nist": ".wav",
    ".voc": ".wav",
    ".snd": ".au",
}
"""Suffixes, in lower case, of files that are read and not written, and what is written in their place."""

_INSTEAD = {
    "ALAC_16": ("PCM_16",),
    # libsndfile 1.2.2 writes 20-bit ALAC wrongly (errors above full scale).
    "ALAC_20": ("ALAC_24", "PCM_24"),
    "ALAC_24": ("PCM_24",),
    "ALAC_32": ("PCM_32", "PCM_24"),
    "PCM_32": ("PCM_24",),
    "FLOAT": ("PCM_24",),
    "DOUBLE": ("PCM_24",),
}
"""Where a container lacks a sample format: what holds most of it. Everything else becomes PCM_16."""

_MAX_CHANNELS = {"MP3": 2, "FLAC": 8}
RATES = {
    "MPEG_LAYER_III": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "OPUS": (8_000, 12_000, 16_000, 24_000, 48_000),
}
"""Rates in Hz of the sample formats that do not hold every rate."""
_VORBIS_MAX_RATE = 200_000
_SHORT = frozenset({"WAV", "WAVEX", "AIFF"})
"""Containers that tell their size in 32 bits."""
_MAX_BYTES = (1 << 32) - (65 << 20)
"""For the samples: what remains beside the largest tags and chunks that are copied (`tagging.riff`)."""
_BYTES = {"PCM_U8": 1, "PCM_S8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}
"""Bytes of a sample; 4 in other formats."""
_ALAC_BYTES = {"ALAC_16": 2, "ALAC_24": 3}
_ALAC_FRAME = 3
"""Most bytes of a sample of all channels in ALAC. libsndfile 1.2.2 keeps two bytes for the length of a packet
of 4096 samples; from 16 KiB on, which is what noise comes to, it takes three and the heap is overrun."""


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        n_samples: Announced length in samples of one channel; 0 if the header does not tell (a stream).
        container: libsndfile's name, such as "WAV", "FLAC", "OGG".
        subtype: libsndfile's name of the sample format, such as "PCM_16", "VORBIS", "OPUS".
    """

    path: Path
    sample_rate: int
    channels: int
    n_samples: int
    container: str
    subtype: str

    @property
    def seconds(self) -> float:
        """Announced duration."""
        return self.n_samples / self.sample_rate

    @property
    def lossy(self) -> bool:
        """Whether the sample format keeps less than the samples that it was given."""
        return not (self.subtype.startswith(("PCM_", "ALAC_")) or self.subtype in {"FLOAT", "DOUBLE"})

    @property
    def exact_dtype(self) -> Dtype:
        """The smallest dtype that holds every sample of the file exactly."""
        return "float64" if self.subtype in {"PCM_32", "DOUBLE", "ALAC_32"} else "float32"


def is_media_target(info: AudioInfo, suffix: str) -> bool:
    """Whether PyAV writes a file with this suffix that is made from that input; flac in Ogg stays that."""
    suffix = suffix.lower()
    ogg_flac = info.container == "OGG" and info.subtype.startswith("PCM_")
    return suffix in MEDIA_SUFFIXES or (ogg_flac and suffix in {".ogg", ".oga"})


def display_path(path: Path) -> str:
    """A path as a message can print it, also when its name is not UTF-8."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class Truncated:
    """Note that a file holds less than it announces; what could be read was read.

    Attributes:
        n_samples: Samples of one channel that were read.
        reason: How it was noticed.
        code: Stable name of the fault.
    """

    path: Path
    n_samples: int
    reason: str
    code: str = "truncated"

    def __str__(self) -> str:
        return (
            f"{display_path(self.path)}: cut short ({self.reason}); the {self.n_samples} samples there "
            "were used"
        )

    def refused(self) -> AudioFileError:
        """The error for it where it is not allowed."""
        line = f"{display_path(self.path)}: cut short ({self.reason}), which --strict refuses"
        return AudioFileError(
            f"{line}; leave that out to use the {self.n_samples} samples there", code=self.code
        )


@dataclass(frozen=True)
class Damaged(Truncated):
    """Note that parts of a file could not be decoded and are silent; for the attributes see `Truncated`."""

    code: str = "damaged"

    def __str__(self) -> str:
        return f"{display_path(self.path)}: {self.reason}; silence is in their place"


def output_format(info: AudioInfo, suffix: str) -> tuple[str, str]:
    """Container and sample format for a file with this suffix made from that input.

    The same container keeps the sample format (only ADPCM, GSM and their like become PCM_16, since they
    cannot hold a length to the sample). Another container takes the input's format if it can, else the
    nearest that is at least 16 bits deep; lossy inputs become PCM_16 in lossless containers. Wav becomes RF64
    where its samples would pass 4 GiB.

    Args:
        suffix: Suffix of the output with its dot, such as ".flac"; upper or lower case.
    """
    suffix = suffix.lower()
    containers = _CONTAINERS.get(suffix)
    if containers is None:
        known = " ".join(_CONTAINERS)
        raise _unsupported(info, f"no audio format is written to '{suffix}' files; use one of {known}")
    container = info.container if info.container in containers else containers[0]
    subtype = _subtype(info, container, suffix)
    _check(info, container, subtype)
    if info.n_samples > max_samples(container, subtype, info.channels):
        if container == "AIFF":
            raise _unsupported(info, "aiff files end at 4 GiB; use .w64, .caf or .flac")
        container = "RF64"
    return container, subtype


def max_samples(container: str, subtype: str, channels: int) -> float:
    """How long a file can be.

    Returns:
        Samples of one channel; infinity but for wav and aiff, which tell their size in 32 bits (EBU Tech 3306
        is about that).
    """
    return _MAX_BYTES // (channels * _BYTES.get(subtype, 4)) if container in _SHORT else math.inf


def usual_suffix(info: AudioInfo) -> str:
    """The suffix that a file of this kind usually bears.

    Args:
        info: Header of a file, of which the name says nothing.
    """
    if info.subtype == "OPUS":
        return ".opus"
    for suffix, containers in (_CONTAINERS | _MEDIA_CONTAINERS).items():
        if info.container in containers:
            return suffix
    raise _unsupported(info, f"{info.container} files are not written; convert it to wav first")


def _subtype(info: AudioInfo, container: str, suffix: str) -> str:
    if container == "OGG":
        return "OPUS" if suffix == ".opus" or info.subtype == "OPUS" else "VORBIS"
    if container == "MP3":
        return "MPEG_LAYER_III"
    wishes = (info.subtype, *_INSTEAD.get(info.subtype, ()), "PCM_16")
    held = _SUBTYPES[container] - {f for f, n in _ALAC_BYTES.items() if n * info.channels > _ALAC_FRAME}
    return next(wish for wish in wishes if wish in held)


def _check(info: AudioInfo, container: str, subtype: str) -> None:
    most = _MAX_CHANNELS.get(container, MAX_CHANNELS)
    if info.channels > most:
        raise _unsupported(
            info, f"{container} holds at most {most} channels, here are {info.channels}; use .wav"
        )
    rates = RATES.get(subtype)
    if rates and info.sample_rate not in rates:
        raise _unsupported(
            info, f"{subtype} cannot hold {info.sample_rate} Hz, only {', '.join(map(str, rates))}; use .flac"
        )
    # libsndfile 1.2.2 crashes the process at Vorbis above 200 kHz.
    if subtype == "VORBIS" and info.sample_rate > _VORBIS_MAX_RATE:
        raise _unsupported(info, f"Vorbis holds at most 200000 Hz, here are {info.sample_rate}; use .flac")


def _unsupported(info: AudioInfo, what: str) -> AudioFileError:
    return AudioFileError(f"{display_path(info.path)}: {what}", code="unsupported")
