"""Promise: doctor tells what works, what is missing and how to get it; its exit code is the verdict."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from audiodiff.cli import run
from audiodiff.extras import install_hint

pytestmark = pytest.mark.slow

doctor = importlib.import_module("audiodiff.cli.doctor")  # not the command of that name

ROOT = Path(__file__).parents[2]


def test_all_is_well(toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "-m", str(toy_folder), "--threads", "1"]) == 0
    out = capsys.readouterr().out
    for words in ("torch 2", "libsndfile", " cores, torch uses ", "can be written to", "good, 16000 Hz"):
        assert words in out
    assert "2 steps on " in out
    assert "an hour of one channel takes about " in out
    assert "FAULT" not in out


def test_faults_are_told_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert run(["doctor", "-m", "podcost"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAULT") == 2
    assert "podcost" in out
    assert "extras" in out


def test_a_missing_extra_is_no_fault(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"ui": (("no_such_module",), "a page")})
    assert run(["doctor", "-m", str(toy_folder), "--threads", "1"]) == 0
    assert f"ui (a page): missing no_such_module; {install_hint('ui')}" in capsys.readouterr().out


def test_the_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(doctor.EXTRAS) == set(extras) - {"dev"}
    for name, (modules, _) in doctor.EXTRAS.items():
        assert len(modules) == len(extras[name])


@pytest.mark.parametrize(
    "words", [["doctor"], ["info"], ["models"], ["models", "list"], ["models", "verify"]]
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; from audiodiff.cli import run; assert run({[*words, '--help']!r}) == 0"
    check = "; ".join(f"assert {name!r} not in sys.modules" for name in ("torch", "numpy", "soundfile"))
    subprocess.run([sys.executable, "-c", f"{code}; {check}"], check=True, capture_output=True)
