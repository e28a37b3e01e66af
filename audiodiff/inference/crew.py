"""Threads that work on one recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import numpy as np

from audiodiff.inference.hearing import Hearing, Piece
from audiodiff.model.representation import Complex

R = TypeVar("R")

Pair: TypeAlias = tuple[Complex, Complex]
"""Bins of a recording and what the model would remove of them."""

AHEAD = 2
"""Chunks in work beside the one that is waited for."""


class Crew:
    """Threads that work on one recording, and its channels as they were heard so far.

    A task waits for tasks alone that were given before it, so the oldest one can always go on.

    Args:
        workers: How many; a single one is the caller himself, who does a task when he gives it.
        ahead: Chunks to give before the first is waited for.

    Attributes:
        ahead: The same.
        hearings: By channel, with the tasks of its last chunk.
    """

    def __init__(self, workers: int, ahead: int) -> None:
        self._pool = ThreadPoolExecutor(workers, "audiodiff") if workers > 1 else None
        self.ahead = ahead
        self.hearings: dict[int, tuple[Hearing, tuple[Future[Piece], Future[Pair]]]] = {}

    def run(self, task: Callable[[], R], after: Iterable[Future[Any]] = ()) -> Future[R]:
        """Give a task, which begins when others are done."""

        def work() -> R:
            for other in after:
                other.result()
            with np.errstate(all="ignore"):  # what is not finite is told at the end
                return task()

        if self._pool is not None:
            return self._pool.submit(work)
        done: Future[R] = Future()
        done.set_result(work())
        return done

    def close(self) -> None:
        """Let the threads go; what was not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
