"""Promise: what a file system lacks (fsync, links, unnamed files, locks) never costs finished work."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import filelock
import pytest

from audiodiff.io.atomic import AtomicFile, atomic_folder, write_file
from audiodiff.io.locks import held
from audiodiff.system import flush

CONTENT = bytes(range(256)) * 5000


def fails(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, number: int) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, name, failing)


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV])
def test_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, replace: bool) -> None:
    fails(monkeypatch, os, "link", number)
    path = tmp_path / "talk.wav"
    write_file(path, CONTENT, replace=False)
    assert path.read_bytes() == CONTENT
    if replace:
        write_file(path, b"new")
        assert path.read_bytes() == b"new"
    else:
        with pytest.raises(FileExistsError):
            write_file(path, b"new", replace=False)
        assert path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["talk.wav"]


def test_without_links_the_descriptor_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, os, "link", errno.EPERM)
    with AtomicFile(tmp_path) as file:
        file.write(CONTENT)
        before = file.fd
        file.commit(tmp_path / "talk.wav", replace=False)
        assert file.fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
@pytest.mark.parametrize("links", [True, False])
def test_without_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, links: bool) -> None:
    fails(monkeypatch, os, "fsync", number)
    if not links:
        fails(monkeypatch, os, "link", errno.EPERM)
    write_file(tmp_path / "talk.wav", CONTENT)
    assert (tmp_path / "talk.wav").read_bytes() == CONTENT
    with atomic_folder(tmp_path / "model", replace=False) as folder:
        (folder / "weights").write_bytes(CONTENT)
    assert (tmp_path / "model" / "weights").read_bytes() == CONTENT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "talk.wav"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fails(monkeypatch, os, "fsync", number)
    with pytest.raises(OSError, match=os.strerror(number)):
        flush(0)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_file(tmp_path / "talk.wav", CONTENT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT])
def test_without_unnamed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    plain, unnamed = os.open, getattr(os, "O_TMPFILE", 0)

    def opening(path: Any, flags: int, *rest: Any, **others: Any) -> int:
        if unnamed and flags & unnamed == unnamed:
            raise OSError(number, os.strerror(number))
        return plain(path, flags, *rest, **others)

    monkeypatch.setattr(os, "open", opening)
    fails(monkeypatch, os, "fsync", errno.EINVAL)
    write_file(tmp_path / "talk.wav", CONTENT)
    assert (tmp_path / "talk.wav").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["talk.wav"]


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.EINVAL])
def test_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fails(monkeypatch, fcntl, "flock", number)
    with held(tmp_path / "lock") as is_held:
        assert not is_held


def test_a_lock_that_another_holds_is_refused(tmp_path: Path) -> None:
    with held(tmp_path / "lock") as is_held:
        assert is_held
        with pytest.raises(filelock.Timeout), held(tmp_path / "lock"):
            pass
    with held(tmp_path / "lock") as is_held:
        assert is_held
