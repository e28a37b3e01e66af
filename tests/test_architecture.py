"""Promise: rooms import only to the left, importing audiodiff is cheap, nothing grows beyond its limits."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import audiodiff

ROOT = Path(audiodiff.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
LAYERS = (
    {"errors", "system"},
    {"settings", "interrupts", "extras", "arrays"},
    {"signal", "diffusion", "networks"},
    {"io"},
    {"model"},
    {"inference", "data", "evaluation"},
    {"training", "batch"},
    {"report"},
    {"ui"},
    {"cli"},
)
PURE = {"signal", "diffusion", "networks"}
"""These import `arrays`, `errors` and `settings`, and nothing else of audiodiff."""

HEAVY = ("torch", "numpy", "scipy", "librosa", "soundfile", "rich", "matplotlib")


def room(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    """(room, line) of every import of audiodiff in a file, those inside functions too."""
    for node in nodes(path):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names = [f"audiodiff.{a.name}" for a in node.names] if module == "audiodiff" else [module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "audiodiff" and len(parts) > 1:
                yield parts[1], getattr(node, "lineno", 0)


def layer(name: str) -> int:
    return next(i for i, rooms in enumerate(LAYERS) if name in rooms)


def test_every_room_has_its_layer() -> None:
    rooms = {room(path) for path in SOURCES} - {"__init__", "__main__"}
    assert rooms <= set().union(*LAYERS)


def test_imports_go_to_the_left() -> None:
    wrong = []
    for path in SOURCES:
        here = room(path)
        if here in {"__init__", "__main__"}:
            continue
        for there, line in imported_rooms(path):
            if there.startswith("__") or there == here:
                continue
            left = layer(there) < layer(here)
            if not left or (here in PURE and there not in {"arrays", "errors", "settings"}):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {here} imports {there}")
    assert not wrong, "\n".join(wrong)


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('modules:', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("modules:")[2].split())  # what the code printed comes before


def test_importing_audiodiff_imports_nothing_heavy() -> None:
    modules = modules_after("import audiodiff; audiodiff.AudiodiffError; dir(audiodiff)")
    assert modules.isdisjoint(HEAVY)


def test_help_imports_nothing_heavy() -> None:
    commands = ("", "denoise", "evaluate", "prepare", "train", "convert", "ui", "schedule", "tune")
    code = f"""
from audiodiff.cli import run
for command in {commands}:
    assert run([*command.split(), "--help"]) == 0
    assert sys.modules.keys().isdisjoint({HEAVY}), command
"""
    assert "audiodiff.cli" in modules_after(code)


def test_a_bad_input_is_told_without_torch() -> None:
    modules = modules_after("from audiodiff.cli import run; assert run(['denoise', 'no-such-file.wav']) == 1")
    assert "torch" not in modules


def test_public_names_exist() -> None:
    assert audiodiff.__all__ == sorted(audiodiff.__all__)
    for name in audiodiff.__all__:
        assert getattr(audiodiff, name) is not None
    assert dir(audiodiff) == audiodiff.__all__
    with pytest.raises(AttributeError):
        _ = audiodiff.Denoizer


def test_every_error_can_be_named() -> None:
    tree = vars(importlib.import_module("audiodiff.errors")).values()
    errors = {e.__name__ for e in tree if isinstance(e, type) and issubclass(e, audiodiff.AudiodiffError)}
    assert errors <= set(audiodiff.__all__)


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    assert audiodiff.__version__ == project["version"]


def test_every_extra_that_is_named_exists() -> None:
    home = ROOT.parent
    extras = tomllib.loads((home / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    folders = ("audiodiff", "benchmarks", "docs", "examples", "recipes", "samples")
    texts = [*home.glob("*.md"), *(path for name in folders for path in (home / name).rglob("*.*"))]
    named = {
        (extra, str(path.relative_to(home)))
        for path in texts
        if path.suffix in {".py", ".md"}
        for found in re.findall(
            r"install_hint\([\"']([a-z]+)|constraints\.txt [\"']\.\[([a-z,]+)\]", path.read_text()
        )
        for extra in "".join(found).split(",")
    }
    assert {extra for extra, _ in named} >= {"eval", "media", "ui"}
    assert not {each for each in named if each[0] not in extras}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 400
    for node in nodes(path):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        assert node.end_lineno is not None
        assert node.end_lineno - node.body[0].lineno + 1 < 60, node.name
        arguments = node.args
        assert arguments.kwarg is None, f"{node.name} takes **{arguments.kwarg and arguments.kwarg.arg}"
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
        if room(path) != "cli" and path.name != "denoiser.py":  # commands and `Denoiser` have options by name
            assert count <= 8, node.name
