"""Promise: help is sorted by purpose and legible at 80 columns; -h works everywhere; shells complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from audiodiff import cli
from audiodiff.cli._help import OPTIONS, command_panels, option_panels
from tests.golden.record import COMMANDS

pytestmark = pytest.mark.slow  # starts processes


def found(words: tuple[str, ...]) -> tuple[Any, Any]:
    """A command and its context, as the command line makes it."""
    command: Any = typer.main.get_command(cli.app)
    context = command.make_context("audiodiff", [], resilient_parsing=True)
    for word in words:
        command = command.commands[word]
        context = command.make_context(word, [], context, resilient_parsing=True)
    return command, context


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "audiodiff")
def test_help_is_whole_and_legible_at_80_columns(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run([*words, "-h"]) == 0
    short = capsys.readouterr().out
    assert cli.run([*words, "--help"]) == 0
    assert capsys.readouterr().out == short
    assert max(map(len, short.splitlines())) <= 80
    assert not [line for line in short.splitlines()[1:] if line.endswith("...")]  # nothing was cut off
    command, context = found(words)
    for parameter in command.get_params(context):
        if parameter.param_type_name == "option":
            assert set(parameter.opts) <= set(short.replace(",", " ").split())


def test_every_command_stands_under_its_purpose() -> None:
    panels = command_panels(*found(()))
    assert list(panels) == ["Clean and speak", "Look", "Train"]
    names = [name for rows in panels.values() for name, _ in rows]
    assert len(names) == len(set(names))
    assert set(names) == {words[0] for words in COMMANDS if words}


@pytest.mark.parametrize("name", ["denoise", "vocode", "train"])
def test_every_option_stands_under_what_it_does_once(name: str) -> None:
    command, context = found((name,))
    panels = option_panels(command, context)
    assert len(panels) >= 4
    assert list(panels)[-1] == OPTIONS
    rows = [row for panel in panels.values() for row in panel]
    assert len(rows) == len(set(rows)) == len(command.get_params(context))
    assert len(panels[OPTIONS]) <= 6  # what is about no panel, not what was forgotten


def completed(shell: str, line: str) -> list[str]:
    """What a shell is told when Tab is pressed behind a line; asserts that nothing heavy was imported."""
    code = (
        "import sys; from audiodiff.cli import run; code = run([]); "
        "assert not {'torch', 'numpy', 'soundfile'} & set(sys.modules); sys.exit(code)"
    )
    words = line.split(" ")
    told = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_TYPER_COMPLETE_ARGS": line}
    told |= {"_AUDIODIFF_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | told, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_shells_complete_without_torch() -> None:
    assert completed("bash", "audiodiff den") == ["denoise"]
    assert completed("bash", "audiodiff denoise --quality ") == ["fast", "balanced", "best"]
    assert [line.split("\t")[0] for line in completed("fish", "audiodiff models ")] == [
        "list", "info", "inspect", "verify",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_shown_and_installed(tmp_path: Path) -> None:
    def typed(option: str) -> str:
        line = f'"{sys.executable}" -m audiodiff {option}; exit $?'  # bash stays, to be found as the shell
        done = subprocess.run(
            ["bash", "-c", line],
            env=os.environ | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    script = typed("--show-completion")
    assert "complete -o default -F _audiodiff_completion audiodiff" in script
    assert not list(tmp_path.iterdir())
    typed("--install-completion")
    (installed,) = tmp_path.rglob("audiodiff.sh")
    assert installed.read_text().strip() == script.strip()
    assert str(installed) in (tmp_path / ".bashrc").read_text()
