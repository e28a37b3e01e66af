"""What the commands that turn recordings into recordings share: words into numbers, results into lines."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from audiodiff.cli._common import INTERNAL, OK, SOME_FAILED, Stopped, progress_bar, say
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from audiodiff.batch.batch_spec import Item, JobSpec
    from audiodiff.batch.job import Result
    from audiodiff.batch.ray_engine import Cluster

JSON_VERSION = 1

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)s?")
_MOST_JOBS = 8
"""Workers by default at most: each holds torch and a model, some 0.5 GB."""


class Engine(StrEnum):
    """What does a batch."""

    LOCAL = "local"
    RAY = "ray"


EngineName: TypeAlias = Annotated[
    Engine, typer.Option(help="What does a batch: this machine, or a Ray cluster (the extra [ray]).")
]
Address: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The Ray cluster, as `ray start --head` tells it; needed there."),
]


def time_of(text: str, option: str) -> float:
    """Read a time: ``90``, ``90s``, ``1:30``, ``1:02:03.5``.

    Args:
        text: What was written.
        option: Where, for the error line.

    Returns:
        Seconds.

    Raises:
        ConfigError: It is no time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ConfigError(f"{option} {text!r} is no time; write seconds or minutes:seconds, as 90 or 1:30")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def stretch(start: str | None, end: str | None, preview: str | None) -> tuple[float, float]:
    """The part of each recording that is wanted.

    Args:
        start: Text of --start.
        end: Text of --end.
        preview: Text of --preview, SECONDS[@START].

    Returns:
        (start, end) in seconds; infinity for the end.

    Raises:
        ConfigError: No times, nothing between them, or --preview beside the others.
    """
    if preview is not None:
        if start is not None or end is not None:
            raise ConfigError("--preview names its own start; leave out --start and --end")
        length, _, place = preview.partition("@")
        first = time_of(place, "--preview") if place else 0.0
        last = first + time_of(length, "--preview")
    else:
        first = time_of(start, "--start") if start is not None else 0.0
        last = time_of(end, "--end") if end is not None else math.inf
    if not first < last:
        raise ConfigError(f"nothing lies between {first:g} s and {last:g} s; choose a later end")
    return first, last


