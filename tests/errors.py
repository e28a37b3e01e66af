"""What tests ask of errors: kind, code and the values named; the wording stands in `golden/refusals.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
import typer

from audiodiff.cli import app
from audiodiff.cli._common import REFUSED, exit_code
from audiodiff.errors import AudiodiffError

E = TypeVar("E", bound=AudiodiffError)

USAGE, SYSTEM = "usage", "system"
"""Stand for the code where typer refuses a command line, or the system a file."""


@contextmanager
def refused(kind: type[E], code: str, *values: object) -> Iterator[pytest.ExceptionInfo[E]]:
    """What is inside raises such an error, in one line that names these values (files, keys, numbers)."""
    with pytest.raises(kind) as caught:
        yield caught
    line = str(caught.value)
    assert (caught.value.code, "\n" in line) == (code, False), line
    assert [str(value) for value in values if str(value) not in line] == [], line


def refusal(*words: object) -> tuple[int, str, str]:
    """Exit code, code of the error and its line, of a command line that is refused."""
    with pytest.raises((AudiodiffError, typer.TyperException, OSError)) as caught:
        app([str(word) for word in words], prog_name="audiodiff", standalone_mode=False)
    error = caught.value
    if isinstance(error, AudiodiffError):
        return exit_code(error), error.code, str(error)
    if isinstance(error, OSError):
        return REFUSED, SYSTEM, str(error)
    assert isinstance(error, typer.TyperException)
    return REFUSED, USAGE, error.format_message()
