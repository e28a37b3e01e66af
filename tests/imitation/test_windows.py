"""Promise: the commands need nothing of what Windows lacks; fresh processes are robbed of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import audiodiff
from audiodiff import cli
from tests.training.test_run import recipe as toy_training  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the limit is for busy machines

__all__ = ["toy_training"]

RATE = 16000
NAMES = ("talk.wav", "caf\u00e9 \U0001f399.flac", "\u4f1a\u8b70.wav")


@pytest.fixture
def shows(tmp_path: Path) -> Path:
    """Recordings of half a second whose names a Western console cannot show."""
    folder = tmp_path / "shows"
    folder.mkdir()
    time = np.arange(RATE // 2) / RATE
    noise = np.random.default_rng(0).standard_normal(time.size)
    for number, name in enumerate(NAMES, 1):
        x = 0.2 * np.sin(2 * np.pi * 110 * number * time) + 0.02 * noise
        soundfile.write(folder / name, x, RATE)
    return folder


def on_windows(folder: Path, *words: str, code: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run a command there, on a console that knows Western letters only."""
    places = [str(Path(audiodiff.__file__).parents[1]), os.environ["PYTHONPATH"]]
    setting = {"AUDIODIFF_IMITATE": "windows", "PYTHONIOENCODING": "cp1252", "OMP_NUM_THREADS": "1"}
    start = ["-c", code] if code else ["-m", "audiodiff"]
    return subprocess.run(
        [sys.executable, *start, *words],
        cwd=folder,
        env=os.environ | setting | {"PYTHONPATH": os.pathsep.join(places)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def test_the_imitation_bites(tmp_path: Path) -> None:
    code = """
import os, sys
from audiodiff import system
assert system.IS_WINDOWS
exec(compile('''
def lost(call):
    try:
        call()
    except (OSError, AttributeError, ImportError) as error:
        return type(error).__name__
    return "nothing"
fd = os.open("file", os.O_RDWR | os.O_CREAT)
os.mkdir("folder")
open("folder/inside", "w").close()
inside = open("folder/inside")
open("other", "w").close()
found = [
    lost(lambda: os.fork), lost(lambda: os.pread), lost(lambda: os.O_TMPFILE),
    lost(lambda: __import__("fcntl")),
    lost(lambda: os.open("folder", os.O_RDONLY)), lost(lambda: os.unlink("file")),
    lost(lambda: os.replace("other", "file")), lost(lambda: os.rename("folder", "moved")),
    lost(lambda: os.fsync(os.open("other", os.O_RDONLY))),
]
''', "robbed", "exec"), system.__dict__)
print(*system.found)
"""
    done = on_windows(tmp_path, code=code)
    assert done.returncode == 0, done.stderr.decode()
    refused = ["AttributeError"] * 3 + ["ImportError"] + ["PermissionError"] * 4 + ["OSError"]
    assert done.stdout.decode().split() == refused


def test_a_batch_in_two_processes_gives_the_bytes_of_this_system(shows: Path) -> None:
    words = ["denoise", "shows", "--jobs", "2", "--quality", "fast", "--residual", "--json"]
    done = on_windows(shows.parent, *words, "-o", "there")
    assert done.returncode == 0, done.stderr.decode("cp1252")
    events = [json.loads(line) for line in done.stdout.decode("cp1252").splitlines()]
    assert {Path(event["in"]).name for event in events if event.get("in")} == set(NAMES)
    assert cli.run([*words[:1], str(shows), "-o", str(shows.parent / "here"), *words[2:]]) == 0
    here, there = (_content(shows.parent / name) for name in ("here", "there"))
    assert len(here) == 3 * len(NAMES)
    assert there == here
    again = on_windows(shows.parent, "denoise", "shows", "-o", "there", "--quality", "fast", "--residual")
    assert b"3 skipped" in again.stderr
    assert _content(shows.parent / "there") == here
    anew = on_windows(
        shows.parent, "denoise", "shows", "-o", "there", "--quality", "fast", "--residual", "--overwrite"
    )
    assert anew.returncode == 0, anew.stderr.decode("cp1252")
    assert _content(shows.parent / "there") == here


def _content(folder: Path) -> dict[str, bytes]:
    """Every file that a user sees; nothing else may be there but the journal."""
    assert [path.name for path in (folder / ".audiodiff").iterdir()] == ["journal.jsonl"]
    paths = [path for path in folder.iterdir() if path.name != ".audiodiff"]
    return {path.name: path.read_bytes() for path in paths}


def test_a_name_that_means_a_device_is_refused(shows: Path) -> None:
    for name in ("NUL.wav", "talk:1.wav"):
        done = on_windows(shows, "denoise", "talk.wav", "-o", name)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in shows.iterdir()) == sorted(NAMES)


def test_an_inversion_needs_nothing_else(shows: Path) -> None:
    done = on_windows(shows, "vocode", "talk.wav", "-o", "back.wav", "-m", "inversion", "--quality", "fast")
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert soundfile.info(shows / "back.wav").duration == pytest.approx(0.5)
    assert not [path for path in shows.iterdir() if path.name.startswith(".")]


def test_a_training_stops_and_goes_on(tmp_path: Path, toy_training: Path) -> None:
    code = """
import sys
from audiodiff.cli import run
for steps in (2, 4, 5):  # in one process, which imports torch once; the last one removes the first checkpoint
    assert run(["train", sys.argv[1], "-o", "run", f"optim.steps={steps}", "--resume"]) == 0
assert run(["models", "verify", "run/model"]) == 0
"""
    done = on_windows(tmp_path, str(toy_training), code=code)
    assert done.returncode == 0, done.stderr.decode("cp1252")
    left = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert left == ["step-00000004", "step-00000005"]
    assert not list(tmp_path.rglob(".*.old"))
    assert not list(tmp_path.rglob(".*.part"))
