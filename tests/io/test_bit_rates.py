"""Promise: a lossy copy has the bits a second and the band of its recording, or those that were asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.errors import AudioFileError
from audiodiff.io import av_library, lengths
from audiodiff.io.bit_rates import coder, limits, output_bit_rate, source_bit_rate
from audiodiff.io.formats import RATES, AudioInfo
from audiodiff.io.reader import probe, read, read_blocks
from audiodiff.io.recording_copy import RecordingCopy, check_format

pytestmark = pytest.mark.slow  # encodes with real codecs

SECONDS = 3.0
TONE_HZ = 19_000


def sound(rate: int, channels: int, seconds: float = SECONDS) -> npt.NDArray[np.float32]:
    """[C, T]: noise that falls by 6 dB an octave, and a tone at 19 kHz where the rate holds it."""
    rng = np.random.default_rng(0)
    n = round(seconds * rate)
    spectrum = np.fft.rfft(rng.standard_normal((channels, n)))
    spectrum /= 1 + np.fft.rfftfreq(n, 1 / rate) / 200
    x: npt.NDArray[np.float64] = 0.05 * np.fft.irfft(spectrum, n) / np.fft.irfft(spectrum, n).std()
    if rate > 2 * TONE_HZ:
        x += 0.05 * np.sin(2 * np.pi * TONE_HZ * np.arange(n) / rate)
    return np.asarray(x, dtype=np.float32)


def made(path: Path, rate: int, channels: int, level: float, mode: str | None = None) -> AudioInfo:
    """A lossy recording as libsndfile writes it at this level."""
    subtype = {".mp3": "MPEG_LAYER_III", ".ogg": "VORBIS", ".opus": "OPUS"}[path.suffix]
    container = "MP3" if path.suffix == ".mp3" else "OGG"
    arguments = (path, "w", rate, channels, subtype)
    with soundfile.SoundFile(
        *arguments, format=container, compression_level=level, bitrate_mode=mode
    ) as file:
        file.write(sound(rate, channels).T)
    return probe(path)


def copy(info: AudioInfo, target: Path, bit_rate: int = 0, block: int = 1 << 16) -> AudioInfo:
    with RecordingCopy(info, target, bit_rate=bit_rate) as output, read_blocks(info.path, block) as reader:
        for samples in reader:
            output.write(samples)
    return probe(target)


def kbps(info: AudioInfo) -> float:
    return info.path.stat().st_size * 8 / info.seconds / 1000


def tone_db(path: Path) -> float:
    x, rate = read(path)
    window = np.hanning(x.shape[1])
    turned = window * np.exp(-2j * np.pi * TONE_HZ * np.arange(x.shape[1]) / rate)
    return float(20 * np.log10(2 * abs(np.sum(x[0] * turned)) / window.sum()))


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("asked", [64, 96, 128, 160, 192, 256, 320])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_of_constant_rate_keeps_it(tmp_path: Path, rate: int, asked: int, channels: int) -> None:
    low, high = limits("mp3", rate, channels)
    if 1000 * asked > high:
        pytest.skip("no such rate")
    level = max(0, high - 1000 * asked - 100) / (high - low)
    info = made(tmp_path / "a.mp3", rate, channels, level, "CONSTANT")
    assert source_bit_rate(info) == pytest.approx(1000 * asked, abs=10)
    new = copy(info, tmp_path / "b.mp3")
    assert source_bit_rate(new) == pytest.approx(1000 * asked, abs=10)
    assert kbps(new) == pytest.approx(kbps(info), rel=0.03)


@pytest.mark.parametrize("rate", RATES["MPEG_LAYER_III"])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_of_few_bits_keeps_its_length(tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "a.wav", sound(rate, channels, 0.5).T, rate)
    info = probe(tmp_path / "a.wav")
    low, _ = limits("mp3", rate, channels)
    for place, wish in enumerate((low, 2 * low, 48_000)):
        new = copy(info, tmp_path / f"{place}.mp3", wish)
        assert (new.n_samples, new.sample_rate, new.channels) == (info.n_samples, rate, channels)


@pytest.mark.parametrize("level", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_of_variable_rate_keeps_its_mean(tmp_path: Path, level: float, channels: int) -> None:
    info = made(tmp_path / "a.mp3", 44_100, channels, level, "VARIABLE")
    assert kbps(copy(info, tmp_path / "b.mp3")) == pytest.approx(kbps(info), rel=0.15)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("channels", [1, 2])
def test_ogg_keeps_its_mean(tmp_path: Path, suffix: str, level: float, channels: int) -> None:
    info = made(tmp_path / f"a{suffix}", 48_000, channels, level)
    assert kbps(copy(info, tmp_path / f"b{suffix}")) == pytest.approx(kbps(info), rel=0.15)


@pytest.mark.parametrize(("name", "mode"), [("a.mp3", "CONSTANT"), ("a.ogg", None), ("a.opus", None)])
def test_the_band_survives(tmp_path: Path, name: str, mode: str | None) -> None:
    info = made(tmp_path / name, 48_000, 2, 0.0, mode)
    assert tone_db(info.path) == pytest.approx(20 * np.log10(0.05), abs=0.2)
    new = copy(info, tmp_path / f"b{info.path.suffix}")
    assert tone_db(new.path) == pytest.approx(tone_db(info.path), abs=1)


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus"])
def test_blocks_do_not_matter(tmp_path: Path, name: str) -> None:
    info = made(tmp_path / name, 48_000, 2, 0.25)
    suffix = info.path.suffix
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    copy(info, whole, block=1 << 20)
    copy(info, parts, block=977)
    assert whole.read_bytes() == parts.read_bytes()


def test_tags_are_no_sound(tmp_path: Path) -> None:
    plain = made(tmp_path / "a.mp3", 44_100, 1, 0.5, "CONSTANT")
    size = 300_000
    length = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(b"ID3\3\0\0" + length + bytes(size) + plain.path.read_bytes() + b"TAG" + bytes(125))
    assert source_bit_rate(probe(tagged)) == source_bit_rate(plain)


def test_headers_of_ogg_are_no_sound(tmp_path: Path) -> None:
    data = made(tmp_path / "a.opus", 48_000, 1, 0.8).path.read_bytes()
    second = data.find(b"OggS", 1)
    # a long header: on its first page no packet ends, so that has no position
    pages = ((b"\xff" * 8, bytes([255] * 255)), (bytes(8), bytes([255] * 254 + [16])))
    more = b"".join(
        b"OggS\0\0" + granule + data[14:22] + bytes(4) + b"\xff" + lacing + bytes(sum(lacing))
        for granule, lacing in pages
    )
    path = tmp_path / "long.opus"
    path.write_bytes(data[:second] + more + data[second:])
    rates = []
    for each in (tmp_path / "a.opus", path):
        with each.open("rb") as file:
            rates.append(lengths.coded_bit_rate(file.fileno(), SECONDS))
    assert rates[0] == rates[1] == pytest.approx(56_000, rel=0.2)


@pytest.mark.parametrize("target", ["b.mp3", "b.ogg", "b.opus", "b.m4a"])
@pytest.mark.parametrize("wish", [80_000, 192_000])
def test_a_wish_is_met(tmp_path: Path, target: str, wish: int) -> None:
    if target == "b.m4a" and not av_library.available():
        pytest.skip("PyAV, the extra [media], is not installed")
    soundfile.write(tmp_path / "a.flac", sound(48_000, 2).T, 48_000)
    new = copy(probe(tmp_path / "a.flac"), tmp_path / target, wish)
    assert kbps(new) == pytest.approx(wish / 1000, rel=0.15)


@pytest.mark.parametrize(
    ("suffix", "rate", "wish"),
    [
        (".wav", 48_000, 128_000),
        (".flac", 48_000, 128_000),
        (".mp3", 48_000, 321_000),
        (".mp3", 22_050, 161_000),
        (".mp3", 8_000, 65_000),
        (".opus", 48_000, 5_000),
        (".ogg", 48_000, 600_000),
    ],
)
def test_what_cannot_be_met_is_refused_before_any_work(suffix: str, rate: int, wish: int) -> None:
    info = AudioInfo(Path("a.wav"), rate, 1, rate, "WAV", "PCM_16")
    with pytest.raises(AudioFileError) as caught:
        check_format(info, suffix, bit_rate=wish)
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize(("suffix", "codec"), [(".mka", "flac"), (".mov", "alac"), (".mkv", "pcm_s16le")])
def test_a_lossless_track_takes_no_wish(suffix: str, codec: str) -> None:
    from audiodiff.io.av_codecs import encoding

    info = AudioInfo(Path("a"), 48_000, 1, 48_000, "MATROSKA", "PCM_16")
    with pytest.raises(AudioFileError) as caught:
        encoding(info, suffix, codec, wish=128_000)
    assert caught.value.code == "unsupported"
    assert encoding(info, ".m4a", "alac", wish=100_000).bit_rate == 100_000


def test_what_came_with_other_bits_than_a_format_holds_gets_the_nearest(tmp_path: Path) -> None:
    info = made(tmp_path / "a.mp3", 48_000, 1, 0.0, "CONSTANT")
    assert source_bit_rate(info) == pytest.approx(320_000, abs=10)
    assert output_bit_rate(info, "OPUS") == 256_000
    assert output_bit_rate(info, "PCM_16") == 0
    # a recording whose header does not tell its length
    assert output_bit_rate(dataclasses.replace(info, n_samples=0), "MPEG_LAYER_III") == 96_000


@given(
    st.sampled_from(["MPEG_LAYER_III", "OPUS"]).flatmap(
        lambda subtype: st.tuples(st.just(subtype), st.sampled_from(RATES[subtype]))
    ),
    st.integers(1, 2),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_every_rate_within_the_limits_is_a_level_that_libsndfile_takes(
    kind: tuple[str, int], channels: int, place: float
) -> None:
    subtype, rate = kind
    low, high = limits("opus" if subtype == "OPUS" else "mp3", rate, channels)
    found = coder(subtype, rate, channels, round(low + place * (high - low)))
    assert found.level is not None
    # from 0.9999 on libsndfile 1.2.2 refuses levels of mp3
    assert 0 <= found.level <= (1 if subtype == "OPUS" else 0.9999)
