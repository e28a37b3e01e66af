"""Cleaning while a recording goes on: push blocks of any size, get what became final.

The grid of chunks lies still in the recording, so what comes out depends on neither the sizes of the blocks
nor the moments at which they come. `Denoiser.stream`, and with it every file, is a loop over this.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.errors import AudioFileError, ConfigError, ShapeError
from audiodiff.inference.chunk_denoiser import ChunkDenoiser
from audiodiff.inference.chunks import Chunk
from audiodiff.inference.crew import Crew
from audiodiff.inference.engine import Engine, Later, Samples
from audiodiff.io.formats import MAX_CHANNELS
from audiodiff.model.model import Model
from audiodiff.signal.level import LevelMeter
from audiodiff.signal.resample import StreamResampler, held_back

LIVE_BLOCK_S = 0.5
"""Seconds that come out at once in live use."""

_MARGIN_S = 0.25
"""Seconds around a wanted stretch that are worked on too: more than the resamplers reach."""

Block: TypeAlias = npt.NDArray[np.floating[Any]]
"""Audio [C, n], float32 or float64."""


class LiveDenoiser:
    """Cleans one signal as it comes; made by `Denoiser.live`.

    Once n samples went in, at least n - `latency` have come out, in bursts: the model looks ahead, and works
    on one block of its grid at a time. After `flush` as many came out as went in.

    Attributes:
        sample_rate: Hz.
        channels: C of every block.
    """

    def __init__(self, removed: ResidualStream, strength: float) -> None:
        self.sample_rate, self.channels = removed.sample_rate, removed.channels
        self._removed = removed
        self._strength = np.float32(strength)
        self._waiting: deque[Block] = deque()
        self._dtype = np.dtype(np.float32)
        self._position = 0
        self._ended = False

    @property
    def latency(self) -> int:
        """Samples that are held back at most: the look-ahead of the model, one block, the resamplers."""
        return self._removed.latency

    @property
    def latency_s(self) -> float:
        """The same in seconds; the time that the computation takes comes on top."""
        return self.latency / self.sample_rate

    def push(self, block: Block) -> Block:
        """Take the next samples, return those that became final.

        Args:
            block: [C, n], float32 or float64, full scale 1; n may be 0. It may be used again afterwards.

        Returns:
            [C, m] in the dtype of the input; m is often 0.

        Raises:
            ShapeError: Another number of channels.
            AudioFileError: A sample is NaN or infinite.
            ConfigError: After `flush`.
        """
        if self._ended:
            raise ConfigError("this signal was ended by flush(); begin another one with live()")
        check_block(block, self._position)
        if block.shape[0] != self.channels:
            raise ShapeError(f"expected blocks [{self.channels}, n], found {block.shape}; transpose?")
        self._position += block.shape[1]
        own = block.copy()
        self._dtype = own.dtype
        self._waiting.append(own)
        return self._cleaned(self._removed.push(own.astype(np.float32, copy=False)))

    def flush(self) -> Block:
        """End the signal: return everything still held back, [C, m]."""
        if self._ended:
            return self._cleaned(np.zeros((self.channels, 0), dtype=np.float32))
        self._ended = True
        return self._cleaned(self._removed.flush())

    def _cleaned(self, removed: Samples) -> Block:
        if not removed.shape[1]:
            return removed.astype(self._dtype)
        return _take(self._waiting, removed.shape[1]) - self._strength * removed


class ResidualStream:
    """What goes away of a signal, at its own rate and aligned with it; in the end as long as it.

    Below the model's rate, resampling there and back does not carry the top of the band: there as much goes
    away as in the strip below it.

    Args:
        worker: The model and how to run it.
        crew: Who works on this signal.
        sample_rate: Hz.
        channels: C of every block.
        gain: Factor that brings the signal to the model's level; None to measure it as the signal comes.
        core_s: Seconds that one chunk delivers.
        only: Samples [start, stop) that are wanted; far from them the model is spared and nothing goes away.
    """

    def __init__(
        self,
        worker: ChunkDenoiser,
        crew: Crew,
        sample_rate: int,
        channels: int,
        gain: float | None,
        core_s: float,
        only: tuple[float, float] = (0.0, math.inf),
    ) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        model_rate = worker.model.sample_rate
        self._worker, self._crew = worker, crew
        self._level = None if gain is not None else _LevelSoFar(worker.model)
        self._gain = gain
        self._edge_hz = sample_rate / 2 if sample_rate < model_rate else None
        self._rows = channels if self._edge_hz is None else 3 * channels
        scale, margin = model_rate / sample_rate, _MARGIN_S * model_rate
        self._wanted = only[0] * scale - margin, only[1] * scale + margin
        self._plan = worker.plan(core_s)
        self._down = StreamResampler(sample_rate, model_rate, channels)
        self._engine = Engine(self._plan, channels, self._work, self._rows, crew.ahead)
        self._up = StreamResampler(model_rate, sample_rate, self._rows)
        self._waiting: deque[Samples] = deque()
        self._n_in = self._n_out = 0

    @property
    def latency(self) -> int:
        """Samples that are held back at most."""
        model_rate = self._worker.model.sample_rate
        there, back = held_back(self.sample_rate, model_rate), held_back(model_rate, self.sample_rate)
        return there + math.ceil((self._plan.needs(0) + back) * self.sample_rate / model_rate)

    def push(self, block: Samples) -> Samples:
        """Take float32 [C, n], which stays as it is; give [C, m]."""
        self._n_in += block.shape[1]
        if self._edge_hz is not None:
            self._waiting.append(block)
        return self._delivered(self._up.push(self._engine.push(self._down.push(block))))

    def flush(self) -> Samples:
        """End the signal; give what is missing."""
        rest = (self._engine.push(self._down.flush()), self._engine.flush())
        self._crew.close()
        tail = np.concatenate([*(self._up.push(part) for part in rest), self._up.flush()], axis=1)
        # Two roundings up can leave samples beyond the end.
        return self._delivered(tail[:, : self._n_in - self._n_out])

    def _delivered(self, rows: Samples) -> Samples:
        """What goes away, of all that the way back brings."""
        self._n_out += rows.shape[1]
        if self._edge_hz is None:
            return rows
        removed, loss, heard = np.split(rows, 3)
        if not rows.shape[1]:
            return removed
        return removed + loss * (_take(self._waiting, rows.shape[1]) - heard)

    def _work(self, audio: Samples, chunk: Chunk) -> Later:
        """Begin one chunk: what goes away [C, n]; below the model's rate [3 C, n].

        The other rows are the share that goes away just below the edge, and the recording as it comes back.
        """
        begin, end = self._wanted
        gain = self._gain if self._level is None else self._level.gain(audio, chunk)
        if gain is None or chunk.stop <= begin or chunk.start >= end:
            return lambda: np.zeros((self._rows, chunk.stop - chunk.start), dtype=np.float32)
        removed = self._worker.begin(audio, chunk, gain, self._edge_hz, self._crew)
        if self._edge_hz is None:
            return removed
        heard = audio[:, chunk.start - chunk.first_sample : chunk.stop - chunk.first_sample]
        return lambda: np.concatenate([removed(), heard])


class _LevelSoFar:
    """The gain by everything that a chunk and those before it see, which no size of a block changes."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._meter = LevelMeter(model.sample_rate)
        self._heard = 0

    def gain(self, audio: Samples, chunk: Chunk) -> float | None:
        """The factor for a chunk that reads these samples; None while nothing was heard."""
        self._meter.push(audio[:, self._heard - chunk.first_sample :])
        self._heard = chunk.stop_sample
        return gain_for(self._model, self._meter.active_db())


