"""``audiodiff tune``: try values of a recipe's keys, and keep the best."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from audiodiff.cli._common import SOME_FAILED, Stopped, say
from audiodiff.cli._options import AllowCode
from audiodiff.cli._streams import is_terminal
from audiodiff.cli.train import SIGNAL_EXIT
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from audiodiff.training.tuning import Grid, Range, Texts

SEARCH, LIMITS = "Search", "Limits"
DRAWN = 20
"""Trials with a range, where nothing is said."""


Recipe: TypeAlias = Annotated[Path, typer.Argument(help="Recipe (TOML).")]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Keys of the recipe to change in all trials."),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Folder of the trials; default: runs/tune-NAME."),
]
GridOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SECTION.KEY=A,B,...",
        help="Try these values of a key, with those of every other --grid; repeatable.",
        rich_help_panel=SEARCH,
    ),
]
Ranges: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--range",
        metavar="SECTION.KEY=LOW:HIGH[:log]",
        help="Draw values between two numbers, evenly or in their logarithm; repeatable.",
        rich_help_panel=SEARCH,
    ),
]
Metric: TypeAlias = Annotated[
    Literal["pesq", "estoi", "si_sdr"],
    typer.Option(help="Score of the last validation that decides.", rich_help_panel=SEARCH),
]
Trials: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        help=f"Trials in all; default: all of a grid, {DRAWN} with a range.",
        rich_help_panel=SEARCH,
    ),
]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Seed of the draws.", rich_help_panel=SEARCH)]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads; default: PyTorch's choice.", rich_help_panel=LIMITS),
]


def tune(
    recipe: Recipe,
    overrides: Overrides = None,
    output: Output = None,
    grid: GridOption = None,
    ranges: Ranges = None,
    metric: Metric = "si_sdr",
    trials: Trials = None,
    seed: Seed = 0,
    allow_code: AllowCode = False,
    threads: Threads = None,
) -> None:
    """Try values of a recipe's keys.

    Each trial is an ordinary training in a folder of its own, and ends with a validation. Every combination
    of a grid is tried; with a range, Optuna draws the values. A table is printed and written as trials.md and
    trials.csv, trials.png draws it, and best.json is the best recipe, for `audiodiff train`. The same command
    goes on where it was stopped, and repeats no trial that has ended. Needs the extra [tune].

    Examples: audiodiff tune recipe.toml optim.steps=200 --grid optim.lr=1e-3,3e-4 --grid process.rho=0.2,0.5;
    audiodiff tune recipe.toml --range optim.lr=1e-4:1e-2:log --trials 12 --metric pesq
    """
    import torch

    from audiodiff.training.tuning import Search
    from audiodiff.training.tuning import tune as make_trials

    axes: tuple[Grid | Range, ...] = (
        *(grid_of(text) for text in grid or ()),
        *(range_of(text) for text in ranges or ()),
    )
    n_trials = DRAWN if trials is None and ranges else trials
    search = Search(recipe, tuple(overrides or ()), axes, metric, n_trials, seed, allow_code)
    folder = output or Path("runs") / f"tune-{recipe.resolve().parent.name}"
    if threads is not None:
        torch.set_num_threads(threads)

    def tell(number: int, texts: Texts) -> None:
        if is_terminal(sys.stderr):
            say(f"trial {number}: {' '.join(f'{key}={text}' for key, text in texts.items())}")

    rows, signal_number = make_trials(search, folder, tell)
    if signal_number is not None:
        line = f"{folder}: stopped after {len(rows)} trials; the same command goes on"
        raise Stopped(line, SIGNAL_EXIT + signal_number)
    from audiodiff.training.tuning_report import cells, draw, write_best, write_tables

    table = cells(rows, search)
    write_tables(table, folder)
    try:
        draw(rows, search, folder / "trials.png")
    except ConfigError as error:
        say(f"no picture: {error}")
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    best = write_best(rows, search, folder)
    if best is None:
        raise typer.Exit(SOME_FAILED)
    changes = " ".join([*search.overrides, *(f"{key}={text}" for key, text in best.texts.items())])
    typer.echo(f"{folder / 'best.json'}: trial {best.number}; the same by {recipe} {changes}")


def grid_of(text: str) -> Grid:
    """Read ``optim.lr=1e-3,3e-4``; commas within brackets and quotes part nothing."""
    from audiodiff.training.tuning import Grid

    key, equals, listed = text.partition("=")
    values = [value.strip() for value in _parts(listed)]
    if not key.strip() or not equals or not all(values) or len(set(values)) < len(values):
        raise ConfigError(f"--grid {text!r}: expected a key and different values, as optim.lr=1e-3,3e-4")
    return Grid(key.strip(), tuple(values))


def _parts(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        depth += 0 if quote else (character in "[{") - (character in "]}")
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def range_of(text: str) -> Range:
    """Read ``optim.lr=1e-4:1e-2:log``; two whole numbers mean whole numbers."""
    from audiodiff.training.tuning import Range

    key, _, ends = text.partition("=")
    low, _, rest = ends.partition(":")
    high, _, scale = rest.partition(":")
    try:
        first, last = (int(end) if end.strip().isdigit() else float(end) for end in (low, high))
    except ValueError:
        first = last = 0
    is_good = bool(key.strip()) and -float("inf") < first < last < float("inf") and scale in ("", "log")
    if not is_good or (scale and first <= 0):
        raise ConfigError(
            f"--range {text!r}: expected a key and two rising numbers, as optim.lr=1e-4:1e-2:log; with log, "
            "they are above 0"
        )
    return Range(key.strip(), first, last, bool(scale))
