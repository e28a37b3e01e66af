"""What the commands share: exit codes, the error boundary, signals."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TypeVar

import typer

from audiodiff.cli._streams import UNREAD, is_terminal
from audiodiff.errors import TARGET_CODES, AudiodiffError, AudioFileError
from audiodiff.extras import CORE, install_hint, packages
from audiodiff.system import ending_signals

OK, SOME_FAILED, REFUSED, INTERNAL, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
"""Exit codes: all good; an input failed; usage, configuration, target or model refused, or the system refused
a file; a fault of audiodiff itself; stopped by Ctrl-C; stopped by SIGTERM (SIGHUP: 129)."""


T = TypeVar("T")


class Stopped(Exception):
    """A signal ended a command in good order.

    Args:
        line: What the user is told, in place of the boundary's own line.
        code: Exit code.
    """

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


def guarded(command: Callable[[], object], extra: str = "") -> int:
    """Run a command; whatever happens becomes one line on standard error and an exit code.

    Args:
        command: What to run.
        extra: The extra that installs what this command needs beyond the core; empty for none.
    """
    try:
        with _endings_raise():
            code = _unless_unread(command)
    except AudiodiffError as error:
        return _fail(str(error), exit_code(error))
    except Stopped as stop:
        say(str(stop))
        return stop.code
    except typer.TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')}; see --help", REFUSED)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; no partial file was left", INTERRUPTED)
    except _Terminated as ending:
        return _fail("terminated; no partial file was left", 128 + ending.number)
    except OSError as error:  # a folder without rights, a full disk: nothing that a report would help with
        place = f"{os.fspath(error.filename)}: " if isinstance(error.filename, str | os.PathLike) else ""
        remedy = "check the path, its permissions and the free space on the disk"
        return _fail(f"{place}{error.strerror or error}; {remedy}", REFUSED)
    except Exception as error:  # noqa: BLE001  the boundary: a fault of ours must not look like a usage error
        return _unexpected(error, extra)
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code
        return _fail("interrupted; no partial file was left", INTERRUPTED)
    return code if isinstance(code, int) else OK


def _unexpected(error: Exception, extra: str) -> int:
    """A package that is not installed, or a fault of ours."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name and name != "audiodiff":
        known = extra if any(_requires(line, name) for line in packages(extra)) else CORE
        return _fail(f"this needs the package {name}; {install_hint(known)}", REFUSED)
    traceback.print_exception(error)
    return _fail(f"internal fault, please report it: {type(error).__name__}: {error}", INTERNAL)


def _requires(requirement: str, module: str) -> bool:
    """Whether a line such as ``torch>=2.11`` brings a module; names of packages and modules agree here."""
    return re.split(r"[^\w-]", requirement)[0].replace("-", "_") == module


def exit_code(error: AudiodiffError) -> int:
    """The exit code of an error that a user can put right."""
    if isinstance(error, AudioFileError) and error.code not in TARGET_CODES:
        return SOME_FAILED
    return REFUSED


def each(sources: Sequence[T], work: Callable[[T], None]) -> None:
    """Do the work for every source; a failure of one of several is told and does not stop the rest."""
    code = OK
    for source in sources:
        try:
            work(source)
        except AudiodiffError as error:
            if len(sources) == 1:
                raise
            say(f"audiodiff: {error}")
            code = max(code, exit_code(error))
    if code:
        raise typer.Exit(code)


def say(line: str) -> None:
    """Print one line on standard error, if there still is one (the terminal may have been closed).

    A terminal would break a long line within a word; there it is broken between two.
    """
    with contextlib.suppress(OSError, ValueError):
        if is_terminal(sys.stderr):
            width = max(20, shutil.get_terminal_size().columns)
            line = textwrap.fill(
                line, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
            )
        print(line, file=sys.stderr, flush=True)  # not typer.echo, which writes past a bar, into it


def _unless_unread(command: Callable[[], object]) -> object:
    """What the command gives; where nobody reads its output any more, the exit code for that."""
    try:
        return command()
    except BrokenPipeError:
        return UNREAD
    except SystemExit as ending:  # typer ends so then
        if isinstance(ending.__context__, BrokenPipeError):
            return UNREAD
        raise


class _Terminated(BaseException):
    """A signal arrived; like KeyboardInterrupt it passes every ``except Exception`` on its way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _endings_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP (the terminal was closed) raise, unless they are ignored, as under nohup.

    In another thread than the main one, where Python allows no handlers, they stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one kills at once
        raise _Terminated(number)

    before = {number: signal.getsignal(number) for number in ending_signals()}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(line: str, code: int) -> int:
    say("audiodiff: " + " ".join(line.split()))
    return code
