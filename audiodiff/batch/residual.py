"""What was removed, as a file of its own: residual = recording - output, as the output's file holds it.

The output is read back from its file, so that its rounding (or its lossy coding) is part of the difference.
Where recording and output have the same integer depth, all three are integers and output + residual is the
recording to the bit. In float files the difference is rounded to the file's own precision, so the sum is
right to half a unit in the last place of the residual. The residual of a lossy output is a wav file of 32-bit
floats, right to 2^-24 of its own value.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audiodiff.batch.stretch import cut, samples_of
from audiodiff.io.av_library import is_media
from audiodiff.io.av_tracks import lead
from audiodiff.io.channel_layout import read_layout
from audiodiff.io.reader import AtomicWriter, probe, read_blocks
from audiodiff.io.tag_copy import only_line

if TYPE_CHECKING:
    from audiodiff.batch.job_options import Options
    from audiodiff.batch.journal import Record

_UNEVEN = frozenset({"ULAW", "ALAW"})
"""Sample formats whose steps differ, so that differences fall between them."""

Block = npt.NDArray[np.floating[Any]]


def write_residual(
    source: Path,
    target: Path,
    residual: Path,
    options: Options,
    record: Record | None,
    line: str | None = None,
) -> int:
    """Subtract a finished output from the first track of its recording; a line for the tags tells so."""
    before, info = probe(source), probe(target)
    # samples by which the output begins before the recording: the priming of its codec
    early = lead(source, target) if options.whole and is_media(source) and is_media(target) else 0
    lossy = residual.suffix != target.suffix
    container = "WAV" if lossy else info.container
    subtype = "FLOAT" if lossy or info.subtype in _UNEVEN else info.subtype
    tags = only_line(residual, container, line)
    writer = AtomicWriter(residual, info.sample_rate, info.channels, container, subtype, options.overwrite)
    with (
        writer,
        read_blocks(source, dtype=before.exact_dtype) as recording,
        read_blocks(target, dtype=info.exact_dtype) as output,
    ):
        writer.describe(tags.strings)
        wanted = cut(recording, *samples_of(options, before.sample_rate))
        for ours, theirs in _pairs(wanted, _without(output, early)):
            writer.write(ours.astype(np.float64) - theirs.astype(np.float64))
        file = writer.finish()
        read_layout(source, before.channels).write_to(file.fd)
        tags.write_to(residual, file.fd)
        if record is not None:
            record.ready({residual: file})
    return writer.clipped


def _without(blocks: Iterator[Block], n: int) -> Iterator[Block]:
    """All but the first n samples."""
    for block in blocks:
        if n < block.shape[1]:
            yield block[:, n:]
        n = max(0, n - block.shape[1])


def _pairs(left: Iterator[Block], right: Iterator[Block]) -> Iterator[tuple[Block, Block]]:
    """Two streams of equal length, cut at the same places."""
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        n = min(a.shape[1], b.shape[1])
        yield a[:, :n], b[:, :n]
        a = a[:, n:] if n < a.shape[1] else next(left, None)
        b = b[:, n:] if n < b.shape[1] else next(right, None)
