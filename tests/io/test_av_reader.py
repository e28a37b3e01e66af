"""Promise: the audio of media files is read with exact length and place, faults are told in a line."""

from __future__ import annotations

import builtins
import contextlib
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("av", reason="PyAV, the extra [media], is not installed")

from audiodiff.errors import AudioFileError
from audiodiff.extras import install_hint
from audiodiff.io import av_library
from audiodiff.io.av_reader import MediaReader
from audiodiff.io.av_tracks import tracks
from tests.errors import refused
from tests.io.containers import RATE, Recipe, lag, make, png, tone


def whole(path: Path, number: int = 0, block: int = 4999) -> tuple[np.ndarray[Any, Any], MediaReader]:
    with MediaReader(path, block, number=number) as reader:
        return np.concatenate(list(reader), axis=1), reader


@pytest.mark.parametrize(
    ("suffix", "recipe"),
    [
        (".m4a", Recipe()),
        (".m4a", Recipe(rate=44_100, seconds=0.987)),
        (".mp4", Recipe(codec="libopus", video=True)),
        (".mp4", Recipe(codec="libmp3lame", channels=2)),
        (".webm", Recipe(muxer="webm", codec="libopus")),
        (".mkv", Recipe(muxer="matroska", codec="flac", channels=2)),
        (".mkv", Recipe(muxer="matroska", codec="pcm_f32le", channels=6)),
        (".mov", Recipe(muxer="mov", codec="pcm_s16le", video=True, start=0.25)),
        (".m4a", Recipe(codec="alac", rate=22_050)),
        (".oga", Recipe(muxer="ogg", codec="flac", channels=2, seconds=0.987)),
    ],
)
def test_length_is_exact_and_nothing_is_shifted(tmp_path: Path, suffix: str, recipe: Recipe) -> None:
    path = tmp_path / f"talk{suffix}"
    (x,) = make(path, recipe)
    y, reader = whole(path)
    assert y.shape == x.shape
    assert lag(x[0], y[0]) == 0
    assert reader.truncated is None
    assert reader.info.sample_rate == recipe.rate


