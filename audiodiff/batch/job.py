"""One recording from file to file: every command, worker and engine calls `process_file`.

Two passes over the input, both block by block: the first measures the level, the second cleans. The target
appears only when it is whole; the input is never opened for writing. Nothing here imports torch: checks are
cheap.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from audiodiff.errors import AudioFileError
from audiodiff.signal.files import AtomicWriter, AudioInfo, output_format, probe, read_blocks
from audiodiff.signal.formats import shown
from audiodiff.signal.level import ABSOLUTE_GATE_DB

if TYPE_CHECKING:
    from audiodiff.tasks.denoise import Denoiser

Progress: TypeAlias = Callable[[float, float], None]
"""Called with the seconds of audio done and the seconds announced (0 when the header does not tell)."""


@dataclass(frozen=True)
class Options:
    """How to treat files.

    Attributes:
        overwrite: Replace a target that exists.
    """

    overwrite: bool = False


@dataclass(frozen=True)
class Result:
    """What became of one recording.

    Attributes:
        source: Input.
        target: Output, a whole file.
        status: ``done``, or ``copied`` when there was nothing to remove (nothing that sounds, or strength 0).
        warnings: Lines for the user.
        seconds: Seconds of audio.
        elapsed_s: Seconds of work.
    """

    source: Path
    target: Path
    status: Literal["done", "copied"]
    warnings: tuple[str, ...]
    seconds: float
    elapsed_s: float


def default_target(source: Path, output: Path | None) -> Path:
    """Where the result of a recording goes.

    Args:
        source: Input, such as ``talk.wav``.
        output: A file, an existing folder (the name stays), or None for ``talk.denoised.wav`` beside the
            input.

    Returns:
        Path of the target.

    Raises:
        AudioFileError: The input is a path without a name, such as ``.``.
    """
    if output is None and not source.name:
        raise AudioFileError(f"{shown(source)}: not a regular file; name an audio file")
    if output is None:
        return source.with_name(f"{source.stem}.denoised{source.suffix}")
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
    _check_target(source, target, options.overwrite)
    _format(info, target)
    return info


def process_file(
    source: Path,
    target: Path,
    denoiser: Denoiser,
    options: Options = Options(),
    progress: Progress | None = None,
) -> Result:
    """Clean one recording: same length to the sample, rate and channels; same depth in the same container.

    Args:
        source: Input; never changed.
        target: Output; appears when it is whole, or not at all.
        denoiser: What cleans.
        options: How to treat files.
        progress: Called after every finished block.

    Returns:
        What became of it.

    Raises:
        AudioFileError: The input is unusable or changed meanwhile, or the target is refused or not writable.
        ModelError: The model gave NaN or infinity.
    """
    started = time.monotonic()
    info = check(source, target, options)
    container, subtype = _format(info, target)
    before = _fingerprint(source)
    gain = None
    if denoiser.strength > 0:
        with read_blocks(source) as reader:
            gain = denoiser.gain(reader, info.sample_rate)
    writer = AtomicWriter(target, info.sample_rate, info.channels, container, subtype, options.overwrite)
    with writer, read_blocks(source, dtype=info.exact_dtype) as reader:
        for block in denoiser.stream(reader, info.sample_rate, gain):
            writer.write(block)
            if progress is not None:
                progress(writer.n_samples / info.sample_rate, info.seconds)
        if _fingerprint(source) != before:
            raise AudioFileError(f"{shown(source)}: changed while it was read; try again", code="changed")
    warnings = [str(reader.truncated)] if reader.truncated else []
    if writer.clipped:
        warnings.append(f"{shown(target)}: {writer.clipped} samples beyond full scale were clipped")
    if denoiser.strength > 0 and gain is None:
        gate = f"{ABSOLUTE_GATE_DB:g} dBFS"
        warnings.append(f"{shown(source)}: holds nothing above {gate}; its samples were copied")
    return Result(
        source=source,
        target=target,
        status="done" if gain is not None else "copied",
        warnings=tuple(warnings),
        seconds=writer.n_samples / info.sample_rate,
        elapsed_s=time.monotonic() - started,
    )


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
