"""Promise: what a system lacks has another way to the same end, or a plain word; tried by taking it away."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiodiff import system
from audiodiff.errors import AudioFileError
from audiodiff.io.atomic import AtomicFile, atomic_folder, call_parts, new_mark, remove_parts, write_file
from audiodiff.io.locks import held
from audiodiff.io.output_checks import check_existing, small_output
from audiodiff.io.reader import read
from audiodiff.io.sound import DescriptorFile


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the waiting."""
    monkeypatch.setattr(system, "IS_WINDOWS", True)
    monkeypatch.setattr(system, "_WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Path]]:
    """Makes so many renames fail as they do on Windows while another program has the file open."""

    def fail(times: int) -> list[Path]:
        tried: list[Path] = []

        def refusing(call: Callable[[Path, Any], Path]) -> Callable[[Path, Any], Path]:
            def rename(old: Path, new: Any) -> Path:
                tried.append(old)
                if len(tried) <= times:
                    raise PermissionError(errno.EACCES, "in use", str(old))
                return call(old, new)

            return rename

        for name in ("replace", "rename"):
            monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
        return tried

    return fail


def test_reading_at_a_place_needs_no_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(bytes(range(100)))
    fd = system.open_to_read(tmp_path / "x")
    try:
        os.lseek(fd, 7, os.SEEK_SET)
        truth = [system.read_at(fd, n, place) for n, place in ((5, 0), (50, 80), (1, 100))]
        monkeypatch.delattr(os, "pread")
        assert [system.read_at(fd, n, place) for n, place in ((5, 0), (50, 80), (1, 100))] == truth
        assert truth == [bytes(range(5)), bytes(range(80, 100)), b""]
        assert os.lseek(fd, 0, os.SEEK_CUR) == 7
    finally:
        os.close(fd)


@pytest.mark.parametrize("known", [True, False], ids=["the drive knows it", "a drive on the network"])
def test_macos_flushes_the_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    done: list[str] = []

    def control(fd: int, command: int) -> int:
        assert command == 51
        done.append("drive")
        if not known:
            raise OSError(errno.ENOTSUP, "not here")
        return 0

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda _: done.append("fsync"))
    (tmp_path / "x").write_bytes(b"x")
    system.flush_file(tmp_path / "x")
    assert done == (["drive"] if known else ["drive", "fsync"])


@pytest.mark.usefixtures("windows")
def test_windows_opens_no_folder_and_flushes_nothing_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_open, plain_fsync = os.open, os.fsync

    def opening(path: Any, *rest: Any, **options: Any) -> int:
        if sys._getframe(1).f_globals["__name__"] == "audiodiff.system" and Path(path).is_dir():
            raise PermissionError(errno.EACCES, "a folder", str(path))
        return plain_open(path, *rest, **options)

    def flushing(fd: int) -> None:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "not open for writing")
        plain_fsync(fd)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "fsync", flushing)
    write_file(tmp_path / "talk.wav", b"first", replace=False)
    write_file(tmp_path / "talk.wav", b"second")
    for content in (b"old", b"new"):
        with atomic_folder(tmp_path / "model", replace=True) as folder:
            (folder / "weights").write_bytes(content)
    assert (tmp_path / "talk.wav").read_bytes() == b"second"
    assert (tmp_path / "model" / "weights").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "talk.wav"]


@pytest.mark.usefixtures("windows")
def test_a_file_that_is_open_for_a_moment_is_waited_for(
    tmp_path: Path, busy: Callable[[int], list[Path]]
) -> None:
    (tmp_path / "talk.wav").write_bytes(b"old")
    tried = busy(3)
    write_file(tmp_path / "talk.wav", b"new")
    assert len(tried) == 4
    assert (tmp_path / "talk.wav").read_bytes() == b"new"


@pytest.mark.usefixtures("windows")
def test_a_file_that_stays_open_is_told_in_one_line(
    tmp_path: Path, busy: Callable[[int], list[Path]]
) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"old")
    busy(1000)
    with pytest.raises(AudioFileError, match="another program") as caught, small_output(path, True) as file:
        file.write(b"new")
    assert caught.value.code == "unwritable"
    assert len(str(caught.value).splitlines()) == 1
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_elsewhere_nothing_is_tried_twice(tmp_path: Path, busy: Callable[[int], list[Path]]) -> None:
    (tmp_path / "a").write_bytes(b"")
    tried = busy(1)
    with pytest.raises(PermissionError, match="in use"):
        system.replace(tmp_path / "a", tmp_path / "b")
    assert len(tried) == 1


