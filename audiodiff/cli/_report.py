"""The report page of a command: refused before any work, written after the last recording."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audiodiff.cli._common import Stopped, say
from audiodiff.cli._options import place_of
from audiodiff.cli._pipe import PIPE
from audiodiff.cli._progress import progress_bar
from audiodiff.cli._runner import run
from audiodiff.errors import AudiodiffError, AudioFileError, ConfigError
from audiodiff.system import temporary_folder

if TYPE_CHECKING:
    from audiodiff.batch.denoise_task import DenoiseSettings
    from audiodiff.batch.job_options import Options, Result
    from audiodiff.batch.vocode_task import VocodeSettings
    from audiodiff.cli._printer import Printer
    from audiodiff.cli._runner import Command
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.report import Disagreement, ReportEntry, ReportRun

_SUFFIXES = (".html", ".htm")


def run_reported(
    inputs: Sequence[Path],
    output: str | None,
    command: Command,
    printer: Printer,
    page: Path | None,
    seeds: int | None = None,
    note: str = "",
) -> None:
    """Run the command, and write its page if one is wanted.

    Args:
        inputs: As they were given.
        output: Where results go, as it was given.
        command: What to do.
        printer: What tells of it.
        page: The report, None for none.
        seeds: Samples of the model to compare in it.
        note: What to say before the work.
    """
    place = place_of(output)
    refuse_report(page, (*inputs, place.path if place else None))
    with reported(page, seeds, command, printer):
        if note and not printer.quiet:
            say(f"audiodiff: {note}")
        run(inputs, place, command, printer)


@contextlib.contextmanager
def reported(page: Path | None, seeds: int | None, command: Command, printer: Printer) -> Iterator[None]:
    """Write a page about what is done inside, also when recordings failed or a signal ended the batch early.

    A second Ctrl-C and a refused command leave no page.
    """
    if page is None:
        if seeds is not None:
            raise ConfigError("--report-seeds adds to a report; give --report PAGE.html too")
        try:
            yield
        finally:
            _ears(printer)
        return
    check_page(page, command.options.overwrite)
    started = datetime.now().astimezone()
    try:
        yield
    except typer.Exit:  # some recordings failed
        _write(page, seeds, command, started, printer)
        raise
    except Stopped:  # whoever stops a batch does not wait for samples
        _write(page, None, command, started, printer)
        raise
    _write(page, seeds, command, started, printer)


def _ears(printer: Printer) -> None:
    """Sum up what the jobs noticed by themselves; of a single recording the warning said it."""
    from audiodiff.io.formats import display_path

    if len(printer.results) > 1:
        flagged = [(display_path(each.source), each.flags) for each in printer.results if each.flags]
        printer.ears(flagged)


def refuse_report(page: Path | None, places: Sequence[Path | None]) -> None:
    """Refuse a page about pipes."""
    if page is not None and PIPE in places:
        raise ConfigError("a report links to files; give file names instead of -, or leave out --report")


def check_page(page: Path, overwrite: bool) -> None:
    """Refuse a page that could not be written at the end."""
    from audiodiff.io.formats import display_path

    if page.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--report {display_path(page)}: a report is a web page; give it a name with .html")
    if page.is_dir() or (os.path.lexists(page) and not overwrite):
        line = f"{display_path(page)}: exists already; use --overwrite or another name"
        raise AudioFileError(line, code="exists")
    folder = next(above for above in page.absolute().parents if os.path.lexists(above))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        line = (
            f"{display_path(folder)}: is not a folder that can be written to; choose another "
            "place for the report"
        )
        raise AudioFileError(line, code="unwritable")


def _write(
    page: Path,
    seeds: int | None,
    command: Command,
    started: datetime,
    printer: Printer,
) -> None:
    if not printer.results:  # a dry run, or nothing was begun
        return
    from audiodiff.batch.denoise_task import DenoiseSettings
    from audiodiff.io.formats import display_path
    from audiodiff.report import write

    name, settings, options = command.model, command.settings, command.options
    results = sorted(printer.results, key=lambda result: os.fsencode(result.source))
    page.absolute().parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder() as folder:
        if not isinstance(settings, DenoiseSettings):
            entries = [
                _spoken(result, settings, Path(folder, f"{n}.flac")) for n, result in enumerate(results)
            ]
            run = _vocoder_run(name, settings, started)
        else:
            denoiser = settings.load(name).denoiser
            entries = [_cleaned(result, seeds, denoiser, settings, options, printer) for result in results]
            run = _run(name, denoiser, settings, options, started)
        found = write(page, entries, run, options.overwrite)
    if not printer.quiet:
        say(f"audiodiff: report: {display_path(page)}")
    printer.reviewed(found)


def _cleaned(
    result: Result,
    seeds: int | None,
    denoiser: Denoiser,
    settings: DenoiseSettings,
    options: Options,
    printer: Printer,
) -> ReportEntry:
    from audiodiff.report import ReportEntry

    spread, notes = _samples(result, seeds, denoiser, settings, printer)
    flagged = {flag.line(result.source) for flag in result.flags}  # the page says those in its own place
    warnings = tuple(line for line in result.warnings if line not in flagged)
    return ReportEntry(
        result.source,
        result.target,
        result.status,
        warnings + notes,
        error=result.fault.message if result.fault is not None else "",
        start_s=options.start_s,
        end_s=options.end_s,
        gain_db=result.gain_db,
        disagreement=spread,
    )


def _spoken(result: Result, settings: VocodeSettings, before: Path) -> ReportEntry:
    """What a vocoder made, and what it is compared with, which is written to `before`."""
    from audiodiff.batch.vocode_task import is_mel
    from audiodiff.io.reader import probe
    from audiodiff.report import ReportEntry
    from audiodiff.report.reference_audio import write_mel, write_recording

    fault, note = result.fault.message if result.fault is not None else "", ""
    if not fault:
        try:
            if is_mel(result.source):
                note = write_mel(result.source, before, settings.mel, settings.mel_axes)
            else:
                note = write_recording(result.source, before, probe(result.target).sample_rate)
        except AudiodiffError as error:  # it went away, or there is no room for it
            note = f"nothing to compare with: {error}"
    warnings = (*result.warnings, note) if note else result.warnings
    return ReportEntry(
        result.source, result.target, result.status, warnings, fault, heard=before, aligned=False
    )


def _samples(
    result: Result, seeds: int | None, denoiser: Denoiser, settings: DenoiseSettings, printer: Printer
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
    model: str, denoiser: Denoiser, settings: DenoiseSettings, options: Options, started: datetime
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


def _vocoder_run(model: str, settings: VocodeSettings, started: datetime) -> ReportRun:
    from audiodiff.report import ReportRun

    vocoder = settings.load(model).vocoder
    decisions = {
        "quality": settings.quality,
        "steps" if vocoder.model else "iterations": str(vocoder.steps),
        "mel": settings.mel or "",
        "mel axes": settings.mel_axes or "",
    }
    return ReportRun(
        model=Path(vocoder.name).name,
        digest=vocoder.model.digest if vocoder.model else "",
        licence=vocoder.model.config.licence if vocoder.model else "none needed",
        seed=settings.seed,
        options=tuple((name, value) for name, value in decisions.items() if value),
        started=started,
    )
