"""How to install what an optional part needs, said so that it works here: a clone, pipx, uv."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Collection

DISTRIBUTION = "audiodiff-speech"
"""Name on a package index, where `audiodiff` is another project."""


CORE = ""
"""In place of an extra's name: what audiodiff always needs."""

NO_PORTAUDIO = "sounddevice finds no PortAudio; install that (Debian, Ubuntu: apt install libportaudio2)"
"""The extra ``live`` is there, but a library of the system that it needs is not."""


def packages(extra: str) -> list[str]:
    """Requirements of an extra (or `CORE`), such as ``av>=18``; none where audiodiff is not installed."""
    from importlib import metadata  # late: most commands never ask

    try:
        found = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    parts = [line.partition(";") for line in found]
    wanted = f'extra == "{extra}"' if extra else ""
    return [name.strip() for name, _, marker in parts if marker.strip() == wanted]


def _name(requirement: str) -> str:
    """The package of a requirement: its letters up to the version."""
    return re.split(r"[^\w-]", requirement)[0]


def _has_pip() -> bool:
    """Whether this Python has pip; asked of its metadata, since looking for the module touches distutils."""
    from importlib import metadata

    try:
        metadata.distribution("pip")
    except metadata.PackageNotFoundError:
        return False
    return True


def install_hint(extra: str, again: Collection[str] = ()) -> str:
    """The command that installs an extra (or `CORE`) into the Python that runs now.

    It names the packages, not ``audiodiff[extra]``, which only an index could resolve; environments made by
    uv have no pip of their own.

    Args:
        again: Packages of it that are damaged: these alone are installed once more, without what they need.
    """
    needed = [line for line in packages(extra) if not again or _name(line) in again]
    if not needed:
        return f"install audiodiff with its extra [{extra}]" if extra else "install audiodiff"
    with_pip = _has_pip()
    more = ["--force-reinstall", "--no-deps"] if again else []
    words = [sys.executable, "-m", "pip", "install"] if with_pip else ["uv", "pip", "install", "--python"]
    return shlex.join([*words, *([] if with_pip else [sys.executable]), *more, *needed])