@pytest.mark.parametrize("links", [True, False])
def test_a_new_name_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    with pytest.raises(FileExistsError):
        system.rename_new(one, two)
    assert (one.read_bytes(), two.read_bytes()) == (b"one", b"two")
    two.unlink()
    system.rename_new(one, two)
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    system.link_or_copy(two, one)
    assert one.read_bytes() == b"one"
    assert one.samefile(two) == links


def test_a_named_file_closes_the_gap_by_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no unnamed files: a target that appears at the last moment stays all the same."""
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    real = os.link

    def late(*paths: Any) -> None:
        (tmp_path / "talk.wav").write_bytes(b"from another job")
        real(*paths)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "talk.wav", b"mine", replace=False)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"from another job"]


REFUSED = "CON.wav nul NUL.wav com1.flac LPT9 COM¹.wav aux.tar.gz a:b.wav what?.wav tail. CONIN$.wav".split()
TAKEN = "console.wav com10.wav null.wav .hidden talk.wav été.wav co.n a..b".split()


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", [*REFUSED, "tail ", "NUL .wav", "line\nbreak.wav"])
def test_names_that_windows_takes_and_loses_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioFileError) as caught:
        check_existing(tmp_path / name, overwrite=True)
    assert caught.value.code == "unwritable"
    assert not system.unusable(system.usable(name))


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", TAKEN)
def test_names_that_look_like_those_are_taken(tmp_path: Path, name: str) -> None:
    check_existing(tmp_path / name, overwrite=False)
    assert system.usable(name) == name


@pytest.mark.parametrize("name", REFUSED)
def test_elsewhere_every_name_is_taken(tmp_path: Path, name: str) -> None:
    check_existing(tmp_path / name, overwrite=False)


@given(st.text(max_size=40), st.booleans())
def test_a_cleaned_name_is_usable_and_stays(name: str, on_windows: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system, "IS_WINDOWS", on_windows)
        cleaned = system.usable(name)
        assert not system.unusable(cleaned)
        assert system.usable(cleaned) == cleaned
    assert "/" not in cleaned
    assert "\\" not in cleaned
    assert PureWindowsPath(cleaned).name == cleaned or not on_windows or cleaned in {"", "."}
    if on_windows and cleaned:
        assert not PureWindowsPath(cleaned).is_reserved()


def test_case_is_tried_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not system.folds_case(tmp_path / "not" / "there")
    plain = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: plain(path) or plain(str(path).lower()))
    assert system.folds_case(tmp_path)
    assert not list(tmp_path.iterdir())

    def refused(**_: Any) -> None:
        raise PermissionError(errno.EACCES, "not yours")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refused)
    for on_windows in (True, False):
        monkeypatch.setattr(system, "IS_WINDOWS", on_windows)
        assert system.folds_case(tmp_path) == on_windows


def test_the_parts_of_a_dead_process_are_known_by_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    monkeypatch.setattr("audiodiff.io.atomic._mark", "")  # put back afterwards
    ours, dead = new_mark(), new_mark()
    for mark in (dead, ours):
        call_parts(mark)
        os.close(AtomicFile(tmp_path).fd)
        os.close(AtomicFile(tmp_path).fd)
    remove_parts(tmp_path, dead)
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 2
    assert all(name.startswith(f".audiodiff-{ours}-") for name in left)


@pytest.mark.usefixtures("windows")
def test_a_lock_on_windows_is_closed_before_its_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path) as is_held:
        assert is_held
        assert path.exists()
    with held(path) as is_held:
        assert is_held
    assert not list(tmp_path.iterdir())


def test_signals_that_a_system_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.ending_signals() == (signal.SIGTERM, signal.SIGHUP)
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    assert system.ending_signals() == (signal.SIGTERM, signal.SIGUSR1)


def test_processors_and_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.cores() == len(os.sched_getaffinity(0))
    assert system.user() == str(os.getuid())
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "getuid")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert system.cores() == 7
    assert system.user() == "all"


def test_a_port_on_windows_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        system.claim_port(listener)
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    with socket.socket() as listener:
        system.claim_port(listener)
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")],
)
def test_a_file_reads_the_same_without_a_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str, subtype: str
) -> None:
    path = tmp_path / "talk"
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (20000, 2))
    soundfile.write(path, x, 44100, subtype, format=container)
    without = read(path)[0]
    monkeypatch.setattr(system, "IS_WINDOWS", False)
    assert np.array_equal(read(path)[0], without)


def test_a_disk_that_is_full_is_a_short_write_to_libsndfile(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def filling(_: int, data: memoryview) -> int:
        if written:
            raise OSError(errno.ENOSPC, "full")
        written.append(bytes(data[:3]))
        return 3

    file = DescriptorFile(-1)
    monkeypatch.setattr(os, "write", filling)
    assert file.write(b"12345") == 3
    assert file.readinto(bytearray(4)) == 0
