"""Promise: a Ray cluster gives the bytes of the local runner, also when workers die; faults are one line."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audiodiff.batch import ray_engine
from audiodiff.batch.batch_spec import Item, JobSpec
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.job_options import Options, Result
from audiodiff.batch.plan import plan
from audiodiff.batch.ray_engine import Cluster, run_on_cluster
from audiodiff.batch.worker_pool import run
from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint
from tests.errors import refused

DENOISE = DenoiseSettings()

MakeSpec = Callable[..., JobSpec]
HEAD = Cluster("head:6379")


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class FakeRay:
    """Does tasks in this process, when they are waited for; the workers of named recordings die so often."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, deaths: dict[str, int] | None = None, cores: int = 2) -> None:
        self.deaths = deaths or {}
        self.cores = cores
        self.begun: list[str] = []
        self.cancelled = 0
        self.most = 0
        self.options: dict[str, Any] = {}
        self.initialised: tuple[str, dict[str, Any]] = ("", {})
        self._tasks: dict[int, tuple[Any, ...]] = {}

    def init(self, address: str, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.initialised = address, options

    def shutdown(self) -> None:
        self.initialised = "over", {}

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cores)}

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda *words: self._begin(function, words))

    def _begin(self, function: Any, words: tuple[Any, ...]) -> int:
        self.begun.append(words[2].name)
        self._tasks[len(self.begun)] = (function, words)
        return len(self.begun)

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:  # noqa: ARG002  Ray's
        self.most = max(self.most, len(tasks))
        return tasks[-1:], tasks[:-1]

    def get(self, task: int) -> Any:
        function, words = self._tasks.pop(task)
        name = words[2].name
        if self.deaths.get(name, 0) > 0:
            self.deaths[name] -= 1
            raise RayError("the worker died\nfor many reasons")
        return function(*words)

    def cancel(self, task: int, force: bool) -> None:  # noqa: ARG002  Ray's signature
        self.cancelled += 1


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeRay], FakeRay]:
    def put(fake: FakeRay) -> FakeRay:
        monkeypatch.setattr(ray_engine, "_module", lambda: fake)
        return fake

    return put


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the records, whose times differ."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".audiodiff" not in path.parts
    }


def told(results: list[Result]) -> dict[str, tuple[str, ...]]:
    return {
        result.target.as_posix(): (result.status, result.fault.code if result.fault else "")
        for result in results
    }


def test_as_the_local_runner(
    shows: Path, make_spec: MakeSpec, use: Callable[[FakeRay], FakeRay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shows.parent)
    fake = use(FakeRay({"a.wav": 2}))
    spec = make_spec()
    relative = Path("shows")
    local, cluster = (plan([relative], Path(name), Options(), DENOISE).items for name in ("local", "cluster"))
    truth = {place.replace("local", "cluster"): end for place, end in told(list(run(spec, local))).items()}
    assert told(list(run_on_cluster(spec, cluster, HEAD))) == truth
    assert contents(Path("cluster")) == contents(Path("local"))
    assert fake.begun.count("a.wav") == 3
    assert fake.most == 2
    assert fake.options == {"num_cpus": 1, "num_gpus": 0, "max_retries": 0}
    again = list(run_on_cluster(spec, cluster, HEAD))
    assert {result.status for result in again} == {"skipped", "failed"}
    assert {result.status for result in run(spec, cluster)} == {"skipped", "failed"}


def test_a_worker_that_always_dies_fails_its_recording_only(
    shows: Path, make_spec: MakeSpec, use: Callable[[FakeRay], FakeRay]
) -> None:
    fake = use(FakeRay({"b.flac": 99}))
    items = plan([shows / "a.wav", shows / "b.flac"], shows.parent / "out", Options(), DENOISE).items
    found = {
        result.source.name: result
        for result in run_on_cluster(make_spec(), items, Cluster("head:6379", jobs=1))
    }
    assert found["a.wav"].status == "done"
    fault = found["b.flac"].fault
    assert fault is not None
    assert fault.code == "worker_died"
    assert "ended 3 times (the worker died)" in fault.message
    assert fake.begun.count("b.flac") == 3
    assert fake.most == 1


def test_a_stop_begins_nothing_more_and_signals_are_ours(
    shows: Path, make_spec: MakeSpec, use: Callable[[FakeRay], FakeRay]
) -> None:
    fake = use(FakeRay(cores=1))
    items = plan([shows], shows.parent / "out", Options(), DENOISE).items
    wish: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)
    results = []
    for result in run_on_cluster(make_spec(), items, HEAD, stopped=lambda: bool(wish)):
        assert signal.getsignal(signal.SIGTERM) == before
        assert fake.initialised[0] == "head:6379"
        results.append(result)
        wish.append(True)
    assert len(results) == 1
    assert fake.initialised[0] == "over"


