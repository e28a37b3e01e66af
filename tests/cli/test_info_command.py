"""Promise: info tells true length and origin of recordings, without torch, and goes on past bad ones."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from pydantic import JsonValue

from audiodiff.batch.sidecar import AudioFact, ModelFact, Sidecar, write_sidecar
from audiodiff.cli import run
from audiodiff.inference.engine import Samples

Recording = Callable[..., Samples]
SHA = "0123456789abcdef" * 4


@pytest.fixture
def talk(tmp_path: Path, recording: Recording) -> Path:
    path = tmp_path / "talk.wav"
    with soundfile.SoundFile(path, "w", 16000, 2, "PCM_24") as file:
        file.comment = "processed with audiodiff 0.1.0 (denoise, model podcast)"
        file.write(recording(1.0, 16000, 2, peak=0.25).T)
    return path


def facts(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["info", "--json", str(path)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def sidecar(path: Path, sha256: str) -> None:
    made = AudioFact(name=path.name, sha256=sha256, seconds=1.0, sample_rate=16000, channels=2)
    model = ModelFact(name="podcast", sha256=SHA, licence="CC0-1.0")
    options: dict[str, JsonValue] = {"strength": 0.5, "steps": None}
    write_sidecar(
        path, Sidecar(task="denoise", model=model, options=options, seed=7, input=made, output=made)
    )


def test_the_header_the_samples_and_the_tag(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(talk, capsys)
    assert (found["container"], found["subtype"]) == ("WAV", "PCM_24")
    assert (found["sample_rate"], found["channels"], found["samples"]) == (16000, 2, 16000)
    assert found["peak"] == pytest.approx(0.25, abs=1e-6)
    assert "(denoise, model podcast)" in found["made_by"]
    assert found["sidecar"] is found["as_written"] is None
    assert found["warnings"] == []


def test_a_sidecar_and_whether_it_is_still_true(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sidecar(talk, hashlib.sha256(talk.read_bytes()).hexdigest())
    assert facts(talk, capsys)["as_written"] is True
    assert run(["info", str(talk)]) == 0
    text = capsys.readouterr().out
    for words in ("strength 0.5", "seed       7", f"podcast, SHA-256 {SHA}", "as it was written"):
        assert words in text
    assert "steps" not in text
    sidecar(talk, SHA)
    assert facts(talk, capsys)["as_written"] is False


def test_a_file_that_is_cut_short(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk.write_bytes(talk.read_bytes()[:30_044])
    assert run(["info", str(talk)]) == 0
    out, err = capsys.readouterr()
    assert "cut short" in err
    assert "1.000 s" not in out
    assert facts(talk, capsys)["warnings"][0] in err


def test_bad_ones_do_not_stop_the_others(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = talk.with_name("empty.wav")
    empty.touch()
    assert run(["info", str(empty), str(talk)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(str(talk))
    assert err.startswith(f"audiodiff: {empty}: ")


def test_tags_cannot_steer_the_terminal(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with soundfile.SoundFile(talk, "w", 16000, 1) as file:
        file.title = "a\x1b[31mb\nc"
        file.write([0.0] * 100)
    assert run(["info", str(talk)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "a [31mb c" in out


def test_it_starts_without_torch(talk: Path) -> None:
    code = f"import sys; from audiodiff.cli import run; assert run(['info', {str(talk)!r}]) == 0"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("False\n")
