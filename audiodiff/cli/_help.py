"""Help in sections: options and commands stand under the panel that they name, in plain text.

typer draws its panels (`rich_help_panel`) with rich, in boxes, which leave little room on 80 columns and cost
every ``--help`` the import of rich. Here the same names become headings.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

OUTPUT, MODEL, SOUND = "Output", "Model", "Sound"
PART, MACHINE, BATCH = "Part of a recording", "Machine", "Batches"
"""Panels of the commands that process recordings."""

OPTIONS = "Options"
"""Heading of what names no panel; it comes last."""

Rows = list[tuple[str, str]]


class PanelCommand(TyperCommand):
    """A command whose options are listed by panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        _write(option_panels(self, ctx), formatter)


class PanelGroup(TyperGroup):
    """A group whose commands are listed by panel, before its options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write commands and options."""
        _write(command_panels(self, ctx), formatter)
        _write(option_panels(self, ctx), formatter)


def option_panels(command: Any, context: Any) -> dict[str, Rows]:
    """Arguments and options of a command with their help, by panel, in order."""
    panels: dict[str, Rows] = {}
    for parameter in command.get_params(context):
        row = parameter.get_help_record(context)
        if row is not None:
            usual = OPTIONS if parameter.param_type_name == "option" else "Arguments"
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(row)
    if OPTIONS in panels:
        panels[OPTIONS] = panels.pop(OPTIONS)
    return panels


def command_panels(group: Any, context: Any) -> dict[str, Rows]:
    """Commands of a group with what they do, by panel, in order."""
    panels: dict[str, Rows] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            does = command.get_short_help_str(limit=1 << 10)
            panels.setdefault(command.rich_help_panel or "Commands", []).append((name, does))
    return panels


def _write(panels: dict[str, Rows], formatter: Any) -> None:
    for name, rows in panels.items():
        with formatter.section(name):
            formatter.write_dl(rows)
