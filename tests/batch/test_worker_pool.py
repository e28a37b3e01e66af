"""Promise: order, workers and shards never change bytes; one bad file or dead worker costs itself only."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.batch.batch_spec import Item, JobSpec, failed
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.job_options import Options, Result
from audiodiff.batch.plan import plan, shard
from audiodiff.batch.worker_pool import run

DENOISE = DenoiseSettings()

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".audiodiff" not in path.parts
    }


def statuses(results: list[Result]) -> dict[str, str]:
    return {result.source.name: result.fault.code if result.fault else result.status for result in results}


def test_bytes_do_not_depend_on_order_workers_or_shards(shows: Path, make_spec: MakeSpec) -> None:
    spec, folders = make_spec(), [shows.parent / name for name in ("one", "two", "parts")]
    plans = [plan([shows], folder, Options(), DENOISE).items for folder in folders]
    first = list(run(spec, plans[0]))
    assert [result.status for result in first] == ["done", "done", "done", "failed", "done"]
    second = list(run(spec, plans[1][::-1], jobs=2))
    assert len(second) == 5
    for number in (3, 1, 2):
        list(run(spec, shard(plans[2], number, 3)))
    truth = hashes(folders[0])
    assert sorted(truth) == ["a.wav", "b.flac", "old/a.wav", "old/c.ogg"]
    assert hashes(folders[1]) == truth
    assert hashes(folders[2]) == truth
    again = list(run(spec, plans[1], jobs=1))
    assert [result.status for result in again] == ["skipped", "skipped", "skipped", "failed", "skipped"]


@pytest.mark.parametrize("imitated", ["", "windows"], ids=["here", "windows"])
def test_a_dead_worker_fails_its_file_only(
    shows: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, imitated: str
) -> None:
    if imitated:  # in the workers, whose unfinished files have names then
        monkeypatch.setenv("AUDIODIFF_IMITATE", imitated)
    x = 0.1 * np.random.default_rng(0).standard_normal(600 * 8000)
    soundfile.write(shows / "long.wav", x, 8000)
    killed: list[int] = []

    def kill(item: Item, seconds: float) -> None:
        if item.source.name == "long.wav" and not killed:
            for worker in multiprocessing.active_children():
                worker.kill()
                killed.append(worker.pid or 0)

    # a.wav waits until the worker of long.wav is dead, b.flac may die with it
    items = plan(
        [shows / "long.wav", shows / "old" / "a.wav"], shows.parent / "out", Options(), DenoiseSettings()
    ).items
    found = statuses(list(run(make_spec(), items, jobs=2, watch=kill)))
    assert found["long.wav"] == "worker_died"
    assert found["a.wav"] in ("done", "worker_died")
    assert "long.wav" not in hashes(shows.parent / "out")
    assert not list((shows.parent / "out").rglob("*.lock"))
    assert not list((shows.parent / "out").rglob("*.part"))
    assert multiprocessing.active_children() == []
    again = [item for item in items if item.source.name == "a.wav"]
    assert statuses(list(run(make_spec(), again)))["a.wav"] in ("done", "skipped")


def test_closing_the_iterator_leaves_no_worker(shows: Path, make_spec: MakeSpec) -> None:
    items = plan([shows], shows.parent / "out", Options(), DENOISE).items
    results = run(make_spec(), items, jobs=2)
    next(results)
    results.close()
    assert multiprocessing.active_children() == []


def test_a_stop_begins_nothing_more(shows: Path, make_spec: MakeSpec) -> None:
    items = plan([shows], shows.parent / "out", Options(), DENOISE).items
    wish: list[bool] = []
    results = []
    for result in run(make_spec(), items, stopped=lambda: bool(wish)):
        results.append(result)
        wish.append(True)
    assert len(results) == 1
    assert sorted(hashes(shows.parent / "out")) == ["a.wav"]


def test_a_full_disk_ends_the_batch(
    shows: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = plan([shows], shows.parent / "out", Options(), DENOISE).items

    def full(spec: JobSpec, item: Item, progress: object) -> Result:
        return failed(item, "no_space", "the disk is full")

    monkeypatch.setattr("audiodiff.batch.worker_pool.run_one", full)
    assert len(list(run(make_spec(), items))) == 1


def test_progress_reaches_the_end(shows: Path, make_spec: MakeSpec) -> None:
    seen: dict[str, float] = {}
    items = [
        replace(item, seconds=1.0)
        for item in plan(
            [shows / "a.wav", shows / "b.flac"], shows.parent / "out", Options(), DenoiseSettings()
        ).items
    ]
    list(run(make_spec(), items, watch=lambda item, seconds: seen.update({item.name: seconds})))
    assert seen == pytest.approx({"a.wav": 0.8, "b.flac": 0.5})