def shard_of(text: str | None) -> tuple[int, int]:
    """Read ``K/N``; None is all of it, 1/1.

    Raises:
        ConfigError: It is not two whole numbers with 1 <= K <= N.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text or "1/1")
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= numbers[0] <= numbers[1]:
        raise ConfigError(f"--shard {text!r}: expected K/N with K from 1 to N, such as 2/4")
    return numbers


def jobs_of(jobs: int | None, n_items: int, on_cpu: bool) -> int:
    """The number of workers: what was asked for, else one a core, and one for a GPU."""
    if jobs is not None:
        return jobs
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(n_items, cores, _MOST_JOBS)) if on_cpu else 1


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
        self.internal = 0
        self.quiet = quiet
        self.as_json = as_json
        self._seconds = 0.0
        self._started = time.monotonic()

    def result(self, result: Result, path: bool = True) -> None:
        """Print one result, with or without the path of the output."""
        self.counts[result.status] += 1
        self.results.append(result)
        if self.as_json:
            typer.echo(json.dumps(event(result)))
        elif path and result.status in ("done", "copied"):
            typer.echo(result.target)
        for warning in result.warnings:
            say(f"audiodiff: warning: {warning}")
        if result.fault is not None:
            self.internal += result.fault.code == "internal"
            say(f"audiodiff: {result.fault.message}")
        if result.status in ("done", "copied"):
            self._seconds += result.seconds

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
            typer.echo(json.dumps(event(result)))
            self.summary(1)

    def summary(self, n_items: int) -> str:
        """Print the JSON summary, if JSON is wanted.

        Args:
            n_items: Recordings in all.

        Returns:
            The summary as one line of text.
        """
        elapsed = time.monotonic() - self._started
        counts = {name: self.counts[name] for name in ("done", "copied", "skipped", "failed")}
        counts["not_started"] = n_items - sum(counts.values())
        if self.as_json:
            times = {"seconds": round(self._seconds, 3), "elapsed_s": round(elapsed, 3)}
            typer.echo(
                json.dumps({"v": JSON_VERSION, "event": "summary", "files": n_items, **counts, **times})
            )
        words = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
        line = f"{n_items} recordings: {', '.join(words)}"
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
        "seconds": round(result.seconds, 6),
        "gain_db": round(result.gain_db, 3),
        "elapsed_s": round(result.elapsed_s, 3),
        "rtf": round(result.elapsed_s / result.seconds, 4) if result.seconds else None,
    }


def cluster_of(engine: Engine, address: str | None, jobs: int | None) -> Cluster | None:
    """Where to work: None for this machine alone.

    Raises:
        ConfigError: An address without --engine ray, or that without the address of a cluster.
    """
    if engine is Engine.LOCAL:
        if address is not None:
            raise ConfigError("--address names a Ray cluster; add --engine ray")
        return None
    if address in (None, "", "local"):
        raise ConfigError(
            "--engine ray needs a running cluster: start `ray start --head` and give its --address "
            "HOST:PORT, or use --jobs on this machine"
        )
    from audiodiff.batch.ray_engine import Cluster

    return Cluster(address, jobs)


def run_batch(
    spec: JobSpec, items: Sequence[Item], jobs: int, printer: Printer, cluster: Cluster | None = None
) -> None:
    """Do a batch and tell what became of it.

    The first Ctrl-C, SIGTERM or SIGHUP lets the recordings in work end, the second ends all at once.

    Args:
        spec: What to do.
        items: The recordings.
        jobs: Workers on this machine.
        printer: Prints.
        cluster: Where else to work, or None.

    Raises:
        ConfigError: The cluster cannot be used.
        Stopped: A signal came before all was begun.
        typer.Exit: With exit code 1 or 3 if something failed.
    """
    from audiodiff.batch.plan import measured
    from audiodiff.interrupts import stop_requests

    show = not printer.quiet and sys.stderr.isatty()
    items = measured(items, spec.settings) if show else items
    lengths = {item.source: item.seconds for item in items}
    done = dict.fromkeys(lengths, 0.0)
    told: list[int] = []
    label = f"{len(items)} recordings"
    with stop_requests(None) as stop, progress_bar(label, show) as bar, ExitStack() as stack:

        def watch(item: Item, seconds: float) -> None:
            if stop.signal_number is not None and not told:
                told.append(stop.signal_number)
                say("audiodiff: ending the recordings in work; once more to stop at once")
            done[item.source] = seconds
            if bar is not None:
                bar(sum(done.values()), sum(lengths.values()))

        results = _results(spec, items, cluster or jobs, watch, lambda: stop.reason is not None)
        stack.callback(results.close)  # kills the workers when printing fails
        for result in results:
            printer.result(result)
            done[result.source] = lengths[result.source]
    line = printer.summary(len(items))
    left = len(items) - printer.counts.total()
    if stop.signal_number is not None and left:
        text = f"audiodiff: {stop.reason}; {line}; the same command goes on"
        raise Stopped(text, 128 + stop.signal_number)
    if not printer.quiet:
        say(line)
    code = INTERNAL if printer.internal else SOME_FAILED if printer.counts["failed"] or left else OK
    if code != OK:
        raise typer.Exit(code)


def _results(
    spec: JobSpec,
    items: Sequence[Item],
    workers: int | Cluster,
    watch: Callable[[Item, float], None],
    stopped: Callable[[], bool],
) -> Generator[Result, None, None]:
    """The results of a batch, done by so many workers here, or by a cluster."""
    from audiodiff.batch.ray_engine import run_on_cluster
    from audiodiff.batch.worker_pool import run

    if isinstance(workers, int):
        return run(spec, items, workers, watch, stopped)
    return run_on_cluster(spec, items, workers, watch, stopped)


def foretell(spec: JobSpec, items: Sequence[Item], jobs: int, factor: float, as_json: bool) -> None:
    """Show what a batch would do.

    Args:
        spec: What would be done.
        items: The recordings.
        jobs: Workers.
        factor: Seconds of work for a second of one channel.
        as_json: JSON lines in place of the table.

    Raises:
        typer.Exit: With exit code 1 if something would fail.
    """
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
