"""What differs between Linux, macOS and Windows: no other module asks which system it runs on.

What a system lacks is found out at each call, not at the import, so that tests can take it away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

IS_WINDOWS = os.name == "nt"

LACKING = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})
"""What systems say of a call that a file system does not have."""

T = TypeVar("T")

_BINARY = getattr(os, "O_BINARY", 0)
_WAITS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Virus scanners and indexers of Windows hold a new file for a moment."""

_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}) | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}
_FORBIDDEN = frozenset('<>:"/\\|?*') | {chr(code) for code in range(32)}


# Opening files: a descriptor never translates line ends.


def open_to_read(path: Path) -> int:
    """A descriptor for reading; a pipe without a writer does not block."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)


def open_new(path: Path) -> int:
    """A descriptor of a file that did not exist, for reading and writing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)


def open_to_append(path: Path) -> int:
    """A descriptor for reading, and for writing at the end; the file is made if need be."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o666)


def open_lock(path: Path) -> int:
    """A descriptor to lock; the file is made if need be."""
    flags = os.O_RDWR | os.O_CREAT | _BINARY
    return _patiently(path, lambda: os.open(path, flags, 0o666))  # Windows: it may be going away just now


def open_null() -> int:
    """A descriptor of the device that swallows everything."""
    return os.open(os.devnull, os.O_RDWR)


def open_unnamed(folder: Path) -> int:
    """A descriptor of a file without a name, or -1 where there is no such thing (all but Linux)."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return -1
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError:  # not on this file system; a folder that refuses everything says so again, in clear words
        return -1


def read_at(fd: int, n: int, position: int) -> bytes:
    """Up to n bytes from a position; the descriptor's own position stays."""
    if hasattr(os, "pread"):
        return os.pread(fd, n, position)
    before = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        os.lseek(fd, position, os.SEEK_SET)
        return os.read(fd, n)
    finally:
        os.lseek(fd, before, os.SEEK_SET)


def libraries_take_descriptors() -> bool:
    """Whether a library in C knows the file of a descriptor; not where it has a C runtime of its own."""
    return not IS_WINDOWS


# Bringing files to the disk.


def flush(fd: int) -> None:
    """Bring the content of a file that is open for writing to the disk, as far as its file system knows how.

    Raises:
        OSError: It knows, and the disk failed or is full.
    """
    try:
        if not _flush_drive(fd):
            os.fsync(fd)
    except OSError as error:
        if error.errno not in LACKING:
            raise


def flush_all(fds: Sequence[int]) -> None:
    """`flush` of several files at the same time: a file system with a journal writes that once for all."""
    if not fds:
        return
    from concurrent.futures import ThreadPoolExecutor

    *others, last = fds
    with ThreadPoolExecutor(max(1, len(others))) as pool:
        waited = pool.map(flush, others)
        flush(last)
        for _ in waited:  # raises what one of them raised
            pass


def _flush_drive(fd: int) -> bool:
    """On macOS fsync leaves the content in the memory of the drive. False where no more can be had."""
    try:
        import fcntl
    except ImportError:
        return False
    command = getattr(fcntl, "F_FULLFSYNC", None)
    if command is None:
        return False
    try:
        fcntl.fcntl(fd, command)
    except OSError:  # a drive on the network
        return False
    return True


