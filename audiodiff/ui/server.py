"""Running the page on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import secrets
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from audiodiff.errors import ConfigError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.ui.app import build
from audiodiff.ui.jobs import Desk

HOST = "127.0.0.1"

_TOKEN_BYTES = 24
_FAREWELL_S = 2


def serve(
    load: Callable[[], Denoiser],
    port: int,
    max_bytes: int,
    announce: Callable[[str], None],
    browser: bool,
) -> None:
    """Serve the page until the process is told to stop; its files are then removed."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with tempfile.TemporaryDirectory(prefix="audiodiff-ui-") as folder, _listening(port) as listener:
        desk = Desk(Path(folder), load)
        config = uvicorn.Config(
            build(desk, token, max_bytes),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_FAREWELL_S,
        )
        address = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        announce(address)
        if browser:
            # in a thread: some browsers only return when they are closed
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            desk.close()


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()  # the address is told before the server runs: whoever is early waits
    except OSError as error:
        listener.close()
        raise ConfigError(f"port {port} cannot be used ({error.strerror}); use --port 0") from error
    return listener
