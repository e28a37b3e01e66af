"""The page's server in a thread, and a model that works only as fast as a test lets it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from torch import Tensor

from audiodiff.inference.denoiser import Denoiser
from audiodiff.model.config import ModelConfig
from audiodiff.model.model import assemble
from audiodiff.networks.contract import Features
from audiodiff.ui.app import build
from audiodiff.ui.jobs import Desk
from tests.toy_net import ToyNet

TOKEN = "token-of-the-tests"


class GatedNet(ToyNet):
    """The toy that waits for a permit before every piece of work."""

    def __init__(self, gate: threading.Semaphore) -> None:
        super().__init__(65)
        self.gate = gate

    def encode(self, cond: Tensor) -> Features:
        self.gate.acquire()
        return super().encode(cond)


def gated(config: ModelConfig, gate: threading.Semaphore) -> Denoiser:
    """A denoiser of the toy behind a gate."""
    return Denoiser(assemble(config, GatedNet(gate)))


class Served:
    """Runs the application on 127.0.0.1 while the context lasts."""

    def __init__(self, desk: Desk, max_bytes: int, port: int = 0) -> None:
        self.desk = desk
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.address = f"{self.origin}/{TOKEN}/"
        config = uvicorn.Config(
            build(desk, TOKEN, max_bytes), log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    def __enter__(self) -> Served:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.desk.close()
        self._listener.close()

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, and body of one request, which a change sends as the page does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        own = {} if method == "GET" else {"Origin": self.origin}
        try:
            connection.request(method, path, body, own | dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def change(self, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
        """Status and answer of a change."""
        status, _, answer = self.ask("POST", f"/{TOKEN}/{path}", body)
        return status, json.loads(answer or b"{}")

    def send(self, path: Path, query: str = "") -> str:
        """The id of the row of a recording that was sent."""
        status, answer = self.change(f"rows/new?name={path.name}{query}", path.read_bytes())
        assert status == 201, answer
        return str(answer["row"])

    def rows(self) -> list[dict[str, Any]]:
        """What the server tells of all rows."""
        found: list[dict[str, Any]] = json.loads(self.ask("GET", f"/{TOKEN}/state")[2])["rows"]
        return found

    def row(self, number: str) -> dict[str, Any]:
        """What the server tells of a row."""
        return next(row for row in self.rows() if row["id"] == number)
