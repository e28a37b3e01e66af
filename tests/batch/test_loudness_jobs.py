"""Promise: --lufs brings a file to its loudness by one gain, below the ceiling, and tells when it cannot."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.batch.batch_spec import Item, JobSpec, run_one
from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.errors import AudioFileError, ConfigError
from audiodiff.inference.engine import Samples
from audiodiff.io.loudness import Target
from audiodiff.io.reader import read, read_blocks
from audiodiff.model.model import Model
from tests.errors import refused

pytest.importorskip("av", reason="PyAV, the extra [media], is not installed")

from tests.io import containers

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]
MakeSpec = Callable[..., JobSpec]


@pytest.fixture(scope="module")
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model, steps=1)


def write(path: Path, x: npt.NDArray[np.floating], rate: int = 16000, subtype: str | None = None) -> Path:
    soundfile.write(path, x.T, rate, subtype)
    return path


def lufs(path: Path) -> float:
    x, rate = soundfile.read(path)
    return float(pyloudnorm.Meter(rate).integrated_loudness(x))


@pytest.mark.parametrize(("name", "rate", "channels"), [("a.wav", 48000, 2), ("a.flac", 44100, 1)])
def test_it_is_the_cleaned_file_by_one_gain(
    tmp_path: Path, denoiser: Denoiser, recording: Recording, name: str, rate: int, channels: int
) -> None:
    source = write(tmp_path / name, recording(3.0, rate, channels), rate, "PCM_24")
    plain, level = tmp_path / f"plain_{name}", tmp_path / f"level_{name}"
    denoise_file(source, plain, denoiser)
    result = denoise_file(source, level, denoiser, Options(loudness=Target(-31.0), sidecar=True))
    assert (result.status, result.warnings) == ("done", ())
    assert lufs(level) == pytest.approx(-31.0, abs=0.1)
    assert result.gain_db == pytest.approx(-31.0 - lufs(plain), abs=0.1)
    x, y = read(plain)[0], read(level)[0]
    np.testing.assert_allclose(y, x * 10 ** (result.gain_db / 20), atol=2**-22)
    told = read_sidecar(level)
    assert told is not None
    assert told.options["lufs"] == -31.0
    assert told.options["true_peak"] == -1.0
    (track,) = told.loudness
    assert track.lufs == pytest.approx(lufs(plain), abs=0.1)
    assert track.gain_db == pytest.approx(result.gain_db, abs=1e-3)


def test_the_ceiling_holds_and_what_is_missing_is_told(
    tmp_path: Path, denoiser: Denoiser, recording: Recording
) -> None:
    x = recording(3.0, 48000, 2, peak=0.1)
    x[:, 20000] = 0.9  # one click
    source = write(tmp_path / "a.wav", x, 48000, "PCM_24")
    target = tmp_path / "b.wav"
    result = denoise_file(source, target, denoiser, Options(loudness=Target(-10.0, -2.0), sidecar=True))
    found = lufs(target)
    assert found < -11
    (line,) = result.warnings
    stays = re.fullmatch(r".*: stays (.*) LU below -10 LUFS, as its true peak would pass -2 dBTP", line)
    assert stays is not None
    assert float(stays[1]) == pytest.approx(-10 - found, abs=0.1)
    told = read_sidecar(target)
    assert told is not None
    assert told.warnings == (line.removeprefix(f"{tmp_path}/"),)
    # the peak between the samples is at the ceiling, so the samples are at most there
    assert told.loudness[0].true_peak_db is not None
    assert told.loudness[0].true_peak_db + result.gain_db == pytest.approx(-2.0, abs=0.01)
    assert np.abs(read(target)[0]).max() <= 10 ** (-2 / 20) * 1.0001


def test_strength_0_changes_the_level_alone(tmp_path: Path, toy_model: Model, recording: Recording) -> None:
    x = recording(2.0, 48000, 2)
    source = write(tmp_path / "a.wav", x, 48000, "FLOAT")
    target = tmp_path / "b.wav"
    result = denoise_file(source, target, Denoiser(toy_model, strength=0), Options(loudness=Target(-30.0)))
    assert result.status == "done"
    assert lufs(target) == pytest.approx(-30, abs=0.1)
    np.testing.assert_allclose(read(target)[0], x * 10 ** (result.gain_db / 20), rtol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "DOUBLE"])
def test_silence_is_left_as_it_is_and_told(tmp_path: Path, denoiser: Denoiser, subtype: str) -> None:
    x = 1e-5 * np.random.default_rng(0).standard_normal((2, 16000))
    source = write(tmp_path / "a.wav", x, subtype=subtype)
    target = tmp_path / "b.wav"
    result = denoise_file(source, target, denoiser, Options(loudness=Target(-16.0)))
    assert (result.status, result.gain_db) == ("copied", 0.0)
    assert result.warnings[-1] == (
        f"{source}: is silent or shorter than 0.4 s, so its loudness was left as it is"
    )
    np.testing.assert_array_equal(read(target, "float64")[0], read(source, "float64")[0])


def test_every_track_of_a_film_has_its_own_gain(
    tmp_path: Path, toy_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    tone = containers.tone

    def quieter(seconds: float, channels: int, rate: int, number: int) -> Samples:
        return tone(seconds, channels, rate, number) * np.float32(0.1 if number else 0.9)

    monkeypatch.setattr(containers, "tone", quieter)
    recipe = containers.Recipe("matroska", "flac", tracks=2, channels=2, seconds=2.0, video=True)
    containers.make(source, recipe)
    plain = Denoiser(toy_model, strength=0)
    options = Options(loudness=Target(-25.0), sidecar=True)
    assert denoise_file(source, target, plain, options).warnings == ()
    told = read_sidecar(target)
    assert told is not None
    for track, fact in enumerate(told.loudness):
        blocks = [np.concatenate(list(read_blocks(path, track=track)), axis=1) for path in (source, target)]
        before, after = (pyloudnorm.Meter(48000).integrated_loudness(block.T) for block in blocks)
        assert after == pytest.approx(-25.0, abs=0.1)
        assert fact.gain_db == pytest.approx(-25.0 - before, abs=0.1)
    assert told.loudness[1].gain_db > told.loudness[0].gain_db + 10


def test_a_residual_beside_another_level_is_refused() -> None:
    with refused(ConfigError, "config", "--residual", "--lufs"):
        Options(residual=True, loudness=Target(-16.0))


def test_a_full_temporary_folder_is_one_line(
    tmp_path: Path, denoiser: Denoiser, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, rows: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audiodiff.io.disk_buffer.DiskBuffer.write", full)
    source = write(tmp_path / "a.wav", recording())
    with refused(AudioFileError, "no_space", "TMPDIR"):
        denoise_file(source, tmp_path / "b.wav", denoiser, Options(loudness=Target(-16.0)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_batch_remembers_target_and_gain(shows: Path, make_spec: MakeSpec) -> None:
    item = Item(shows / "a.wav", shows / "out.wav", "a.wav")
    spec = make_spec(options=Options(loudness=Target(-27.0)))
    done, again = run_one(spec, item), run_one(spec, item)
    assert (done.status, again.status) == ("done", "skipped")
    assert done.gain_db == again.gain_db != 0.0
    other = run_one(make_spec(options=Options(loudness=Target(-27.0, -3.0))), item)
    assert other.fault is not None
    assert other.fault.code == "exists"
