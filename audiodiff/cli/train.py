"""``audiodiff train``: train a model by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from audiodiff.cli._common import Stopped
from audiodiff.cli._options import AllowCode

RUN, LIMITS = "Run", "Limits"

SIGNAL_EXIT = 128
"""A run that a signal stopped ends with this plus the signal's number, as shells do: 130, 143, 129."""


Recipe: TypeAlias = Annotated[
    Path,
    typer.Argument(
        help="Recipe (TOML), its folder or its name (`audiodiff recipes list`), or a run's recipe.json."
    ),
]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Keys of the recipe to change."),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Folder of the run; default: runs/NAME, by the recipe.",
        rich_help_panel=RUN,
    ),
]
Resume: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Continue from the newest checkpoint.", rich_help_panel=RUN)
]
Init: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Model folder or shipped model whose weights the training starts from.", rich_help_panel=RUN
    ),
]
MaxMinutes: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0, help="Stop after this many minutes; 0 only exports the model.", rich_help_panel=LIMITS
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads; default: PyTorch's choice.", rich_help_panel=LIMITS),
]


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    output: Output = None,
    resume: Resume = False,
    init: Init = None,
    allow_code: AllowCode = False,
    max_minutes: MaxMinutes = None,
    threads: Threads = None,
) -> None:
    """Train a model by a recipe.

    Log, checkpoints, learning curve and model go to one folder. SIGTERM, Ctrl-C and a closed terminal stop
    after the current step with a checkpoint; --resume continues as if nothing had happened. The exit code is
    1 if the training has failed for good; the reason is on standard error.

    Examples: audiodiff train my-voice/recipe.toml; audiodiff train voicebank_demand/flow optim.lr=5e-4
    """
    import torch

    from audiodiff.model.folder import find as find_model
    from audiodiff.training.loop import BrokenRun
    from audiodiff.training.recipe import load_recipe
    from audiodiff.training.run import run
    from audiodiff.training.shipped_recipes import find, run_name

    config = load_recipe(recipe, overrides or (), allow_code)
    folder = output or Path("runs") / run_name(find(recipe))
    init = None if init is None else find_model(init)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        outcome = run(
            config, folder, resume=resume, init=init, max_minutes=max_minutes, allow_code=allow_code
        )
    except BrokenRun as error:
        typer.echo(f"{folder}: stopped, {error}", err=True)
        raise typer.Exit(1) from error
    if outcome.signal_number is not None:
        line = f"{folder}: stopped at step {outcome.step}; go on with --resume"
        raise Stopped(line, SIGNAL_EXIT + outcome.signal_number)
    done = "finished" if outcome.finished else outcome.early_end or "time is up"
    if outcome.writes:
        typer.echo(f"{folder / 'model'}: model after {outcome.step} steps ({done})")