def flush_file(path: Path) -> None:
    """`flush` of a file that may be written to."""
    with path.open("r+b") as file:  # Windows flushes nothing that is open for reading alone
        flush(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make names survive a power loss, where the system can (not on Windows or some networks)."""
    if IS_WINDOWS:
        return
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


# Names.


def link_unnamed(fd: int, path: Path) -> None:
    """Name a file of `open_unnamed`.

    Raises:
        FileExistsError: The name is taken.
    """
    # With a folder's descriptor Python calls linkat, which can follow the link in /proc; link cannot.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.link(f"/proc/self/fd/{fd}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def replace(old: Path, new: Path) -> None:
    """Rename a file, in place of another one of that name.

    Raises:
        PermissionError: Windows, where an open file cannot be replaced: another program has it open.
    """
    _patiently(new, lambda: old.replace(new))


def rename(old: Path, new: Path) -> None:
    """Rename a file or a folder to a name that is free; raises as `replace`."""
    _patiently(new, lambda: old.rename(new))


def rename_new(old: Path, new: Path) -> None:
    """Rename a file and never replace another one, even if that comes into being at this moment.

    Raises:
        FileExistsError: There is one.
    """
    if IS_WINDOWS:  # there a rename never replaces
        rename(old, new)
        return
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # no links on this file system: a gap of microseconds stays
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(new)) from None
        replace(old, new)
    else:
        old.unlink()


def link_or_copy(source: Path, copy: Path) -> None:
    """Give a file a second name, or copy it where it can have none."""
    try:
        os.link(source, copy)
    except OSError:
        shutil.copyfile(source, copy)


def open_files_keep_their_names() -> bool:
    """Whether a file can neither be removed nor be renamed while it is open."""
    return IS_WINDOWS


def unusable(name: str) -> str:
    """Why a file must not have a name here, in words; empty where it may, or the system refuses it itself.

    Windows takes such names and does something else: ``a:b`` is a hidden part of the file a, what is written
    to ``NUL.wav`` is gone, and dots and spaces at the end are dropped.
    """
    if not IS_WINDOWS:
        return ""
    if not _FORBIDDEN.isdisjoint(name):
        return 'none of <>:"|?* can be in a name'
    if name.endswith((".", " ")):
        return "a name cannot end with a dot or a space"
    if name.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        return "this is the name of a device"
    return ""


def usable(name: str) -> str:
    """A name as close to this one as a file here can have; of one that came from another machine."""
    cleaned = "".join("_" if c in (_FORBIDDEN if IS_WINDOWS else "/\\:\0") else c for c in name)
    if IS_WINDOWS:
        cleaned = cleaned.rstrip(". ")
    return f"_{cleaned}" if unusable(cleaned) else cleaned


def folds_case(folder: Path) -> bool:
    """Whether two names in a folder that differ in their case alone are one file.

    Found out by a file that comes and goes there, or in the nearest folder above that exists.
    """
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), Path())
    try:
        with tempfile.NamedTemporaryFile(prefix=".audiodiff-", dir=there) as file:
            path = Path(file.name)
            return os.path.lexists(path.with_name(path.name.upper()))
    except OSError:
        return IS_WINDOWS or sys.platform == "darwin"


def _patiently(path: Path, call: Callable[[], T]) -> T:
    """Call; on Windows again while something else has a file open, for less than a second in all."""
    for wait_s in _WAITS_S if IS_WINDOWS else ():
        try:
            return call()
        except PermissionError:
            time.sleep(wait_s)
    try:
        return call()
    except PermissionError as error:
        if not IS_WINDOWS:
            raise
        why = "another program has it open, or it may not be changed"
        raise PermissionError(errno.EACCES, why, os.fspath(path)) from error


# Processes, users, machines.


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for the time of a block; what is still open when that ends stays, where it has to."""
    return tempfile.TemporaryDirectory(prefix="audiodiff-", ignore_cleanup_errors=True)


def ending_signals() -> tuple[signal.Signals, ...]:
    """What ends a process, apart from Ctrl-C: SIGTERM, SIGHUP (terminal closed), SIGBREAK on Windows."""
    names = ("SIGTERM", "SIGHUP", "SIGBREAK")
    return tuple(found for name in names if (found := getattr(signal, name, None)) is not None)


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # neither on macOS nor on Windows
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def has_nvidia_driver() -> bool:
    """Whether asking for a GPU of NVIDIA may be worth while."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def user() -> str:
    """Tells users of one temporary folder apart; on Windows each has a folder of his own."""
    return str(os.getuid()) if hasattr(os, "getuid") else "all"


def data_folder() -> Path:
    """Where this user's programs keep what they made."""
    if IS_WINDOWS:
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser()


def make_private(fd: int) -> None:
    """Let nobody but the user read a file; on Windows his own folders are private already."""
    if not IS_WINDOWS:
        os.fchmod(fd, 0o600)


def claim_port(listener: socket.socket) -> None:
    """Set a socket up to be bound to a port that no other program listens on, though one may just have."""
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    # What lets a port be taken again at once elsewhere lets two programs share it on Windows.
    option = socket.SO_REUSEADDR if exclusive is None else exclusive
    listener.setsockopt(socket.SOL_SOCKET, option, 1)
