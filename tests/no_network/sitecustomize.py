"""Lets no connection leave the machine: Python imports this at its start where this folder is in PYTHONPATH.

An audit hook cannot be removed again, and sees what every library in Python does with sockets. With
``AUDIODIFF_IMITATE=windows`` the process also loses what Windows lacks, see `tests.imitation.windows`.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path

ATTEMPTS: list[str] = []
"""What was refused in this process, so that a library that swallows the error is noticed too."""

_WITH_ADDRESS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_NEAR = frozenset({"", "localhost", "::1", "::", "0.0.0.0"})
_INTERNET = (socket.AF_INET, socket.AF_INET6)


class NetworkUse(RuntimeError):
    """Something tried to reach another machine."""


def _is_near(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    return name is None or (isinstance(name, str) and (name in _NEAR or name.startswith("127.")))


def _refuse_far(event: str, arguments: tuple[object, ...]) -> None:
    if event in _WITH_ADDRESS:
        connection, address = arguments
        if getattr(connection, "family", None) not in _INTERNET or not isinstance(address, tuple):
            return  # a socket of the file system, or one that is connected and was asked for that before
        host = address[0]
    elif event in _LOOKUPS:
        host = arguments[0]
    else:
        return
    if not _is_near(host):
        ATTEMPTS.append(f"{event} {host!r}")
        raise NetworkUse(f"{event} to {host!r}: no test uses the network")


sys.addaudithook(_refuse_far)


def _imitate(system: str) -> None:
    """By its place: in a process that a test starts there is no package ``tests``."""
    place = Path(__file__).resolve().parents[1] / "imitation" / f"{system}.py"
    spec = importlib.util.spec_from_file_location(f"imitated_{system}", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.imitate()


if "AUDIODIFF_IMITATE" in os.environ:
    _imitate(os.environ["AUDIODIFF_IMITATE"])
