"""Push samples in, get finished samples out: the one engine for files, arrays and real-time use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.errors import ShapeError
from audiodiff.inference.chunks import Chunk, Plan

Samples: TypeAlias = npt.NDArray[np.float32]
"""Audio [C, n]."""

Later: TypeAlias = Callable[[], Samples]
"""Waits for a result that others work on."""

Work: TypeAlias = Callable[[Samples, Chunk], Samples | Later]
"""Turns the samples [C, stop_sample - first_sample] of a chunk into its result [R, stop - start]."""


class Engine:
    """Runs a function over the chunks of a plan as the samples arrive.

    The chunks depend on the plan and on the length alone, so the result is the same to the bit whatever the
    sizes of the pushes. No more than about two chunks with their halo are held, and those in work.

    Args:
        plan: Chunk grid.
        channels: C of every push.
        work: Called once per chunk, in order.
        rows: R, channels of the result; None for as many as come in.
        ahead: Chunks that may be in work when a push returns.
    """

    def __init__(
        self, plan: Plan, channels: int, work: Work, rows: int | None = None, ahead: int = 0
    ) -> None:
        self._plan = plan
        self._rows = channels if rows is None else rows
        self._channels = channels
        self._work = work
        self._ahead = ahead
        self._restart()

    def _restart(self) -> None:
        self._held: list[Samples] = [np.zeros((self._channels, 0), dtype=np.float32)]
        self._held_start = 0
        self._received = 0
        self._index = 0
        self._begun: deque[tuple[Chunk, Samples | Later]] = deque()

    def push(self, samples: Samples) -> Samples:
        """Take samples, return those that became final.

        Args:
            samples: float32 [C, n], n >= 0.

        Returns:
            float32 [R, m], the next m samples of the result (often none).
        """
        if samples.ndim != 2 or samples.shape[0] != self._channels:
            raise ShapeError(f"expected audio of shape [{self._channels}, n], found {samples.shape}")
        done = [np.zeros((self._rows, 0), dtype=np.float32)]
        # One core at a time, so that a push of a whole recording does not copy it once per chunk; copied,
        # because the caller may use his buffer again.
        for start in range(0, samples.shape[1], self._plan.core):
            piece = np.array(samples[:, start : start + self._plan.core], dtype=np.float32)
            self._held.append(piece)
            self._received += piece.shape[1]
            while self._received >= self._plan.needs(self._index):
                self._begin()
                done += self._ended(self._ahead)
        return np.concatenate(done, axis=1)

    def flush(self) -> Samples:
        """End the signal: return everything still owed, then be ready for another signal.

        Returns:
            float32 [R, m]; after it exactly as many samples came out as went in.
        """
        done = [np.zeros((self._rows, 0), dtype=np.float32)]
        while self._index < self._plan.n_chunks(self._received):
            self._begin()
            done += self._ended(self._ahead)
        done += self._ended(0)
        self._restart()
        return np.concatenate(done, axis=1)

    def _begin(self) -> None:
        """Begin the next chunk and drop what no later chunk reads."""
        held = np.concatenate(self._held, axis=1)
        chunk = self._plan.chunk(self._index, self._received)
        read = slice(chunk.first_sample - self._held_start, chunk.stop_sample - self._held_start)
        self._begun.append((chunk, self._work(np.ascontiguousarray(held[:, read]), chunk)))
        self._index += 1
        keep_from = min(self._received, self._plan.chunk(self._index, self._received).first_sample)
        self._held = [held[:, keep_from - self._held_start :].copy()]
        self._held_start = keep_from

    def _ended(self, ahead: int) -> list[Samples]:
        """The results of the oldest chunks in work, until no more than `ahead` are left."""
        done = []
        while len(self._begun) > ahead:
            chunk, result = self._begun.popleft()
            samples = result() if callable(result) else result
            expected = (self._rows, chunk.stop - chunk.start)
            if samples.shape != expected:
                raise ShapeError(
                    f"chunk at sample {chunk.start}: expected shape {expected}, found {samples.shape}"
                )
            done.append(samples)
        return done
