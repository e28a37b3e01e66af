"""One recording from file to file: every command, worker and engine calls `process_file`.

Two passes over the input, both block by block: the first measures the level, the second cleans. The target
appears only when it is whole; the input is never opened for writing. Nothing here imports torch: checks are
cheap.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.batch.origin import Origin
from audiodiff.batch.residual import residual_path, write_residual
from audiodiff.errors import AudioFileError
from audiodiff.signal.files import AudioInfo, BlockReader, Truncated, probe, read_blocks
from audiodiff.signal.formats import shown
from audiodiff.signal.level import ABSOLUTE_GATE_DB
from audiodiff.signal.media.tracks import lead
from audiodiff.signal.output import Output, check_format, in_turn
from audiodiff.signal.pyav import is_media

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
        tag: Tell in the tags of outputs what processed them.
        sidecar: Tell in a JSON file beside the output how it was made, see `sidecar`.
    """

    overwrite: bool = False
    skip_existing: bool = False
    strict: bool = False
    start_s: float = 0.0
    end_s: float = math.inf
    residual: bool = False
    max_hours: float = 24.0
    tag: bool = False
    sidecar: bool = False

    @property
    def whole(self) -> bool:
        """Whether outputs have all samples of their input."""
        return self.start_s == 0 and math.isinf(self.end_s)


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
    _check_format(info, target, options)
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

    All audio tracks of a media file are cleaned where the output is one too, the first one otherwise.

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
    origin = Origin(info, target, denoiser, (options.start_s, _finite(options.end_s)))
    warnings: list[str] = []

    def finish(fd: int) -> None:
        warnings.extend(_warnings(truncated, {target: output.clipped}))
        if options.sidecar:
            origin.write(fd, output.n_samples, warnings)
        if ready is not None:
            ready(target, fd)

    line = origin.line if options.tag else None
    output = Output(info, target, options.overwrite, finish, line, options.whole)
    gains, truncated = _measure(source, len(output.infos), denoiser, options)
    with output:
        warnings += output.notes
        truncated = _clean(info, output, denoiser, gains, options, progress) or truncated
        if truncated and options.strict:
            raise AudioFileError(f"{truncated}; not with --strict", code="truncated")
        _check_unchanged(source, before)
    residual = residual_path(target) if options.residual else None
    if residual is not None:
        warnings += _write_residual(info, target, residual, options, ready)
        _check_unchanged(source, before)
    if denoiser.strength > 0 and all(gain is None for gain in gains):
        gate = f"{ABSOLUTE_GATE_DB:g} dBFS"
        warnings.append(f"{shown(source)}: holds nothing above {gate}; its samples were copied")
    status: Literal["done", "copied"] = "done" if any(gain is not None for gain in gains) else "copied"
    seconds, elapsed_s = output.n_samples / info.sample_rate, time.monotonic() - started
    return Result(source, target, status, tuple(warnings), seconds, elapsed_s, residual)


def _clean(
    info: AudioInfo,
    output: Output,
    denoiser: Denoiser,
    gains: list[float | None],
    options: Options,
    progress: Progress | None,
) -> Truncated | None:
    """Second pass: all tracks, in turn; gives a note if the file is cut short."""
    announced = max(0.0, min(info.seconds, options.end_s) - options.start_s)
    with ExitStack() as stack:
        readers = _opened(info.path, output.infos, stack)
        streams = [
            _cleaned(reader, denoiser, gain, options) for reader, gain in zip(readers, gains, strict=True)
        ]
        for track, block in in_turn(streams, [each.sample_rate for each in output.infos]):
            output.write(block, track)
            if progress is not None:
                progress(output.n_samples / info.sample_rate, announced)
    if output.n_samples == 0:
        raise _beyond(info.path, options.start_s, info.seconds)
    return next((reader.truncated for reader in readers if reader.truncated), None)


def _opened(source: Path, infos: tuple[AudioInfo, ...], stack: ExitStack) -> list[BlockReader]:
    """A reader for every track, closed with the stack."""
    readers: list[BlockReader] = []
    for track, info in enumerate(infos):
        reader = read_blocks(source, dtype=info.exact_dtype, track=track)
        stack.callback(reader.close)
        readers.append(reader)
    return readers


def _cleaned(
    reader: BlockReader, denoiser: Denoiser, gain: float | None, options: Options
) -> Iterator[Block]:
    """The part of a track that is wanted, clean."""
    rate = reader.info.sample_rate
    stretch = _stretch(options, rate)
    return cut(denoiser.stream(_bounded(reader, options), rate, gain, stretch), *stretch)


def _write_residual(
    info: AudioInfo, target: Path, residual: Path, options: Options, ready: Ready | None
) -> list[str]:
    """Write what was removed from the first track; give the warnings."""
    early = lead(info.path, target) if options.whole and is_media(info.path) and is_media(target) else 0
    with read_blocks(info.path, dtype=info.exact_dtype) as reader:
        wanted = cut(reader, *_stretch(options, info.sample_rate))
        clipped = write_residual(wanted, target, residual, options.overwrite, ready, early)
    return _warnings(None, {residual: clipped})


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


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


def _measure(
    source: Path, n_tracks: int, denoiser: Denoiser, options: Options
) -> tuple[list[float | None], Truncated | None]:
    """First pass: the gain of every track, and a note if the file is cut short; not needed at strength 0."""
    if denoiser.strength == 0:
        return [None] * n_tracks, None
    gains, truncated = [], None
    for track in range(n_tracks):
        with read_blocks(source, track=track) as reader:
            gains.append(denoiser.gain(_bounded(reader, options), reader.info.sample_rate))
            truncated = truncated or reader.truncated
    return gains, truncated


def _stretch(options: Options, rate: int) -> tuple[int, float]:
    """First sample wanted, and the one after the last."""
    stop = math.inf if math.isinf(options.end_s) else round(options.end_s * rate)
    return round(options.start_s * rate), stop


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


def _check_format(info: AudioInfo, target: Path, options: Options) -> None:
    try:
        check_format(info, target.suffix, options.whole)
    except AudioFileError as error:
        code = "format" if error.code == "unsupported" else error.code
        raise AudioFileError(str(error), code=code) from None


def _fingerprint(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
