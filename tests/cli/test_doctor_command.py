"""Promise: doctor tells what works, what is missing and how to get it; its exit code is the verdict."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from audiodiff.cli import run
from audiodiff.extras import CORE, NO_PORTAUDIO, install_hint

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
    assert out.count("FAULT") == 2  # not one for each of the rest
    assert "podcost" in out
    assert "extras" in out


def test_a_missing_extra_is_no_fault(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"ui": (("no_such_module",), "a page")})
    assert run(["doctor", "-m", str(toy_folder), "--threads", "1"]) == 0
    assert f"ui (a page): missing no_such_module; {install_hint('ui')}" in capsys.readouterr().out


def test_a_missing_library_of_the_system_is_told_and_no_fault(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class NoPortAudio:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio(), *sys.meta_path])
    monkeypatch.setattr(doctor, "EXTRAS", {"live": (("sounddevice",), "microphones")})
    assert run(["doctor", "-m", str(toy_folder), "--threads", "1"]) == 0
    assert f"live (microphones): {NO_PORTAUDIO}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "extra", "how", "code"),
    [
        ("mutagen", "tags", "None", 0),  # as if it were not there
        ("mutagen", "tags", "Broken()", 1),
        ("soxr", CORE, "None", 1),
        ("jinja2", CORE, "Broken()", 1),
    ],
)
def test_what_cannot_be_imported_is_named_with_the_hint_that_works(
    module: str, extra: str, how: str, code: int
) -> None:
    script = f"""
import sys
from audiodiff.cli import doctor, run
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise OSError("libbroken.so: wrong\\nELF class")
blocked = {how}
if blocked is None:
    sys.modules[{module!r}] = None
else:
    sys.modules.pop({module!r}, None)
    sys.meta_path.insert(0, blocked)
module = sys.modules["audiodiff.cli.doctor"]
module.EXTRAS = {{"tags": module.EXTRAS["tags"]}}
module.NEEDED = ("soxr", "jinja2")  # the others take seconds
module._processor, module._model = list, lambda name, threads, allow_code: []
sys.exit(run(["doctor"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == code, done.stderr + done.stdout
    missing = how == "None"
    what = (
        f"missing {module}" if missing else f"{module} cannot be imported (OSError: libbroken.so: wrong ELF"
    )
    (line,) = (line for line in done.stdout.splitlines() if what in line)
    assert line.endswith(install_hint(extra, again=() if missing else (module,)))
    assert ("FAULT" in line) == bool(code)
    assert "temporary folder" in done.stdout  # the rest goes on


def test_the_packages_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(doctor.NEEDED) == {re.split("[<>=]", line)[0] for line in project["dependencies"]}


def test_the_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(doctor.EXTRAS) == set(extras) - {"dev", "all"}
    for name, (modules, _) in doctor.EXTRAS.items():
        assert len(modules) == len(extras[name])


@pytest.mark.parametrize(
    "words", [["doctor"], ["info"], ["models"], ["models", "list"], ["models", "verify"]]
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; from audiodiff.cli import run; assert run({[*words, '--help']!r}) == 0"
    check = "; ".join(f"assert {name!r} not in sys.modules" for name in ("torch", "numpy", "soundfile"))
    subprocess.run([sys.executable, "-c", f"{code}; {check}"], check=True, capture_output=True)
