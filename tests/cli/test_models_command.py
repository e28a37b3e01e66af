"""Promise: models are listed and shown without torch; verify finds what is damaged."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from audiodiff.batch.sidecar import read_sidecar
from audiodiff.cli import run
from audiodiff.inference.engine import Samples
from audiodiff.model import folder
from audiodiff.model.shipped import SHIPPED
from tests import builders
from tests.errors import refusal

Recording = Callable[..., Samples]


def test_shipped_models_are_listed_and_shown_without_torch() -> None:
    code = (
        "import sys; from audiodiff.cli import run; "
        "assert run(['models', 'list']) == run(['models', 'info', 'podcast']) == 0; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "task", "rate", "steps", "hash", "licence"]
    presets = json.loads((SHIPPED / "podcast" / "config.json").read_text())["presets"]
    steps = "/".join(str(presets[name]["steps"]) for name in ("fast", "balanced", "best"))
    assert any(line.split()[:4] == ["podcast", "denoise", "48000", steps] for line in lines)
    assert folder.SHIPPED == SHIPPED


def test_a_folder_of_models(toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = folder.load(toy_folder).digest
    assert run(["models", "list", str(toy_folder.parent)]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == [str(toy_folder), "denoise", "16000", "1/2/2", digest[:12], "CC0-1.0"]
    assert run(["models", "list", str(toy_folder)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == row
    assert run(["models", "info", "--json", str(toy_folder)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sha256"] == digest
    assert found["config"]["network"] == {"kind": "toy", "n_bins": 65}


def test_what_is_no_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list", str(tmp_path)], ["list", "nowhere"], ["info", "podcost"], ["info", "../podcast"]):
        assert run(["models", *words]) == 2
        out, err = capsys.readouterr()
        assert len(err.splitlines()) == 1
        assert not out


def test_one_bad_folder_does_not_hide_the_others(
    toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = toy_folder.with_name("bad")
    bad.mkdir()
    (bad / "config.json").write_text("{}")
    assert run(["models", "list", str(toy_folder.parent)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.startswith(f"audiodiff: {bad}/config.json: ")


def told_of_work(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the sidecar of a command's output and `info` tell of the model."""
    assert run([*words, "--threads", "1"]) == 0
    target = Path(capsys.readouterr().out.strip())
    told = read_sidecar(target)
    assert told is not None
    assert told.model.sha256 is not None
    assert run(["info", str(target)]) == 0
    return [told.model.sha256, capsys.readouterr().out]


@pytest.fixture(params=["denoise", "vocode"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A command and a small model for it."""
    if request.param == "denoise":
        return "denoise", request.getfixturevalue("toy_folder")
    small = builders.wave_model((1e-4, 0.5), (1e-4, 0.5))
    folder.save(tmp_path / "small", small.config, small.net.state_dict(), "# small\n")
    return "vocode", tmp_path / "small"


def test_one_sha_256_names_a_model_everywhere(
    worker: tuple[str, Path],
    tmp_path: Path,
    recording: Recording,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["audiodiff.cli.doctor"], "EXTRAS", {})  # their import takes seconds
    task, place = worker
    sha = hashlib.sha256((place / "weights.safetensors").read_bytes()).hexdigest()
    talk = tmp_path / "talk.wav"
    soundfile.write(talk, recording(0.3)[0], 16000)
    page = tmp_path / "page.html"
    told = told_of_work([task, str(talk), "-m", str(place), "--report", str(page)], capsys)
    assert told[0] == sha
    for words in (["models", "info"], ["models", "info", "--json"], ["models", "verify"], ["doctor", "-m"]):
        assert run([*words, str(place)]) == 0
        told.append(capsys.readouterr().out)
    assert not [text for text in [*told, page.read_text()] if sha not in text]
    assert run(["models", "list", str(place)]) == 0
    assert f" {sha[:12]} " in capsys.readouterr().out
    assert folder.load(place).digest == sha


def test_verify(toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "verify", str(toy_folder)]) == 0
    assert capsys.readouterr().out == f"{toy_folder}: good, SHA-256 {folder.load(toy_folder).digest}\n"
    weights = toy_folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    status, code, line = refusal("models", "verify", toy_folder)
    assert (status, code, str(weights) in line) == (2, "damaged", True)
