"""Promise: a lock is held by one, and its file is gone when nobody holds it."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import filelock
import pytest

from audiodiff.io.locks import held


def test_nothing_stays_behind(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path):
        assert path.exists()
        with pytest.raises(filelock.Timeout), held(path):
            pass
        assert path.exists()  # the refused one did not take it away
    assert not list(tmp_path.iterdir())
    with contextlib.suppress(KeyError), held(path):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("another", [True, False], ids=["another took the name", "the name is gone"])
def test_a_file_that_lost_its_name_keeps_nobody_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another: bool
) -> None:
    """The holder removes the file between the opening and the locking of the next one."""
    path, lock = tmp_path / "lock", filelock.lock_descriptor
    calls: list[int] = []

    def late(fd: int, *, blocking: bool, poll_interval: float) -> bool:
        calls.append(fd)
        if len(calls) == 1:
            path.unlink()
            if another:
                path.touch()
        return lock(fd, blocking=blocking, poll_interval=poll_interval)

    monkeypatch.setattr(filelock, "lock_descriptor", late)
    with held(path) as is_held:
        assert is_held
        assert len(calls) == 2
        with pytest.raises(filelock.Timeout), held(path):
            pass
    assert not list(tmp_path.iterdir())


def test_many_at_once(tmp_path: Path) -> None:
    """Every one finds the place empty; with a lock whose file is just removed two would meet."""
    path, place = tmp_path / "lock", tmp_path / "place"
    met: list[Path] = []

    def work() -> None:
        for _ in range(60):
            with held(path, wait=True) as is_held:
                try:
                    os.close(os.open(place, os.O_CREAT | os.O_EXCL))
                    place.unlink()
                except FileExistsError:
                    met.append(place)
                if not is_held:
                    met.append(path)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not met
    assert not list(tmp_path.iterdir())
