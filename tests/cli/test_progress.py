"""Promise: a bar only on terminals, results on lines of their own, long names shortened."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.cli._progress import NAME_WIDTH, progress_bar, shortened

pytestmark = pytest.mark.slow


@given(st.text(max_size=200))
def test_a_name_keeps_its_ends(name: str) -> None:
    found = shortened(name)
    assert len(found) <= NAME_WIDTH
    if len(name) <= NAME_WIDTH:
        assert found == name
    else:
        head, tail = found.split("…", 1) if name.count("…") == 0 else (found[:13], found[14:])
        assert name.startswith(head)
        assert name.endswith(tail)


def test_the_bar_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("talk.wav", shown=True) as bar:
        bar(1.0, 2.0)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("talk.wav", shown=False) as bar:
        bar(1.0, 2.0)
    assert capsys.readouterr() == ("", "")
    with progress_bar("talk.wav", shown=True) as bar:
        bar(1.0, 2.0, "a name")
        bar(1.0, 0.0)


def on_a_terminal(*words: str, width: int, code: int = 0) -> str:
    """What a command writes where standard output and error are one terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(width), "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "audiodiff", *words], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # Linux says so when the other side is closed
                break
            if not piece:
                break
            pieces.append(piece)
    os.close(ours)
    assert process.returncode == code, b"".join(pieces).decode()
    return b"".join(pieces).decode()


def test_reading_a_recording_shows_a_bar(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", 0.1 * np.sin(np.arange(1_000_000) * 0.1), 16000)
    text = on_a_terminal("info", str(tmp_path / "talk.wav"), width=80)
    assert re.search(r"talk\.wav[^\n]*\d+%", text)  # the bar
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "length     62.500 s" in plain.replace("\r\n", "\n")


@pytest.mark.parametrize("width", [80, 120])
def test_results_of_a_folder_stand_on_lines_of_their_own(tmp_path: Path, width: int) -> None:
    folder, out = tmp_path / "shows", tmp_path / "clean"
    folder.mkdir()
    names = ["a.wav", "a recording with a rather long name, as people give them.wav", "c.wav"]
    for number, name in enumerate(names):
        tone = 0.1 * np.sin(np.arange(8000) * 0.1 * (number + 1))
        soundfile.write(folder / name, tone, 16000)
    text = on_a_terminal("denoise", str(folder), "-o", str(out), "--jobs", "1", width=width)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in plain.replace("\r\n", "\n").split("\n")]
    for name in names:
        assert lines.count(str(out / name)) == 1
    assert sum(line.startswith("3 recordings: 3 done") for line in lines) == 1


def test_a_terminal_breaks_no_word_and_counts_what_exists_by_itself(tmp_path: Path) -> None:
    folder, out = tmp_path / "shows", tmp_path / "clean"
    for place in (folder, out):
        place.mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, 0.1 * np.sin(np.arange(8000) * 0.1), 16000)
    soundfile.write(out / "b.wav", np.zeros(100), 16000)
    for name in ("cover.jpg", "notes.txt", "show.rpp"):
        (folder / name).write_bytes(b"x")
    text = on_a_terminal("denoise", str(folder), "-o", str(out), "--jobs", "1", width=40, code=1)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")
    assert "audiodiff: 3 other files left alone: 1\nimage, 1 text, 1 of another kind\n" in plain
    assert "2 recordings: 1 done, 1 exists already;" in plain.replace("\n", " ")
    assert "failed" not in plain
