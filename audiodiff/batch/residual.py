"""What was removed, as a file of its own: residual = recording - output, as the output's file holds it.

The output is read back from its file, so that its rounding (or its lossy coding) is part of the difference.
Where recording and output have the same integer depth, all three are integers and output + residual is the
recording to the bit. In float files the difference is rounded to the file's own precision, so the sum is
right to half a unit in the last place of the residual. The residual of a lossy output is a wav file of 32-bit
floats, right to 2^-24 of its own value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from audiodiff.io.formats import MEDIA_SUFFIXES
from audiodiff.io.reader import AtomicWriter, probe, read_blocks
from audiodiff.signal.types import Samples

_LOSSY = frozenset({".mp3", ".ogg", ".oga", ".opus"}) | MEDIA_SUFFIXES
_UNEVEN = frozenset({"ULAW", "ALAW"})
"""Sample formats whose steps differ, so that differences fall between them."""


def residual_path(target: Path) -> Path:
    """Where the residual of an output goes.

    Args:
        target: The output, such as ``talk.denoised.flac``.

    Returns:
        ``talk.denoised.residual.flac``; ``.wav`` for outputs whose coding is lossy.
    """
    suffix = ".wav" if target.suffix.lower() in _LOSSY else target.suffix
    return target.with_name(f"{target.stem}.residual{suffix}")


def write_residual(
    recording: Iterator[Samples],
    target: Path,
    residual: Path,
    overwrite: bool,
    ready: Callable[[Path, int], None] | None,
    lead: int = 0,
) -> int:
    """Subtract an output from its recording.

    Args:
        recording: Blocks [C, n] of the recording, those that the output covers, unrounded.
        target: The finished output.
        residual: File to write, see `residual_path`.
        overwrite: Whether it may be replaced.
        ready: Called just before it gets its name.
        lead: Samples by which the output begins before the recording (priming of a codec).

    Returns:
        Samples beyond full scale that were clipped: the recording and the output differ there by more than
        an integer format holds.

    Raises:
        AudioFileError: As `AtomicWriter`.
    """
    info = probe(target)
    lossy = residual.suffix != target.suffix
    container = "WAV" if lossy else info.container
    subtype = "FLOAT" if lossy or info.subtype in _UNEVEN else info.subtype
    hook = None if ready is None else functools.partial(ready, residual)
    writer = AtomicWriter(residual, info.sample_rate, info.channels, container, subtype, overwrite, hook)
    with writer, read_blocks(target, dtype=info.exact_dtype) as output:
        for before, after in _pairs(recording, _without(output, lead)):
            writer.write(before.astype(np.float64) - after.astype(np.float64))
    return writer.clipped


def _without(blocks: Iterator[Samples], n: int) -> Iterator[Samples]:
    """All but the first n samples."""
    for block in blocks:
        if n < block.shape[1]:
            yield block[:, n:]
        n = max(0, n - block.shape[1])


def _pairs(left: Iterator[Samples], right: Iterator[Samples]) -> Iterator[tuple[Samples, Samples]]:
    """Two streams of equal length, cut at the same places."""
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        n = min(a.shape[1], b.shape[1])
        yield a[:, :n], b[:, :n]
        a = a[:, n:] if n < a.shape[1] else next(left, None)
        b = b[:, n:] if n < b.shape[1] else next(right, None)