def test_closing_ends_the_tasks(shows: Path, make_spec: MakeSpec, use: Callable[[FakeRay], FakeRay]) -> None:
    fake = use(FakeRay(cores=3))
    results = run_on_cluster(make_spec(), plan([shows], shows.parent / "out", Options(), DENOISE).items, HEAD)
    next(results)
    results.close()
    assert fake.cancelled == 2
    assert fake.initialised[0] == "over"


def test_a_node_with_another_version_or_without_the_folder_refuses(shows: Path, make_spec: MakeSpec) -> None:
    item = Item(shows / "a.wav", shows / "out.wav", "a.wav")
    for place in (ray_engine._Place(version="0.0.1"), ray_engine._Place(folder=str(shows / "gone"))):
        result = ray_engine.work(make_spec(), place, item)
        assert result.fault is not None
        assert result.fault.code == "engine"
    assert not item.target.exists()


def test_a_gpu_is_asked_for_by_name(
    shows: Path, make_spec: MakeSpec, use: Callable[[FakeRay], FakeRay]
) -> None:
    fake = use(FakeRay())
    spec = make_spec(DenoiseSettings(device="cuda", threads=2))
    list(run_on_cluster(spec, [], HEAD))
    assert fake.options == {"num_cpus": 2, "num_gpus": 1, "max_retries": 0}


def test_without_ray_or_cluster_one_line_says_so(
    shows: Path,
    make_spec: MakeSpec,
    use: Callable[[FakeRay], FakeRay],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        with refused(ConfigError, "missing_extra", install_hint("ray")):
            list(run_on_cluster(make_spec(), [], HEAD))
    fake = use(FakeRay())

    def init(address: str, **options: Any) -> None:
        raise ConnectionError("nobody answers\nat all")

    fake.init = init  # type: ignore[method-assign]
    with refused(ConfigError, "engine", "nowhere:1", "nobody answers"):
        list(run_on_cluster(make_spec(), [], Cluster("nowhere:1")))


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes with a core each, on the loopback interface."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Without this Ray turns 127.0.0.1 into the address of the machine.
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    made: Any = importlib.import_module("ray.cluster_utils")
    node: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
    cluster = made.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()


def workers_of(cluster: Any) -> dict[int, int]:
    """The processes that work on a recording, and the raylet (the node) that each belongs to."""
    raylets = {
        process.pid
        for node in [cluster.head_node, *cluster.worker_nodes]
        for kind, process in node.live_processes()
        if kind == "raylet"
    }
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            title, status = (place / "cmdline").read_text(), (place / "status").read_text()
        except OSError:  # it ended meanwhile
            continue
        parent = int(status.partition("\nPPid:")[2].split()[0])
        if parent in raylets and title.startswith("ray::work"):
            found[int(place.name)] = parent
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    os.environ.get("AUDIODIFF_RAY") != "1",
    reason="starts a real cluster for half a minute; set AUDIODIFF_RAY=1 (needs the extra [ray])",
)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the workers in /proc")
def test_two_nodes_and_a_killed_worker(two_nodes: Any, shows: Path, make_spec: MakeSpec) -> None:
    spec, local = make_spec(), shows.parent / "local"
    truth = told(list(run(spec, plan([shows], local, Options(), DENOISE).items)))
    killed: list[int] = []
    nodes: set[int] = set()

    def kill(item: Item, seconds: float) -> None:
        for worker, node in workers_of(two_nodes).items():
            nodes.add(node)
            if not killed:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    output = shows.parent / "cluster"
    items = plan([shows], output, Options(), DENOISE).items
    found = told(list(run_on_cluster(spec, items, Cluster(two_nodes.address), kill)))
    assert found == {place.replace("/local/", "/cluster/"): end for place, end in truth.items()}
    assert contents(output) == contents(local)
    assert len(killed) == 1
    assert len(nodes) == 2
    assert {result.status for result in run(spec, items)} == {"skipped", "failed"}
