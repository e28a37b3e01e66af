"""Promise: a page that is open finds its server again; whoever took its port learns nothing of use."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra ui is not installed")
pytest.importorskip("uvicorn", reason="the extra ui is not installed")

from audiodiff.errors import ConfigError
from audiodiff.ui.server import Address, address_of, listening, user_folder


def test_a_free_port_is_taken_again_with_its_token() -> None:
    with listening(None, None) as listener:
        first = address_of(listener, None)
    with listening(None, first) as listener:
        assert address_of(listener, first) == first
    assert len(first.token) >= 32


def test_a_port_that_is_taken_gives_another_port_and_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        last = Address(other.getsockname()[1], "known")
        with listening(None, last) as listener:
            address = address_of(listener, last)
        assert address.port != last.port
        assert address.token != last.token
        with pytest.raises(ConfigError), listening(last.port, None):
            pass


def test_a_port_that_is_asked_for_is_used() -> None:
    with listening(None, None) as listener:
        last = address_of(listener, None)
    with listening(0, last) as listener:
        assert listener.getsockname()[1] != 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "audiodiff" / "page"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_folder() == tmp_path / ".local" / "share" / "audiodiff" / "page"
