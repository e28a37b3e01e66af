"""Promise: the command tells its address, ends well and leaves no file; without its extra it says so."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

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


def test_an_unknown_model_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="the extra ui is not installed")
    assert run(["ui", "--no-browser", "-m", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


def test_ctrl_c_ends_it_and_removes_its_files(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra ui is not installed")
    child = subprocess.Popen(
        [sys.executable, "-m", "audiodiff", "ui", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with child, contextlib.ExitStack() as stack:
        stack.callback(child.kill)  # a failed test must not wait for it
        assert child.stdout is not None
        address = urlsplit(child.stdout.readline().strip())
        assert address.hostname == "127.0.0.1"
        assert len(address.path) > 30
        connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=60)
        connection.request("GET", address.path)
        assert connection.getresponse().status == 200
        connection.close()
        assert [entry.name[:13] for entry in tmp_path.iterdir()] == ["audiodiff-ui-"]
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert list(tmp_path.iterdir()) == []
