"""One recording from file to file: every command, worker and engine calls `process_file`.

Two passes over the input, both block by block: the first measures the level, the second cleans. The target
appears only when it is whole; the input is never opened for writing. Nothing here imports torch: checks are
cheap.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.batch.residual import residual_path, write_residual
from audiodiff.errors import AudioFileError
from audiodiff.signal.files import (
    AtomicWriter,
    AudioInfo,
    BlockReader,
    Truncated,
    output_format,
    probe,
    read_blocks,
)
from audiodiff.signal.formats import shown
from audiodiff.signal.level import ABSOLUTE_GATE_DB

if TYPE_CHECKING:
    from audiodiff.tasks.denoise import Denoiser

Block: TypeAlias = npt.NDArray[np.floating[Any]]

Progress: TypeAlias = Callable[[float, float], None]
"""Called with the seconds of audio done and the seconds announced (0 when the header does not tell)."""

Ready: TypeAlias = Callable[[Path, int], None]
"""Called with a target and the descriptor of its whole, verified file, just before it gets its name."""


@dataclass(frozen=True)
class Options:
    """How to treat files.

    Attributes:
        overwrite: Replace a target that exists.
        skip_existing: Leave a target that exists, whatever made it (for whole batches, see `spec`).
        strict: Refuse a file that is cut short (code ``truncated``) instead of a warning.
        start_s: Second of the input at which the output starts, 0 or more.
        end_s: Second at which it ends; infinity for the end. What lies between is as in the whole output.
        residual: Also write what was removed, see `residual`.
        max_hours: Longer recordings are refused (code ``too_long``).
    """

    overwrite: bool = False
    skip_existing: bool = False
    strict: bool = False
    start_s: float = 0.0
    end_s: float = math.inf
    residual: bool = False
    max_hours: float = 24.0


@dataclass(frozen=True)
class Fault:
    """Why a recording failed.

    Attributes:
        code: Stable name, as in `errors`; ``busy``, ``worker_died``, ``internal`` come from batches.
        message: One line.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Result:
    """What became of one recording.

    Attributes:
        source: Input.
        target: Output, a whole file unless the job failed.
        status: ``done``, ``copied`` when there was nothing to remove (nothing that sounds, or strength 0),
            ``skipped`` when it had been done before, ``failed``.
        warnings: Lines for the user.
        seconds: Seconds of audio in the output.
        elapsed_s: Seconds of work.
        residual: What was removed, if that was asked for.
        fault: Why it failed.
    """

    source: Path
    target: Path
    status: Literal["done", "copied", "skipped", "failed"]
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    elapsed_s: float = 0.0
    residual: Path | None = None
    fault: Fault | None = None


def outputs(target: Path, options: Options) -> tuple[Path, ...]:
    """All files that a job writes: the target, then the residual if one is wanted.

    Args:
        target: Output.
        options: How to treat files.

    Returns:
        Their paths.
    """
    return (target, residual_path(target)) if options.residual else (target,)


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
        raise AudioFileError(f"{shown(source)}: not a regular file; name an audio file")
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
        _check_target(source, path, options.overwrite)
    _format(info, target)
    _check_length(source, info.seconds, options)
    if info.n_samples and options.start_s >= info.seconds:
        raise _beyond(source, options.start_s, info.seconds)
    return info


def process_file(
    source: Path,
    target: Path,
    denoiser: Denoiser,
    options: Options = Options(),
    progress: Progress | None = None,
    ready: Ready | None = None,
) -> Result:
    """Clean one recording: same length to the sample, rate and channels; same depth in the same container.

    Args:
        source: Input; never changed.
        target: Output; appears when it is whole, or not at all.
        denoiser: What cleans.
        options: How to treat files.
        progress: Called after every finished block.
        ready: Called for every output before it gets its name.

    Returns:
        What became of it.

    Raises:
        AudioFileError: The input is unusable or changed meanwhile, or the target is refused or not writable.
        ModelError: The model gave NaN or infinity.
    """
    started = time.monotonic()
    info = check(source, target, options)
    before = _fingerprint(source)
    gain, truncated = _measure(source, denoiser, options)
    writer, rate = _writer(info, target, options, ready), info.sample_rate
    start, stop = _stretch(options, rate)
    announced = max(0.0, min(info.seconds, options.end_s) - options.start_s)
    with writer, read_blocks(source, dtype=info.exact_dtype) as reader:
        cleaned = denoiser.stream(_bounded(reader, options), rate, gain, (start, stop))
        for block in cut(cleaned, start, stop):
            writer.write(block)
            if progress is not None:
                progress(writer.n_samples / rate, announced)
        if writer.n_samples == 0:
            raise _beyond(source, options.start_s, info.seconds)
        truncated = truncated or reader.truncated
        if truncated and options.strict:
            raise AudioFileError(f"{truncated}; not with --strict", code="truncated")
        _check_unchanged(source, before)
    clipped = {target: writer.clipped}
    residual = residual_path(target) if options.residual else None
    if residual is not None:
        with read_blocks(source, dtype=info.exact_dtype) as reader:
            wanted = cut(reader, start, stop)
            clipped[residual] = write_residual(wanted, target, residual, options.overwrite, ready)
        _check_unchanged(source, before)
    warnings = _warnings(truncated, clipped)
    if denoiser.strength > 0 and gain is None:
        gate = f"{ABSOLUTE_GATE_DB:g} dBFS"
        warnings.append(f"{shown(source)}: holds nothing above {gate}; its samples were copied")
    status: Literal["done", "copied"] = "copied" if gain is None else "done"
    seconds, elapsed_s = writer.n_samples / rate, time.monotonic() - started
    return Result(source, target, status, tuple(warnings), seconds, elapsed_s, residual)


