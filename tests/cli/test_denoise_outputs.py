"""Promise: outputs tell by default what made them; --lufs and a bare --preview do what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.batch.naming import sidecar_path
from audiodiff.batch.own import is_own
from audiodiff.batch.sidecar import provenance_line, read_sidecar
from audiodiff.cli import run
from audiodiff.cli.denoise import with_length
from audiodiff.extras import install_hint
from audiodiff.inference.engine import Samples
from audiodiff.io import tag_vorbis
from audiodiff.io.tags import read_tags
from tests.errors import refusal

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]


@pytest.fixture
def talk(tmp_path: Path, recording: Recording) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, recording(1.0, 16000, 2).T, 16000)
    return path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())


@pytest.mark.parametrize("extras", [True, False], ids=["with mutagen and av", "without"])
@pytest.mark.parametrize(
    "suffix", [".wav", ".rf64", ".w64", ".aiff", ".au", ".caf", ".flac", ".ogg", ".opus", ".mp3"]
)
def test_the_default_tells_what_made_it_and_is_quiet(
    tmp_path: Path,
    toy_folder: Path,
    recording: Recording,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    extras: bool,
) -> None:
    if not extras:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("mutagen", "av")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "mutagen", None)
        monkeypatch.setitem(sys.modules, "av", None)
        assert not tag_vorbis.available()
    source, target = tmp_path / f"talk{suffix}", tmp_path / f"out{suffix}"
    container = {".opus": "OGG", ".rf64": "RF64", ".ogg": "OGG"}.get(suffix)
    soundfile.write(
        source, recording(0.3, 48000).T, 48000, "OPUS" if suffix == ".opus" else None, format=container
    )
    assert run(["denoise", str(source), "-o", str(target), "-m", str(toy_folder), "-q"]) == 0
    assert capsys.readouterr() == (f"{target}\n", "")
    assert names(tmp_path) == sorted([source.name, target.name, f"{target.name}.audiodiff.json"])
    told = read_sidecar(target)
    assert told is not None
    assert (told.task, told.model.name, told.output.name) == ("denoise", "toy", target.name)
    line = provenance_line("denoise", "toy").encode()
    assert (line in target.read_bytes()) == (suffix not in (".w64", ".au"))
    assert is_own(target, "denoise")
    sidecar_path(target).unlink()
    assert is_own(target, "denoise") == (suffix not in (".w64", ".au"))
    assert not is_own(source, "denoise")


def test_both_can_be_left_out(talk: Path, toy_folder: Path) -> None:
    words = ["denoise", str(talk), "-m", str(toy_folder), "-q"]
    assert run([*words, "--no-sidecar", "-o", str(talk.with_name("a.wav"))]) == 0
    assert run([*words, "--no-tag", "-o", str(talk.with_name("b.wav"))]) == 0
    assert names(talk.parent) == ["a.wav", "b.wav", "b.wav.audiodiff.json", "talk.wav"]
    assert b"audiodiff" in talk.with_name("a.wav").read_bytes()
    assert b"audiodiff" not in talk.with_name("b.wav").read_bytes()
    assert read_tags(talk.with_name("b.wav")).text == {}


def test_an_old_sidecar_goes_and_other_files_stay(
    talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = talk.with_name("talk.denoised.wav")
    sidecar = talk.with_name("talk.denoised.wav.audiodiff.json")
    words = ["denoise", str(talk), "-m", str(toy_folder), "-q"]
    assert run(words) == 0
    first = sidecar.read_bytes()
    target.unlink()
    assert run(words) == 0
    assert sidecar.read_bytes() == first
    target.unlink()
    sidecar.write_text("notes of mine")
    capsys.readouterr()
    assert run(words) == 2
    err = capsys.readouterr().err
    assert "is no sidecar of audiodiff" in err
    assert len(err.splitlines()) == 1
    assert run([*words, "--dry-run"]) == 1
    assert sidecar.read_text() == "notes of mine"
    assert not target.exists()
    assert run([*words, "--no-sidecar"]) == 0
    assert run([*words, "--overwrite"]) == 0
    assert sidecar.read_bytes() == first


def test_an_input_by_the_name_of_a_sidecar_is_not_overwritten(
    talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = talk.rename(talk.with_name("out.wav.audiodiff.json"))
    before = odd.read_bytes()
    target = str(talk.with_name("out.wav"))
    words = ["denoise", str(odd), "-o", target, "-m", str(toy_folder), "--overwrite"]
    assert run(words) == 2
    assert target in capsys.readouterr().err
    assert refusal(*words)[:2] == (2, "same_file")
    assert odd.read_bytes() == before


def test_lufs(talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    pyloudnorm = pytest.importorskip("pyloudnorm")
    target = talk.with_name("out.wav")
    page = talk.with_name("page.html")
    words = ["denoise", str(talk), "-o", str(target), "-m", str(toy_folder), "-q"]
    assert run([*words, "--lufs", "-27", "--report", str(page)]) == 0
    assert capsys.readouterr() == (f"{target}\n", "")
    x, rate = soundfile.read(target)
    assert pyloudnorm.Meter(rate).integrated_loudness(x) == pytest.approx(-27, abs=0.2)
    assert "-27 LUFS, at most -1 dBTP" in page.read_text()
    assert run([*words, "--lufs", "-8", "--true-peak", "-3", "--overwrite"]) == 0
    err = capsys.readouterr().err
    assert "LU below -8 LUFS, as its true peak would pass -3 dBTP" in err
    assert len(err.splitlines()) == 1
    sidecar = json.loads(target.with_name("out.wav.audiodiff.json").read_text())
    assert (sidecar["options"]["lufs"], sidecar["options"]["true_peak"]) == (-8, -3)


def test_json_tells_the_gain(talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")

    def gains(*words: str) -> list[float]:
        common = ["--json", "-q", "-m", str(toy_folder), "--jobs", "1"]
        assert run(["denoise", str(talk), *words, *common]) == 0
        events = map(json.loads, capsys.readouterr().out.splitlines())
        return [event["gain_db"] for event in events if event["event"] == "file"]

    plain, loud, clean = talk.with_name("plain.wav"), talk.with_name("loud.wav"), talk.with_name("clean")
    assert gains("-o", str(plain)) == [0.0]
    [gain] = gains("-o", str(loud), "--lufs", "-27")
    x, y = soundfile.read(plain)[0], soundfile.read(loud)[0]
    np.testing.assert_allclose(y, x * 10 ** (gain / 20), atol=2**-14)
    assert abs(gain) > 1
    batch = [str(loud), "-o", str(clean), "--lufs", "-27"]
    assert gains(*batch) == gains(*batch)  # what was done before tells it too


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--true-peak", "-2"], "--lufs"),
        (["--lufs", "-16", "--residual"], "--residual and --lufs"),
        (["--lufs", "3"], "'--lufs'"),
        (["--lufs", "-16", "--true-peak", "1"], "'--true-peak'"),
    ],
)
def test_what_contradicts_is_refused(
    talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert run(["denoise", str(talk), "-m", str(toy_folder), *words]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1
    assert names(talk.parent) == ["talk.wav"]


def test_lufs_without_the_extra_names_it(
    talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert run(["denoise", str(talk), "-m", str(toy_folder), "--lufs", "-16"]) == 2
    assert install_hint("media") in capsys.readouterr().err
    assert names(talk.parent) == ["talk.wav"]


@pytest.mark.parametrize("place", ["before", "after", "between"])
def test_a_bare_preview_is_20_seconds(
    tmp_path: Path, toy_folder: Path, recording: Recording, place: str
) -> None:
    talk = tmp_path / "talk.wav"
    soundfile.write(talk, recording(21.0, 8000).T, 8000)
    others = ["-m", str(toy_folder), "-q"]
    words = {
        "before": ["--preview", str(talk), *others],
        "after": [str(talk), *others, "--preview"],
        "between": [str(talk), "--preview", *others],
    }[place]
    assert run(["denoise", *words]) == 0
    assert soundfile.info(tmp_path / "talk.denoised.preview.wav").frames == 20 * 8000


@pytest.mark.parametrize("value", ["5", "5s", "1:30", "20@1:30", "20@0", "0.1@0.2"])
def test_a_length_that_was_given_stays(value: str) -> None:
    words = ["--preview", value, "talk.wav"]
    assert with_length(words) == words
    assert with_length(["--", "--preview"]) == ["--", "--preview"]


@given(st.lists(st.sampled_from(["a.wav", "-q", "--start", "1", "--", "-o"])))
def test_other_words_stay(words: list[str]) -> None:
    assert with_length(words) == words


@pytest.mark.parametrize("words", [("--format", "mp3"), ("--format", "mp3", "--bitrate", "64k")])
def test_a_format_names_the_output(talk: Path, toy_folder: Path, words: tuple[str, ...]) -> None:
    assert run(["denoise", str(talk), "-m", str(toy_folder), "-q", "--no-sidecar", *words]) == 0
    assert names(talk.parent) == ["talk.denoised.mp3", "talk.wav"]
    (talk.parent / "out").mkdir()
    assert (
        run(["denoise", str(talk), "-m", str(toy_folder), "-q", "-o", str(talk.parent / "out"), *words]) == 0
    )
    target = talk.parent / "out" / "talk.mp3"
    assert soundfile.info(target).format == "MP3"
    assert target.read_bytes() == (talk.parent / "talk.denoised.mp3").read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "out.ogg", "--format", "mp3"),
        ("-o", "out.wav", "--bitrate", "128k"),
        ("--bitrate", "128k"),
        ("--format", "flac", "--bitrate", "128k"),
        ("--format", "mp3", "--bitrate", "900k"),
        ("--format", "mp3", "--bitrate", "soon"),
    ],
)
def test_what_contradicts_the_format_is_refused_in_a_line(
    talk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(talk.parent)
    assert run(["denoise", str(talk), *words]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert names(talk.parent) == ["talk.wav"]
