"""Promise: a media file gets new audio in the old place, all else untouched, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

pytest.importorskip("av", reason="PyAV, the extra [media], is not installed")

import av

from audiodiff.errors import AudioFileError, ShapeError
from audiodiff.io.av_codecs import encoding
from audiodiff.io.av_plan import Plan, media_plan
from audiodiff.io.av_reader import MediaReader
from audiodiff.io.av_tracks import tracks
from audiodiff.io.av_writer import MediaWriter
from audiodiff.io.formats import AudioInfo
from audiodiff.io.reader import probe
from audiodiff.io.tags import Tags, read_tags
from tests.errors import refused
from tests.io.containers import CHAPTERS, RATE, TEXTS, Recipe, lag, make, packets, png, starts, tone

LINE = "processed with audiodiff 0 (denoise, model toy)"
FULL = Recipe(video=True, texts=True, chapters=True)


def samples(path: Path, number: int = 0) -> npt.NDArray[np.floating[Any]]:
    with MediaReader(path, number=number) as reader:
        return np.concatenate(list(reader), axis=1)


def copy(source: Path, target: Path, block: int = 7000) -> MediaWriter:
    """Send all tracks of a file through a writer, in turn, as a job does."""
    found = tracks(source)
    writer = MediaWriter(target, media_plan(found[0].info, target.suffix, LINE))
    with writer:
        readers = [MediaReader(source, block, number=track.number) for track in found]
        for blocks in zip(*readers, strict=True):
            for number, x in enumerate(blocks):
                writer.write(x, number)
    return writer


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("a.mp4", FULL),
        ("a.mov", replace(FULL, muxer="mov")),
        ("a.mkv", replace(FULL, muxer="matroska", subtitles=True, attachment=True, tracks=2, channels=2)),
        ("b.mkv", replace(FULL, muxer="matroska", start=0.3)),
        ("c.mkv", replace(FULL, muxer="matroska", codec="flac", channels=6)),
        ("b.mov", replace(FULL, muxer="mov", codec="pcm_s16le", start=0.3)),
    ],
)
def test_the_picture_is_untouched_and_in_sync(tmp_path: Path, name: str, recipe: Recipe) -> None:
    source, target = tmp_path / name, tmp_path / f"out-{name}"
    make(source, recipe)
    writer = copy(source, target)
    assert writer.left_out == ()
    assert len(packets(source, "video")) == 25
    assert packets(target, "video") == packets(source, "video")
    assert packets(target, "subtitle") == packets(source, "subtitle")
    np.testing.assert_allclose(starts(target), starts(source), rtol=0, atol=0.001)
    for number in range(recipe.tracks):
        x, y = samples(source, number), samples(target, number)
        assert y.shape == x.shape
        assert lag(x[0], y[0]) == 0


def test_audio_that_starts_late_in_mp4_stays_in_sync_behind_its_priming(tmp_path: Path) -> None:
    # ffmpeg's mp4 cannot tell of priming behind an empty edit: the file's first 1024 samples are the codec's.
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    make(source, replace(FULL, start=0.3))
    copy(source, target)
    x, y = samples(source), samples(target)
    shift = round((starts(source)[1] - starts(target)[1]) * RATE)
    assert shift == 1024
    assert lag(x[0], y[0][shift:]) == 0
    assert packets(target, "video") == packets(source, "video")


def test_everything_of_a_matroska_file_is_there_in_its_order(tmp_path: Path) -> None:
    import av

    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    recipe = replace(
        FULL, muxer="matroska", subtitles=True, attachment=True, tracks=2, cover=png(), codec="libopus"
    )
    make(source, recipe)
    copy(source, target)
    with av.open(source) as old, av.open(target) as new:
        kinds = [[stream.type for stream in container.streams] for container in (old, new)]
        assert sorted(kinds[0]) == sorted(kinds[1])
        assert kinds[1][:4] == ["video", "audio", "audio", "subtitle"]
        said = [(s.metadata.get("language"), s.metadata.get("title")) for s in new.streams.audio]
        assert said == [("eng", "track 0"), ("deu", "track 1")]
        attached = next(stream for stream in new.streams if stream.type == "attachment")
        assert attached.metadata == {"filename": "font.ttf", "mimetype": "font/ttf"}
    tags = read_tags(target)
    assert TEXTS.items() <= tags.text.items()
    assert [picture.data for picture in tags.pictures] == [png()]
    assert [(c.start, c.end, c.title) for c in tags.chapters] == list(CHAPTERS)


@pytest.mark.parametrize(("name", "brand"), [("a.m4a", b"M4A "), ("a.m4b", b"M4B ")])
def test_a_podcast_keeps_tags_cover_and_chapters(tmp_path: Path, name: str, brand: bytes) -> None:
    source, target = tmp_path / name, tmp_path / f"out-{name}"
    make(source, Recipe(cover=png(), texts=True, chapters=True))
    copy(source, target)
    assert read_tags(target) == read_tags(source)
    assert read_tags(target).text == TEXTS
    assert [picture.data for picture in read_tags(target).pictures] == [png()]
    data = target.read_bytes()
    assert data[8:12] == brand
    assert 0 < data.find(b"moov") < data.find(b"mdat"), "players on the web want the index first"
    assert LINE.encode() in data


def test_what_a_container_cannot_hold_is_left_out_and_told(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    make(source, replace(FULL, muxer="matroska", subtitles=True, attachment=True))
    writer = copy(source, tmp_path / "b.mp4")
    assert len(writer.left_out) == 2
    assert "subtitle stream 2" in writer.left_out[0]
    assert "attachment" in writer.left_out[1]
    assert packets(tmp_path / "b.mp4", "video")
    writer = copy(source, tmp_path / "b.m4a")
    assert any("video stream 0" in line and "audio only" in line for line in writer.left_out)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.mkv", "PCM_24"), ("a.mov", "PCM_24"), ("a.mkv", "DOUBLE"), ("b.mkv", "PCM_U8")]
)
def test_samples_of_wav_files_go_into_media_containers_to_the_bit(
    tmp_path: Path, name: str, subtype: str
) -> None:
    source, target = tmp_path / "a.wav", tmp_path / name
    soundfile.write(source, tone(0.2, 2).T, RATE, subtype=subtype)
    info = probe(source)
    x = soundfile.read(source, dtype="float64")[0].T
    with MediaWriter(target, media_plan(info, target.suffix)) as writer:
        writer.write(x[:, :5000])
        writer.write(x[:, 5000:])
    with MediaReader(target, dtype="float64") as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader), axis=1), x)


@pytest.mark.parametrize("suffix", [".m4a", ".mkv", ".webm"])
@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 48_001])
def test_lengths_around_a_packet_are_exact(tmp_path: Path, suffix: str, n: int) -> None:
    if suffix == ".webm":
        n += 960  # ffmpeg's reader forgets what to drop at the end of a first packet
    path = tmp_path / f"a{suffix}"
    info = AudioInfo(tmp_path / "a.wav", RATE, 1, n, "WAV", "PCM_16")
    x = tone(2)[:, :n]
    plan = Plan(
        (RATE,), (1,), (encoding(info, suffix, "opus" if suffix == ".webm" else "aac"),), (Fraction(0),)
    )
    with MediaWriter(path, plan) as writer:
        writer.write(x)
    assert samples(path).shape == (1, n)


def test_equal_samples_give_equal_bytes_whatever_the_blocks(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4"):
        source = tmp_path / name
        make(source, replace(FULL, muxer="matroska" if name == "a.mkv" else "mp4"))
        for number, block in enumerate((3000, 20_000)):
            copy(source, tmp_path / f"{number}-{name}", block)
        assert (tmp_path / f"0-{name}").read_bytes() == (tmp_path / f"1-{name}").read_bytes()


def test_beyond_full_scale_is_clipped_and_counted_in_integer_codecs_only(tmp_path: Path) -> None:
    x = np.array([[0.5, 1.5, -2.0, 0.25]], dtype=np.float32)
    for subtype, clipped in (("PCM_16", 2), ("FLOAT", 0)):
        info = AudioInfo(tmp_path / "a.wav", RATE, 1, 4, "WAV", subtype)
        path = tmp_path / f"{subtype}.mkv"
        with MediaWriter(path, Plan((RATE,), (1,), (encoding(info, ".mkv"),), (Fraction(0),))) as writer:
            writer.write(x)
        assert writer.clipped == clipped
        wanted = np.clip(x, -1, 32767 / 32768) if clipped else x
        np.testing.assert_array_equal(samples(path), wanted)


def plan_for(path: Path) -> Plan:
    info = AudioInfo(path.with_name("a.wav"), RATE, 1, 0, "WAV", "PCM_16")
    return Plan((RATE,), (1,), (encoding(info, path.suffix),), (Fraction(0),), tags=Tags(TEXTS))


def left(folder: Path) -> Iterable[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"

    def interrupted() -> None:
        with MediaWriter(path, plan_for(path)) as writer:
            writer.write(tone(0.5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert left(tmp_path) == []
    with pytest.raises(AudioFileError) as caught, MediaWriter(path, plan_for(path)):
        pass
    assert caught.value.code == "empty"
    bad = tone(0.5)
    bad[0, 480] = np.nan
    with (
        refused(AudioFileError, "nonfinite", "0.010 s"),
        MediaWriter(path, plan_for(path)) as writer,
    ):
        writer.write(bad)
    with pytest.raises(ShapeError), MediaWriter(path, plan_for(path)) as writer:
        writer.write(np.zeros((2, 10), dtype=np.float32))
    assert left(tmp_path) == []


def test_a_target_that_exists_is_only_replaced_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"old")
    with pytest.raises(AudioFileError) as caught, MediaWriter(path, plan_for(path)):
        pass
    assert caught.value.code == "exists"
    assert path.read_bytes() == b"old"
    with MediaWriter(path, plan_for(path), overwrite=True) as writer:
        writer.write(tone(0.5))
    assert samples(path).shape[1] == RATE // 2
    assert left(tmp_path) == ["a.m4a"]


def test_the_file_is_whole_before_it_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    with MediaWriter(path, plan_for(path)) as writer:
        writer.write(tone(0.5))
        size = os.fstat(writer.finish().fd).st_size
        assert not path.exists()
        writer.commit()
        assert path.exists()
    assert size == path.stat().st_size


def test_a_source_that_breaks_in_the_middle_leaves_no_target(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    make(source, replace(FULL, muxer="matroska"))
    plan = media_plan(tracks(source)[0].info, ".mkv")
    source.unlink()
    with pytest.raises(AudioFileError), MediaWriter(target, plan):
        pass
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "suffix", "wanted"),
    [
        (("M4A", "AAC", 44_100, 2, "aac", 128_000), ".m4a", ("aac", 128_000)),
        (("M4A", "AAC", 44_100, 2, "aac", 129_000), ".mp4", ("aac", 144_000)),
        (("M4A", "AAC", 44_100, 2, "aac", 32_000), ".m4a", ("aac", 96_000)),
        (("M4A", "PCM_24", 44_100, 2, "alac", 0), ".m4a", ("alac", 0)),
        (("MATROSKA", "OPUS", 48_000, 1, "opus", 0), ".webm", ("libopus", 64_000)),
        (("MATROSKA", "VORBIS", 44_100, 2, "vorbis", 0), ".mkv", ("aac", 160_000)),
        (("MATROSKA", "PCM_16", 44_100, 2, "flac", 0), ".mp4", ("alac", 0)),
        (("MOV", "PCM_24", 48_000, 2, "pcm_s24be", 0), ".mov", ("pcm_s24be", 0)),
        (("MOV", "PCM_24", 48_000, 2, "pcm_s24be", 0), ".mkv", ("pcm_s24le", 0)),
        (("WAV", "PCM_16", 44_100, 1, "", 0), ".m4a", ("aac", 96_000)),
        (("WAV", "PCM_16", 44_100, 1, "", 0), ".mkv", ("pcm_s16le", 0)),
        (("FLAC", "PCM_24", 96_000, 2, "", 0), ".m4a", ("alac", 0)),
        (("FLAC", "PCM_24", 96_000, 2, "", 0), ".mka", ("flac", 0)),
        (("MP3", "MPEG_LAYER_III", 44_100, 2, "", 0), ".mka", ("libmp3lame", 160_000)),
        (("CAF", "ALAC_16", 44_100, 2, "", 0), ".m4a", ("alac", 0)),
    ],
)
def test_policy_of_codecs(
    source: tuple[str, str, int, int, str, int], suffix: str, wanted: tuple[str, int]
) -> None:
    container, subtype, rate, channels, codec, bit_rate = source
    found = encoding(AudioInfo(Path("a"), rate, channels, 0, container, subtype), suffix, codec, bit_rate)
    assert (found.encoder, found.bit_rate) == wanted


@pytest.mark.parametrize(
    ("rate", "channels", "suffix", "why"),
    [
        (44_100, 1, ".webm", "opus, 44100 Hz"),
        (192_000, 1, ".m4a", "aac, 192000 Hz"),
        (48_000, 9, ".m4a", "aac, 8 channels"),
        (48_000, 1, ".aac", "raw aac"),
        (48_000, 1, ".avi", ".avi"),
    ],
)
def test_what_cannot_be_written_is_told_before_any_work(
    rate: int, channels: int, suffix: str, why: str
) -> None:
    with refused(AudioFileError, "unsupported", *why.split(", ")):
        encoding(AudioInfo(Path("a.wav"), rate, channels, 0, "WAV", "PCM_16"), suffix)


def with_timecode(path: Path, codec: str, rate: Fraction, clock: Fraction, timecode: str) -> None:
    """A picture with a timecode track, as cameras and editors write them, and silence."""
    with av.open(str(path), "w", format=path.suffix[1:]) as out:
        picture: Any = out.add_stream(codec, rate=rate)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        picture.codec_context.time_base = clock
        picture.metadata["timecode"] = timecode
        sound: Any = out.add_stream(
            "pcm_s16le" if path.suffix == ".mov" else "aac", rate=48000, layout="mono"
        )
        for i in range(20):
            image = av.VideoFrame(64, 48, picture.pix_fmt)
            image.pts, image.time_base = round(i / rate / clock), clock
            out.mux(picture.encode(image))
        out.mux(picture.encode(None))
        silence = np.zeros((1, 1024), np.int16 if path.suffix == ".mov" else np.float32)
        for i in range(30):
            name = "s16" if path.suffix == ".mov" else "fltp"
            block = av.AudioFrame.from_ndarray(silence, format=name, layout="mono")
            block.rate, block.pts = 48000, 1024 * i
            out.mux(sound.encode(block))
        out.mux(sound.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "clock", "timecode"),
    [
        ("camera.mov", "mpeg4", Fraction(30000, 1001), Fraction(1001, 30000), "01:00:00:00"),
        ("drop.mov", "mpeg4", Fraction(30000, 1001), Fraction(1001, 30000), "01:00:00;02"),
        ("editor.mov", "mjpeg", Fraction(25), Fraction(1, 25), "10:20:30:04"),
        ("phone.mp4", "mpeg4", Fraction(30), Fraction(1, 30000), "01:00:00:00"),
    ],
)
def test_a_timecode_goes_over_and_never_costs_the_work(
    tmp_path: Path, name: str, codec: str, rate: Fraction, clock: Fraction, timecode: str
) -> None:
    source = tmp_path / name
    with_timecode(source, codec, rate, clock, timecode)
    target = tmp_path / f"out{source.suffix}"
    assert copy(source, target).left_out == ()
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "data"]
        assert container.streams.video[0].metadata["timecode"] == timecode
    assert copy(source, tmp_path / "out.mkv").left_out[0].startswith("data stream 2")


def test_a_timecode_that_the_writer_refuses_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "camera.mov"
    with_timecode(source, "mpeg4", Fraction(25), Fraction(1, 25), "01:00:00:00")
    monkeypatch.setattr("audiodiff.io.av_remux._timecode_rate", lambda *_: None)
    writer = copy(source, tmp_path / "out.mov")
    assert len(writer.left_out) == 1
    with av.open(str(tmp_path / "out.mov")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
