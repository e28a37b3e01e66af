"""Promise: one command cleans one file; what goes wrong is one line, an exit code, and no partial file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

import audiodiff
from audiodiff.cli import _common, run
from audiodiff.inference.engine import Samples
from tests.cli import waiting
from tests.errors import SYSTEM, USAGE, refusal

pytestmark = pytest.mark.slow

INPUT_CODES = {"unreadable", "empty", "nonfinite", "range", "too_long"}

Recording = Callable[..., Samples]


@pytest.fixture
def talk(tmp_path: Path, recording: Recording) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, recording(1.0, 16000, 2).T, 16000)
    return path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())


def test_the_default(talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = talk.read_bytes()
    assert run(["denoise", str(talk), "-m", str(toy_folder)]) == 0
    out, err = capsys.readouterr()
    target = talk.with_name("talk.denoised.wav")
    assert out == f"{target}\n"
    assert err.startswith("1.0 s of audio in ")
    assert len(err.splitlines()) == 1
    assert talk.read_bytes() == before
    assert soundfile.info(target).frames == soundfile.info(talk).frames


def test_options_reach_the_denoiser(
    talk: Path, toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--steps 3 --strength 0.5 --seed 7 --device cpu --threads 1 -q".split()
    target = tmp_path / "clean.wav"
    assert run(["denoise", str(talk), "-o", str(target), "-m", str(toy_folder), *options]) == 0
    assert capsys.readouterr() == (f"{target}\n", "")
    x, rate = soundfile.read(talk, dtype="float32")
    denoiser = audiodiff.Denoiser(toy_folder, steps=3, strength=0.5, seed=7, device="cpu", threads=1)
    result, _ = soundfile.read(target, dtype="float32")
    np.testing.assert_allclose(result, denoiser.denoise(x, rate), atol=2**-16)


def test_a_folder_as_output(talk: Path, toy_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    assert run(["denoise", str(talk), "-o", str(tmp_path / "clean"), "-m", str(toy_folder)]) == 0
    assert names(tmp_path / "clean") == ["talk.wav", "talk.wav.audiodiff.json"]


def test_overwrite(talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["denoise", str(talk), "-m", str(toy_folder), "-q"]
    assert run(words) == 0
    capsys.readouterr()
    assert run(words) == 2
    assert str(talk.with_name("talk.denoised.wav")) in capsys.readouterr().err
    assert refusal(*words)[:2] == (2, "exists")
    assert run([*words, "--overwrite"]) == 0


def test_warnings_are_lines(talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk.write_bytes(talk.read_bytes()[:30_044])
    assert run(["denoise", str(talk), "-m", str(toy_folder), "-q"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("audiodiff: warning: ")
    assert "cut short" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_truncated_files_are_one_line(
    tmp_path: Path, toy_folder: Path, recording: Recording, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = tmp_path / f"talk{suffix}"
    soundfile.write(talk, recording(3.0, 16000).T, 16000)
    talk.write_bytes(talk.read_bytes()[: talk.stat().st_size // 2])
    before = talk.read_bytes()
    assert run(["denoise", str(talk), "-m", str(toy_folder), "-q"]) == 0
    target = talk.with_name(f"talk.denoised{suffix}")
    out, err = capsys.readouterr()
    assert out == f"{target}\n"
    assert len(err.splitlines()) == 1
    assert f"{talk}: cut short" in err
    assert f"the {soundfile.info(target).frames} samples there were used" in err
    assert talk.read_bytes() == before
    assert names(tmp_path) == sorted([talk.name, target.name, f"{target.name}.audiodiff.json"])


@pytest.mark.parametrize(
    ("words", "code", "value"),
    [
        (["denoise"], USAGE, "INPUT"),
        (["denoise", "{talk}", "--stps", "3"], USAGE, "--steps"),
        (["denoise", "{talk}", "--steps", "0"], USAGE, "'--steps'"),
        (["denoise", "{talk}", "--strength", "2"], USAGE, "'--strength'"),
        (["denoise", "{talk}", "--seed", "-1"], USAGE, "'--seed'"),
        (["denoise", "{talk}", "-m", "podcats"], "missing", "'podcats'"),
        (["denoise", "{talk}", "-m", "{toy}", "--device", "tpu"], "config", "'tpu'"),
        (["denoise", "{talk}", "-o", "{talk}", "--overwrite"], "same_file", "{talk}"),
        (["denoise", "{talk}", "-o", "{talk}/b.wav"], "unwritable", "{talk}"),
        (["denoise", "{talk}", "-o", "{talk}/"], "unwritable", "{talk}"),
        (["denoise", "{talk}", "-o", "{folder}/b.xyz"], "format", "'.xyz'"),
        (["denoise", "{talk}", "-o", "{folder}/" + 300 * "x" + ".wav"], SYSTEM, "{folder}/xxx"),
        (["denoise", "{folder}/none.wav"], "unreadable", "none.wav"),
        (["denoise", "{folder}/models"], "no_input", "models"),
        (["denoise", "{folder}/no*.wav"], "no_input", "no*.wav"),
        (["denoise", "{folder}", "-o", "{talk}"], "unwritable", "{talk}"),
        (["denoise", "{folder}", "-o", "{folder}"], "same_file", "{folder}"),
        (["denoise", "{talk}", "--quality", "good"], USAGE, "'--quality'"),
        (["denoise", "{talk}", "--max-reduction", "-3"], USAGE, "'--max-reduction'"),
        (["denoise", "{talk}", "--channels", "both"], USAGE, "'--channels'"),
        (["denoise", "{talk}", "--start", "soon"], "config", "--start 'soon'"),
        (["denoise", "{talk}", "--start", "2", "--end", "1"], "config", "2 s"),
        (["denoise", "{talk}", "--start", "100", "-m", "{toy}"], "range", "100 s"),
        (["denoise", "{talk}", "--preview", "5", "--end", "3"], "config", "--start and --end"),
        (["denoise", "{talk}", "--shard", "3/2"], "config", "'3/2'"),
        (["denoise", "{talk}", "--shard", ""], "config", "--shard"),
        (["denoise", "{talk}", "--overwrite", "--skip-existing"], "config", "--skip-existing"),
        (["denoise", "{talk}", "{folder}", "-o", "-"], "config", "pipe"),
        (["denoise", "{talk}", "-o", "-", "--json"], "config", "--json"),
        (["denoise", "{talk}", "--max-hours", "0.0001", "-m", "{toy}"], "too_long", "0.0001 hours"),
        (["denoise", "{folder}/empty.wav"], "empty", "empty.wav"),
        (["denoise", "{folder}/text.wav"], "unreadable", "text.wav"),
        (["denoise", "{folder}/nan.wav", "-m", "{toy}"], "nonfinite", "nan.wav"),
        (["denois"], USAGE, "'denoise'"),
    ],
)
def test_faults_are_one_line(
    talk: Path,
    toy_folder: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: str,
    value: str,
) -> None:
    folder = talk.parent
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is no audio " * 30)
    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan, 0.1] * 900), 16000, "FLOAT")
    before, content = names(folder), talk.read_bytes()
    filled = [word.format(talk=talk, folder=folder, toy=toy_folder) for word in words]
    status, found, _ = refusal(*filled)
    assert (status, found) == (1 if code in INPUT_CODES else 2, code)
    assert run(filled) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("audiodiff: ")
    assert value.format(talk=talk, folder=folder) in err
    assert len(err.splitlines()) == 1
    assert names(folder) == before
    assert talk.read_bytes() == content


def test_a_damaged_model_is_refused(talk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toy_folder / "card.md").write_text("changed")
    words = ["denoise", str(talk), "-m", str(toy_folder)]
    assert run(words) == 2
    assert "card.md" in capsys.readouterr().err
    assert refusal(*words)[:2] == (2, "damaged")
    assert names(talk.parent) == ["talk.wav"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
        (signal.SIGHUP, 129),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_killed_half_way(
    tmp_path: Path,
    recording: Recording,
    has_unnamed_files: bool,
    number: signal.Signals,
    code: int,
) -> None:
    talk = tmp_path / "talk.wav"
    soundfile.write(talk, recording(13.0, 16000).T, 16000)
    before = talk.read_bytes()
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            waiting.code(wait="read"),
            "denoise",
            str(talk),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half-way\n"
    part = [entry for entry in tmp_path.iterdir() if entry.suffix == ".part"]
    assert len(part) == (0 if has_unnamed_files else 1)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert out == ""
    assert talk.read_bytes() == before
    left = part if number == signal.SIGKILL else []
    assert names(tmp_path) == sorted(["talk.wav", *(entry.name for entry in left)])
    if code > 0:
        assert len(err.splitlines()) == 1
        assert "no partial file" in err


def test_version_and_bare_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"audiodiff {audiodiff.__version__}\n"
    assert run([]) == 2
    assert "Usage: audiodiff" in capsys.readouterr().err


def test_python_m(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "audiodiff", "denoise", os.fsencode(tmp_path) + b"/caf\xe9.wav"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"audiodiff: ")
    assert done.stderr.count(b"\n") == 1


def test_a_fault_of_ours_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oops")

    assert _common.guarded(broken) == 3
    assert "audiodiff: internal fault, please report it: ZeroDivisionError: oops" in capsys.readouterr().err


def test_what_the_system_refuses_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _common.guarded((tmp_path / "no" / "folder").mkdir) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"audiodiff: {tmp_path}/no/folder: No such file or directory; check")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_handlers_are_put_back_and_an_ignored_signal_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert _common.guarded(lambda: os.kill(os.getpid(), number)) == 0
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    _common.guarded(lambda: None)
    assert signal.getsignal(number) is before


def test_a_closed_terminal_does_not_change_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    def stopped() -> None:
        raise _common.Stopped("stopped at step 6", 129)

    monkeypatch.setattr(typer, "echo", gone)
    assert _common.guarded(stopped) == 129
