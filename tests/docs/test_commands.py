"""Promise: what the pages tell people to type works, in the order in which they tell it, from a clone."""

from __future__ import annotations

import doctest
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from audiodiff import cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"
NEEDS_A_PERSON = ("audiodiff ui", ". .venv", "python3 -m venv", "pip install")
SHORTER = {
    "audiodiff train recipes/tiny/recipe.toml": " optim.steps=6 run.validate_minutes=0",
    "audiodiff tune recipes/tiny/recipe.toml": " optim.steps=2 run.validate_items=1 data.batch=1",
    "audiodiff schedule podcast": " --trials 1",
}
"""What a test adds to a command that would take minutes."""

MAY_FAIL = " || test $? -eq 1"
"""Behind a command that meets a broken input."""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a clone, with `audiodiff` and `python` in the path."""
    folder, bin_folder = tmp_path / "clone", tmp_path / "bin"
    folder.mkdir()
    bin_folder.mkdir()
    for name in ("benchmarks", "examples", "recipes", "samples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, command in (("python", ""), ("audiodiff", "-m audiodiff")):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(folder)
    mpl.use("Agg")
    return folder


def commands(page: str) -> list[str]:
    """The lines of a page's blocks of code that a person types."""
    text = (PAGES / page).read_text(encoding="utf-8")
    lines = [line.strip() for line in re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)]
    wanted = [line for line in lines if not line.startswith(NEEDS_A_PERSON)]
    return [
        line + "".join(more for start, more in SHORTER.items() if line.startswith(start)) for line in wanted
    ]


def run_script(words: list[str]) -> int:
    """Run a script as `python` would; its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        patch.syspath_prepend(str(Path(words[0]).parent))
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as ending:
            return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def type_in(line: str, folder: Path) -> None:
    """Do what a shell would; audiodiff and scripts run in this process, which imports torch only once."""
    allowed = {0, 1} if line.endswith(MAY_FAIL) else {0}
    words = shlex.split(line.removesuffix(MAY_FAIL).partition(" > ")[0])
    if words[0] == "audiodiff":
        code = cli.run(words[1:])
    elif words[0] == "python":
        code = run_script(words[1:])
    else:
        code = subprocess.run(["sh", "-c", line], cwd=folder).returncode
    assert code in allowed, line


@pytest.mark.skipif(os.name == "nt", reason="the pages show a POSIX shell")
@pytest.mark.parametrize("page", ["podcaster.md", "researcher.md", "archivist.md"])
def test_a_page_can_be_typed_from_top_to_bottom(page: str, clone: Path) -> None:
    typed = commands(page)
    assert len(typed) >= 8
    for line in typed:
        type_in(line, clone)


@pytest.mark.skipif(os.name == "nt", reason="the pages show a POSIX shell")
def test_mels_can_be_tried_from_a_clone(clone: Path) -> None:
    ends = (" talk.npz", " speech.wav")
    typed = [line for line in commands("vocoding.md") if "samples/" in line or line.endswith(ends)]
    assert len(typed) == 3
    for line in typed:
        type_in(line, clone)
    assert (clone / "speech.wav").is_file()


def test_the_examples_of_the_python_page_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = doctest.testfile(str(PAGES / "python.md"), module_relative=False)
    assert found.attempted > 15
    assert found.failed == 0


def test_the_snippet_of_the_vocoding_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = re.findall(
        r"```python\n(.*?)```", (PAGES / "vocoding.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    np.save(tmp_path / "talk.npy", np.full((80, 60), -11.5, dtype=np.float32))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(snippet, "vocoding.md", "exec"), names)
    speech = names["speech"]
    assert isinstance(speech, np.ndarray)
    assert speech.shape == (60 * 256,)
