"""Promise: a job on a video or podcast cleans every track, keeps the rest, and tells of its origin."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

pytest.importorskip("av", reason="PyAV, the extra [media], is not installed")

from audiodiff.batch.denoise_task import DenoiseSettings, check, denoise_file
from audiodiff.batch.job_options import Options, Result
from audiodiff.batch.naming import sidecar_path
from audiodiff.batch.plan import plan
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.errors import TARGET_CODES, AudioFileError
from audiodiff.extras import install_hint
from audiodiff.inference.denoiser import Denoiser
from audiodiff.io import av_library
from audiodiff.io.atomic import AtomicFile
from audiodiff.io.reader import probe, read_blocks
from audiodiff.io.tags import read_tags
from audiodiff.model.model import Model
from tests.errors import refused
from tests.io.containers import TEXTS, Recipe, lag, make, packets, png, starts

pytestmark = pytest.mark.slow

FULL = Recipe("matroska", "flac", tracks=2, video=True, subtitles=True, texts=True, chapters=True)


@pytest.fixture
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model, threads=1)


def samples(path: Path, track: int = 0) -> npt.NDArray[np.floating[Any]]:
    with read_blocks(path, track=track) as reader:
        return np.concatenate(list(reader), axis=1)


def test_every_track_of_a_video_is_cleaned_as_if_it_were_alone(tmp_path: Path, denoiser: Denoiser) -> None:
    source, target = tmp_path / "talk.mkv", tmp_path / "clean.mkv"
    make(source, FULL)
    result = denoise_file(source, target, denoiser)
    assert (result.status, result.seconds, result.warnings) == ("done", 1.0, ())
    assert packets(target, "video") == packets(source, "video")
    assert packets(target, "subtitle") == packets(source, "subtitle")
    assert starts(target) == starts(source)
    for track in range(2):
        alone = tmp_path / f"{track}.wav"
        x = samples(source, track)
        soundfile.write(alone, x.T, 48_000, subtype="PCM_16")
        denoise_file(alone, tmp_path / f"{track}.clean.wav", denoiser)
        np.testing.assert_array_equal(samples(target, track), samples(tmp_path / f"{track}.clean.wav"))
        assert np.abs(samples(target, track) - x).max() > 0.01


def test_a_podcast_keeps_what_surrounds_its_sound(tmp_path: Path, denoiser: Denoiser) -> None:
    source, target = tmp_path / "talk.m4a", tmp_path / "clean.m4a"
    make(source, Recipe(cover=png(), texts=True, chapters=True))
    denoise_file(source, target, denoiser)
    assert read_tags(target) == read_tags(source)
    assert samples(target).shape == samples(source).shape


@pytest.mark.parametrize(
    ("recipe", "suffix", "written"),
    [
        (Recipe("adts"), ".aac", ".m4a"),
        (Recipe("amr", "libopencore_amrnb", rate=8000), ".amr", ".m4a"),
        (Recipe("3gp"), ".3gp", ".mp4"),
        (Recipe("3g2"), ".3g2", ".mp4"),
        (Recipe("mov"), ".qt", ".mov"),
    ],
)
def test_what_a_phone_records_is_found_and_written(
    tmp_path: Path, denoiser: Denoiser, recipe: Recipe, suffix: str, written: str
) -> None:
    source = tmp_path / "shows" / f"talk{suffix}"
    source.parent.mkdir()
    make(source, recipe)
    [item] = plan([source.parent], tmp_path / "clean", Options(), DenoiseSettings()).items
    assert (item.source, item.target) == (source, tmp_path / "clean" / f"talk{written}")
    assert denoise_file(item.source, item.target, denoiser).status == "done"
    assert samples(item.target).shape == samples(source).shape


def test_strength_0_leaves_lossless_tracks_to_the_bit(tmp_path: Path, toy_model: Model) -> None:
    source, target = tmp_path / "talk.mkv", tmp_path / "clean.mkv"
    make(source, FULL)
    result = denoise_file(source, target, Denoiser(toy_model, strength=0.0, threads=1))
    assert result.status == "copied"
    for track in range(2):
        np.testing.assert_array_equal(samples(target, track), samples(source, track))


@pytest.mark.parametrize("start", [0.0, 0.3])
def test_the_residual_of_a_video_lies_on_its_first_track(
    tmp_path: Path, denoiser: Denoiser, start: float
) -> None:
    source, target = tmp_path / "talk.mp4", tmp_path / "clean.mp4"
    make(source, Recipe(video=True, start=start))
    result = denoise_file(source, target, denoiser, Options(residual=True))
    assert result.residual == tmp_path / "clean.residual.wav"
    x, y, removed = samples(source), samples(target), samples(result.residual)
    early = y.shape[1] - x.shape[1]
    assert early == (1024 if start else 0)
    np.testing.assert_allclose(y[:, early:] + removed, x, rtol=0, atol=1e-6)


def test_a_stretch_of_a_video_is_its_sound_alone(tmp_path: Path, denoiser: Denoiser) -> None:
    source, target, whole = tmp_path / "talk.mkv", tmp_path / "part.mka", tmp_path / "whole.mka"
    make(source, FULL)
    denoise_file(source, target, denoiser, Options(start_s=0.25, end_s=0.75))
    denoise_file(source, whole, denoiser)
    np.testing.assert_array_equal(samples(target), samples(whole)[:, 12_000:36_000])
    assert read_tags(target).chapters == ()
    assert read_tags(target).text["title"] == TEXTS["title"]


def test_a_recording_becomes_a_podcast_and_the_other_way(tmp_path: Path, denoiser: Denoiser) -> None:
    source = tmp_path / "talk.mp4"
    make(source, Recipe(tracks=2, video=True, texts=True))
    result = denoise_file(source, tmp_path / "clean.wav", denoiser)
    assert any("first of 2 audio tracks" in line for line in result.warnings)
    x, y = samples(source), samples(tmp_path / "clean.wav")
    assert x.shape == y.shape
    assert probe(tmp_path / "clean.wav").subtype == "PCM_16"
    denoise_file(tmp_path / "clean.wav", tmp_path / "again.m4a", denoiser)
    z = samples(tmp_path / "again.m4a")
    assert z.shape == y.shape
    assert lag(y[0], z[0]) == 0


def processed(source: Path, target: Path, denoiser: Denoiser) -> Result:
    return denoise_file(source, target, denoiser, Options(overwrite=True, tag=True, sidecar=True))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a", ".mkv"])
def test_tag_and_sidecar_tell_the_origin(tmp_path: Path, toy_folder: Path, suffix: str) -> None:
    source, target = tmp_path / "talk.wav", tmp_path / f"clean{suffix}"
    make(source, Recipe("wav", "pcm_s16le", texts=True))
    denoiser = Denoiser(toy_folder, steps=2, seed=5, threads=1, max_reduction_db=20.0)
    result = processed(source, target, denoiser)
    data = target.read_bytes()
    assert b"processed with audiodiff" in data
    assert b"(denoise, model toy)" in data
    assert nameless(data, tmp_path)
    told = read_sidecar(target)
    assert told is not None
    assert (told.task, told.seed, told.model.name) == ("denoise", 5, "toy")
    assert told.model.sha256 == denoiser.model.digest
    assert told.options == {
        "steps": 2,
        "strength": 1.0,
        "max_reduction_db": pytest.approx(20.0),
        "channels": "each",
        "runtime": "torch",
        "start_s": 0.0,
        "end_s": None,
    }
    for fact, path in ((told.input, source), (told.output, target)):
        assert fact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (fact.name, fact.seconds, fact.sample_rate, fact.channels) == (path.name, 1.0, 48_000, 1)
    assert told.warnings == result.warnings
    assert nameless(sidecar_path(target).read_bytes(), tmp_path)
    first = data, sidecar_path(target).read_bytes()
    processed(source, target, denoiser)
    assert (target.read_bytes(), sidecar_path(target).read_bytes()) == first


def nameless(data: bytes, folder: Path) -> bool:
    """Whether nothing tells where the files lie."""
    return str(folder).encode() not in data


def test_the_sidecar_is_there_before_the_output_has_its_name(
    tmp_path: Path, denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "talk.flac", tmp_path / "clean.flac"
    make(source, Recipe("flac", "flac"))
    seen = []

    sidecar = sidecar_path(target).name
    give_name = AtomicFile.name

    def naming(file: AtomicFile, path: Path, replace: bool) -> None:
        there = sorted(entry.name for entry in tmp_path.iterdir() if entry.suffix != ".part")
        seen.append((path.name, there))
        give_name(file, path, replace)

    monkeypatch.setattr(AtomicFile, "name", naming)
    denoise_file(source, target, denoiser, Options(sidecar=True))
    assert seen == [(sidecar, ["talk.flac"]), (target.name, [sidecar, "talk.flac"])]


def test_what_media_containers_cannot_hold_is_refused_before_the_work(tmp_path: Path) -> None:
    source = tmp_path / "talk.wav"
    soundfile.write(source, np.zeros((1000, 9)), 48_000)
    for name, code in (("a.m4a", "format"), ("a.aac", "format"), ("a.xyz", "format")):
        with pytest.raises(AudioFileError) as caught:
            check(source, tmp_path / name, Options())
        assert caught.value.code == code
        assert code in TARGET_CODES


def test_without_pyav_a_podcast_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, wave = tmp_path / "talk.m4a", tmp_path / "talk.wav"
    make(source, Recipe())
    soundfile.write(wave, np.zeros(1000), 48_000)

    def missing() -> None:
        raise AudioFileError(
            f"video, m4a, aac, amr and Ogg FLAC files need PyAV; {install_hint('media')}",
            code="missing_extra",
        )

    monkeypatch.setattr(av_library, "module", missing)
    monkeypatch.setattr("audiodiff.io.recording_copy.module", missing)
    for first, second in ((source, tmp_path / "a.wav"), (wave, tmp_path / "a.m4a")):
        with refused(AudioFileError, "missing_extra", install_hint("media")):
            check(first, second, Options())
