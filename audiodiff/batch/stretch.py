"""The part of a recording that is wanted, in samples and blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.batch.job_options import Options
from audiodiff.batch.preflight import check_length
from audiodiff.io.reader import BlockReader

Block: TypeAlias = npt.NDArray[np.floating[Any]]


def samples_of(options: Options, rate: int) -> tuple[int, float]:
    """First sample wanted, and the one after the last (infinity for all)."""
    stop = math.inf if math.isinf(options.end_s) else round(options.end_s * rate)
    return round(options.start_s * rate), stop


def bounded(reader: BlockReader, options: Options) -> Iterator[Block]:
    """The blocks of a file, as long as they are no longer than allowed, whatever its header says."""
    n_read = 0
    for block in reader:
        n_read += block.shape[1]
        check_length(reader.info.path, n_read / reader.info.sample_rate, options)
        yield block


def cut(blocks: Iterator[Block], start: int, stop: float) -> Iterator[Block]:
    """The samples [start, stop) of a stream of blocks [C, n]; what comes later is not asked for."""
    position = 0
    for block in blocks:
        first, last = max(start - position, 0), int(min(stop - position, block.shape[1]))
        if first < last:
            yield block[:, first:last]
        position += block.shape[1]
        if position >= stop:
            return
