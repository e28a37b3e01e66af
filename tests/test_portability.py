"""Promise: what some systems lack is used in `audiodiff.system` alone; no text depends on a machine."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import audiodiff

ROOT = Path(audiodiff.__file__).parent
SOURCES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "system.py")

OS_EVERYWHERE = frozenset(
    """
    PathLike SEEK_CUR SEEK_END SEEK_SET R_OK W_OK X_OK _exit access altsep chdir close cpu_count devnull dup
    dup2 environ fdopen fsdecode fsencode fspath fstat ftruncate getcwd getpid linesep lseek path pathsep read
    sep set_inheritable strerror walk write
    """.split()
)
"""What of the module os does the same on Linux, macOS and Windows."""
SIGNAL_EVERYWHERE = frozenset({"SIGINT", "SIGTERM", "SIG_DFL", "SIG_IGN", "Signals", "getsignal", "signal"})
SOME_SYSTEMS = frozenset(
    """
    _posixsubprocess _winapi ctypes curses fcntl grp mmap msvcrt nt posix pty pwd readline resource select
    syslog termios tty winreg winsound
    """.split()
)
ASKS = {
    ("sys", "platform"),
    ("sys", "getwindowsversion"),
    ("os", "name"),
    ("platform", "system"),
    ("os", "uname"),
}
PRIVATE_STATUS = frozenset({"st_blocks", "st_blksize", "st_rdev", "st_uid", "st_gid", "st_flags"})
PATH_METHODS = frozenset({"chmod", "lchmod", "owner", "group", "hardlink_to", "is_mount"})
FORKING = frozenset({"Process", "Pool", "Queue", "Pipe", "Manager"})
OPENERS = frozenset({"os", "tempfile", "av", "av_library", "webbrowser"})


def faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) for everything that is not the same on all systems."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if found := {n.name.partition(".")[0] for n in names} & SOME_SYSTEMS:
                yield node.lineno, f"import {found}"
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in SOME_SYSTEMS | {
                "os",
                "signal",
            }:
                yield node.lineno, f"from {module}"
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if _is_private(name, attr):
                yield node.lineno, f"{name}.{attr}"
            case ast.Attribute(attr=attr) if attr in PRIVATE_STATUS:
                yield node.lineno, attr
            case ast.Constant(value=str(text)) if text.startswith(("/dev/", "/proc/", "/tmp", "/sys/")):
                yield node.lineno, text
            case ast.Call():
                yield from ((node.lineno, what) for what in _calls(node))


def _is_private(name: str, attr: str) -> bool:
    match name:
        case "os":
            return attr not in OS_EVERYWHERE
        case "signal":
            return attr not in SIGNAL_EVERYWHERE
        case "socket":
            return attr.startswith(("SO_", "AF_UNIX"))
        case "shutil":
            return attr == "chown"
        case _:
            return (name, attr) in ASKS


def _calls(call: ast.Call) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    of = getattr(getattr(call.func, "value", None), "id", "")
    named = {keyword.arg for keyword in call.keywords}
    if name in {"getattr", "hasattr"} and getattr(call.args[0], "id", "") in {
        "os",
        "signal",
        "socket",
        "fcntl",
    }:
        yield "whether a system has something"
    if _is_text(call, name, of) and "encoding" not in named:
        yield f"{name} without encoding"
    if name in {"rename", "replace"} and len(call.args) == 1 and not named and of != "system":
        yield "a rename that Windows may refuse for a moment"
    if name in PATH_METHODS or name == "ProcessPoolExecutor" or (of == "multiprocessing" and name in FORKING):
        yield name
    if name == "get_context" and [getattr(each, "value", "") for each in call.args] != ["spawn"]:
        yield "processes that are not spawned"


def _is_text(call: ast.Call, name: str, of: str) -> bool:
    """Whether a call reads or writes text whose encoding, if it has one, stands in its keywords."""
    match name, of:
        case "read_text", _:
            return not call.args
        case "write_text", _:
            return len(call.args) < 2
        case "open", "":
            return isinstance(call.func, ast.Name) and not _is_binary(call, 1)
        case "open", _:
            return of not in OPENERS and not _is_binary(call, 0)
        case _:
            return False


def _is_binary(call: ast.Call, place: int) -> bool:
    mode = call.args[place] if len(call.args) > place else None
    return isinstance(mode, ast.Constant) and "b" in str(mode.value)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_system_knows_the_system(path: Path) -> None:
    assert not list(faults(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "line",
    [
        "import fcntl",
        "from os import fork",
        "os.fork()",
        "os.open(path, os.O_RDONLY)",
        "os.fsync(fd)",
        "os.link(a, b)",
        "getattr(os, 'O_TMPFILE', None)",
        "signal.SIGHUP",
        "if sys.platform == 'win32': pass",
        "path.stat().st_blocks",
        "Path('/dev/null')",
        "listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)",
        "path.write_text('x')",
        "path.read_text()",
        "open(path)",
        "path.open('w')",
        "part.replace(path)",
        "part.rename(path)",
        "multiprocessing.get_context('fork')",
        "multiprocessing.Process(target=work)",
        "path.chmod(0o600)",
    ],
)
def test_the_rule_sees(line: str) -> None:
    assert list(faults(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "os.fstat(fd).st_size",
        "name.replace('a', 'b')",
        "dataclasses.replace(card, folder='')",
        "path.read_text('utf-8')",
        "path.open('rb')",
        "multiprocessing.get_context('spawn')",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ],
)
def test_the_rule_lets_pass(line: str) -> None:
    assert not list(faults(ast.parse(line)))
