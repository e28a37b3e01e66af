"""Promise: what a hint tells to install is what the project's metadata ask for, in this very Python."""

from __future__ import annotations

import shlex
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import audiodiff
from audiodiff import extras
from audiodiff.cli.doctor import EXTRAS

PROJECT = tomllib.loads((Path(audiodiff.__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_the_distribution_has_the_name_that_hints_look_up() -> None:
    assert PROJECT["name"] == extras.DISTRIBUTION


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("with_pip", [True, False])
def test_hints_name_what_the_extra_needs(extra: str, with_pip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_has_pip", lambda: with_pip)
    words = shlex.split(extras.install_hint(extra))
    start = [sys.executable, "-m", "pip", "install"]
    if not with_pip:
        start = ["uv", "pip", "install", "--python", sys.executable]
    assert words[: len(start)] == start
    wanted = PROJECT["optional-dependencies"][extra]
    assert sorted(map(bare, words[len(start) :])) == sorted(map(bare, wanted))


def test_the_core_and_what_is_damaged_have_hints_too() -> None:
    wanted = PROJECT["dependencies"]
    words = shlex.split(extras.install_hint(extras.CORE))
    assert sorted(map(bare, words[-len(wanted) :])) == sorted(map(bare, wanted))
    words = shlex.split(extras.install_hint(extras.CORE, again=["soxr"]))
    assert words[-3:-1] == ["--force-reinstall", "--no-deps"]
    assert [bare(words[-1])] == [bare(line) for line in wanted if line.startswith("soxr")]


def test_a_copy_that_was_never_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> list[str]:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", missing)
    assert "[media]" in extras.install_hint("media")


def bare(requirement: str) -> str:
    """Without blanks, and with versions in one order."""
    return "".join(sorted(requirement.replace(" ", "")))
