"""Promise: the Audacity example aligns, or says in one line why not, whatever comes through the pipe."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.inference.engine import Samples
from examples import audacity_denoise

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes in the file system")

RATE = 22050
OK = "BatchCommand finished: OK\n\n"
Recording = Callable[..., Samples]


def track(name: str = "Voice", **changes: Any) -> dict[str, Any]:
    usual = {"name": name, "kind": "wave", "selected": 1, "channels": 2, "mute": 0, "solo": 0}
    return {**usual, **changes}


class FakeAudacity:
    """Answers on two pipes as Audacity does: a first empty line, JSON over several lines, empty lines after.

    Attributes:
        sound: What the selection holds, [T, C].
        tracks: What there is.
        answers: Other answers to commands; None closes the pipe.
        commands: What came.
        imported: What was imported, and its rate.
    """

    def __init__(self, folder: Path, sound: Samples) -> None:
        self.paths = (str(folder / "to"), str(folder / "from"))
        self.sound = sound
        self.tracks = [track("Music", selected=0), track()]
        self.answers: dict[str, str | None] = {}
        self.commands: list[str] = []
        self.imported: tuple[Samples, int] | None = None
        for path in self.paths:
            os.mkfifo(path)
        # for reading and writing, so that opening does not wait and the end can be told from here
        self._to = os.open(self.paths[0], os.O_RDWR)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        os.write(self._to, b"quit\n")
        self._thread.join()
        os.close(self._to)

    def _serve(self) -> None:
        answers: int | None = None
        with os.fdopen(os.dup(self._to), encoding="utf-8") as commands:
            for line in commands:
                command = line.rstrip("\n")
                if command == "quit":
                    break
                self.commands.append(command)
                if answers is None:
                    answers = os.open(self.paths[1], os.O_WRONLY)
                answer = self._answer(command)
                if answer is None:
                    break
                middle = len(answer) // 2
                os.write(answers, answer[:middle].encode())
                os.write(answers, answer[middle:].encode())
        if answers is not None:
            os.close(answers)

    def _answer(self, command: str) -> str | None:
        name = command.split(":")[0]
        if name in self.answers:
            return self.answers[name]
        if name == "GetInfo":
            return f"\n{json.dumps(self.tracks, indent=1)}\n{OK}\n"
        path = re.search(r'Filename="([^"]*)"', command)
        if name == "Export2" and path:
            soundfile.write(path[1], self.sound, RATE, "FLOAT")
            return f"Exported to WAV format: {path[1]}\n{OK}"
        if name == "Import2" and path:
            self.imported = soundfile.read(path[1], dtype="float32", always_2d=True)
        return "\n" + OK


@pytest.fixture
def audacity(tmp_path: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAudacity]:
    fake = FakeAudacity(tmp_path, recording(1.3, RATE, channels=2).T)
    monkeypatch.setattr(audacity_denoise, "pipe_paths", lambda: fake.paths)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    yield fake
    fake.stop()
    assert list(scratch.iterdir()) == []


def failed(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line of a run that fails."""
    assert audacity_denoise.main(["--model", str(folder), *options]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("audacity_denoise: ")
    assert error.count("\n") == 1
    return error


def test_the_selection_comes_back_denoised_in_a_track_of_its_own(
    audacity: FakeAudacity, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audacity_denoise.main(["--model", str(toy_folder), "--strength", "0.5"]) == 0
    assert capsys.readouterr().out == "1.30 s of 'Voice' are in the new track 'Voice (denoised)'\n"
    assert audacity.imported is not None
    cleaned, rate = audacity.imported
    assert rate == RATE
    wanted = Denoiser(toy_folder, strength=0.5).denoise(audacity.sound, RATE)
    np.testing.assert_allclose(cleaned, wanted, atol=1e-6)
    names = [command.split(":")[0] for command in audacity.commands]
    # the region is kept before it can change, and only the imported track is selected when things move
    assert names == [
        "GetInfo",
        "SelSave",
        "Export2",
        "Import2",
        "SelRestore",
        "Align_StartToSelStart",
        "SetTrackStatus",
    ]
    assert audacity.commands[2].endswith(" NumChannels=2")
    assert audacity.commands[-1] == 'SetTrackStatus: Name="Voice (denoised)"'


def test_names_are_quoted(audacity: FakeAudacity, toy_folder: Path) -> None:
    audacity.tracks = [track('Zoë "1\\2"', channels=1)]
    assert audacity_denoise.main(["--model", str(toy_folder)]) == 0
    assert audacity.commands[-1] == r'SetTrackStatus: Name="Zoë \"1\\2\" (denoised)"'


@pytest.mark.parametrize("half", ["\n", "", "\n[ {\nBatchCommand fin"], ids=["bare newline", "none", "half"])
@pytest.mark.parametrize("command", ["GetInfo", "Export2", "Align_StartToSelStart"])
def test_an_answer_that_does_not_come_is_not_waited_for(
    half: str, command: str, audacity: FakeAudacity, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audacity.answers[command] = half
    line = failed(toy_folder, capsys, "--timeout", "0.3")
    assert f"no answer to {command} in 0.3 s: is a project open" in line
    assert audacity.commands[-1].startswith(command)


def test_an_audacity_that_ends_is_noticed(
    audacity: FakeAudacity, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audacity.answers["Export2"] = None
    assert "has ended or stopped listening at Export2" in failed(toy_folder, capsys)


def test_a_refusal_is_told(
    audacity: FakeAudacity, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audacity.answers["Import2"] = "\nno such\nformat\nBatchCommand finished: Failed!\n\n"
    assert "Audacity refuses Import2: no such format" in failed(toy_folder, capsys)


def test_an_export_without_a_file(
    audacity: FakeAudacity, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audacity.answers["Export2"] = OK
    assert "has written nothing" in failed(toy_folder, capsys)


@pytest.mark.parametrize(
    ("tracks", "why"),
    [
        ([], "nothing is selected"),
        ([track(selected=0)], "nothing is selected"),
        ([track(kind="label")], "nothing is selected"),
        ([track(), track("Second")], "2 tracks are selected"),
        ([track(mute=1)], "'Voice' is muted"),
        ([track(), track("Second", selected=0, solo=1)], "'Voice' is muted"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_done(
    tracks: list[dict[str, Any]],
    why: str,
    audacity: FakeAudacity,
    toy_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    audacity.tracks = tracks
    assert why in failed(toy_folder, capsys)
    assert audacity.commands == ["GetInfo: Type=Tracks"]


def test_a_point_in_time_is_no_selection(
    audacity: FakeAudacity, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audacity.sound = np.zeros((0, 2), dtype=np.float32)
    assert "the selection is empty" in failed(toy_folder, capsys)
    assert audacity.imported is None


def test_sound_that_is_not_finite_is_refused(
    audacity: FakeAudacity, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audacity.sound = np.full((100, 2), np.nan, dtype=np.float32)
    assert "NaN" in failed(toy_folder, capsys)
    assert audacity.imported is None


def test_nobody_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = (str(tmp_path / "to"), str(tmp_path / "from"))
    monkeypatch.setattr(audacity_denoise, "pipe_paths", lambda: paths)
    assert "not running, or has no pipe" in failed(tmp_path, capsys)
    for path in paths:
        os.mkfifo(path)
    assert "nobody listens" in failed(tmp_path, capsys)


def test_an_unknown_model_does_nothing(audacity: FakeAudacity, capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent" in failed(Path("absent"), capsys)
    assert audacity.commands == []
