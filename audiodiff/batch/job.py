"""One recording from file to file: every command, worker and engine calls `process_file`.

Two passes over the input, both block by block: the first measures the level, the second cleans. The target
appears only when it is whole; the input is never opened for writing. Nothing here imports torch: checks are
cheap.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.batch.job_options import Fault, Options, Progress, Ready, Result
from audiodiff.batch.loudness import Level, levelled, notes
from audiodiff.batch.preflight import (
    beyond,
    check,
    check_length,
    check_unchanged,
    default_target,
    fingerprint,
    outputs,
)
from audiodiff.batch.provenance import Origin
from audiodiff.batch.residual import residual_path, write_residual
from audiodiff.errors import AudioFileError
from audiodiff.io.av_library import is_media
from audiodiff.io.av_tracks import lead
from audiodiff.io.formats import display_path
from audiodiff.io.reader import AudioInfo, BlockReader, Truncated, read_blocks
from audiodiff.io.recording_copy import Output, in_turn
from audiodiff.signal.level import ABSOLUTE_GATE_DB

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser

__all__ = [
    "Fault",
    "Options",
    "Progress",
    "Ready",
    "Result",
    "check",
    "cut",
    "default_target",
    "outputs",
    "process_file",
]

Block: TypeAlias = npt.NDArray[np.floating[Any]]

PLAIN = Options()
"""Nothing special."""


def process_file(
    source: Path,
    target: Path,
    denoiser: Denoiser,
    options: Options = PLAIN,
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
        ConfigError: Code ``missing_extra``: there is a loudness target, and PyAV is not installed.
        ModelError: The model gave NaN or infinity.
    """
    started = time.monotonic()
    info = check(source, target, options)
    before = fingerprint(source)
    origin = Origin(info, target, denoiser, options)
    warnings: list[str] = []
    levels: tuple[Level, ...] = ()

    def finish(fd: int) -> None:
        warnings.extend(_warnings(truncated, {target: output.clipped}) + notes(source, levels))
        if options.sidecar:
            origin.write(fd, output.n_samples, warnings, levels, ready)
        if ready is not None:
            ready(target, fd)

    line = origin.line if options.tag else None
    output = Output(info, target, options.overwrite, finish, line, options.whole)
    gains, truncated = _measure(source, len(output.infos), denoiser, options)
    with output:
        warnings += (*output.notes, *_untouched(source, denoiser, gains))
        cut_short, levels = _clean(info, output, denoiser, gains, options, progress)
        truncated = _tolerated(cut_short or truncated, options)
        check_unchanged(source, before)
    residual = residual_path(target) if options.residual else None
    if residual is not None:
        warnings += _write_residual(info, target, residual, options, ready)
        check_unchanged(source, before)
    changed = any(gain is not None for gain in gains) or any(level.gain_db for level in levels)
    status: Literal["done", "copied"] = "done" if changed else "copied"
    seconds, elapsed_s = output.n_samples / info.sample_rate, time.monotonic() - started
    gain_db = levels[0].gain_db if levels else 0.0
    return Result(source, target, status, tuple(warnings), seconds, elapsed_s, residual, gain_db=gain_db)


def _clean(
    info: AudioInfo,
    output: Output,
    denoiser: Denoiser,
    gains: list[float | None],
    options: Options,
    progress: Progress | None,
) -> tuple[Truncated | None, tuple[Level, ...]]:
    """Second pass: all tracks, in turn; gives a note if the file is cut short, and the levels if wanted."""
    levels: tuple[Level, ...] = ()
    announced = max(0.0, min(info.seconds, options.end_s) - options.start_s)
    with ExitStack() as stack:
        readers = _opened(info.path, output.infos, stack)
        streams = [
            _cleaned(reader, denoiser, gain, options) for reader, gain in zip(readers, gains, strict=True)
        ]
        tell = None if progress is None else (lambda seconds: progress(seconds, announced))
        if options.loudness is not None:
            streams, levels = levelled(streams, output.infos, options.loudness, stack, tell)
            tell = None
        for track, block in in_turn(streams, [each.sample_rate for each in output.infos]):
            output.write(block, track)
            if tell is not None:
                tell(output.n_samples / info.sample_rate)
    if output.n_samples == 0:
        raise beyond(info.path, options.start_s, info.seconds)
    return next((reader.truncated for reader in readers if reader.truncated), None), levels


def _tolerated(truncated: Truncated | None, options: Options) -> Truncated | None:
    if truncated and options.strict:
        raise AudioFileError(f"{truncated}; not with --strict", code="truncated")
    return truncated


def _untouched(source: Path, denoiser: Denoiser, gains: list[float | None]) -> list[str]:
    """The line about a recording that has nothing to clean."""
    if denoiser.strength == 0 or any(gain is not None for gain in gains):
        return []
    return [f"{display_path(source)}: holds nothing above {ABSOLUTE_GATE_DB:g} dBFS; its samples were copied"]


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
            lines.append(f"{display_path(path)}: {count} samples beyond full scale were clipped")
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
        check_length(reader.info.path, n_read / reader.info.sample_rate, options)
        yield block
