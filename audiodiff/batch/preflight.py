"""Everything about one recording and its outputs that can be refused: before any work, and during it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import is_sidecar, outputs, sidecar_path
from audiodiff.batch.own import is_own_preview
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.errors import AudioFileError, DataError
from audiodiff.io.formats import display_path
from audiodiff.io.output_checks import check_existing, check_folder


def check_outputs(source: Path, target: Path, options: Options) -> None:
    """Refuse every file that a job would write, before any work."""
    check_folder(target.parent)
    for path in outputs(target, options):
        _refuse_input(source, path)
        if not is_sidecar(path):
            check_existing(path, options.overwrite or (options.preview and is_own_preview(path, source)))
    check_sidecar(target, options)


def replacing(source: Path, target: Path, options: Options) -> Options:
    """The options of a job that replaces what may be replaced: an older preview where it makes one."""
    if options.overwrite or not options.preview:
        return options
    there = [path for path in outputs(target, options) if not is_sidecar(path) and os.path.lexists(path)]
    return replace(options, overwrite=bool(there) and all(is_own_preview(path, source) for path in there))


def check_sidecar(target: Path, options: Options) -> None:
    """Refuse to replace what is no sidecar; an old sidecar goes where its output went."""
    if not options.sidecar:
        return
    path = sidecar_path(target)
    if path.is_dir():
        raise AudioFileError(
            f"{display_path(path)}: is a folder; remove it or name another output", code="exists"
        )
    if options.overwrite or not os.path.lexists(path):
        return
    try:
        known = read_sidecar(target)
    except DataError:
        known = None
    if known is None:
        line = f"{display_path(path)}: exists and is no sidecar of audiodiff; use --overwrite or another name"
        raise AudioFileError(line, code="exists")


def check_length(source: Path, seconds: float, options: Options) -> None:
    """Refuse what is too long."""
    if seconds > options.max_hours * 3600:
        raise AudioFileError(
            f"{display_path(source)}: longer than {options.max_hours:g} hours; split it or raise --max-hours",
            code="too_long",
        )


def fingerprint(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written to."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def check_unchanged(source: Path, before: tuple[int, int, int]) -> None:
    """Refuse a recording that was written to."""
    if fingerprint(source) != before:
        raise AudioFileError(f"{display_path(source)}: changed while it was read; try again", code="changed")


def beyond(source: Path, start_s: float, seconds: float) -> AudioFileError:
    """The error for a stretch that begins after the end."""
    line = (
        f"{display_path(source)}: is {seconds:.3f} s long, so a start at {start_s:g} s "
        "is past its end; choose an earlier one"
    )
    return AudioFileError(line, code="range")


def _refuse_input(source: Path, target: Path) -> None:
    if target.exists() and source.exists() and target.samefile(source):
        line = (
            f"{display_path(target)}: is the input itself, which is never overwritten; name "
            "another file with -o"
        )
        raise AudioFileError(line, code="same_file")
