"""Promise: --engine and --address are refused in one line where they cannot be followed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import soundfile

from audiodiff.cli import run
from audiodiff.cli._common import REFUSED
from audiodiff.extras import install_hint

pytestmark = pytest.mark.slow


def test_an_address_needs_the_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["denoise", str(tmp_path), "--address", "head:6379"]) == REFUSED
    assert "--engine ray" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--address", ""], ["--address", "local"]])
def test_the_engine_needs_an_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    soundfile.write(tmp_path / "a.wav", [0.1] * 1600, 16000)
    assert run(["denoise", str(tmp_path / "a.wav"), "--engine", "ray", *words]) == REFUSED
    told = capsys.readouterr().err
    assert "start `ray start --head` and give its --address HOST:PORT, or use --jobs" in told
    assert len(told.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav"]


def test_without_ray_it_tells_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    soundfile.write(tmp_path / "a.wav", [0.1] * 1600, 16000)
    assert run(["denoise", str(tmp_path / "a.wav"), "--engine", "ray", "--address", "head:6379"]) == REFUSED
    assert install_hint("ray") in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav"]
