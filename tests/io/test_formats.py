"""Promise: an output keeps its input's container and depth; what a format cannot hold is refused early."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from audiodiff.errors import AudioFileError
from audiodiff.io.formats import _CONTAINERS, _SUBTYPES, AudioInfo, display_path, max_samples, output_format
from tests.errors import refused


def info(container: str, subtype: str, rate: int = 48000, channels: int = 2, n: int = 48000) -> AudioInfo:
    return AudioInfo(Path("talk.x"), rate, channels, n, container, subtype)


def test_every_kept_format_is_one_that_libsndfile_writes() -> None:
    for container, subtypes in _SUBTYPES.items():
        for subtype in subtypes:
            assert soundfile.check_format(container, subtype), (container, subtype)


@pytest.mark.parametrize("suffix", list(_CONTAINERS))
def test_the_same_container_keeps_its_format(suffix: str) -> None:
    for container in _CONTAINERS[suffix]:
        for subtype in _SUBTYPES[container]:
            if suffix == ".opus" and subtype == "VORBIS":
                continue
            one = info(container, subtype, channels=1)  # ALAC of more: below
            assert output_format(one, suffix) == output_format(one, suffix.upper()) == (container, subtype)


@pytest.mark.parametrize(
    ("container", "subtype", "suffix", "expected"),
    [
        ("WAV", "PCM_24", ".flac", ("FLAC", "PCM_24")),
        ("WAV", "PCM_32", ".flac", ("FLAC", "PCM_24")),
        ("WAV", "FLOAT", ".flac", ("FLAC", "PCM_24")),
        ("WAV", "PCM_U8", ".flac", ("FLAC", "PCM_16")),
        ("WAV", "ULAW", ".flac", ("FLAC", "PCM_16")),
        ("WAV", "IMA_ADPCM", ".wav", ("WAV", "PCM_16")),
        ("WAV", "GSM610", ".wav", ("WAV", "PCM_16")),
        ("FLAC", "PCM_S8", ".wav", ("WAV", "PCM_16")),
        ("FLAC", "PCM_24", ".wav", ("WAV", "PCM_24")),
        ("MP3", "MPEG_LAYER_III", ".wav", ("WAV", "PCM_16")),
        ("MP3", "MPEG_LAYER_II", ".mp3", ("MP3", "MPEG_LAYER_III")),
        ("OGG", "VORBIS", ".opus", ("OGG", "OPUS")),
        ("OGG", "OPUS", ".ogg", ("OGG", "OPUS")),
        ("WAV", "PCM_16", ".opus", ("OGG", "OPUS")),
        ("WAV", "PCM_16", ".ogg", ("OGG", "VORBIS")),
        ("CAF", "ALAC_32", ".wav", ("WAV", "PCM_32")),
        ("CAF", "ALAC_32", ".flac", ("FLAC", "PCM_24")),
        ("AIFF", "DOUBLE", ".w64", ("W64", "DOUBLE")),
        ("RF64", "PCM_24", ".wav", ("RF64", "PCM_24")),
    ],
)
def test_another_format_takes_the_nearest(
    container: str, subtype: str, suffix: str, expected: tuple[str, str]
) -> None:
    assert output_format(info(container, subtype), suffix) == expected


@pytest.mark.parametrize(
    ("suffix", "rate", "channels", "what"),
    [
        (".mp3", 48000, 3, "2 channels"),
        (".mp3", 96000, 2, "96000 Hz"),
        (".opus", 44100, 2, "44100 Hz"),
        (".flac", 48000, 9, "8 channels"),
        (".ogg", 384000, 1, "200000 Hz"),
        (".m4a", 48000, 2, "'.m4a'"),
        ("", 48000, 2, "use one of"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_with_a_remedy(
    suffix: str, rate: int, channels: int, what: str
) -> None:
    with refused(AudioFileError, "unsupported", what, "use"):
        output_format(info("WAV", "PCM_16", rate, channels), suffix)


@pytest.mark.parametrize(
    ("subtype", "channels", "expected"),
    [
        ("ALAC_16", 1, "ALAC_16"),
        ("ALAC_24", 1, "ALAC_24"),
        ("ALAC_20", 1, "ALAC_24"),
        # packets of 16 KiB and more overrun the heap of libsndfile 1.2.2
        ("ALAC_16", 2, "PCM_16"),
        ("ALAC_24", 2, "PCM_24"),
        ("ALAC_20", 2, "PCM_24"),
        ("ALAC_16", 9, "PCM_16"),
        ("ALAC_32", 1, "PCM_32"),
    ],
)
def test_alac_is_written_where_its_packets_stay_short(subtype: str, channels: int, expected: str) -> None:
    assert output_format(info("CAF", subtype, channels=channels), ".caf") == ("CAF", expected)


@pytest.mark.parametrize(
    ("subtype", "size"),
    [("PCM_U8", 1), ("PCM_16", 2), ("PCM_24", 3), ("FLOAT", 4), ("PCM_32", 4), ("DOUBLE", 8)],
)
def test_wav_becomes_rf64_where_its_sizes_would_overflow(subtype: str, size: int) -> None:
    # 4 GiB less the 64 MiB of tags and chunks that are copied at most, and 1 MiB for headers
    most = ((1 << 32) - (65 << 20)) // (2 * size)
    for container in ("WAV", "WAVEX"):
        fits, beyond = (info(container, subtype, channels=2, n=n) for n in (most, most + 1))
        assert output_format(fits, ".wav") == (container, subtype)
        assert output_format(beyond, ".wav") == ("RF64", subtype)
    assert output_format(info("RF64", subtype, n=100), ".wav") == ("RF64", subtype)
    assert output_format(info("W64", subtype, channels=2, n=most + 1), ".w64") == ("W64", subtype)


def test_aiff_beyond_4_gib_is_refused_with_a_way_out() -> None:
    with refused(AudioFileError, "unsupported", "4 GiB", ".w64"):
        output_format(info("AIFF", "PCM_16", n=1 << 31), ".aiff")


def test_the_longest_wav_of_a_day_fits_rf64_only() -> None:
    assert max_samples("WAV", "PCM_16", 1) < 24 * 3600 * 48_000 < max_samples("RF64", "PCM_16", 1)


def test_seconds_and_exact_dtype() -> None:
    assert info("WAV", "PCM_16", n=24000).seconds == 0.5
    assert info("WAV", "PCM_24").exact_dtype == "float32"
    assert info("WAV", "PCM_32").exact_dtype == "float64"


def test_names_that_are_not_utf8_can_be_shown() -> None:
    assert display_path(Path("caf\udce9.wav")) == "caf\\udce9.wav"
