"""How the commands that turn recordings into recordings run: one recording, or a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audiodiff.cli._common import INTERNAL, OK, SOME_FAILED, Stopped, say
from audiodiff.cli._pipe import PIPE, in_files, refuse_pipes
from audiodiff.cli._printer import Printer, copy_out, foretell
from audiodiff.cli._progress import progress_bar
from audiodiff.cli._streams import is_terminal
from audiodiff.errors import AudiodiffError, ConfigError
from audiodiff.system import cores

if TYPE_CHECKING:
    from audiodiff.batch.batch_spec import Item, JobSpec
    from audiodiff.batch.denoise_task import DenoiseSettings
    from audiodiff.batch.job_options import Options, Result
    from audiodiff.batch.naming import Place
    from audiodiff.batch.ray_engine import Cluster
    from audiodiff.batch.task import TaskName
    from audiodiff.batch.vocode_task import VocodeSettings

_MOST_JOBS = 8


def jobs_of(jobs: int | None, n_items: int, on_cpu: bool) -> int:
    """The number of workers: what was asked for, else one a core, and one for a GPU."""
    if jobs is not None:
        return jobs
    return max(1, min(n_items, cores(), _MOST_JOBS)) if on_cpu else 1


@dataclass(frozen=True)
class Command:
    """What one of these commands was asked for, apart from its files.

    Attributes:
        settings: Decisions of the task.
        model: Name of a shipped model or path of a model folder.
        options: How to treat files.
        part: Which part of a batch, and of how many; None if it is not divided.
        workers: Workers on this machine, None to choose, or a cluster.
        dry_run: Only show what would be done.
    """

    settings: DenoiseSettings | VocodeSettings
    model: str
    options: Options
    part: tuple[int, int] | None = None
    workers: int | Cluster | None = None
    dry_run: bool = False

    @property
    def mark(self) -> str:
        """What names of results get in any case."""
        return ".preview" if self.options.preview else ""

    @property
    def share(self) -> tuple[int, int]:
        """The part, and of how many, where the whole is part 1 of 1."""
        return self.part or (1, 1)

    @property
    def batch(self) -> bool:
        """Whether even a single recording is done as a batch."""
        return self.dry_run or self.part is not None or not isinstance(self.workers, int | None)


def run(inputs: Sequence[Path], output: Place | None, command: Command, printer: Printer) -> None:
    """Do one recording, whose refusals are the command's own, or a batch, in which none stops the rest."""
    from audiodiff.batch.plan import is_single

    if is_single(inputs) and not command.batch:
        _one(inputs[0], output, command, printer)
    else:
        _many(inputs, output, command, printer)


def _one(source: Path, output: Place | None, command: Command, printer: Printer) -> None:
    """One recording: nothing is written but the outputs."""
    from audiodiff.batch.batch_spec import Item, failed
    from audiodiff.batch.job import process
    from audiodiff.batch.plan import target_of

    settings, options = command.settings, command.options
    conflict = "--json and --residual" if printer.as_json or options.residual else ""
    path = None if output is None else output.path
    named = source
    with in_files(source, path, conflict, mels=settings.task == "vocode") as (source, pipe):
        if pipe:  # nothing lies beside a pipe
            options = replace(options, sidecar=False)
            target = target_of(source, pipe / f"result{source.suffix}", settings, options)
        else:
            target = _target(source, output, command)
        try:
            settings.check(source, target, options)
            if source == named:
                _warn_of_own(source, settings.task, printer)
            # From here on it costs seconds: torch and the model.
            task = settings.load(command.model)
            task.check(source)
            _remark(task.remarks([source], settings.look(source)[0]), printer)
            with progress_bar(source.name, shown=not printer.quiet) as progress:
                result = process(task, source, target, options, progress)
        except AudiodiffError as error:
            printer.failed_alone(failed(Item(source, target, source.name), error.code, str(error)))
            raise
        printer.result(result, path=pipe is None)
        if pipe:
            copy_out(target)
    printer.alone(result)


def _target(source: Path, output: Place | None, command: Command) -> Path:
    from audiodiff.batch.plan import target_of
    from audiodiff.io.formats import display_path

    if output is not None and not output.is_folder:
        wanted = command.options.ending
        if wanted and output.path != PIPE and output.path.suffix.lower() != wanted:
            name = display_path(output.path)
            raise ConfigError(
                f"{name}: does not end in {wanted}, which --format asks for; change one of them"
            )
        return output.path
    place = None if output is None else output.path / source.name
    return target_of(source, place, command.settings, command.options, command.mark)


