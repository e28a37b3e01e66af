"""The recipes that come with audiodiff, by name; nothing here imports torch.

A recipe has a folder with a README: ``podcast`` is its ``recipe.toml``, ``podcast/other`` another file in it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from audiodiff.errors import ConfigError
from audiodiff.io.atomic import atomic_folder
from audiodiff.io.formats import display_path
from audiodiff.settings import nearest

_PACKAGE = Path(__file__).parents[1]
MAIN = "recipe.toml"
README = "README.md"


def home() -> Path:
    """Folder of the recipes: inside the package where a wheel was installed, beside it in a checkout."""
    for folder in (_PACKAGE / "_recipes", _PACKAGE.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"{_PACKAGE}: this installation holds no recipes; install audiodiff again")


@dataclass(frozen=True)
class Entry:
    """One line of the list of recipes.

    Attributes:
        name: What `find` takes.
        path: The recipe, or the README of a folder that has none, only scripts.
        summary: What it is, in one line.
    """

    name: str
    path: Path
    summary: str


def entries() -> list[Entry]:
    """Every recipe, by folder, and in it the main one first."""
    found = []
    for readme in sorted(home().glob(f"*/{README}")):
        recipes = sorted(readme.parent.glob("*.toml"), key=lambda path: (path.name != MAIN, path.name))
        found += [Entry(_name(path), path, _summary(path)) for path in recipes or [readme]]
    return found


def folder_of(name: str) -> Path:
    """The folder of a recipe's name, or of a folder's.

    Raises:
        ConfigError: There is none.
    """
    known = {entry.name: entry.path.parent for entry in entries()}
    known |= {path.name: path for path in known.values()}
    name = _short(name)
    if name not in known:
        raise ConfigError(f"{name}: no recipe has this name; {nearest(name, known)}")
    return known[name]


def find(recipe: Path) -> Path:
    """The file of a recipe that is named by its path, its folder, or the name of a shipped one.

    Raises:
        ConfigError: It is none of them.
    """
    if any(recipe.glob("*.toml")):  # a folder of another kind may have a recipe's name by chance
        return _in_folder(recipe, display_path(recipe))
    if recipe.suffix in (".toml", ".json") or recipe.is_file():
        return recipe
    name = _short(recipe.as_posix())
    recipes = {entry.name: entry.path for entry in entries() if entry.path.name != README}
    if name not in recipes:
        known = {*recipes, *(path.parent.name for path in recipes.values())}
        if name in known:
            return _in_folder(folder_of(name), name)
        raise ConfigError(
            f"{display_path(recipe)}: no such file, and no recipe has this name; {nearest(name, known)}"
        )
    return recipes[name]


def run_name(recipe: Path) -> str:
    """The usual name of a run: the file's, or its folder's where that file is the main one."""
    return recipe.resolve().parent.name if recipe.stem == Path(MAIN).stem else recipe.stem


def copy(name: str, target: Path) -> list[str]:
    """Copy the folder of a recipe, without the pictures of its README, which no wheel holds.

    Args:
        name: Of a recipe, or of a folder.
        target: The new folder; it must not exist.

    Returns:
        The names of the files.

    Raises:
        ConfigError: No recipe has this name, or the target exists (code ``exists``).
    """
    source = folder_of(name)
    if os.path.lexists(target):
        raise _exists(target)
    files = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts and path.suffix != ".png"]
    try:
        with atomic_folder(target, replace=False) as fresh:
            for path in files:
                (fresh / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / path, fresh / path)
    except FileExistsError:
        raise _exists(target) from None
    return [path.as_posix() for path in files]


def _exists(target: Path) -> ConfigError:
    return ConfigError(f"{display_path(target)}: exists already; name a folder that does not", code="exists")


def _in_folder(folder: Path, shown: str) -> Path:
    """The main recipe of a folder."""
    if (folder / MAIN).is_file():
        return folder / MAIN
    names = ", ".join(sorted(path.name for path in folder.glob("*.toml")))
    raise ConfigError(f"{shown}: has no {MAIN}; {f'name one of {names}' if names else 'name a recipe'}")


def _short(name: str) -> str:
    """A recipe's name as the list has it: ``podcast/recipe`` is ``podcast``."""
    return name.removesuffix(f"/{Path(MAIN).stem}")


def _name(path: Path) -> str:
    folder = path.parent.name
    return folder if path.name in (MAIN, README) else f"{folder}/{path.stem}"


def _summary(path: Path) -> str:
    """The first comment of a recipe, or the title of a README behind its name."""
    with path.open(encoding="utf-8") as file:
        line = file.readline().lstrip("# ").strip()
    if path.name != README:
        return line
    title = line.partition(": ")[2]
    return f"{title[:1].upper()}{title[1:]}."
