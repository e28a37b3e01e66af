"""Promise: closed descriptors, poor encodings, readers that leave and threads are no internal fault."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from audiodiff.cli import _common, run
from audiodiff.inference.engine import Samples

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]
BROKEN_COMMENT = b"COMM\0\0\0\x0a\0\0" + b"\x01eng\xff\xfeab\0c"


@pytest.fixture
def talk(tmp_path: Path, recording: Recording) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, recording(1.0, 16000, 1).T, 16000)
    return path


def shell(words: list[str], redirection: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with descriptors as the shell makes them."""
    return subprocess.run(
        [
            *("bash", "-c", f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}', "bash"),
            *(sys.executable, "-m", "audiodiff", *words),
        ],
        capture_output=True,
        env=os.environ | settings,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "2>&-"])
def test_closed_descriptors_take_nothing_of_the_output(talk: Path, tmp_path: Path, redirection: str) -> None:
    source = tmp_path / "talk.mp3"
    soundfile.write(source, soundfile.read(talk)[0], 16000)
    data = source.read_bytes()
    assert not data.startswith(b"ID3")
    source.write_bytes(b"ID3\3\0\0\0\0\0" + bytes([len(BROKEN_COMMENT)]) + BROKEN_COMMENT + data)
    words = ["denoise", str(source), "-q", "-o"]
    expected, target = tmp_path / "expected.wav", tmp_path / "out.wav"
    assert run([*words, str(expected)]) == 0
    done = shell([*words, str(target)], redirection)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == expected.read_bytes()


def test_workers_too_begin_with_three_descriptors(talk: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "out")
    words = ["denoise", str(talk.parent), "-o", target, "--jobs", "1"]
    done = shell(words, "<&- >&- 2>&-")
    assert done.returncode == 0
    assert soundfile.info(tmp_path / "out" / "talk.wav").frames == 16000


@pytest.mark.parametrize(
    ("name", "redirection", "line"),
    [("-", "<&-", b"standard input is closed"), ("talk.wav", ">&-", b"standard output is closed")],
)
def test_a_pipe_that_is_closed_is_told(talk: Path, name: str, redirection: str, line: bytes) -> None:
    source = name if name == "-" else str(talk)
    done = shell(["denoise", source, "-o", "-"], redirection)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["info", "TALK"], ["denoise", "TALK", "-o", "-"]])
def test_a_reader_that_leaves_ends_it_quietly(talk: Path, words: list[str]) -> None:
    done = shell([{"TALK": str(talk)}.get(word, word) for word in words], "| true")
    assert (done.returncode, done.stdout, done.stderr) == (141, b"", b"")


def test_a_full_disk_behind_standard_output_is_told(talk: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    done = shell(["info", str(talk)], "> /dev/full")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
    ],
    ids=str,
)
def test_what_a_terminal_cannot_show_is_escaped(talk: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    names = (b"\xf0\x9f\x8e\x99 \xe9.wav", "日本é.wav".encode(), b"caf\xe9.wav")
    odd = [tmp_path / os.fsdecode(name) for name in names]
    for path in odd:
        path.write_bytes(talk.read_bytes())
    missing = tmp_path / "🎙 é.wav"
    done = shell(["info", *map(str, (*odd, missing))], "", **settings)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count(b".wav") == len(odd)
    assert done.stderr.startswith(b"audiodiff: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_command_works_in_a_thread(talk: Path, toy_folder: Path, tmp_path: Path) -> None:
    codes: list[int] = []
    for words in (
        ["denoise", str(talk), "-m", str(toy_folder), "-o", str(tmp_path / "one.wav")],
        ["denoise", str(talk.parent), "-m", str(toy_folder), "-o", str(tmp_path / "out"), "--jobs", "1"],
        ["info", str(talk)],
    ):
        thread = threading.Thread(target=lambda words=words: codes.append(run(words)))
        thread.start()
        thread.join()
    assert codes == [0, 0, 0]


def test_a_command_needs_no_streams(
    talk: Path, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert run(["denoise", str(talk), "-m", str(toy_folder), "-o", str(tmp_path / "one.wav")]) == 0
    assert run(["denoise", "-", "-m", str(toy_folder), "-o", str(tmp_path / "two.wav")]) == 2
    assert run(["denoise", str(talk), "-m", str(toy_folder), "-o", "-"]) == 2


def test_another_end_of_the_process_passes() -> None:
    with pytest.raises(SystemExit):
        _common.guarded(sys.exit)