def gain_for(model: Model, level_db: float | None) -> float | None:
    """The factor that brings speech of so many dBFS to the level that a model expects; None for silence."""
    return None if level_db is None else float(10 ** ((model.level_db - level_db) / 20))


def check_block(block: Block, position: int) -> None:
    """Refuse a block that no recording has, or that holds what no model can take.

    Args:
        block: [C, n].
        position: Samples before it, for the message.
    """
    if block.ndim != 2 or not 1 <= block.shape[0] <= MAX_CHANNELS:
        raise ShapeError(
            f"expected blocks [C, n] with C from 1 to {MAX_CHANNELS}, found {block.shape}; transpose?"
        )
    if not np.isfinite(block).all():
        at = position + int(np.argmin(np.isfinite(block).all(axis=0)))
        line = f"sample {at} is NaN or infinite; repair the recording first"
        raise AudioFileError(line, code="nonfinite")


def _take(waiting: deque[Block], count: int) -> Block:
    """Remove the next `count` samples, at least 1, from a queue of blocks."""
    parts: list[Block] = []
    while count > 0:
        block = waiting.popleft()
        parts.append(block[:, :count])
        if block.shape[1] > count:
            waiting.appendleft(block[:, count:])
        count -= parts[-1].shape[1]
    return np.concatenate(parts, axis=1)
