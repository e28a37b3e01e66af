"""Promise: what is read is what the file holds; every fault of a file is told in one line with its code."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audiodiff.errors import AudioFileError
from audiodiff.io.reader import probe, read, read_blocks
from tests.errors import refused

RATE = 48000
CONTAINERS = [
    ("WAV", "PCM_16"),
    ("RF64", "PCM_24"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_24"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def speech_like(n_samples: int = 30_000, channels: int = 2) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(0)
    envelope = np.abs(np.sin(np.arange(n_samples) / 5000))[:, None]
    return 0.1 * envelope * rng.standard_normal((n_samples, channels))


def make(
    folder: Path, container: str, subtype: str, x: npt.NDArray[np.float64] | None = None, rate: int = RATE
) -> Path:
    path = folder / f"talk-{container}-{subtype}.audio"
    soundfile.write(path, speech_like() if x is None else x, rate, subtype, format=container)
    return path


def code_of(path: Path) -> str:
    with pytest.raises(AudioFileError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert ";" in message, "no remedy"
    return caught.value.code


@pytest.mark.parametrize(("container", "subtype"), CONTAINERS)
def test_blocks_equal_the_whole_file_in_every_container(tmp_path: Path, container: str, subtype: str) -> None:
    path = make(tmp_path, container, subtype)
    info = probe(path)
    assert (info.container, info.subtype) == (container, subtype)
    assert (info.sample_rate, info.channels, info.n_samples) == (RATE, 2, 30_000)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    for block in (777, 2048, 5000, 1 << 16):
        reader = read_blocks(path, block)
        pieces = list(reader)
        assert {piece.shape[1] for piece in pieces[:-1]} <= {block}
        assert pieces[0].dtype == np.float32
        assert np.array_equal(np.concatenate(pieces, axis=1), whole.T)
        assert reader.truncated is None


@given(block=st.integers(1, 4000), n_samples=st.integers(1, 6000), channels=st.integers(1, 32))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_block_and_any_channels(tmp_path: Path, block: int, n_samples: int, channels: int) -> None:
    path = make(tmp_path, "WAV", "FLOAT", speech_like(n_samples, channels))
    x = np.concatenate(list(read_blocks(path, block)), axis=1)
    assert x.shape == (channels, n_samples)
    assert np.array_equal(x, read(path)[0])


@pytest.mark.parametrize("rate", [4000, 11025, 44100, 96000, 384000])
def test_rates(tmp_path: Path, rate: int) -> None:
    path = make(tmp_path, "WAV", "PCM_24", rate=rate)
    x, found = read(path)
    assert found == rate
    assert probe(path).seconds == pytest.approx(30_000 / rate)
    assert x.shape == (2, 30_000)


def test_32_bit_samples_come_exactly_as_float64(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(-(2**31), 2**31, (500, 1), dtype=np.int64).astype(np.int32)
    path = tmp_path / "x.wav"
    soundfile.write(path, codes, RATE, "PCM_32")
    exact, _ = read(path, dtype=probe(path).exact_dtype)
    assert exact.dtype == np.float64
    assert np.array_equal(exact[0] * 2**31, codes[:, 0])
    assert read(path)[0].dtype == np.float32


def test_vbr_mp3_is_decoded_forward_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tone.mp3"
    t = np.arange(5 * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * t) * (t > 2)
    soundfile.write(path, tone, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)

    def seek(*_: object) -> None:
        pytest.fail("a seek in an mp3")

    monkeypatch.setattr(soundfile.SoundFile, "seek", seek)
    x = np.concatenate(list(read_blocks(path, 1000)), axis=1)
    assert np.array_equal(x, whole.T)
    assert np.abs(x[0, 100:-100] - tone[100:-100]).max() < 0.05


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \xff.wav")
    make(tmp_path, "WAV", "PCM_16").rename(path)
    assert read(path)[0].shape == (2, 30_000)
    assert probe(path).path == path
    path.write_bytes(b"no audio")
    with pytest.raises(AudioFileError) as caught:
        probe(path)
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    "name", ["-dash.wav", "line\nbreak.wav", "é\u0301\U0001f399.wav", "x" * 251 + ".wav"]
)
def test_odd_names(tmp_path: Path, name: str) -> None:
    path = make(tmp_path, "WAV", "PCM_16").rename(tmp_path / name)
    assert read(path)[0].shape == (2, 30_000)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty"), (b"RIFF", "unreadable"), (b"I am a text, not a recording.\n" * 30, "unreadable")],
)
def test_no_audio(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(content)
    assert code_of(path) == code


def test_no_samples(tmp_path: Path) -> None:
    assert code_of(make(tmp_path, "WAV", "PCM_16", np.zeros((0, 1)))) == "empty"


def test_not_a_file(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "unreadable"
    assert code_of(tmp_path / "missing.wav") == "unreadable"
    os.mkfifo(tmp_path / "pipe.wav")
    assert code_of(tmp_path / "pipe.wav") == "unreadable"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_first_sample_that_is_not_finite_is_named(tmp_path: Path, bad: float) -> None:
    x = speech_like()
    x[24_000, 1] = bad
    x[25_000, 0] = bad
    path = make(tmp_path, "WAV", "FLOAT", x)
    assert code_of(path) == "nonfinite"
    reader = read_blocks(path, 10_000)
    assert next(reader).shape == next(reader).shape == (2, 10_000)
    with refused(AudioFileError, "nonfinite", "0.500 s"):
        next(reader)
    reader.close()


@pytest.mark.parametrize(
    ("container", "subtype"), [c for c in CONTAINERS if c[0] != "CAF" and c[1] not in {"OPUS"}]
)
def test_cut_file_gives_what_is_there_and_a_note(tmp_path: Path, container: str, subtype: str) -> None:
    path = make(tmp_path, container, subtype, speech_like(90_000))
    whole, _ = read(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    with read_blocks(path) as reader:
        x = np.concatenate(list(reader), axis=1)
    assert reader.truncated is not None
    assert reader.truncated.code == "truncated"
    assert reader.truncated.n_samples == x.shape[1]
    assert "cut short" in str(reader.truncated)
    assert "\n" not in str(reader.truncated)
    assert 25_000 < x.shape[1] < 70_000
    settled = x.shape[1] - 3000
    assert np.array_equal(x[:, :settled], whole[:, :settled])


@pytest.mark.parametrize(("container", "subtype"), [("CAF", "ALAC_16"), ("OGG", "OPUS")])
def test_cut_file_that_cannot_be_decoded_is_unreadable(tmp_path: Path, container: str, subtype: str) -> None:
    path = make(tmp_path, container, subtype, speech_like(90_000))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert code_of(path) == "unreadable"


def test_flac_damaged_at_its_first_block_is_unreadable(tmp_path: Path) -> None:
    path = make(tmp_path, "FLAC", "PCM_16", speech_like(90_000))
    path.write_bytes(path.read_bytes()[:9000])
    assert code_of(path) in {"unreadable", "empty"}


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_wav_from_a_pipe_with_unknown_size_is_whole(tmp_path: Path, size: int) -> None:
    path = make(tmp_path, "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    data = content.find(b"data")
    content[4:8] = content[data + 4 : data + 8] = size.to_bytes(4, "little")
    path.write_bytes(content)
    with read_blocks(path) as reader:
        assert sum(block.shape[1] for block in reader) == 30_000
    assert reader.truncated is None


def test_flac_from_a_pipe_does_not_tell_its_length(tmp_path: Path) -> None:
    path = make(tmp_path, "FLAC", "PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with read_blocks(path) as reader:
        assert reader.info.n_samples == 0
        assert sum(block.shape[1] for block in reader) == 30_000
    assert reader.truncated is None


def patched_wav(folder: Path, offset: int, value: int, width: int) -> Path:
    path = make(folder, "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    content[offset : offset + width] = value.to_bytes(width, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [2**31 - 1, 384_001, 3999, 1])
def test_absurd_rates_are_refused(tmp_path: Path, rate: int) -> None:
    assert code_of(patched_wav(tmp_path, 24, rate, 4)) == "unsupported"


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    assert code_of(make(tmp_path, "WAV", "PCM_16", np.zeros((10, 33)))) == "unsupported"
    assert code_of(make(tmp_path, "WAV", "PCM_16", np.zeros((10, 1024)))) == "unsupported"


def test_lying_length_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(4):
            file.write(np.zeros(1_000_000, dtype=np.int16))
    assert path.stat().st_size < 50_000
    reader = read_blocks(path, 4096)
    assert next(reader).shape == (1, 4096)
    assert reader.info.n_samples == 4_000_000
    reader.close()
    assert list(reader) == []


@given(seed=st.integers(0, 10_000), which=st.sampled_from([0, 1, 3, 6]))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_give_samples_or_our_error(tmp_path: Path, seed: int, which: int) -> None:
    path = make(tmp_path, *CONTAINERS[which], speech_like(3000))
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8).copy()
    rng = np.random.default_rng(seed)
    places = rng.integers(8, min(len(content), 400 if seed % 2 else len(content)), 1 + seed % 20)
    content[places] = rng.integers(0, 256, places.size)
    path.write_bytes(content.tobytes())
    with contextlib.suppress(AudioFileError):
        assert np.isfinite(read(path)[0]).all()


def test_headers_that_cannot_be_are_told_without_words_of_the_library(tmp_path: Path) -> None:
    path = make(tmp_path, "WAV", "PCM_16")
    content = path.read_bytes()
    for place, width in ((22, 2), (24, 4)):
        path.write_bytes(content[:place] + bytes(width) + content[place + width :])
        with pytest.raises(AudioFileError) as caught:
            probe(path)
        assert caught.value.code == "unreadable"
        assert "header" in str(caught.value)
        assert "SF_INFO" not in str(caught.value)
