"""The report page of a command that cleans: refused before any work, written after the last recording."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audiodiff.cli._common import Stopped, progress_bar, say
from audiodiff.cli._pipe import PIPE
from audiodiff.errors import AudiodiffError, AudioFileError, ConfigError

if TYPE_CHECKING:
    from audiodiff.batch.job import Options, Result
    from audiodiff.batch.spec import Cleaning
    from audiodiff.cli._batch import Printer
    from audiodiff.report import Disagreement, ReportRun
    from audiodiff.tasks.denoise import Denoiser

_SUFFIXES = (".html", ".htm")


@contextlib.contextmanager
def reported(
    page: Path | None, seeds: int | None, model: str, settings: Cleaning, options: Options, printer: Printer
) -> Iterator[None]:
    """Write a page about what is done inside, also when recordings failed or a signal ended the batch early.

    A second Ctrl-C and a refused command leave no page.

    Args:
        page: The page, or None for none.
        seeds: Samples of the model that are compared for every recording, or None.
        model: Name of a shipped model or path of a model folder.
        settings: Decisions of the run.
        options: How files are treated; ``overwrite`` holds for the page too.
        printer: Knows the results at the end.

    Raises:
        ConfigError: Not a page's name, or samples without a page.
        AudioFileError: The page exists (code ``exists``) or cannot be written (``unwritable``).
    """
    if page is None:
        if seeds is not None:
            raise ConfigError("--report-seeds fills the report; add --report PAGE.html")
        yield
        return
    check_page(page, options.overwrite)
    started = datetime.now().astimezone()
    try:
        yield
    except typer.Exit:  # some recordings failed
        _write(page, seeds, (model, settings, options), started, printer)
        raise
    except Stopped:  # whoever stops a batch does not wait for samples
        _write(page, None, (model, settings, options), started, printer)
        raise
    _write(page, seeds, (model, settings, options), started, printer)


def refuse_report(page: Path | None, places: Sequence[Path | None]) -> None:
    """Refuse a page about pipes.

    Args:
        page: The page, or None for none.
        places: Inputs and output of the command.

    Raises:
        ConfigError: One of them is a pipe.
    """
    if page is not None and PIPE in places:
        raise ConfigError("a report tells of files; name them in place of -, or leave out --report")


def check_page(page: Path, overwrite: bool) -> None:
    """Refuse a page that could not be written at the end.

    Args:
        page: The page; missing folders above it are made when it is written.
        overwrite: Whether it may replace a file.

    Raises:
        ConfigError: It is no name of a page.
        AudioFileError: It exists, or its folder cannot be written to.
    """
    from audiodiff.signal.formats import shown

    if page.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--report {shown(page)}: a report is a web page; give it a name with .html")
    if page.is_dir() or (os.path.lexists(page) and not overwrite):
        line = f"{shown(page)}: exists already; use --overwrite or another name"
        raise AudioFileError(line, code="exists")
    folder = next(above for above in page.absolute().parents if os.path.lexists(above))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        line = f"{shown(folder)}: is not a folder that can be written to; choose another place for the report"
        raise AudioFileError(line, code="unwritable")


def _write(
    page: Path,
    seeds: int | None,
    decisions: tuple[str, Cleaning, Options],
    started: datetime,
    printer: Printer,
) -> None:
    if not printer.results:  # a dry run, or nothing was begun
        return
    from audiodiff.report import ReportEntry, write
    from audiodiff.signal.formats import shown

    model, settings, options = decisions
    denoiser = settings.load(model)
    entries = []
    for result in sorted(printer.results, key=lambda result: os.fsencode(result.source)):
        spread, notes = _samples(result, seeds, denoiser, settings, printer)
        entries.append(
            ReportEntry(
                result.source,
                result.target,
                result.status,
                result.warnings + notes,
                error=result.fault.message if result.fault is not None else "",
                start_s=options.start_s,
                gain_db=result.gain_db,
                disagreement=spread,
            )
        )
    page.absolute().parent.mkdir(parents=True, exist_ok=True)
    write(page, entries, _run(model, denoiser, settings, options, started), options.overwrite)
    if not printer.quiet:
        say(f"audiodiff: report: {shown(page)}")


def _samples(
    result: Result, seeds: int | None, denoiser: Denoiser, settings: Cleaning, printer: Printer
) -> tuple[Disagreement | None, tuple[str, ...]]:
    """Where samples of the model differ, if that was asked for; else why it is not known."""
    from audiodiff.report import disagree
    from audiodiff.report.uncertainty import FEWEST_STEPS

    if seeds is None or result.status == "failed":
        return None, ()
    steps = max(denoiser.steps, FEWEST_STEPS)
    label = f"{result.source.name}: {seeds} samples"
    try:
        with progress_bar(label, shown=not printer.quiet) as bar:
            found = disagree(
                result.source, denoiser.model, seeds, settings.seed, steps, settings.threads, bar
            )
    except AudiodiffError as error:
        return None, (f"no samples to compare: {error}",)
    return found, ()


def _run(
    model: str, denoiser: Denoiser, settings: Cleaning, options: Options, started: datetime
) -> ReportRun:
    from audiodiff.report import ReportRun

    limit, level = settings.max_reduction_db, options.loudness
    decisions = {
        "quality": settings.quality,
        "steps": str(denoiser.steps),
        "strength": f"{settings.strength:g}",
        "max reduction": "none" if math.isinf(limit) else f"{limit:g} dB",
        "channels": settings.channels,
        "start": f"{options.start_s:g} s" if options.start_s else "",
        "end": "" if math.isinf(options.end_s) else f"{options.end_s:g} s",
        "residual": "written" if options.residual else "",
        "loudness": f"{level.lufs:g} LUFS, at most {level.true_peak_db:g} dBTP" if level else "",
    }
    return ReportRun(
        model=Path(model).name,
        digest=denoiser.model.digest,
        licence=denoiser.model.config.licence,
        seed=settings.seed,
        options=tuple((name, value) for name, value in decisions.items() if value),
        started=started,
    )