def _warn_of_own(source: Path, task: TaskName, printer: Printer) -> None:
    """Say that the one input is no recording but a result."""
    from audiodiff.batch.own import is_own
    from audiodiff.io.formats import display_path

    if is_own(source, task):
        printer.warn(
            f"{display_path(source)}: was made by audiodiff {task} already; it is processed once more"
        )


def _items(inputs: Sequence[Path], output: Place | None, command: Command, printer: Printer) -> list[Item]:
    from audiodiff.batch.batch_spec import Item
    from audiodiff.batch.plan import check_folder, is_single, plan, shard

    folder = None if output is None else output.path
    refuse_pipes(inputs, folder)
    if is_single(inputs):  # a dry run or a shard of one file
        _warn_of_own(inputs[0], command.settings.task, printer)
        return shard([Item(inputs[0], _target(inputs[0], output, command), inputs[0].name)], *command.share)
    if output is not None:
        check_folder(output.path, output.slashed)
    found = plan(inputs, folder, command.options, command.settings, command.mark)
    printer.left_out(found.n_own, found.passed_over, command.settings.task)
    return shard(found.items, *command.share)


def _run_of(key: str, inputs: Sequence[Path], output: Place | None, command: Command) -> str:
    """Which run this is, where all is made anew; results among the words do not make it another one."""
    from audiodiff.batch.journal import run_key
    from audiodiff.batch.own import is_own

    if not command.options.overwrite:
        return ""
    words = [word for word in inputs if not is_own(word, command.settings.task)]
    return run_key(key, words, None if output is None else output.path, command.share)


def _many(inputs: Sequence[Path], output: Place | None, command: Command, printer: Printer) -> None:
    """A batch: the model is loaded once here, so that it is refused before any work."""
    from audiodiff.batch.batch_spec import JobSpec
    from audiodiff.batch.plan import measured

    items = _items(inputs, output, command, printer)
    settings = replace(command.settings, threads=command.settings.threads or 1)
    task = settings.load(command.model)
    spec = JobSpec(settings, command.model, task.digest, command.options)
    spec = replace(spec, run=_run_of(spec.key, inputs, output, command))
    workers = command.workers
    cluster, jobs = (None, workers) if isinstance(workers, int | None) else (workers, workers.jobs)
    n_jobs: int = jobs_of(jobs, len(items), task.on_cpu)
    if command.dry_run:
        foretell(spec, items, n_jobs, task.seconds_per_second(), printer.as_json)
        return
    seconds = sum(item.seconds for item in measured(items, settings)) if task.is_slow else 0.0
    _remark(task.remarks([item.source for item in items], seconds / n_jobs), printer)
    del task
    run_batch(spec, items, n_jobs, printer, cluster)


def _remark(lines: Sequence[str], printer: Printer) -> None:
    if not printer.quiet:
        for line in lines:
            say(f"audiodiff: {line}")


def run_batch(
    spec: JobSpec, items: Sequence[Item], jobs: int, printer: Printer, cluster: Cluster | None = None
) -> None:
    """Do a batch and tell what became of it.

    The first Ctrl-C, SIGTERM or SIGHUP lets the recordings in work end, the second ends all at once.
    """
    from audiodiff.batch.journal import end_run
    from audiodiff.batch.plan import measured
    from audiodiff.interrupts import stop_requests

    show = not printer.quiet and is_terminal(sys.stderr)
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
            number = min(printer.counts.total() + 1, len(items))
            bar(sum(done.values()), sum(lengths.values()), f"{number}/{len(items)} {item.source.name}")

        results = _results(spec, items, cluster or jobs, watch, lambda: stop.reason is not None)
        stack.callback(results.close)  # kills the workers when printing fails
        for result in results:
            printer.result(result)
            done[result.source] = lengths[result.source]
    left = len(items) - printer.counts.total()
    if spec.run and not left:
        end_run(spec.run, {item.target.parent for item in items})
    printer.existing()
    line = printer.summary(len(items))
    if stop.signal_number is not None and left:
        text = f"audiodiff: {stop.reason}; {line}; the same command goes on"
        raise Stopped(text, 128 + stop.signal_number)
    if not printer.quiet:
        printer.failures()
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
    from audiodiff.batch.worker_pool import run as run_here

    if isinstance(workers, int):
        return run_here(spec, items, workers, watch, stopped)
    return run_on_cluster(spec, items, workers, watch, stopped)
