"""Takes away what Windows lacks, as far as Linux can do that: ``AUDIODIFF_IMITATE=windows pytest tests/io``.

Names of the module os and whole modules are gone for audiodiff (other packages have their own ways there).
A file that this process has open, or mapped into its memory, can neither be renamed, nor replaced, nor
removed, and no folder with such a file in it. A rename never replaces, no folder can be opened, what is open
for reading alone cannot be flushed, libsndfile takes no descriptors. This proves that audiodiff needs nothing
of what is gone, not that all else works on Windows.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import soundfile

from audiodiff import system

LACKING = frozenset(
    """
    O_TMPFILE O_DIRECTORY O_NOFOLLOW O_SYNC O_DSYNC pread pwrite preadv pwritev fork forkpty
    sched_getaffinity sched_setaffinity sched_yield getuid geteuid getgid getegid fchmod chown fchown lchown
    statvfs fstatvfs mkfifo mknod setsid setpgid getpgid getpgrp killpg nice getloadavg getpriority sendfile
    copy_file_range posix_fallocate posix_fadvise getxattr setxattr listxattr removexattr memfd_create uname
    sysconf
    """.split()
)
"""Of the module os. Not O_NONBLOCK: there are pipes among the files here."""

MODULES = frozenset({"fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"})

_rename, _replace, _open, _fsync = os.rename, os.replace, os.open, os.fsync
_import = builtins.__import__


def imitate() -> None:
    """Do it, in this process and for good."""
    if type(os).__name__ == _Os.__name__:
        return
    os.rename, os.replace = _refusing(_renamed), _refusing(_replaced)
    os.unlink, os.remove = _refusing(os.unlink), _refusing(os.remove)
    os.open, os.fsync = _opened, _flushed
    os.__class__ = _Os
    builtins.__import__ = _importing
    soundfile.SoundFile._open = _without_descriptors(soundfile.SoundFile._open)
    system.IS_WINDOWS = True


def _is_ours() -> bool:
    """Whether audiodiff called, perhaps through the standard library."""
    frame, names = sys._getframe(2), set()
    for _ in range(8):
        names.add(frame.f_globals.get("__name__", "").partition(".")[0])
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "audiodiff" in names


class _Os(ModuleType):
    """The module os without what is lacking."""

    def __getattribute__(self, name: str) -> Any:
        if name in LACKING and sys._getframe(1).f_globals.get("__name__", "").startswith("audiodiff"):
            raise AttributeError(f"module 'os' has no attribute {name!r} there")
        return super().__getattribute__(name)


def _importing(name: str, *rest: Any, **options: Any) -> Any:
    if name in MODULES and sys._getframe(1).f_globals.get("__name__", "").startswith("audiodiff"):
        raise ImportError(f"no module named {name!r} there")
    return _import(name, *rest, **options)


def _is_used(path: Any) -> bool:
    """Whether this process has a file open or mapped, or one in the folder."""
    name = os.fspath(Path(os.fsdecode(path)).absolute())
    used = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            used.add(os.fspath(fd.readlink()))
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        used.add("".join(line.partition("/")[1:]))
    return any(each == name or each.startswith(name + os.sep) for each in used)


def _refusing(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that is refused where one of its paths is in use."""

    def checked(*paths: Any, **options: Any) -> Any:
        names = [path for path in paths if isinstance(path, str | bytes | os.PathLike)]
        if _is_ours() and options.get("dir_fd") is None and any(map(_is_used, names)):
            raise PermissionError(errno.EACCES, "the file is in use", os.fspath(names[0]))
        return call(*paths, **options)

    return checked


def _renamed(old: Any, new: Any, **options: Any) -> Any:
    if _is_ours() and os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(new))
    return _rename(old, new, **options)


def _replaced(old: Any, new: Any, **options: Any) -> Any:
    if Path(new).is_dir():
        raise PermissionError(errno.EACCES, "a folder is there", os.fspath(new))
    return _replace(old, new, **options)


def _opened(path: Any, *rest: Any, **options: Any) -> int:
    # shutil opens folders where it can, which it could not there
    if sys._getframe(1).f_globals.get("__name__", "").startswith("audiodiff") and Path(path).is_dir():
        raise PermissionError(errno.EACCES, "a folder cannot be opened", os.fspath(path))
    return _open(path, *rest, **options)


def _flushed(fd: Any) -> None:
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "not open for writing")
    _fsync(fd)


def _without_descriptors(call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any, file: Any, *rest: Any) -> Any:
        if isinstance(file, int):
            raise soundfile.LibsndfileError(2, "descriptors mean nothing to it there: ")
        return call(self, file, *rest)

    return checked
