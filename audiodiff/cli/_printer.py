"""Results as they come: paths or JSON lines on standard output, the rest on standard error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from audiodiff.cli._common import SOME_FAILED, say
from audiodiff.io.formats import display_path

if TYPE_CHECKING:
    from audiodiff.batch.batch_spec import Item, JobSpec
    from audiodiff.batch.flags import Flag
    from audiodiff.batch.job_options import Result
    from audiodiff.report import Reviewed

JSON_VERSION = 1

SHOWN = 10
"""So many failures are named again at the end."""


class Printer:
    """Prints results as they come: paths or JSON lines on standard output, the rest on standard error.

    Args:
        as_json: One object a line, see `event`.
        quiet: Only warnings and errors on standard error.

    Attributes:
        results: What was printed so far.
    """

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self.results: list[Result] = []
        self.counts: Counter[str] = Counter()
        self._told: set[str] = set()
        self.internal = 0
        self._exist: list[Result] = []
        self._warned: tuple[str, ...] = ()
        self.quiet = quiet
        self.as_json = as_json
        self._seconds = 0.0
        self._started = time.monotonic()

    def result(self, result: Result, path: bool = True) -> None:
        """Print one result, with or without the path of the output."""
        fresh = [line for line in result.warnings if line not in self._told]  # a disk's is told once
        result = replace(result, warnings=(*self._warned, *fresh))
        self._warned = ()
        self.counts[result.status] += 1
        self.results.append(result)
        if self.as_json:
            print(json.dumps(event(result)), flush=True)
        elif path and result.status in ("done", "copied"):
            print(os.fspath(result.target), flush=True)  # not typer.echo, which writes past a bar, into it
        for line in fresh:
            self._tell(line)
        if result.fault is not None:
            self.internal += result.fault.code == "internal"
            if result.fault.code == "exists":
                self._exist.append(result)
            else:
                say(f"audiodiff: {result.fault.message}")
        if result.status in ("done", "copied"):
            self._seconds += result.seconds

    def warn(self, line: str) -> None:
        """Print a warning before the work; it goes into the result too."""
        self._warned += (line,)
        self._tell(line)

    def _tell(self, line: str) -> None:
        self._told.add(line)
        say(f"audiodiff: warning: {line}")

    def left_out(self, n_own: int, passed_over: Mapping[str, int], task: str) -> None:
        """Say in a line each what a batch does not take: what audiodiff made, and what is no recording."""
        if self.quiet:
            return
        from audiodiff.io.folders import counted

        if n_own:
            what = "1 file was" if n_own == 1 else f"{n_own} files were"
            say(f"audiodiff: {what} made by audiodiff {task} already, and left out")
        if n := sum(passed_over.values()):
            say(f"audiodiff: {n} other file{'s' * (n > 1)} left alone: {counted(passed_over)}")

    def alone(self, result: Result) -> None:
        """End the command for one recording."""
        if not self.quiet:
            speed = result.elapsed_s / result.seconds
            line = f"{result.seconds:.1f} s of audio in {result.elapsed_s:.1f} s"
            say(f"{line} (real-time factor {speed:.3f})")
        self.summary(1)

    def failed_alone(self, result: Result) -> None:
        """Print the JSON of the one recording that failed; its line is left to the error boundary."""
        if self.as_json:
            self.counts[result.status] += 1
            print(json.dumps(event(result)), flush=True)
            self.summary(1)

    def failures(self) -> None:
        """Name once more, after a long batch, what failed."""
        failed = [each for each in self.results if each.fault is not None and each not in self._exist]
        if len(self.results) > SHOWN:
            for result in failed[:SHOWN]:
                say(f"audiodiff: failed: {display_path(result.source)}")
            if len(failed) > SHOWN:
                say(f"audiodiff: failed: {len(failed) - SHOWN} more, see above")

    def existing(self) -> None:
        """Say in one line which outputs of a batch exist already."""
        if not self._exist:
            return
        first = self._exist[0]
        line = first.fault.message if first.fault is not None else ""
        if (n := len(self._exist)) > 1:
            line = (
                f"{n} outputs exist already, the first is {display_path(first.target)}; use --overwrite to "
                "replace them, or --skip-existing to keep them"
            )
        say(f"audiodiff: {line}")

    def ears(self, flagged: Sequence[tuple[str, Sequence[Flag]]]) -> None:
        """Name the recordings that somebody should listen to, and why; nothing where there are none."""
        if not flagged or self.quiet:
            return
        from audiodiff.batch.flags import NAMES

        n = len(flagged)
        names = [
            f"{name} ({', '.join(NAMES[flag.code] for flag in flags)})" for name, flags in flagged[:SHOWN]
        ]
        names += [f"and {n - SHOWN} more"] if n > SHOWN else []
        want = "1 recording wants" if n == 1 else f"{n} recordings want"
        say(f"audiodiff: {want} your ears: {', '.join(names)}")

    def reviewed(self, found: Sequence[Reviewed]) -> None:
        """Print what a report found: a JSON object a recording, if JSON is wanted, and what to listen to."""
        for each in found if self.as_json else ():
            flags = [{"code": flag.code, "message": flag.text} for flag in each.flags]
            names = {"in": os.fspath(each.entry.source), "out": os.fspath(each.entry.target)}
            told = {"v": JSON_VERSION, "event": "review", **names, "flags": flags, "places": each.places}
            print(json.dumps(told), flush=True)
        self.ears([(each.name, each.flags) for each in found if each.flags])

    def summary(self, n_items: int) -> str:
        """Print the JSON summary, if JSON is wanted."""
        elapsed = time.monotonic() - self._started
        counts = {name: self.counts[name] for name in ("done", "copied", "skipped", "failed")}
        counts["not_started"] = n_items - sum(counts.values())
        if self.as_json:
            times = {"seconds": round(self._seconds, 3), "elapsed_s": round(elapsed, 3)}
            told = {"v": JSON_VERSION, "event": "summary", "files": n_items, **counts, **times}
            print(json.dumps(told), flush=True)
        n_exist = len(self._exist)  # failed for programs; for people nothing is wrong with them
        shown = counts | {
            "failed": counts["failed"] - n_exist,
            f"exist{'s' * (n_exist == 1)} already": n_exist,
        }
        words = [f"{count} {name.replace('_', ' ')}" for name, count in shown.items() if count]
        line = f"{n_items} recording{'s' * (n_items != 1)}: {', '.join(words)}"
        if self._seconds:
            factor = elapsed / self._seconds
            line += f"; {self._seconds:.1f} s of audio in {elapsed:.1f} s (real-time factor {factor:.3f})"
        return line


def event(result: Result) -> dict[str, Any]:
    """A result as JSON; names that are not UTF-8 come as lone surrogates (Python's surrogateescape)."""
    fault = result.fault
    return {
        "v": JSON_VERSION,
        "event": "file",
        "in": os.fspath(result.source),
        "out": os.fspath(result.target),
        "residual": os.fspath(result.residual) if result.residual else None,
        "status": result.status,
        "error": {"code": fault.code, "message": fault.message} if fault else None,
        "warnings": list(result.warnings),
        "flags": [flag.code for flag in result.flags],
        "seconds": round(result.seconds, 6),
        "gain_db": round(result.gain_db, 3),
        "elapsed_s": round(result.elapsed_s, 3),
        "rtf": round(result.elapsed_s / result.seconds, 4) if result.seconds else None,
    }


def foretell(spec: JobSpec, items: Sequence[Item], jobs: int, factor: float, as_json: bool) -> None:
    """Show what a batch would do."""
    from audiodiff.batch.batch_spec import foresee
    from audiodiff.batch.estimate import predicted
    from audiodiff.batch.plan import measured
    from audiodiff.io.formats import display_path

    work, n_failed = [], 0
    if not as_json:
        typer.echo(f"{'':<10} {'duration':>10} {'work':>10}  input -> output")
    for item in measured(items, spec.settings):
        result = foresee(spec, item)
        state = "to do" if result is None else result.status
        cost = predicted([item], factor, 1) if result is None else 0.0
        if result is None:
            work.append(item)
        fault = result.fault if result else None
        n_failed += fault is not None
        if as_json:
            names = {"in": os.fspath(item.source), "out": os.fspath(item.target)}
            error = {"code": fault.code, "message": fault.message} if fault else None
            numbers = {"seconds": round(item.seconds, 3), "work_s": round(cost, 1)}
            told = {"event": "plan", **names, "status": state.replace(" ", "_"), "error": error, **numbers}
            typer.echo(json.dumps({"v": JSON_VERSION, **told}))
        else:
            why = f"  ({fault.message})" if fault else ""
            way = f"{display_path(item.source)} -> {display_path(item.target)}{why}"
            typer.echo(f"{state:<10} {_clock(item.seconds):>10} {_clock(cost):>10}  {way}")
    total = sum(item.seconds for item in work)
    wall = predicted(work, factor, jobs) if work else 0.0
    if as_json:
        sums = {"to_do": len(work), "seconds": round(total, 3), "elapsed_s": round(wall, 1), "jobs": jobs}
        typer.echo(json.dumps({"v": JSON_VERSION, "event": "summary", "files": len(items), **sums}))
    else:
        line = f"{len(work)} of {len(items)} recordings to do: {_clock(total)} of audio, about {_clock(wall)}"
        typer.echo(f"{line} with {jobs} job{'s' if jobs > 1 else ''}; nothing was written")
    if n_failed:
        raise typer.Exit(SOME_FAILED)


def copy_out(path: Path) -> None:
    """Copy a finished file to standard output."""
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _clock(seconds: float) -> str:
    whole, tenths = divmod(round(seconds * 10), 10)
    if whole < 60:
        return f"{whole}.{tenths} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
