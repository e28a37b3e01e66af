"""Writes the page of the command line, docs/pages/cli.md, from the commands themselves.

    python docs/make_cli.py

Run it after a change of a command, an option or its help; a test compares the page with what this makes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from audiodiff.cli import app
from audiodiff.cli._help import command_panels, option_panels

PAGE = Path(__file__).parent / "pages" / "cli.md"

HEAD = """\
# Command line

Results go to standard output, everything else to standard error.

| exit code | meaning |
|---|---|
| 0 | all good |
| 1 | some inputs failed |
| 2 | usage, configuration, model or target refused |
| 3 | internal fault; please report it |
| 130 | interrupted by Ctrl-C; no partial file is left |
| 141 | nobody reads the output any more |
| 143 | terminated; no partial file is left |

This page is made from the commands by `docs/make_cli.py`.
"""


def commands(command: Any, words: tuple[str, ...] = ("audiodiff",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and all below it, each with the words that call it."""
    yield words, command
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from commands(below, (*words, name))


def page() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    return "\n".join([HEAD, *(line for words, command in commands(root) for line in section(words, command))])


def section(words: tuple[str, ...], command: Any) -> Iterator[str]:
    """The lines of one command: what it does, how it is called, its arguments and options."""
    root = typer.main.get_command(app).make_context(words[0], [], resilient_parsing=True)
    above = root if words[1:] else None  # -h is its setting
    context = command.make_context(words[-1], [], above, resilient_parsing=True)
    yield f"## {' '.join(words)}\n"
    yield f"    {' '.join([*words, *command.collect_usage_pieces(context)])}\n"
    yield paragraphs(command.help or "")
    for panel, rows in command_panels(command, context).items() if hasattr(command, "commands") else ():
        yield f"{panel}:\n"
        yield from (
            f"- [`{' '.join((*words, name))}`](#{'-'.join((*words, name))}): {does}" for name, does in rows
        )
        yield ""
    for panel, rows in option_panels(command, context).items():
        yield f"{panel}:\n"
        yield from (f"- `{left}`: {right}" if right else f"- `{left}`" for left, right in rows)
        yield ""


def paragraphs(text: str) -> str:
    """A help text as Markdown; what follows "Example:" or "Examples:" becomes code."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        line = " ".join(paragraph.split())
        for mark in ("Example: ", "Examples: "):
            if line.startswith(mark):
                calls = line.removeprefix(mark).split("; ")
                line = mark.strip() + "\n\n" + "\n".join(f"    {call}" for call in calls)
        parts.append(line + "\n")
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
