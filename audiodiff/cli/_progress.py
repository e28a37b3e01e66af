"""A bar with an estimate on standard error, only where that is a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from audiodiff.cli._streams import is_terminal

NAME_WIDTH = 28


class Bar:
    """Shows how far some work has come; without a terminal every call does nothing."""

    def __init__(self, progress: Any = None, task: Any = None) -> None:
        self._progress, self._task = progress, task
        self._started = time.monotonic()

    def __call__(self, done: float, total: float, name: str = "") -> None:
        """Move the bar.

        Args:
            done: Work done.
            total: Work in all, in the same unit; 0 if unknown.
            name: What is worked on; a long name is shortened in its middle.
        """
        if self._progress is None:
            return
        elapsed = max(time.monotonic() - self._started, 1e-3)
        speed = f"{done / elapsed:.1f}x" if done > 0 else ""
        shown = {"description": shortened(name)} if name else {}
        self._progress.update(self._task, completed=done, total=total or None, speed=speed, **shown)


@contextlib.contextmanager
def progress_bar(label: str, shown: bool) -> Iterator[Bar]:
    """A bar while the block runs; what is printed meanwhile stands above it, line by line.

    Args:
        label: Text before the bar until work has a name.
        shown: False for none.
    """
    if not (shown and is_terminal(sys.stderr)):
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeRemainingColumn(),
    )
    # Results go to standard output. On the same terminal they must pass through the bar's console, or they
    # would be written into it; into a file or a pipe they must not.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=is_terminal(sys.stdout), expand=True
    ) as bar:
        yield Bar(bar, bar.add_task(shortened(label), total=None, speed=""))


def shortened(name: str) -> str:
    """A name of at most `NAME_WIDTH` characters, its middle left out."""
    if len(name) <= NAME_WIDTH:
        return name
    head = (NAME_WIDTH - 1) // 2
    return f"{name[:head]}…{name[head + 1 - NAME_WIDTH :]}"
