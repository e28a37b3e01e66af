"""What commands share that take their input from a pipe or send their result into one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from audiodiff.cli._streams import is_terminal, missing
from audiodiff.errors import ConfigError
from audiodiff.system import temporary_folder

PIPE = Path("-")
"""What stands for standard input or standard output."""


@contextmanager
def in_files(
    source: Path, output: Path | None, conflict: str = "", mels: bool = False
) -> Iterator[tuple[Path, Path | None]]:
    """Put temporary files in place of pipes: inputs are read twice, outputs get their names when whole."""
    from audiodiff.batch.plan import spool

    to_pipe = output == PIPE or (source == PIPE and output is None)
    if to_pipe and conflict:
        raise ConfigError(f"standard output takes the recording alone; leave out {conflict}")
    if source == PIPE:
        check_input("name a file")
    if to_pipe:
        check_output("name a file with -o")
    if not to_pipe and source != PIPE:
        yield source, None
        return
    with temporary_folder() as name:
        folder = Path(name)
        found = spool(sys.stdin.buffer, folder, mels) if source == PIPE else source
        yield found, folder if to_pipe else None


def check_input(instead: str) -> None:
    """Refuse a standard input that is closed, and say what to do instead."""
    if sys.stdin is None or 0 in missing:
        raise ConfigError(f"standard input is closed; {instead}")


def check_output(instead: str) -> None:
    """Refuse a standard output that can take no sound, and say what to do instead."""
    if sys.stdout is None or 1 in missing:
        raise ConfigError(f"standard output is closed; {instead}")
    if is_terminal(sys.stdout):
        raise ConfigError(f"standard output is a terminal; {instead}, or send it on with |")


def refuse_pipes(inputs: Sequence[Path], output: Path | None) -> None:
    """Refuse pipes in a batch."""
    if PIPE in (*inputs, output):
        raise ConfigError("a pipe holds one recording; name one input, or a folder for the output")
