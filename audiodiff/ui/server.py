"""Running the page on this machine until Ctrl-C; what it was given and made stays in its folder."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from filelock import Timeout

from audiodiff import system
from audiodiff.errors import ConfigError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.io.atomic import AtomicFile
from audiodiff.io.formats import display_path
from audiodiff.io.locks import held
from audiodiff.ui.app import build
from audiodiff.ui.jobs import Desk

HOST = "127.0.0.1"

_TOKEN_BYTES = 24
_FAREWELL_S = 2
_ADDRESS = "address"


@dataclass(frozen=True)
class Address:
    """Where the page is.

    Attributes:
        port: On 127.0.0.1.
        token: What its address begins with.
    """

    port: int
    token: str

    def __str__(self) -> str:
        return f"http://{HOST}:{self.port}/{self.token}/"


def user_folder() -> Path:
    """Where the page keeps what this user gave it."""
    return system.data_folder() / "audiodiff" / "page"


def serve(
    load: Callable[[], Denoiser],
    folder: Path,
    port: int | None,
    max_bytes: int,
    announce: Callable[[str], None],
    browser: bool,
) -> None:
    """Serve the page until the process is told to stop.

    Args:
        folder: For recordings and results; made if it is not there.
        port: To listen on, 0 for a free one, None for that of the last time if it is free.

    Raises:
        ConfigError: Folder or port cannot be used.
    """
    with _kept(folder) as last, listening(port, last) as listener:
        address = address_of(listener, last)
        _keep(folder, address)
        desk = Desk(folder, load)
        config = uvicorn.Config(
            build(desk, address.token, max_bytes),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_FAREWELL_S,
        )
        announce(str(address))
        if browser:
            # in a thread: some browsers only return when they are closed
            threading.Thread(target=webbrowser.open, args=(str(address),), daemon=True).start()
        try:
            with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            desk.close()


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[Address | None]:
    """Hold the folder, and tell the address of the last time."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(folder / ".lock"):
            yield _last(folder)
    except Timeout:
        line = (
            f"another audiodiff ui uses {display_path(folder)}, at {_last(folder)}; open that or use --folder"
        )
        raise ConfigError(line, code="busy") from None
    except OSError as error:
        line = f"{display_path(folder)}: cannot be used ({error.strerror}); choose another with --folder"
        raise ConfigError(line) from error


def _last(folder: Path) -> Address | None:
    try:
        parts = urlsplit((folder / _ADDRESS).read_text("ascii").strip())
        token = parts.path.strip("/")
        return Address(parts.port, token) if parts.port and token else None
    except (OSError, ValueError):
        return None


def _keep(folder: Path, address: Address) -> None:
    with AtomicFile(folder) as file:
        system.make_private(file.fd)  # who can read it can use the page
        file.write(f"{address}\n".encode())
        file.commit(folder / _ADDRESS, replace=True)


def address_of(listener: socket.socket, last: Address | None) -> Address:
    """The address to serve at: the last one if it can be, so that an open page finds its server again.

    Another port gets another token: whoever listens on the old one may have heard that.
    """
    port = listener.getsockname()[1]
    return last if last and last.port == port else Address(port, secrets.token_urlsafe(_TOKEN_BYTES))


@contextlib.contextmanager
def listening(port: int | None, last: Address | None) -> Iterator[socket.socket]:
    """A socket that listens: whoever comes before the server runs waits."""
    wanted = [port] if port is not None else [last.port, 0] if last else [0]
    with contextlib.ExitStack() as stack:
        for number in wanted:
            listener = stack.enter_context(socket.socket())
            try:
                system.claim_port(listener)
                listener.bind((HOST, number))
                listener.listen()
                break
            except OSError as error:
                listener.close()
                if number == wanted[-1]:
                    line = f"port {number} cannot be used ({error.strerror}); use --port 0"
                    raise ConfigError(line) from error
        yield listener
