"""Which codec a track gets in a media container, and at what rate of bits."""

from __future__ import annotations

from dataclasses import dataclass

from audiodiff.errors import AudioFileError
from audiodiff.io.bit_rates import USUAL, check_wish, lossless_wish
from audiodiff.io.formats import AudioInfo, display_path

MUXERS = {
    ".m4a": "mp4",
    ".m4b": "mp4",
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".mka": "matroska",
    ".webm": "webm",
    ".oga": "ogg",
    ".ogg": "ogg",
}
"""Suffix -> ffmpeg's name of the container; Ogg for flac only.

Raw .aac is read, not written: it cannot tell where it starts.
"""

AUDIO_ONLY = frozenset({".m4a", ".m4b", ".mka", ".oga", ".ogg"})
"""Suffixes of files without a picture that moves."""

_PCM = {
    "PCM_U8": "pcm_u8",
    "PCM_S8": "pcm_s16",
    "PCM_16": "pcm_s16",
    "PCM_24": "pcm_s24",
    "PCM_32": "pcm_s32",
    "FLOAT": "pcm_f32",
    "DOUBLE": "pcm_f64",
}
_PCM_CODECS = frozenset(f"{name}{end}" for name in set(_PCM.values()) - {"pcm_u8"} for end in ("le", "be"))
_HOLDS = {
    "mp4": frozenset({"aac", "alac", "mp3", "opus", "ac3", "eac3"}),
    "mov": frozenset({"aac", "alac", "ac3", "eac3", "pcm_u8"}) | _PCM_CODECS,
    "matroska": frozenset({"aac", "alac", "flac", "mp3", "opus", "ac3", "eac3", "pcm_u8"})
    | {name for name in _PCM_CODECS if name.endswith("le")},
    "webm": frozenset({"opus"}),
    "ogg": frozenset({"flac"}),
}
"""Codecs that a container keeps."""

_SAMPLES = {
    "aac": ("aac", "fltp", 0),
    "ac3": ("ac3", "fltp", 0),
    "eac3": ("eac3", "fltp", 0),
    "mp3": ("libmp3lame", "fltp", 0),
    "opus": ("libopus", "flt", 0),
    "alac16": ("alac", "s16p", 16),
    "alac24": ("alac", "s32p", 24),
    "flac16": ("flac", "s16", 16),
    "flac24": ("flac", "s32", 24),
    "pcm_u8": ("pcm_u8", "u8", 8),
    "pcm_s16": ("pcm_s16", "s16", 16),
    "pcm_s24": ("pcm_s24", "s32", 24),
    "pcm_s32": ("pcm_s32", "s32", 32),
    "pcm_f32": ("pcm_f32", "flt", 0),
    "pcm_f64": ("pcm_f64", "dbl", 0),
}
"""Codec -> encoder, its sample format, bits of integers (0 for floats)."""

_CHANNELS = {"mp3": 2, "ac3": 6, "eac3": 6, "aac": 8, "opus": 8, "alac": 8, "flac": 8}
_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_RATES = {
    "aac": (*_MP3_RATES, 64_000, 88_200, 96_000, 7_350),
    "mp3": _MP3_RATES,
    # At its other rates libopus and ffmpeg's containers disagree about the start by up to 13 ms.
    "opus": (48_000,),
    "ac3": (32_000, 44_100, 48_000),
    "eac3": (32_000, 44_100, 48_000),
}
_LIMITED = frozenset({"aac", "opus", "mp3"})
"""Lossy codecs whose bits a second are bounded here."""
_LEAST, _MOST, _STEP = 48_000, 192_000, 16_000


@dataclass(frozen=True)
class Encoding:
    """How a track is encoded.

    Attributes:
        bits: Depth of integers, 0 for floats.
        layout: ffmpeg's name of the channels' places.
        bit_rate: Bits a second, 0 where the codec decides.
    """

    encoder: str
    sample_format: str
    bits: int
    layout: str
    bit_rate: int


