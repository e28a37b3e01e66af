"""Everything about one recording and its outputs that can be refused: before any work, and during it."""

from __future__ import annotations

import os
from pathlib import Path

from audiodiff.batch.job_options import Options
from audiodiff.batch.residual import residual_path
from audiodiff.batch.sidecar import is_sidecar, read_sidecar, sidecar_path
from audiodiff.errors import AudioFileError, DataError
from audiodiff.io.formats import display_path
from audiodiff.io.output_checks import check_existing
from audiodiff.io.reader import AudioInfo, probe
from audiodiff.io.recording_copy import check_format


def outputs(target: Path, options: Options) -> tuple[Path, ...]:
    """All files that a job writes: the target, then the residual and the sidecar if they are wanted.

    Args:
        target: Output.
        options: How to treat files.

    Returns:
        Their paths.
    """
    paths = [target]
    if options.residual:
        paths.append(residual_path(target))
    if options.sidecar:
        paths.append(sidecar_path(target))
    return tuple(paths)


def default_target(source: Path, output: Path | None, label: str = ".denoised") -> Path:
    """Where the result of a recording goes.

    Args:
        source: Input, such as ``talk.wav``.
        output: A file, an existing folder (the name stays), or None for ``talk.denoised.wav`` beside the
            input.
        label: What the name gets beside the input.

    Returns:
        Path of the target.

    Raises:
        AudioFileError: The input is a path without a name, such as ``.``.
    """
    if output is None and not source.name:
        raise AudioFileError(f"{display_path(source)}: not a regular file; name an audio file")
    if output is None:
        return source.with_name(f"{source.stem}{label}{source.suffix}")
    return output / source.name if output.is_dir() else output


def check(source: Path, target: Path, options: Options) -> AudioInfo:
    """Everything that can be refused before a model is loaded.

    Args:
        source: Input.
        target: Output.
        options: How to treat files.

    Returns:
        The input's header.

    Raises:
        AudioFileError: The input is unusable, or the target is refused (code in `errors.TARGET_CODES`).
    """
    info = probe(source)
    for path in outputs(target, options):
        _check_not_input(source, path)
        if not is_sidecar(path):
            _check_target(path, options.overwrite)
    check_sidecar(target, options)
    _check_format(info, target, options)
    check_length(source, info.seconds, options)
    if info.n_samples and options.start_s >= info.seconds:
        raise beyond(source, options.start_s, info.seconds)
    return info


def check_sidecar(target: Path, options: Options) -> None:
    """Refuse to replace what is no sidecar; an old sidecar goes where its output went.

    Args:
        target: The output.
        options: How to treat files.

    Raises:
        AudioFileError: Code ``exists``.
    """
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
    """Refuse what is too long.

    Args:
        source: Input.
        seconds: Its duration, as far as it is known.
        options: How to treat files.

    Raises:
        AudioFileError: Code ``too_long``.
    """
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
    """Refuse a recording that was written to.

    Args:
        source: Input.
        before: Its `fingerprint` when the work began.

    Raises:
        AudioFileError: Code ``changed``.
    """
    if fingerprint(source) != before:
        raise AudioFileError(f"{display_path(source)}: changed while it was read; try again", code="changed")


def beyond(source: Path, start_s: float, seconds: float) -> AudioFileError:
    """The error for a stretch that begins after the end.

    Args:
        source: Input.
        start_s: Where it should begin.
        seconds: Duration of the recording.

    Returns:
        Code ``range``.
    """
    line = (
        f"{display_path(source)}: is {seconds:.3f} s long, the start at {start_s:g} s lies beyond; choose "
        "another"
    )
    return AudioFileError(line, code="range")


def _check_not_input(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        line = (
            f"{display_path(target)}: is the input itself, which is never overwritten; name another file "
            "with -o"
        )
        raise AudioFileError(line, code="same_file")


def _check_target(target: Path, overwrite: bool) -> None:
    check_existing(target, overwrite)
    folder = target.parent
    if not folder.is_dir():
        raise AudioFileError(
            f"{display_path(folder)}: is not an existing folder; make it first", code="unwritable"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        line = f"{display_path(folder)}: this folder cannot be written to; choose another with -o"
        raise AudioFileError(line, code="unwritable")


def _check_format(info: AudioInfo, target: Path, options: Options) -> None:
    try:
        check_format(info, target.suffix, options.whole)
    except AudioFileError as error:
        code = "format" if error.code == "unsupported" else error.code
        raise AudioFileError(str(error), code=code) from None
