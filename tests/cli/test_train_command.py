"""Promise: a training that a signal stops says so by one line and its exit code; names are checked first."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from audiodiff import cli
from audiodiff.training import recipe, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    monkeypatch.setattr(recipe, "load_recipe", lambda *_: None)
    monkeypatch.setattr(run, "run", lambda *_, **__: run.Outcome(3, False, number))
    assert cli.run(["train", "recipe.toml", "-o", str(tmp_path)]) == 128 + number
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{tmp_path}: stopped at step 3; go on with --resume"]


@pytest.mark.parametrize(
    ("words", "said"), [(["tinny"], "did you mean 'tiny'?"), (["tiny", "--init", "podcats"], "podcats")]
)
def test_names_that_are_none_are_refused_before_anything_is_made(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())
