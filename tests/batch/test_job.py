"""Promise: a job gives a whole file of the input's length and format, or one clear line and no file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.batch.denoise_task import DenoiseSettings, check, denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import default_target, sidecar_path
from audiodiff.batch.plan import plan
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.errors import AudioFileError
from audiodiff.inference.engine import Samples
from audiodiff.model.model import Model
from tests.errors import refused

Recording = Callable[..., Samples]


@pytest.fixture(scope="module")
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model, steps=1)


def write(path: Path, x: npt.NDArray[np.floating], rate: int = 16000, subtype: str | None = None) -> Path:
    soundfile.write(path, x.T, rate, subtype)
    return path


def state(folder: Path) -> dict[str, str]:
    """Every file of a folder with its hash."""
    return {
        entry.name: hashlib.sha256(entry.read_bytes()).hexdigest()
        for entry in folder.iterdir()
        if entry.is_file()
    }


@pytest.mark.parametrize(
    ("container", "suffix", "written"),
    [
        ("WAV", ".wave", ".wave"),
        ("WAV", ".bwf", ".wav"),
        ("NIST", ".sph", ".wav"),
        ("NIST", ".nist", ".wav"),
        ("VOC", ".voc", ".wav"),
        ("AU", ".snd", ".au"),
        ("MP3", ".mpga", ".mp3"),
    ],
)
def test_what_is_read_is_found_and_written(
    tmp_path: Path, denoiser: Denoiser, recording: Recording, container: str, suffix: str, written: str
) -> None:
    source = tmp_path / "shows" / f"talk{suffix}"
    source.parent.mkdir()
    soundfile.write(source, recording(0.3, 16000).T, 16000, format=container)
    [item] = plan([source.parent], tmp_path / "clean", Options(), DenoiseSettings()).items
    assert (item.source, item.target) == (source, tmp_path / "clean" / f"talk{written}")
    assert denoise_file(item.source, item.target, denoiser).status == "done"
    assert soundfile.info(item.target).frames == 4800


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "channels"),
    [
        ("talk.wav", "PCM_16", 44100, 2),
        ("talk.wav", "PCM_U8", 8000, 1),
        ("talk.wav", "FLOAT", 16000, 6),
        ("talk.flac", "PCM_24", 96000, 1),
        ("talk.aiff", "PCM_16", 22050, 2),
        ("talk.caf", "PCM_24", 44100, 2),
        ("talk.caf", "ALAC_16", 48000, 1),
        ("talk.mp3", "MPEG_LAYER_III", 44100, 2),
        ("talk.ogg", "VORBIS", 48000, 1),
        ("talk.opus", "OPUS", 48000, 2),
    ],
)
def test_length_and_format_stay(
    tmp_path: Path,
    denoiser: Denoiser,
    recording: Recording,
    name: str,
    subtype: str,
    rate: int,
    channels: int,
) -> None:
    source = tmp_path / name
    container = {".opus": "OGG"}.get(source.suffix)
    soundfile.write(source, recording(0.7, rate, channels).T, rate, subtype, format=container)
    before = state(tmp_path)
    seen: list[tuple[float, float]] = []
    target = default_target(source)
    assert target.name == f"talk.denoised{source.suffix}"
    result = denoise_file(source, target, denoiser, progress=lambda done, total: seen.append((done, total)))
    old, new = soundfile.info(source), soundfile.info(target)
    for key in ("frames", "samplerate", "channels", "format", "subtype"):
        assert getattr(new, key) == getattr(old, key), key
    assert result.status == "done"
    assert result.warnings == ()
    assert result.seconds == pytest.approx(0.7, abs=1e-3)
    assert seen[-1] == pytest.approx((result.seconds, result.seconds), abs=1e-3)
    after = state(tmp_path)
    assert after.pop(target.name) != before[name]
    assert after == before  # the input and nothing else


def test_it_is_what_the_array_gives(tmp_path: Path, denoiser: Denoiser, recording: Recording) -> None:
    x = recording(9.0, 44100, channels=2)
    source = write(tmp_path / "a.wav", x, 44100, "FLOAT")
    denoise_file(source, tmp_path / "b.wav", denoiser)
    result, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    np.testing.assert_array_equal(result, denoiser.denoise(x.T, 44100))


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [(".wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
    + [(".flac", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")]
    + [(".aiff", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
    + [(".caf", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_24")],
)
def test_strength_0_is_bit_exact(
    tmp_path: Path, toy_model: Model, recording: Recording, suffix: str, subtype: str
) -> None:
    source = write(tmp_path / f"a{suffix}", recording(channels=2), 44100, subtype)
    target = tmp_path / f"b{suffix}"
    result = denoise_file(source, target, Denoiser(toy_model, strength=0))
    assert result.status == "copied"
    stereo = {"ALAC_24": "PCM_24"}  # libsndfile writes ALAC safely in mono alone
    assert soundfile.info(target).subtype == stereo.get(subtype, subtype)
    for dtype in ("int32", "float64"):
        old, _ = soundfile.read(source, dtype=dtype)
        new, _ = soundfile.read(target, dtype=dtype)
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("level", [0.0, 10 ** (-80 / 20)])
def test_silence_and_hiss_too_faint_to_be_speech(tmp_path: Path, denoiser: Denoiser, level: float) -> None:
    x = level * np.random.default_rng(0).standard_normal((2, 5000))
    source = write(tmp_path / "a.wav", x, subtype="PCM_24")
    result = denoise_file(source, tmp_path / "b.wav", denoiser)
    assert result.status == "copied"
    assert result.warnings == (f"{source}: holds nothing above -70 dBFS; its samples were copied",)
    old, _ = soundfile.read(source, dtype="int32")
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav", dtype="int32")[0], old)


def test_another_container(tmp_path: Path, denoiser: Denoiser, recording: Recording) -> None:
    source = write(tmp_path / "a.wav", recording(), subtype="PCM_16")
    denoise_file(source, tmp_path / "b.flac", denoiser)
    assert soundfile.info(tmp_path / "b.flac").format == "FLAC"


@pytest.mark.parametrize("n", [1, 2, 63, 64, 129])
def test_very_short_files(tmp_path: Path, denoiser: Denoiser, n: int) -> None:
    source = write(tmp_path / "a.wav", np.full((1, n), 0.1), 48000)
    denoise_file(source, tmp_path / "b.wav", denoiser)
    assert soundfile.info(tmp_path / "b.wav").frames == n


def test_a_truncated_file_is_processed_with_a_warning(
    tmp_path: Path, denoiser: Denoiser, recording: Recording
) -> None:
    source = write(tmp_path / "a.wav", recording())
    source.write_bytes(source.read_bytes()[:20_044])
    result = denoise_file(source, tmp_path / "b.wav", denoiser)
    assert "cut short" in result.warnings[0]
    assert soundfile.info(tmp_path / "b.wav").frames == 10_000


def test_clipping_is_counted(tmp_path: Path, denoiser: Denoiser, recording: Recording) -> None:
    source = write(tmp_path / "a.wav", 3.0 * recording(), subtype="FLOAT")
    result = denoise_file(source, tmp_path / "b.flac", denoiser)
    assert len(result.warnings) == 0
    source = write(tmp_path / "a.wav", 30.0 * recording(), subtype="FLOAT")
    result = denoise_file(source, tmp_path / "c.flac", denoiser)
    assert "beyond full scale" in result.warnings[0]


def _nothing(folder: Path) -> None:
    pass


def _nan(folder: Path) -> None:
    x = np.full((8000, 1), 0.1)
    x[6000] = np.nan
    soundfile.write(folder / "a.wav", x, 16000, "FLOAT")


@pytest.mark.parametrize(
    ("make", "code", "line"),
    [
        (lambda folder: (folder / "a.wav").touch(), "empty", "0 bytes"),
        (
            lambda folder: (folder / "a.wav").write_text("hello " * 50),
            "unreadable",
            "wav, flac, ogg",
        ),
        (lambda folder: (folder / "a.wav").mkdir(), "unreadable", "regular file"),
        (_nothing, "unreadable", "No such file"),
        (lambda folder: os.mkfifo(folder / "a.wav"), "unreadable", "pipe"),
        (lambda folder: write(folder / "a.wav", np.zeros((1, 0))), "empty", "samples"),
        (_nan, "nonfinite", "0.375 s"),
    ],
)
def test_bad_input_is_one_line_and_no_file(
    tmp_path: Path, denoiser: Denoiser, make: Callable[[Path], object], code: str, line: str
) -> None:
    make(tmp_path)
    before = state(tmp_path) if code != "unreadable" or not (tmp_path / "a.wav").is_fifo() else {}
    with refused(AudioFileError, code, tmp_path / "a.wav", line):
        denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", denoiser)
    assert (state(tmp_path) if before else {}) == before


def test_the_input_is_never_the_target(tmp_path: Path, denoiser: Denoiser, recording: Recording) -> None:
    source = write(tmp_path / "a.wav", recording())
    (tmp_path / "soft.wav").symlink_to(source)
    (tmp_path / "hard.wav").hardlink_to(source)
    before = state(tmp_path)
    targets = [source, tmp_path / "soft.wav", tmp_path / "hard.wav", tmp_path / "." / "a.wav"]
    for target in targets:
        with refused(AudioFileError, "same_file", target):
            denoise_file(source, target, denoiser, Options(overwrite=True))
    assert state(tmp_path) == before


def test_targets_that_are_refused(tmp_path: Path, recording: Recording) -> None:
    source = write(tmp_path / "a.wav", recording(channels=6))
    (tmp_path / "folder.wav").mkdir()
    taken = write(tmp_path / "taken.wav", recording())
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere")
    cases = [
        (taken, "exists", "--overwrite"),
        (tmp_path / "dangling.wav", "exists", "--overwrite"),
        (tmp_path / "folder.wav", "exists", "folder.wav"),
        (taken / "b.wav", "unwritable", "taken.wav"),
        (taken / "no" / "b.wav", "unwritable", "taken.wav"),
        (tmp_path / "b.mp3", "format", "2 channels"),
        (tmp_path / "b.docx", "format", ".docx"),
    ]
    for target, code, line in cases:
        with refused(AudioFileError, code, line):
            check(source, target, Options())
    assert check(source, taken, Options(overwrite=True)).channels == 6
    assert check(source, tmp_path / "no" / "new" / "b.wav", Options()).channels == 6
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(tmp_path: Path, recording: Recording) -> None:
    source = write(tmp_path / "a.wav", recording())
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with refused(AudioFileError, "unwritable"):
        check(source, locked / "b.wav", Options())


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which not even root may write")
def test_a_folder_in_which_not_even_root_may_write(
    tmp_path: Path, denoiser: Denoiser, recording: Recording
) -> None:
    source = write(tmp_path / "a.wav", recording())
    before = state(tmp_path)
    with refused(AudioFileError, "unwritable"):
        denoise_file(source, Path("/proc/b.wav"), denoiser)
    assert state(tmp_path) == before


def test_a_change_of_the_input_is_noticed(tmp_path: Path, denoiser: Denoiser, recording: Recording) -> None:
    source = write(tmp_path / "a.wav", recording())

    def touch(done: float, total: float) -> None:
        os.utime(source, ns=(1, 1))

    with refused(AudioFileError, "changed", source):
        denoise_file(source, tmp_path / "b.wav", denoiser, progress=touch)
    assert list(tmp_path.iterdir()) == [source]


def test_overwriting_replaces_only_at_the_end(
    tmp_path: Path, denoiser: Denoiser, recording: Recording
) -> None:
    source = write(tmp_path / "a.wav", recording())
    target = write(tmp_path / "b.wav", recording())
    old = target.read_bytes()

    def fail(done: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise_file(source, target, denoiser, Options(overwrite=True), progress=fail)
    assert target.read_bytes() == old
    denoise_file(source, target, denoiser, Options(overwrite=True))
    assert target.read_bytes() != old


def test_names_of_all_sorts(tmp_path: Path, denoiser: Denoiser, recording: Recording) -> None:
    content = write(tmp_path / "a.wav", recording(0.1)).read_bytes()
    for name in ("-o.wav", "ä 🎙.wav", "a\nb.wav", os.fsdecode(b"caf\xe9.wav"), "x" * 251 + ".wav"):
        source = tmp_path / name
        source.write_bytes(content)
        target = tmp_path / "out.wav"
        result = denoise_file(source, target, denoiser, Options(overwrite=True))
        assert (result.source, result.status) == (source, "done")
        assert soundfile.info(target).frames == soundfile.info(tmp_path / "a.wav").frames
        assert source.read_bytes() == content


def test_default_targets(tmp_path: Path) -> None:
    assert default_target(Path("a/talk.v2.flac")) == Path("a/talk.v2.denoised.flac")
    assert default_target(Path("a/talk.AAC"), ".preview") == Path("a/talk.preview.m4a")


def test_a_sidecar_names_files_without_their_folders(
    tmp_path: Path, denoiser: Denoiser, recording: Recording
) -> None:
    told, warned = [], []
    talk = write(tmp_path / "talk.wav", recording(0.5, 16000, peak=6.0), subtype="FLOAT")
    os.truncate(talk, 20_000)
    for folder in (tmp_path / "one", tmp_path / "another"):
        folder.mkdir()
        source = folder / "talk.wav"
        source.write_bytes(talk.read_bytes())
        result = denoise_file(source, folder / "clean.flac", denoiser, Options(sidecar=True))
        told.append(sidecar_path(result.target).read_bytes())
        warned.append([line.split(": ")[0] for line in result.warnings])
    assert told[0] == told[1]
    assert str(tmp_path).encode() not in told[0]
    paths = [str(tmp_path / "one" / name) for name in ("talk.wav", "clean.flac")]
    assert set(warned[0]) == set(paths)  # people are told where the file is
    sidecar = read_sidecar(tmp_path / "one" / "clean.flac")
    assert sidecar is not None
    assert [line.split(": ")[0] for line in sidecar.warnings] == [Path(path).name for path in warned[0]]
