"""Many recordings on a Ray cluster (the extra ``[ray]``): results come as they are ready.

Every recording is one task, which calls `run_one` as the local runner does: the same journal, locks,
fingerprints and bytes. Ray keeps the processes of its workers, so each loads the model once. All nodes must
see the recordings and the model under the same paths, and have this audiodiff.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audiodiff import __version__
from audiodiff.batch.batch_spec import Item, JobSpec, failed, run_one
from audiodiff.batch.job_options import Result
from audiodiff.batch.worker_pool import Watch, ends_all
from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint
from audiodiff.io.formats import display_path

MAX_ATTEMPTS = 3
"""How often a recording is begun when its workers die; then it fails with the code ``worker_died``."""

_PATIENCE_S = 0.5
"""How long to wait for a result before asking again whether to stop."""


@dataclass(frozen=True)
class Cluster:
    """Where to work.

    Attributes:
        address: Of a running cluster, as Ray names it (``host:6379``, ``auto``).
        jobs: Recordings at a time; None for as many as the cluster has cores.
    """

    address: str
    jobs: int | None = None


@dataclass(frozen=True)
class _Place:
    """What must be the same on all nodes."""

    folder: str = field(default_factory=os.getcwd)
    version: str = __version__


def run_on_cluster(
    spec: JobSpec,
    items: Sequence[Item],
    cluster: Cluster,
    watch: Watch | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Result, None, None]:
    """Do a batch on a cluster.

    Each worker takes as many cores as the spec has threads, and a GPU if its device is ``cuda``.
    """
    ray = _module()
    with _connected(ray, cluster.address):
        waiting = deque((item, 1) for item in items)
        working: dict[Any, tuple[Item, int]] = {}
        begin = functools.partial(_remote(ray, spec).remote, spec, _Place())
        full = False
        try:
            while True:
                most = cluster.jobs or _room(ray, spec)
                while waiting and len(working) < most and not full and not stopped():
                    item, attempt = waiting.popleft()
                    working[begin(item)] = item, attempt
                if not working:
                    return
                ended, _ = ray.wait(list(working), timeout=_PATIENCE_S)
                for task in ended:
                    item, attempt = working.pop(task)
                    result = _result(ray, task, item, attempt)
                    if result is None:
                        waiting.appendleft((item, attempt + 1))
                        continue
                    full = full or ends_all(result)
                    yield result
                if watch is not None:
                    for item, _ in working.values():
                        watch(item, 0.0)
        finally:
            for task in working:
                ray.cancel(task, force=True)


def work(spec: JobSpec, place: _Place, item: Item) -> Result:
    """Do one recording, on a worker."""
    node = socket.gethostname()
    if place.version != __version__:
        versions = f"audiodiff {__version__}, not {place.version}"
        line = f"{display_path(item.source)}: node {node} has {versions}; make them equal"
        return failed(item, "engine", line)
    try:
        os.chdir(place.folder)  # what was named relative to it there is so here
    except OSError as error:
        line = (
            f"{display_path(Path(place.folder))}: not usable on node {node} ({error.strerror}); share this "
            "folder"
        )
        return failed(item, "engine", line)
    return run_one(spec, item)


def _result(ray: Any, task: Any, item: Item, attempt: int) -> Result | None:
    """What became of a recording; None if it is to be begun again, since its worker died."""
    try:
        result: Result = ray.get(task)
    except ray.exceptions.RayError as error:
        if attempt < MAX_ATTEMPTS and not isinstance(error, ray.exceptions.RayTaskError):
            return None
        first = str(error).strip().partition("\n")[0]
        line = (
            f"{display_path(item.source)}: its worker ended {attempt} times ({first}); run again with "
            "fewer --jobs"
        )
        return failed(item, "worker_died", line)
    return result


def _module() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no connection leaves for Ray's makers
    try:
        import ray
    except ImportError:
        raise ConfigError(f"--engine ray needs Ray; {install_hint('ray')}", code="missing_extra") from None
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """Join a cluster."""
    with _handlers_kept():
        try:
            # Workers' own lines would come on standard output, between the results.
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            first = str(error).strip().partition("\n")[0]
            line = (
                f"no Ray cluster can be used at {address} ({first}); check --address and the versions there"
            )
            raise ConfigError(line, code="engine") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remote(ray: Any, spec: JobSpec) -> Any:
    """The task. Ray itself retries nothing: by default it would for ever where memory is short."""
    gpus = 1 if spec.settings.device.startswith("cuda") else 0
    return ray.remote(num_cpus=_cores(spec), num_gpus=gpus, max_retries=0)(work)


def _cores(spec: JobSpec) -> int:
    return spec.settings.threads or 1


def _room(ray: Any, spec: JobSpec) -> int:
    """Recordings that the cluster, as it is now, can work on at a time."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)) // _cores(spec))