@pytest.mark.parametrize("codec", ["flac", "alac", "pcm_s16le"])
def test_lossless_codecs_are_read_to_the_bit(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.mkv"
    (x,) = make(path, Recipe(muxer="matroska", codec=codec, channels=2))
    y, reader = whole(path)
    np.testing.assert_array_equal(y * 32768, np.rint(x * 32767))
    assert reader.info.subtype == "PCM_16"


def test_24_bits_are_read_to_the_bit(tmp_path: Path) -> None:
    import av

    codes = np.random.default_rng(0).integers(-(1 << 23), 1 << 23, (1, 4000))
    path = tmp_path / "a.mkv"
    with av.open(path, "w", format="matroska") as out:
        stream = out.add_stream("flac", rate=RATE, layout="mono")
        stream.format = "s32"
        frame = av.AudioFrame.from_ndarray((codes * 256).astype(np.int32), format="s32", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        out.mux(stream.encode(frame))
        out.mux([packet for packet in stream.encode(None) if packet.size])
    y, reader = whole(path)
    np.testing.assert_array_equal(y * (1 << 23), codes)
    assert (reader.info.subtype, reader.info.exact_dtype) == ("PCM_24", "float32")


def test_the_size_of_blocks_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    make(path, Recipe(channels=2))
    reference, _ = whole(path, block=1 << 20)
    for block in (1, 1023, 1024, 48_000):
        with MediaReader(path, block) as reader:
            first = [next(reader) for _ in range(3)] if block < 48_000 else list(reader)
        got = np.concatenate(first, axis=1)
        np.testing.assert_array_equal(got, reference[:, : got.shape[1]])
        assert all(piece.shape[1] == block for piece in first)


def test_every_track_has_its_own_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    truths = make(path, Recipe(muxer="matroska", codec="flac", tracks=2, video=True, subtitles=True))
    assert [track.number for track in tracks(path)] == [0, 1]
    for number, x in enumerate(truths):
        np.testing.assert_array_equal(whole(path, number)[0] * 32768, np.rint(x * 32767))
    with refused(AudioFileError, "unreadable", path, 2):
        MediaReader(path, number=2)


def test_audio_that_begins_later_is_told_with_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    make(path, Recipe(muxer="matroska", video=True, start=0.3))
    (track,) = tracks(path)
    assert float(track.start) == pytest.approx(0.3, abs=0.001)


def test_a_gap_becomes_silence_so_that_the_rest_stays_in_place(tmp_path: Path) -> None:
    import av

    path = tmp_path / "gap.mkv"
    x = tone(1.0)
    codes = np.rint(x * 32767).astype(np.int16)
    with av.open(path, "w", format="matroska") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start in range(0, 48_000, 4800):
            if start in {9600, 14_400}:
                continue
            frame = av.AudioFrame.from_ndarray(codes[:, start : start + 4800], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            out.mux(stream.encode(frame))
        out.mux([packet for packet in stream.encode(None) if packet.size])
    y, _ = whole(path)
    wanted = codes / np.float32(32768)
    wanted[:, 9600:19_200] = 0
    np.testing.assert_array_equal(y, wanted)


def test_a_file_that_is_cut_is_read_as_far_as_it_goes_and_told(tmp_path: Path) -> None:
    for name, recipe in (
        ("a.mkv", Recipe(muxer="matroska", codec="flac", seconds=2)),
        ("a.mp4", Recipe(codec="alac", seconds=2)),
    ):
        path = tmp_path / name
        (x,) = make(path, recipe)
        data = path.read_bytes()
        if name == "a.mp4":  # its index is behind the samples: move it, as for the web
            cut = tmp_path / "fast.mp4"
            _with_index_first(path, cut)
            data = cut.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        y, reader = whole(path)
        assert 0.4 * x.shape[1] < y.shape[1] < 0.8 * x.shape[1]
        np.testing.assert_array_equal(y[:, :20_000] * 32768, np.rint(x * 32767)[:, :20_000])
        assert reader.truncated is not None
        assert reader.truncated.code == "truncated"
        assert "cut short" in str(reader.truncated)


@pytest.mark.parametrize("codec", ["aac", "alac"])
def test_an_mp4_that_states_too_short_a_duration_is_read_whole(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "talk.m4a"
    make(path, Recipe(codec=codec, seconds=2))
    x, _ = whole(path)
    data = bytearray(path.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = data.find(box) + offset
        stated = int.from_bytes(data[at : at + 4], "big")
        data[at : at + 4] = (stated * 3 // 10).to_bytes(4, "big")
    path.write_bytes(data)
    y, reader = whole(path)
    assert reader.truncated is None
    assert reader.info.n_samples == 0
    assert 0 <= y.shape[1] - x.shape[1] < 2 * 4096  # the padding of the last packet
    np.testing.assert_array_equal(y[:, : x.shape[1]], x)


def _with_index_first(source: Path, target: Path) -> None:
    import av

    with av.open(source) as old, av.open(target, "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux():
            if packet.size:
                packet.stream = stream
                new.mux(packet)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"\0\0\0\x20ftypisom" + bytes(100), "unreadable"),
        (b"\x1aE\xdf\xa3" + bytes(100), "unreadable"),
        (b"text that is no media file", "unreadable"),
    ],
)
def test_what_is_no_media_file_is_told_in_a_line(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(AudioFileError) as caught:
        tracks(path)
    assert caught.value.code == code
    assert str(path) in str(caught.value)


def test_a_video_without_sound_is_told(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    make(path, Recipe(tracks=0, video=True))
    with refused(AudioFileError, "empty", "silent.mp4"):
        tracks(path)


@pytest.mark.parametrize(
    "script",
    [
        b"ffconcat version 1.0\nfile secret.wav\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:secret.wav\n#EXT-X-ENDLIST\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'/>",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n",
    ],
    ids=["concat", "hls", "dash", "sdp"],
)
def test_no_file_can_make_ffmpeg_open_another(
    tmp_path: Path, script: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    soundfile.write(tmp_path / "secret.wav", np.zeros(100), 48_000)
    for name in ("list.mp4", "list.m3u8", "list.ffconcat"):
        path = tmp_path / name
        path.write_bytes(script)
        for also_tags in (False, True):
            with pytest.raises(AudioFileError), av_library.opened(path, also_tags):
                pass


def test_names_are_never_taken_for_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.m4a", Recipe())
    for name in ("http:x.m4a", "-i.m4a", b"caf\xe9.m4a".decode("utf-8", "surrogateescape")):
        path = Path(name)
        path.write_bytes((tmp_path / "a.m4a").read_bytes())
        assert tracks(path)[0].info.n_samples == RATE


def test_media_files_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    for name, recipe, known in (
        ("a.mp3", Recipe(muxer="mp3", codec="libmp3lame"), False),
        ("a.bin", Recipe(), True),
        ("b.bin", Recipe(muxer="matroska"), True),
        ("a.aac", Recipe(muxer="adts"), True),
    ):
        make(tmp_path / name, recipe)
        assert av_library.is_media(tmp_path / name) is known
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 48_000)
    assert not av_library.is_media(tmp_path / "a.wav")
    assert not av_library.is_media(tmp_path)
    assert not av_library.is_media(tmp_path / "missing")


def test_without_pyav_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.m4a"
    make(path, Recipe(cover=png()))
    real = builtins.__import__

    def without(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, globals, locals, fromlist or (), level)

    monkeypatch.setattr(builtins, "__import__", without)
    with refused(AudioFileError, "missing_extra", path, install_hint("media")) as caught:
        tracks(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
def test_changed_bytes_give_samples_or_a_clear_refusal(tmp_path: Path, muxer: str) -> None:
    path = tmp_path / "a.bin"
    make(path, Recipe(muxer=muxer, seconds=0.2, texts=True, chapters=True))
    data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        changed = data.copy()
        places = rng.integers(8, len(data), max(1, len(data) // 300))
        changed[places] = rng.integers(0, 256, len(places), dtype=np.uint8)
        path.write_bytes(changed.tobytes())
        with contextlib.suppress(AudioFileError):
            assert np.isfinite(whole(path)[0]).all()
