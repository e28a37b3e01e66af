"""Promise: --report tells of every recording of a run, good or bad, and is refused before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.job_options import Options, Result
from audiodiff.cli import run
from audiodiff.cli._common import Stopped
from audiodiff.cli._printer import Printer
from audiodiff.cli._report import reported
from audiodiff.cli._runner import Command
from audiodiff.inference.engine import Samples
from tests.errors import USAGE, refusal

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]


@pytest.fixture
def shows(tmp_path: Path, recording: Recording) -> Path:
    folder = tmp_path / "shows"
    folder.mkdir()
    soundfile.write(folder / "a.wav", recording(0.5, 16000, 2).T, 16000)
    soundfile.write(folder / "b.flac", recording(0.4, 22050).T, 22050)
    (folder / "c.wav").touch()
    return folder


def test_one_recording(shows: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = shows.parent / "pages" / "r.html"
    words = ["denoise", str(shows / "a.wav"), "-m", str(toy_folder), "--seed", "7", "--preview", "0.3@0.1"]
    assert run([*words, "--report", str(page)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{shows / 'a.denoised.preview.wav'}\n"
    assert f"audiodiff: report: {page}" in err
    text = page.read_text()
    for word in ("a.wav", "toy", "CC0-1.0", "0.1 s", "balanced", "data:audio/"):
        assert word in text


def test_a_folder_with_a_bad_one_and_again(
    shows: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = shows.parent / "clean"
    page = clean / "r.html"
    words = ["denoise", str(shows), "-o", str(clean), "-m", str(toy_folder), "--jobs", "1", "--json", "-q"]
    words += ["--report", str(page)]
    assert run(words) == 1
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()].count("file") == 3
    text = page.read_text()
    assert text.index("a.wav") < text.index("b.flac") < text.index("c.wav")
    assert "the file is empty" in text
    assert refusal(*words)[:2] == (2, "exists")
    (shows / "c.wav").unlink()
    page.unlink()
    assert run(words) == 0
    assert "skipped" in page.read_text()


def test_flags_are_in_the_records_and_on_the_terminal(
    shows: Path, toy_folder: Path, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    (shows / "c.wav").unlink()
    loud = (40 * recording(0.5, 16000).T).clip(-1, 1)
    for folder in ("mon", "tue"):
        (shows / folder).mkdir()
        soundfile.write(shows / folder / "loud.wav", loud, 16000)
    words = ["denoise", str(shows), "-o", str(shows.parent / "clean"), "-m", str(toy_folder), "--jobs", "1"]
    page = shows.parent / "r.html"
    assert run([*words, "--json", "--report", str(page)]) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    files = {Path(e["in"]).relative_to(shows).as_posix(): e for e in events if e["event"] == "file"}
    reviews = {Path(e["in"]).relative_to(shows).as_posix(): e for e in events if e["event"] == "review"}
    assert set(files) == set(reviews) == {"a.wav", "b.flac", "mon/loud.wav", "tue/loud.wav"}
    for name, event in files.items():
        loud_one = name.endswith("loud.wav")
        assert event["flags"] == (["clipped_input"] if loud_one else [])
        assert ("clipped_input" in [flag["code"] for flag in reviews[name]["flags"]]) == loud_one
        assert all(flag["message"] for flag in reviews[name]["flags"])
        assert reviews[name]["out"] == event["out"]
        assert reviews[name]["places"] >= 0
    (line,) = [line for line in err.splitlines() if "your ears" in line]
    assert "mon/loud.wav (" in line
    assert "tue/loud.wav (" in line
    words[words.index(str(shows.parent / "clean"))] = str(shows.parent / "again")
    assert run(words) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "your ears" in line]
    assert line.startswith("audiodiff: 2 recordings want")


def test_samples_that_differ_are_counted(shows: Path, toy_folder: Path) -> None:
    page = shows.parent / "r.html"
    words = ["denoise", str(shows / "a.wav"), "-m", str(toy_folder), "-q", "--report", str(page)]
    assert run([*words, "--report-seeds", "2"]) == 0
    assert "2 samples" in page.read_text()


@pytest.mark.parametrize(
    ("words", "code", "value"),
    [
        (["--report", "page.wav"], "config", ".html"),
        (["--report-seeds", "2"], "config", "--report PAGE.html"),
        (["--report", "there.html"], "exists", "there.html"),
        (["--report", "a.wav/r.html"], "unwritable", "a.wav"),
        (["--report", "r.html", "-o", "-"], "config", "--report"),
        (["--report", "r.html", "--report-seeds", "1"], USAGE, "--report-seeds"),
    ],
)
def test_refused_before_any_work(
    shows: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: str,
    value: str,
) -> None:
    monkeypatch.chdir(shows)
    (shows / "there.html").touch()
    before = sorted(shows.iterdir())
    words = ["denoise", "a.wav", "-m", "no-such-model", *words]
    assert refusal(*words)[:2] == (2, code)
    assert run(words) == 2
    assert value in capsys.readouterr().err
    assert sorted(shows.iterdir()) == before


def test_a_dry_run_writes_no_page(shows: Path, toy_folder: Path) -> None:
    words = ["denoise", str(shows / "a.wav"), "-m", str(toy_folder), "--dry-run"]
    assert run([*words, "--report", str(shows / "r.html")]) == 0
    assert not (shows / "r.html").exists()


@pytest.mark.parametrize(("ending", "there"), [(Stopped("ended", 130), True), (KeyboardInterrupt(), False)])
def test_a_batch_that_was_ended_still_has_its_page(
    shows: Path, toy_folder: Path, ending: BaseException, there: bool
) -> None:
    page, printer = shows / "r.html", Printer(as_json=False, quiet=True)
    source = shows / "a.wav"
    printer.result(Result(source, source, "copied", seconds=0.5))
    command = Command(DenoiseSettings(strength=0.5), str(toy_folder), Options())
    run_of_it = reported(page, 1000, command, printer)
    with pytest.raises(type(ending)), run_of_it:
        raise ending
    assert page.exists() == there
    if there:
        assert "1000 samples" not in page.read_text()
        assert "Strength" in page.read_text()