def cut(blocks: Iterator[Block], start: int, stop: float) -> Iterator[Block]:
    """The samples [start, stop) of a stream of blocks; what comes later is not asked for.

    Args:
        blocks: [C, n] in order.
        start: First sample wanted.
        stop: Sample after the last one wanted; infinity for all.

    Yields:
        [C, m], none of them empty.
    """
    position = 0
    for block in blocks:
        first, last = max(start - position, 0), int(min(stop - position, block.shape[1]))
        if first < last:
            yield block[:, first:last]
        position += block.shape[1]
        if position >= stop:
            return


def _warnings(truncated: Truncated | None, clipped: dict[Path, int]) -> list[str]:
    lines = [str(truncated)] if truncated else []
    for path, count in clipped.items():
        if count:
            lines.append(f"{shown(path)}: {count} samples beyond full scale were clipped")
    return lines


def _measure(source: Path, denoiser: Denoiser, options: Options) -> tuple[float | None, Truncated | None]:
    """First pass: the gain, and whether the file is cut short; nothing is read at strength 0."""
    if denoiser.strength == 0:
        return None, None
    with read_blocks(source) as reader:
        gain = denoiser.gain(_bounded(reader, options), reader.info.sample_rate)
        return gain, reader.truncated


def _stretch(options: Options, rate: int) -> tuple[int, float]:
    """First sample wanted, and the one after the last."""
    stop = math.inf if math.isinf(options.end_s) else round(options.end_s * rate)
    return round(options.start_s * rate), stop


def _writer(info: AudioInfo, target: Path, options: Options, ready: Ready | None) -> AtomicWriter:
    container, subtype = _format(info, target)
    hook = None if ready is None else functools.partial(ready, target)
    return AtomicWriter(target, info.sample_rate, info.channels, container, subtype, options.overwrite, hook)


def _bounded(reader: BlockReader, options: Options) -> Iterator[Block]:
    """The blocks of a file, whatever its header told of their number."""
    n_read = 0
    for block in reader:
        n_read += block.shape[1]
        _check_length(reader.info.path, n_read / reader.info.sample_rate, options)
        yield block


def _check_length(source: Path, seconds: float, options: Options) -> None:
    if seconds > options.max_hours * 3600:
        raise AudioFileError(
            f"{shown(source)}: longer than {options.max_hours:g} hours; split it or raise --max-hours",
            code="too_long",
        )


def _check_unchanged(source: Path, before: tuple[int, int, int]) -> None:
    if _fingerprint(source) != before:
        raise AudioFileError(f"{shown(source)}: changed while it was read; try again", code="changed")


def _beyond(source: Path, start_s: float, seconds: float) -> AudioFileError:
    line = f"{shown(source)}: is {seconds:.3f} s long, the start at {start_s:g} s lies beyond; choose another"
    return AudioFileError(line, code="range")


def _check_target(source: Path, target: Path, overwrite: bool) -> None:
    if target.exists() and target.samefile(source):
        line = f"{shown(target)}: is the input itself, which is never overwritten; name another file with -o"
        raise AudioFileError(line, code="same_file")
    if target.is_dir():
        raise AudioFileError(f"{shown(target)}: is a folder; name a file", code="exists")
    if os.path.lexists(target) and not overwrite:
        raise AudioFileError(
            f"{shown(target)}: exists already; use --overwrite or another name", code="exists"
        )
    folder = target.parent
    if not folder.is_dir():
        raise AudioFileError(f"{shown(folder)}: is not an existing folder; make it first", code="unwritable")
    if not os.access(folder, os.W_OK | os.X_OK):
        line = f"{shown(folder)}: this folder cannot be written to; choose another with -o"
        raise AudioFileError(line, code="unwritable")


def _format(info: AudioInfo, target: Path) -> tuple[str, str]:
    try:
        return output_format(info, target.suffix)
    except AudioFileError as error:
        raise AudioFileError(str(error), code="format") from None


def _fingerprint(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
