"""The command ``audiodiff``.

One file a command: parse, call a function, print. Results go to standard output, the rest to standard error.
Exit codes: 0 all good, 1 some inputs failed, 2 usage, configuration, target or model refused, 3 internal
fault, 130 interrupted, 141 nobody reads the output, 143 terminated.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from audiodiff import __version__
from audiodiff.cli import _streams
from audiodiff.cli._common import REFUSED, guarded
from audiodiff.cli._help import PanelCommand, PanelGroup
from audiodiff.cli.convert import convert
from audiodiff.cli.denoise import DenoiseCommand, denoise
from audiodiff.cli.doctor import doctor
from audiodiff.cli.evaluate import evaluate
from audiodiff.cli.export import export
from audiodiff.cli.info import info
from audiodiff.cli.live import live
from audiodiff.cli.mel import mel
from audiodiff.cli.mix import mix
from audiodiff.cli.models import models
from audiodiff.cli.pairs import pairs
from audiodiff.cli.prepare import prepare
from audiodiff.cli.recipes import recipes
from audiodiff.cli.schedule import schedule
from audiodiff.cli.train import train
from audiodiff.cli.tune import tune
from audiodiff.cli.ui import ui
from audiodiff.cli.vocode import vocode

app = typer.Typer(
    name="audiodiff",
    cls=PanelGroup,
    help="Clean speech recordings and make speech from mels with audio diffusion models; train such models.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
# in the order in which the help lists them
_SPEAK, _LOOK, _TRAIN = "Clean and speak", "Look", "Train"
app.command(cls=DenoiseCommand, rich_help_panel=_SPEAK)(denoise)
app.command(cls=PanelCommand, rich_help_panel=_SPEAK)(vocode)
app.command(cls=PanelCommand, rich_help_panel=_SPEAK)(live)
app.command(cls=PanelCommand, rich_help_panel=_SPEAK)(ui)
app.command(cls=PanelCommand, rich_help_panel=_LOOK)(info)
app.command(cls=PanelCommand, rich_help_panel=_LOOK)(evaluate)
app.add_typer(mel, name="mel", cls=PanelGroup, rich_help_panel=_LOOK)
app.add_typer(models, name="models", cls=PanelGroup, rich_help_panel=_LOOK)
app.command(cls=PanelCommand, rich_help_panel=_LOOK)(doctor)
app.add_typer(recipes, name="recipes", cls=PanelGroup, rich_help_panel=_TRAIN)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(prepare)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(mix)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(pairs)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(train)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(tune)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(schedule)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(export)
app.command(cls=PanelCommand, rich_help_panel=_TRAIN)(convert)


_EXTRAS = {
    "evaluate": "eval",
    "export": "export",
    "live": "live",
    "prepare": "train",
    "pairs": "train",
    "train": "train",
    "tune": "train",
}
"""The extra that brings what a command needs beyond the core; of all others it is ``vocode``, for torch."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"audiodiff {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  typer calls _version for it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(REFUSED)


def run(arguments: Sequence[str]) -> int:
    """Run one command line."""
    extra = _EXTRAS.get(arguments[0], "vocode") if arguments else ""
    needed = _app_of(arguments[0]) if arguments else app
    return guarded(lambda: needed(list(arguments), prog_name="audiodiff", standalone_mode=False), extra)


def _app_of(name: str) -> typer.Typer:
    """The application without all commands but one, which takes typer a tenth of the time to build."""
    wanted = [
        command for command in app.registered_commands if getattr(command.callback, "__name__", "") == name
    ]
    if not wanted:  # a group, an option, or no command at all
        return app
    alone = copy.copy(app)
    alone.registered_commands, alone.registered_groups = wanted, []
    return alone


def main() -> None:
    """Entry point: run the process's own command line and exit."""
    _streams.prepare()
    sys.exit(_streams.finish(run(sys.argv[1:])))
