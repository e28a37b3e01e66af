"""Promise: whatever the two formats, the copy has the samples, all that can go over, a note of the rest."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("av", reason="PyAV, the extra [media], is not installed")

import av

from audiodiff.errors import AudioFileError
from audiodiff.io import formats, tag_vorbis
from audiodiff.io.reader import probe, read, read_blocks
from audiodiff.io.recording_copy import RecordingCopy, in_turn
from audiodiff.io.tags import read_tags
from tests.errors import refused
from tests.io.containers import RATE, TEXTS, Recipe, lag, make, packets, png, tone

LINE = "processed with audiodiff 0 (denoise, model toy)"


def copy(source: Path, target: Path, whole: bool = True) -> RecordingCopy:
    output = RecordingCopy(probe(source), target, line=LINE, whole=whole)
    with output:
        readers = [
            read_blocks(source, 4000, info.exact_dtype, track) for track, info in enumerate(output.infos)
        ]
        for track, block in in_turn(readers, [info.sample_rate for info in output.infos]):
            output.write(block, track)
    return output


def made(tmp_path: Path, suffix: str) -> Path:
    """A recording with all that its format holds."""
    path = tmp_path / f"source{suffix}"
    muxer, codec = {
        ".m4a": ("mp4", "aac"),
        ".mkv": ("matroska", "flac"),
        ".webm": ("webm", "libopus"),
        ".mp3": ("mp3", "libmp3lame"),
        ".flac": ("flac", "flac"),
        ".opus": ("opus", "libopus"),
        ".wav": ("wav", "pcm_s16le"),
    }[suffix]
    cover = png() if suffix in {".m4a", ".mkv"} else b""
    make(path, Recipe(muxer, codec, cover=cover, texts=True, chapters=muxer not in {"flac", "wav"}))
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "target", [".wav", ".aiff", ".flac", ".mp3", ".opus", ".m4a", ".mka", ".webm", ".caf", ".w64"]
)
@pytest.mark.parametrize("source", [".m4a", ".mkv", ".webm", ".mp3", ".flac", ".opus", ".wav"])
def test_every_pair_keeps_length_place_and_title(tmp_path: Path, source: str, target: str) -> None:
    first, second = made(tmp_path, source), tmp_path / f"target{target}"
    output = copy(first, second)
    (x, rate), (y, new_rate) = read(first), read(second)
    assert (y.shape, new_rate) == (x.shape, rate)
    assert lag(x[0], y[0]) == 0
    told = " ".join(output.notes)
    if target == ".w64":
        assert "no tags" in told
    else:
        assert read_tags(second).text["title"] == TEXTS["title"]
    for word, there in (("cover", read_tags(first).pictures), ("chapters", read_tags(first).chapters)):
        kept = read_tags(second).pictures if word == "cover" else read_tags(second).chapters
        assert (len(kept) == len(there)) is (f"no {word}" not in told)


def test_all_tracks_of_a_video_are_taken_or_it_is_told(tmp_path: Path) -> None:
    source = tmp_path / "talk.mkv"
    make(source, Recipe("matroska", "flac", tracks=2, video=True, subtitles=True, texts=True, chapters=True))
    output = copy(source, tmp_path / "copy.mkv")
    assert (len(output.infos), output.notes) == (2, ())
    for track in range(2):
        with read_blocks(source, track=track) as one, read_blocks(tmp_path / "copy.mkv", track=track) as two:
            np.testing.assert_array_equal(np.concatenate(list(one), 1), np.concatenate(list(two), 1))
    assert packets(tmp_path / "copy.mkv", "video") == packets(source, "video")
    output = copy(source, tmp_path / "copy.flac")
    np.testing.assert_array_equal(read(tmp_path / "copy.flac")[0], read(source)[0])
    assert any("first of 2 audio tracks" in note for note in output.notes)


def test_a_part_of_a_video_is_its_first_track_alone(tmp_path: Path) -> None:
    source = tmp_path / "talk.mkv"
    make(source, Recipe("matroska", "flac", tracks=2, video=True, start=0.2, texts=True, chapters=True))
    copy(source, tmp_path / "part.mkv", whole=False)
    assert packets(tmp_path / "part.mkv", "video") == []
    tags = read_tags(tmp_path / "part.mkv")
    assert tags.chapters == ()
    assert tags.text["title"] == TEXTS["title"]


def test_the_finished_file_has_its_tags_before_its_name(tmp_path: Path) -> None:
    for suffix in (".flac", ".m4a"):
        source, target = made(tmp_path, suffix), tmp_path / f"target{suffix}"
        with RecordingCopy(probe(source), target, line=LINE) as output:
            output.write(tone(0.5))
            seen = os.pread(output.finish().fd, 1 << 20, 0)
            assert not target.exists()
        assert seen == target.read_bytes()
        assert LINE.encode() in seen


def test_without_mutagen_ogg_files_get_their_texts_by_libsndfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_vorbis, "available", lambda: False)
    output = copy(made(tmp_path, ".m4a"), tmp_path / "target.opus")
    with soundfile.SoundFile(tmp_path / "target.opus") as file:
        assert (file.title, file.artist, file.tracknumber) == (
            TEXTS["title"],
            TEXTS["artist"],
            TEXTS["track"],
        )
        assert file.software.startswith(LINE)
    assert "[tags]" in output.notes[0]


def test_a_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, folder = made(tmp_path, ".flac"), tmp_path / "out"
    folder.mkdir()
    for suffix in (".wav", ".caf", ".m4a"):
        output = RecordingCopy(probe(source), folder / f"a{suffix}")
        with pytest.raises(AudioFileError), output:
            output.write(np.full((1, 10), np.nan, dtype=np.float32))
    monkeypatch.setattr(soundfile.SoundFile, "__setattr__", _refuse)
    with pytest.raises(AudioFileError, match="hold no tags"), RecordingCopy(probe(source), folder / "a.caf"):
        pass
    assert left(folder) == []


def _refuse(self: object, name: str, value: object) -> None:
    if name == "title":
        raise soundfile.SoundFileRuntimeError("no")
    object.__setattr__(self, name, value)


def test_a_file_never_grows_beyond_the_sizes_it_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made(tmp_path, ".wav")
    monkeypatch.setattr(formats, "_MAX_BYTES", 2 * RATE)
    info = replace(probe(source), n_samples=0)  # as of a stream that does not tell
    with (
        refused(AudioFileError, "too_long", "4 GiB"),
        RecordingCopy(info, tmp_path / "a.wav") as out,
    ):
        out.write(tone(1.01))
    copy(source, tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").format == "WAV"
    monkeypatch.setattr(formats, "_MAX_BYTES", 2 * RATE - 2)
    copy(source, tmp_path / "c.wav")
    assert soundfile.info(tmp_path / "c.wav").format == "RF64"
    np.testing.assert_array_equal(read(tmp_path / "c.wav")[0], read(source)[0])
    assert left(tmp_path) == ["b.wav", "c.wav", "source.wav"]


@given(st.lists(st.lists(st.integers(1, 500), max_size=6), min_size=1, max_size=4), st.integers(1, 3))
def test_tracks_advance_together(sizes: list[list[int]], speed: int) -> None:
    rates = [100 * (1 + (speed * track) % 3) for track in range(len(sizes))]
    streams: list[list[npt.NDArray[np.float32]]] = [
        [np.full((1, n), i, dtype=np.float32) for i, n in enumerate(of_track)] for of_track in sizes
    ]
    got: list[list[Any]] = [[] for _ in sizes]
    seconds = [0.0] * len(sizes)
    totals = [sum(each) / rate for each, rate in zip(sizes, rates, strict=True)]
    for track, block in in_turn([iter(stream) for stream in streams], rates):
        behind = [s for s, total in zip(seconds, totals, strict=True) if s < total - 1e-9]
        assert seconds[track] <= min(behind) + 1e-9
        got[track].append(block)
        seconds[track] += block.shape[1] / rates[track]
    assert [[len(b[0]) for b in blocks] for blocks in got] == sizes


def test_damaged_media_files_give_a_copy_or_a_clear_refusal(tmp_path: Path) -> None:
    source, target = tmp_path / "talk.mkv", tmp_path / "copy.mkv"
    recipe = Recipe("matroska", "flac", 2, video=True, subtitles=True, attachment=True, seconds=0.3)
    make(source, replace(recipe, cover=png(), texts=True, chapters=True))
    data = np.frombuffer(source.read_bytes(), dtype=np.uint8)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        changed = data.copy()
        places = rng.integers(0, len(data) if seed % 3 else 1500, max(1, len(data) // 400))
        changed[places] = rng.integers(0, 256, len(places), dtype=np.uint8)
        source.write_bytes(changed.tobytes())
        target.unlink(missing_ok=True)
        try:
            copy(source, target)
        except AudioFileError:
            assert left(tmp_path) == ["talk.mkv"]
        else:
            assert probe(target).channels == 1


@pytest.mark.parametrize("suffix", [".oga", ".ogg"])
def test_flac_in_ogg_stays_what_it_is(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    make(source, Recipe("ogg", "flac", channels=2, texts=True, chapters=True))
    output = copy(source, target)
    assert output.notes == ()
    assert target.read_bytes()[:4] == b"OggS"
    assert (probe(target).container, probe(target).subtype) == ("OGG", "PCM_16")
    np.testing.assert_array_equal(read(target)[0], read(source)[0])
    assert read_tags(target).chapters == read_tags(source).chapters
    assert read_tags(target).text["title"] == TEXTS["title"]
    for name, container in (("c.flac", "FLAC"), ("c.wav", "WAV")):
        other = probe(copy_to(source, name))
        assert (other.container, other.subtype) == (container, "PCM_16")


def copy_to(source: Path, name: str) -> Path:
    copy(source, source.with_name(name))
    return source.with_name(name)


def test_amr_is_read_and_becomes_what_is_asked(tmp_path: Path) -> None:
    source, rate = tmp_path / "memo.amr", 8000
    with av.open(str(source), "w", format="amr") as out:
        stream: Any = out.add_stream("libopencore_amrnb", rate=rate, layout="mono")
        stream.bit_rate = 12_200
        x = (8000 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(x[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    y, found = read(copy_to(source, "memo.wav"))
    assert found == rate
    assert abs(y.shape[1] - rate) <= 2 * rate // 50
    spectrum = np.abs(np.fft.rfft(y[0, : rate // 2]))
    assert spectrum.argmax() * 2 == pytest.approx(300, abs=4)
    with pytest.raises(AudioFileError) as caught:
        RecordingCopy(probe(source), tmp_path / "b.amr")
    assert caught.value.code == "unsupported"
