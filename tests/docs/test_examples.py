"""Promise: every script in examples/ runs from the root of a clone, makes what it says, and stays short."""

from __future__ import annotations

import ast
import os
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
GALLERY = {
    "clean_file": ("clean.flac",),
    "clean_folder": ("clean/one.flac", "clean/may/two.flac", "clean/may/two.flac.audiodiff.json"),
    "clean_stereo": ("each.flac", "linked.flac"),
    "compare_samplers": ("samplers.txt",),
    "keep_room_tone": ("full.flac", "half.flac", "at_most_12_db.flac"),
    "mel_to_speech": ("voice.wav", "inversion.wav"),
    "plot_process": ("processes.png",),
    "stream_blocks": ("clean.flac",),
    "train_tiny": ("run/model/weights.safetensors", "after_six_steps.flac"),
    "what_was_removed": ("removed.flac",),
}
"""What each script leaves in its folder."""

EXTENSIONS = ("own_network", "own_plugin", "own_process", "own_schedule")
ELSEWHERE = ("audacity_denoise",)
"""Tested in tests/examples."""

Run = Callable[[str], str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script as `python examples/NAME.py FOLDER` would, and gives what it printed."""
    mpl.use("Agg")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)

    def once(name: str) -> str:
        script = EXAMPLES / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return once


def test_the_lists_are_complete() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*GALLERY, *EXTENSIONS, *ELSEWHERE}
    text = (ROOT / "docs" / "pages" / "gallery.md").read_text(encoding="utf-8")
    assert {
        name for name in (*GALLERY, *EXTENSIONS, *ELSEWHERE) if f"examples/{name}.py" not in text
    } == set()


@pytest.mark.parametrize("name", [*GALLERY, *EXTENSIONS])
def test_scripts_are_short_and_say_what_they_show(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (20 if name in GALLERY else 40)
    said = ast.get_docstring(ast.parse(text))
    assert said
    assert said.count("\n") == 0
    assert said.endswith(".")


@pytest.mark.parametrize("name", GALLERY)
def test_the_gallery_runs(name: str, run: Run, tmp_path: Path) -> None:
    run(name)
    for made in GALLERY[name]:
        path = tmp_path / made
        assert path.stat().st_size > 0
        if path.suffix in {".flac", ".wav"}:
            samples, rate = soundfile.read(path)
            assert abs(len(samples) / rate - 7.7) < 0.1
            assert np.std(samples) > 1e-3


def test_blocks_give_what_the_whole_gives(run: Run, tmp_path: Path) -> None:
    run("stream_blocks")
    streamed, _ = soundfile.read(tmp_path / "clean.flac")
    run("clean_file")
    whole, _ = soundfile.read(tmp_path / "clean.flac")
    assert np.abs(streamed - whole).max() < 2**-14


def test_an_own_network_is_held_to_the_contract(run: Run) -> None:
    found = re.search(r"untrained network: (\S+)", run("own_network"))
    assert found
    assert float(found[1]) < 1e-5


def test_an_own_process_is_sampled_right(run: Run) -> None:
    numbers = [float(number) for number in re.findall(r"(?:mean|deviation) (\d\.\d+)", run("own_process"))]
    exact, sine, brownian = (np.array(numbers[i : i + 2]) for i in (0, 2, 4))
    assert np.abs(sine - exact).max() < 0.02
    assert np.abs(sine - brownian).max() < 0.005


def test_an_own_schedule_is_compared(run: Run) -> None:
    errors = [
        float(number) for number in re.findall(r"(?:uniform|squares|cubes) (\d\.\d+)", run("own_schedule"))
    ]
    assert len(errors) == 9
    assert errors[:3] > errors[3:6] > errors[6:]