def encoding(
    info: AudioInfo, suffix: str, codec: str = "", bit_rate: int = 0, layout: str = "", wish: int = 0
) -> Encoding:
    """Decide how a track is encoded in a file with this suffix.

    A codec that the container holds stays. Otherwise: lossless ones become flac in Matroska and alac in mp4
    and mov; samples without coding become aac in mp4; lossy ones become aac; everything becomes opus in webm.
    Lossy codecs get the source's bits a second, rounded up to the next 16 kbit/s, within 48 to 192 a channel.
    A wish for bits a second makes aac of everything that mp4 would hold without loss.

    Args:
        codec: ffmpeg's name of the source's codec; "" for files that libsndfile read.
        bit_rate: Bits a second of the source, 0 if unknown.
        layout: Places of the source's channels, "" for the usual ones.
        wish: Bits a second that were asked for, 0 for none.
    """
    suffix = suffix.lower()
    if suffix not in MUXERS:
        known = " ".join(MUXERS)
        what = "raw aac cannot tell where it starts" if suffix == ".aac" else f"'{suffix}' is no media format"
        raise _unsupported(info, f"{what}; use one of {known}")
    kept = _kept(MUXERS[suffix], codec or _codec_of(info))
    if wish and kept == "alac" and MUXERS[suffix] == "mp4":
        kept = "aac"
    _check(info, kept)
    if wish:
        _check_wish(info, kept, wish)
    encoder, sample_format, bits = _SAMPLES[_key(kept, info)]
    if kept.startswith("pcm_") and kept != "pcm_u8":
        encoder = kept
    # Tables of places by number only exist up to 8.
    usual = _LAYOUTS[info.channels - 1] if info.channels <= len(_LAYOUTS) else f"{info.channels} channels"
    bit_rate = wish or _bit_rate(kept, info.channels, bit_rate)
    return Encoding(encoder, sample_format, bits, layout or usual, bit_rate)


def _codec_of(info: AudioInfo) -> str:
    """Codec of a file that libsndfile read."""
    if info.subtype == "MPEG_LAYER_III":
        return "mp3"
    if info.subtype.startswith("ALAC"):
        return "alac"
    if info.container == "FLAC":
        return "flac"
    if info.subtype in _PCM:
        name = _PCM[info.subtype]
        return name if name == "pcm_u8" else f"{name}le"
    return info.subtype.lower()


def _kept(muxer: str, codec: str) -> str:
    if codec in _HOLDS[muxer]:
        return codec
    if muxer == "webm":
        return "opus"
    little = f"{codec.removesuffix('be')}le"
    if muxer == "matroska" and little in _HOLDS[muxer]:
        return little
    if codec in {"flac", "alac", "wavpack", "tta", "truehd", "mlp"}:
        return "flac" if muxer == "matroska" else "alac"
    return "aac"


def _key(codec: str, info: AudioInfo) -> str:
    if codec in {"flac", "alac"}:
        return codec + ("16" if info.subtype in {"PCM_16", "PCM_U8", "PCM_S8", "ALAC_16"} else "24")
    return codec if codec == "pcm_u8" or not codec.startswith("pcm_") else codec[:-2]


def _check(info: AudioInfo, codec: str) -> None:
    most = _CHANNELS.get(codec, 32)
    if info.channels > most:
        raise _unsupported(info, f"{codec} holds at most {most} channels, here are {info.channels}; use .wav")
    rates = _RATES.get(codec)
    if rates and info.sample_rate not in rates:
        listed = ", ".join(map(str, sorted(rates)))
        raise _unsupported(
            info, f"{codec} cannot hold {info.sample_rate} Hz, only {listed}; use .mkv or .flac"
        )


def _check_wish(info: AudioInfo, codec: str, wish: int) -> None:
    if codec in {"alac", "flac"} or codec.startswith("pcm_"):
        raise lossless_wish(info, codec)
    if codec in _LIMITED:
        check_wish(info, codec, wish)


def _bit_rate(codec: str, channels: int, source: int) -> int:
    if codec in {"ac3", "eac3"}:
        return source
    if codec not in _LIMITED:
        return 0
    if source <= 0:
        return USUAL[codec][channels > 1] * channels
    bounded = min(max(source, _LEAST * channels), _MOST * channels)
    return -(-bounded // _STEP) * _STEP


def _unsupported(info: AudioInfo, what: str) -> AudioFileError:
    return AudioFileError(f"{display_path(info.path)}: {what}", code="unsupported")
