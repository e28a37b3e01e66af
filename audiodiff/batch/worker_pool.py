"""Many recordings, in this process or in several: results come as they are ready.

Workers are fresh processes (spawn), each with a model of its own and with the number of threads that the spec
states, whatever their number, so bytes depend on neither. A worker that dies takes only its own file with it.
Workers ignore the signals of the terminal: it is the caller who decides when to stop. They end with him, even
when he is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeAlias

from audiodiff.batch.batch_spec import Item, JobSpec, failed, run_one
from audiodiff.batch.job_options import Result
from audiodiff.batch.target_lock import clear
from audiodiff.io.atomic import call_parts, new_mark, remove_parts
from audiodiff.io.formats import display_path
from audiodiff.system import ending_signals

Watch: TypeAlias = Callable[[Item, float], None]
"""Called with an item and the seconds of it that are done."""

_GRACE_S = 5.0
"""How long an idle worker may take to leave."""

_ENDS_ALL = frozenset({"no_space"})
"""Faults that every other file would meet too."""


def run(
    spec: JobSpec,
    items: Sequence[Item],
    jobs: int = 1,
    watch: Watch | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Result, None, None]:
    """Do a batch."""
    if jobs <= 1 or len(items) <= 1:
        yield from _serial(spec, items, watch, stopped)
    else:
        yield from _parallel(spec, items, min(jobs, len(items)), watch, stopped)


def _serial(
    spec: JobSpec, items: Sequence[Item], watch: Watch | None, stopped: Callable[[], bool]
) -> Generator[Result, None, None]:
    for item in items:
        if stopped():
            return

        def progress(done: float, _announced: float, item: Item = item) -> None:
            if watch is not None:
                watch(item, done)

        result = run_one(spec, item, progress)
        yield result
        if ends_all(result):
            return


@dataclass
class _Worker:
    """A process and what it is doing; its temporary files bear its mark."""

    process: BaseProcess
    connection: Connection
    mark: str
    item: Item | None = None

    def hand(self, item: Item) -> None:
        self.item = item
        with contextlib.suppress(OSError):  # it died while it was idle, which is heard as the end of the pipe
            self.connection.send(item)

    def leave(self) -> None:
        """Kill it if it is busy, else let it go."""
        self.connection.close()
        if self.item is not None:
            self.process.kill()
        self.process.join(_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        if self.item is not None:
            self.clear(self.item)

    def clear(self, item: Item) -> None:
        """Remove what it has left of an item, when it is dead."""
        clear(item.target)
        remove_parts(item.target.parent, self.mark)


def _parallel(
    spec: JobSpec, items: Sequence[Item], jobs: int, watch: Watch | None, stopped: Callable[[], bool]
) -> Generator[Result, None, None]:
    waiting = deque(items)
    workers: list[_Worker] = []
    full = False

    def kill_all() -> None:
        for worker in workers:
            worker.process.kill()

    # An iterator that is never closed must not keep the interpreter from ending: multiprocessing would send
    # SIGTERM, which workers ignore, and wait.
    atexit.register(kill_all)
    try:
        while True:
            while waiting and not full and not stopped() and (worker := _free(workers, jobs, spec)):
                worker.hand(waiting.popleft())
            busy = [worker for worker in workers if worker.item is not None]
            if not busy:
                return
            for result in _results(busy, watch):
                full = full or ends_all(result)
                yield result
            workers = [worker for worker in workers if worker.item or worker.process.is_alive()]
    finally:
        atexit.unregister(kill_all)
        for worker in workers:
            worker.leave()


def _free(workers: list[_Worker], jobs: int, spec: JobSpec) -> _Worker | None:
    """A worker without work: an idle one, or a new one while there may be more."""
    for worker in workers:
        if worker.item is None:
            return worker
    if len(workers) == jobs:
        return None
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    mark = new_mark()
    process = context.Process(target=_work, args=(spec, theirs, mark), daemon=True)
    process.start()
    theirs.close()  # so that the worker's death is the end of the pipe
    workers.append(_Worker(process, ours, mark))
    return workers[-1]


def _results(busy: Sequence[_Worker], watch: Watch | None) -> list[Result]:
    """Wait until a worker says something, and take what is a result."""
    heard = wait([worker.connection for worker in busy])
    results = [_hear(worker, watch) for worker in busy if worker.connection in heard]
    return [result for result in results if result is not None]


def _hear(worker: _Worker, watch: Watch | None) -> Result | None:
    """Take one message: progress, a result, or the end of a worker that died."""
    item = worker.item
    assert item is not None
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.item = None
        worker.connection.close()
        worker.process.join()
        worker.clear(item)
        line = (
            f"{display_path(item.source)}: its worker ended with code {worker.process.exitcode}, "
            "perhaps for want "
            "of memory; run again with fewer --jobs"
        )
        return failed(item, "worker_died", line)
    if isinstance(message, Result):
        worker.item = None
        return message
    if watch is not None:
        watch(item, message)
    return None


def ends_all(result: Result) -> bool:
    """Whether nothing more is begun after a result: every other recording would fail too."""
    return result.fault is not None and result.fault.code in _ENDS_ALL


def _work(spec: JobSpec, connection: Connection, mark: str) -> None:
    """What a worker does all its life."""
    call_parts(mark)
    for number in (signal.SIGINT, *ending_signals()):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        connection.send(run_one(spec, item, lambda done, _announced: connection.send(done)))


def _end_with_parent() -> None:
    """Leave at once when the parent is gone, also in the middle of a file: nobody waits for the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
