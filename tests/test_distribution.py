"""Promise: the source distribution holds all that is tracked, and the wheel all of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="builds distributions")

ROOT = Path(__file__).parents[1]
LEFT_OUT = {".gitignore"}
"""Tracked files that no distribution needs."""

BY_ITSELF = {"LICENSE", "MANIFEST.in", "NOTICE", "README.md", "pyproject.toml"}
"""What setuptools adds without being told."""

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="git tells what belongs here"
)


def listed(*words: str) -> set[str]:
    """Files that git lists, by their names below the root."""
    done = subprocess.run(["git", "ls-files", "-z", *words], cwd=ROOT, capture_output=True, check=True)
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def test_the_manifest_names_what_is_tracked_and_nothing_that_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from setuptools.command.egg_info import FileList

    monkeypatch.chdir(ROOT)
    files = FileList()
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            files.process_template_line(line)
    found = {Path(name).as_posix() for name in files.files}
    here = {name for name in listed() if (ROOT / name).exists()}
    assert here - found - BY_ITSELF == LEFT_OUT
    assert not found & listed("--others", "--ignored", "--exclude-standard")


def test_every_room_is_among_the_packages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    rooms = {path.parent.relative_to(ROOT) for path in (ROOT / "audiodiff").rglob("__init__.py")}
    named = {".".join(path.parts) for path in rooms}
    assert sorted(settings["packages"]) == settings["packages"] == sorted({*named, *settings["package-dir"]})


def built(kind: str, source: Path, target: Path) -> Path:
    """Build a distribution of a folder, as `python -m build --no-isolation` does."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(target)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (made,) = target.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return made


@pytest.mark.slow
def test_a_wheel_made_of_the_source_distribution_is_whole(tmp_path: Path) -> None:
    here = {name for name in listed() if (ROOT / name).exists()}
    for name in here:
        target = tmp_path / "clone" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    with tarfile.open(built("sdist", tmp_path / "clone", tmp_path)) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    unpacked = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert here - unpacked == LEFT_OUT
    with zipfile.ZipFile(built("wheel", source, tmp_path)) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    facts = next(name for name in names if name.endswith(".dist-info/METADATA"))
    package = {name for name in names if not name.startswith(facts.partition("/")[0])}
    recipes = {
        f"audiodiff/_{name}" for name in here if name.startswith("recipes/") and not name.endswith(".png")
    }
    assert package == {name for name in here if name.startswith("audiodiff/")} | recipes
    assert sum((tmp_path / "site" / name).stat().st_size for name in recipes) < 2**21
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    metadata = (tmp_path / "site" / facts).read_text(encoding="utf-8")
    for line in (f"License-Expression: {project['license']}", "Classifier: Typing :: Typed", "# audiodiff"):
        assert line in metadata.splitlines()
    listed_models = from_wheel(tmp_path, "models", "list")
    assert {line.split()[0] for line in listed_models.splitlines()} == {"name", "podcast", "voice"}
    assert from_wheel(tmp_path, "recipes", "list") == from_checkout(tmp_path, "recipes", "list")
    for place, call in (("wheel", from_wheel), ("here", from_checkout)):
        call(tmp_path, "recipes", "copy", "podcast", place)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / place).iterdir()} for place in ("wheel", "here")
    ]
    assert files[0] == files[1]
    assert files[0]["recipe.toml"] == (ROOT / "recipes" / "podcast" / "recipe.toml").read_bytes()


def from_wheel(place: Path, *words: str) -> str:
    return called(place, place / "site", words)


def from_checkout(place: Path, *words: str) -> str:
    return called(place, ROOT, words)


def called(place: Path, home: Path, words: Sequence[str]) -> str:
    """What a command prints, by the package that lies in a folder."""
    code = "import sys; from audiodiff.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(home)}
    command = [sys.executable, "-P", "-c", code, *words]
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_picture_of_the_readme_lies_in_the_source_distribution() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = {line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")}
    assert pictures
    assert not {name for name in pictures if name not in listed() - LEFT_OUT}
