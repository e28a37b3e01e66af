"""Promise: no connection leaves the machine while the suite runs, in this process or in its children."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import threading

import pytest

from tests.no_network.sitecustomize import ATTEMPTS, NetworkUse

FAR = ("192.0.2.1", 80)
"""An address of RFC 5737, which belongs to nobody."""


def test_far_connections_datagrams_and_lookups_are_refused() -> None:
    with socket.socket() as stream, pytest.raises(NetworkUse):
        stream.connect(FAR)
    with socket.socket() as stream, pytest.raises(NetworkUse):
        stream.connect_ex(FAR)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(NetworkUse):
        datagrams.sendto(b"x", FAR)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(NetworkUse):
        datagrams.sendmsg([b"x"], [], 0, FAR)
    with socket.socket(socket.AF_INET6) as stream, pytest.raises(NetworkUse):
        stream.connect(("2001:db8::1", 80))
    for look_up in (socket.gethostbyname, lambda name: socket.getaddrinfo(name, 80)):
        with pytest.raises(NetworkUse):
            look_up("example.org")
    assert len(ATTEMPTS) == 7
    ATTEMPTS.clear()


def test_a_refusal_that_is_swallowed_is_remembered() -> None:
    with pytest.raises(NetworkUse), socket.socket() as stream:
        stream.connect(FAR)
    assert ATTEMPTS == ["socket.connect '192.0.2.1'"]
    ATTEMPTS.clear()


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with socket.create_connection(("localhost", server.getsockname()[1])):
            thread.join()


def test_children_are_refused_too() -> None:
    code = f"import socket; socket.create_connection({FAR!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "NetworkUse" in done.stderr
    assert done.returncode == 1
    child = multiprocessing.get_context("spawn").Process(target=socket.gethostbyname, args=("example.org",))
    child.start()
    child.join()
    assert child.exitcode == 1
