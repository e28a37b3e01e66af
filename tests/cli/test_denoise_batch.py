"""Promise: one command does a folder; exit codes, JSON and the second run tell the truth about every file."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audiodiff.cli import run
from audiodiff.inference.engine import Samples
from tests.cli import waiting

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]


@pytest.fixture
def shows(tmp_path: Path, recording: Recording) -> Path:
    folder = tmp_path / "shows"
    (folder / "old").mkdir(parents=True)
    soundfile.write(folder / "a.wav", recording(0.5, 16000, 2).T, 16000)
    soundfile.write(folder / "old" / "b.flac", recording(0.4, 22050).T, 22050)
    (folder / "old" / "c.wav").touch()
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".audiodiff" not in path.parts
    }


def with_sidecars(*names: str) -> list[str]:
    """Names of outputs and of what lies beside them."""
    return sorted([*names, *(f"{name}.audiodiff.json" for name in names)])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder_twice(shows: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean, before = shows.parent / "clean", hashes(shows)
    words = ["denoise", str(shows), "-o", str(clean), "-m", str(toy_folder), "--jobs", "1"]
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert out == f"{clean}/a.wav\n{clean}/old/b.flac\n"
    assert err.splitlines()[0].startswith(f"audiodiff: {shows}/old/c.wav: the file is empty")
    assert err.splitlines()[1].startswith("3 recordings: 2 done, 1 failed; 0.9 s of audio in ")
    assert sorted(hashes(clean)) == with_sidecars("a.wav", "old/b.flac")
    assert hashes(shows) == before
    (shows / "old" / "c.wav").unlink()
    results = hashes(clean)
    assert run([*words, "--json"]) == 0
    first, second, summary = lines(capsys.readouterr().out)
    assert [first["status"], second["status"]] == ["skipped", "skipped"]
    assert summary["skipped"] == summary["files"] == 2
    assert hashes(clean) == results
    assert run([*words, "--seed", "1"]) == 1
    assert "2 outputs exist already" in capsys.readouterr().err
    assert run([*words, "--seed", "1", "--skip-existing"]) == 0
    assert run([*words, "--seed", "1", "--overwrite", "-q"]) == 0
    assert hashes(clean).keys() == results.keys()


def test_json_has_stable_codes(shows: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["denoise", str(shows / "old"), str(shows / "a.wav"), "-m", str(toy_folder), "--jobs", "1"]
    assert run([*words, "--json", "-q"]) == 1
    good, bad, last, summary = lines(capsys.readouterr().out)
    assert (good["v"], good["event"], good["status"], good["error"]) == (1, "file", "done", None)
    assert good["out"] == str(shows / "old" / "b.denoised.flac")
    assert good["seconds"] == pytest.approx(0.4)
    assert (bad["status"], bad["error"]["code"]) == ("failed", "empty")
    assert last["in"] == str(shows / "a.wav")
    counts = {"files": 3, "done": 2, "copied": 0, "skipped": 0, "failed": 1, "not_started": 0}
    assert summary.items() >= counts.items()
    # one recording alone has the same events
    assert run(["denoise", str(shows / "old" / "c.wav"), "-m", str(toy_folder), "--json", "-q"]) == 1
    event, summary = lines(capsys.readouterr().out)
    assert (event["error"]["code"], summary["failed"]) == ("empty", 1)
    single = ["denoise", str(shows / "a.wav"), "-m", str(toy_folder), "--json", "-q"]
    assert run([*single, "--preview", "0.1@0.2", "--residual"]) == 0
    event, summary = lines(capsys.readouterr().out)
    assert event["out"] == str(shows / "a.denoised.preview.wav")
    assert event["residual"] == str(shows / "a.denoised.preview.residual.wav")
    assert (event["seconds"], summary["done"]) == (0.1, 1)


def test_a_dry_run_writes_nothing(shows: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = hashes(shows.parent)
    words = ["denoise", str(shows), "-o", str(shows.parent / "clean"), "-m", str(toy_folder), "--dry-run"]
    assert run(words) == 1
    out, err = capsys.readouterr()
    table = out.splitlines()
    assert [line.split()[0] for line in table[1:4]] == ["to", "to", "failed"]
    assert f"{shows}/a.wav -> {shows.parent}/clean/a.wav" in table[1]
    assert table[4].startswith("2 of 3 recordings to do: 0.9 s of audio, about ")
    assert err == ""
    assert run([*words, "--json"]) == 1
    *events, summary = lines(capsys.readouterr().out)
    assert [event["status"] for event in events] == ["to_do", "to_do", "failed"]
    assert events[2]["error"]["code"] == "empty"
    assert (summary["to_do"], summary["files"]) == (2, 3)
    assert run(["denoise", str(shows / "a.wav"), "-m", str(toy_folder), "--dry-run"]) == 0
    assert hashes(shows.parent) == before


def test_shards_share_out_a_folder(shows: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "denoise",
        str(shows),
        "-o",
        str(shows.parent / "clean"),
        "-m",
        str(toy_folder),
        "--jobs",
        "1",
        "-q",
    ]
    codes = [run([*words, "--shard", part]) for part in ("1/2", "2/2")]
    assert sorted(codes) == [0, 1]
    assert sorted(hashes(shows.parent / "clean")) == with_sidecars("a.wav", "old/b.flac")
    capsys.readouterr()


def test_pipes(shows: Path, tmp_path: Path) -> None:
    source, target = shows / "old" / "b.flac", tmp_path / "out.flac"
    done = subprocess.run(
        [sys.executable, "-m", "audiodiff", "denoise", "-", "--threads", "1"],
        input=source.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"0.4 s of audio in ")
    result, rate = soundfile.read(BytesIO(done.stdout))
    assert (rate, len(result), soundfile.info(BytesIO(done.stdout)).format) == (22050, 8820, "FLAC")
    assert run(["denoise", str(source), "-o", str(target), "-q"]) == 0
    np.testing.assert_allclose(soundfile.read(target)[0], result, atol=2**-15)


def start(words: list[str]) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", waiting.code(), "denoise", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half-way\n"
    return child


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_signal_ends_in_good_order_and_the_same_command_goes_on(
    shows: Path,
    recording: Recording,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
) -> None:
    soundfile.write(shows / "a.wav", recording(13.0, 16000).T, 16000)
    clean = shows.parent / "clean"
    words = [str(shows), "-o", str(clean), "--jobs", "1"]
    words += ["--overwrite"] * (number == signal.SIGINT)  # makes it anew, but not what this run has finished
    child = start(words)
    child.send_signal(number)
    out, err = child.communicate("go on\n", timeout=60)
    assert child.returncode == code
    assert out == f"{clean}/a.wav\n"
    assert "once more to stop at once" in err
    assert f"{number.name}; 3 recordings: 1 done, 2 not started; " in err
    assert "the same command goes on" in err
    assert sorted(hashes(clean)) == with_sidecars("a.wav")
    assert [path.name for path in (clean / ".audiodiff").iterdir()] == ["journal.jsonl"]
    capsys.readouterr()
    assert run(["denoise", *words, "--json"]) == 1
    events = lines(capsys.readouterr().out)[:-1]
    assert [event["status"] for event in events] == ["skipped", "done", "failed"]
    assert sorted(hashes(clean)) == with_sidecars("a.wav", "old/b.flac")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_the_second_signal_and_a_kill_leave_no_half_file(
    shows: Path, recording: Recording, number: signal.Signals, code: int
) -> None:
    soundfile.write(shows / "a.wav", recording(13.0, 16000).T, 16000)
    clean = shows.parent / "clean"
    words = [str(shows), "-o", str(clean), "--jobs", "1"]
    child = start(words)
    if number == signal.SIGTERM:
        child.send_signal(signal.SIGINT)
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == code
    assert hashes(clean) == {}
    assert clean.exists() == (number == signal.SIGKILL)  # in good order nothing stays, not even the folder
    assert run(["denoise", *words]) == 1
    assert not list(clean.rglob("*.lock"))
    assert run(["denoise", str(shows), "-o", f"{clean}2", "--jobs", "1"]) == 1
    assert hashes(clean) == hashes(Path(f"{clean}2"))
