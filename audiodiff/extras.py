"""How to install what an optional part needs, said so that it works here: a clone, pipx, uv."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from importlib import metadata

DISTRIBUTION = "audiodiff-speech"
"""Name on a package index, where `audiodiff` is another project."""


def packages(extra: str) -> list[str]:
    """Requirements of an extra, such as ``av>=18``; none where audiodiff itself is not installed."""
    try:
        found = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    parts = [line.partition(";") for line in found]
    return [name.strip() for name, _, marker in parts if marker.strip() == f'extra == "{extra}"']


def install_hint(extra: str) -> str:
    """The command that installs an extra into the Python that runs now.

    It names the packages, not ``audiodiff[extra]``, which only an index could resolve; environments made by
    uv have no pip of their own.
    """
    needed = packages(extra)
    if not needed:
        return f"install audiodiff with its extra [{extra}]"
    with_pip = importlib.util.find_spec("pip") is not None
    words = [sys.executable, "-m", "pip", "install"] if with_pip else ["uv", "pip", "install", "--python"]
    return shlex.join([*words, *([] if with_pip else [sys.executable]), *needed])
