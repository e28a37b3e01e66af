"""The page's server in a thread, for the tests of server and browser."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Mapping
from types import TracebackType

import uvicorn

from audiodiff.ui.app import build
from audiodiff.ui.jobs import Desk

TOKEN = "token-of-the-tests"


class Served:
    """Runs the application on a free port of 127.0.0.1 while the context lasts."""

    def __init__(self, desk: Desk, max_bytes: int) -> None:
        self.desk = desk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/{TOKEN}/"
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
        """Status, headers in lower case, and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()
