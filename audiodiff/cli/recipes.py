"""``audiodiff recipes``: what can be trained, and a copy of it to change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiodiff.cli._common import say

recipes = typer.Typer(
    help="List, show and copy training recipes.", no_args_is_help=False, rich_markup_mode=None
)

_Name = Annotated[str, typer.Argument(help="Name of a recipe, as in the list.")]


@recipes.command("list")
def list_recipes() -> None:
    """List recipes.

    Prints the name of each and what it trains. `audiodiff train NAME` takes these names.

    Example: audiodiff recipes list
    """
    from audiodiff.training.shipped_recipes import entries

    found = entries()
    width = max(len(entry.name) for entry in found)
    for entry in found:
        typer.echo(f"{entry.name:<{width}}  {entry.summary}")


@recipes.command("show")
def show(name: _Name) -> None:
    """Print a recipe, or the README of its folder.

    A name with a slash is that of a file, and prints it; without one it is that of a folder, and prints the
    README: data, commands, cost and scores.

    Examples: audiodiff recipes show folder; audiodiff recipes show folder/recipe
    """
    from audiodiff.training.shipped_recipes import README, folder_of

    group, _, file = name.partition("/")
    folder = folder_of(name)
    path = folder / (f"{file}.toml" if file else README)
    typer.echo(path.read_text(encoding="utf-8"), nl=False)
    others = [f"{group}/{other.stem}" for other in sorted(folder.glob("*.toml")) if other != path]
    if others:
        say(f"see also: {', '.join(others if not file else [group, *others])}")


@recipes.command("copy")
def copy_recipe(
    name: _Name,
    folder: Annotated[Path | None, typer.Argument(help="New folder; default: named as the recipe's.")] = None,
) -> None:
    """Copy the folder of a recipe, to change it.

    Nothing is overwritten: the folder must not exist yet.

    Example: audiodiff recipes copy folder my-voice
    """
    from audiodiff.io.formats import display_path
    from audiodiff.training.shipped_recipes import MAIN, README, copy

    group, _, file = name.partition("/")
    target = Path(group) if folder is None else folder
    files = copy(name, target)
    typer.echo(f"{display_path(target)}: {', '.join(files)}")
    told = f"next: {display_path(target / README)} says what data it needs"
    main = f"{file}.toml" if file else MAIN
    trains = f", then audiodiff train {display_path(target / main)}" if main in files else ""
    say(told + trains)
