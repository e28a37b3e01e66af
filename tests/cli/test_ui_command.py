"""Promise: the command tells its address, ends well and keeps what it made; without its extra it says so."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from audiodiff.cli import run
from audiodiff.extras import install_hint

pytestmark = pytest.mark.slow


def test_without_the_extra_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Only this one is imported anew: a second package beside the modules of the first would outlive the test.
    monkeypatch.delitem(sys.modules, "audiodiff.ui.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["ui", "--no-browser"]) == 2
    assert install_hint("ui") in capsys.readouterr().err


def test_an_unknown_model_or_device_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="the extra ui is not installed")
    assert run(["ui", "--no-browser", "-m", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err
    assert run(["ui", "--no-browser", "--device", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


class Page:
    """The command in a process of its own, with its folder."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "audiodiff", "ui", "--no-browser", "--folder", str(folder), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Page:
        assert self.child.stdout is not None
        self.address = self.child.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()  # a failed test must not wait for it
        self.child.communicate()

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=60)
        origin = {"Origin": f"http://127.0.0.1:{parts.port}"}
        with contextlib.closing(connection):
            connection.request(method, parts.path + path, body, origin)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask("GET", "state")[1])["rows"]
        return found

    def finished(self, place: int) -> dict[str, Any]:
        """A row once it neither waits nor is in work."""
        while (row := self.rows()[place])["state"] in {"waiting", "working"}:
            pass
        return row


def test_ctrl_c_ends_it_and_it_is_kept_for_its_user_alone(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra ui is not installed")
    folder = tmp_path / "kept"
    with Page(folder) as page:
        assert len(urlsplit(page.address).path) > 30
        assert page.ask("GET", "")[0] == 200
        assert run(["ui", "--no-browser", "--folder", str(folder)]) == 2  # one server a folder
        page.child.send_signal(signal.SIGINT)
        _, err = page.child.communicate(timeout=60)
        assert page.child.returncode == 0, err
        assert str(folder) in err
    assert stat.S_IMODE((folder / "address").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_killed_server_starts_again_at_its_address_with_all_results(
    tmp_path: Path, recording: Callable[..., npt.NDArray[np.float32]]
) -> None:
    pytest.importorskip("uvicorn", reason="the extra ui is not installed")
    talk, truth, folder = tmp_path / "talk.wav", tmp_path / "truth.wav", tmp_path / "kept"
    soundfile.write(talk, recording(1.0, 16000).T, 16000)
    with Page(folder) as page:
        assert page.ask("POST", "rows/new?name=talk.wav&quality=fast", talk.read_bytes())[0] == 201
        assert page.finished(0)["state"] == "done"
        assert page.ask("POST", "rows/new?name=long.wav", talk.read_bytes())[0] == 201
        page.child.kill()
        address = page.address
    with Page(folder) as page:
        assert page.address == address
        first, second = page.rows()
        assert first["state"] == "done"
        result = page.ask("GET", f"rows/{first['id']}/result")[1]
        last = page.finished(1)
        assert (last["id"], last["state"]) == (second["id"], "done")
    assert run(["denoise", str(talk), "-o", str(truth), "--quality", "fast", "--quiet"]) == 0
    assert result == truth.read_bytes()
