"""``audiodiff ui``: a page on this machine to hear, clean and save recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiodiff.cli._common import say
from audiodiff.cli._options import AllowCode
from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser


def ui(
    folder: Annotated[
        Path | None,
        typer.Option(help="Where recordings and results are kept. Default: a folder of your own, printed."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port on 127.0.0.1; 0 picks a free one. Default: the one used last time, if it is free.",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    model: Annotated[
        str, typer.Option("-m", "--model", help="Shipped model, or a model folder.")
    ] = "podcast",
    allow_code: AllowCode = False,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 64) - 1, help="Seed of the model's noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: one per core.")
    ] = None,
    max_mb: Annotated[int, typer.Option(min=1, help="Refuse larger files, in MiB.")] = 4096,
) -> None:
    """Open a local page to clean recordings, one after the other, and to compare before and after.

    The page is served to this machine only, at an address with a random token, which is printed. Ctrl-C ends
    it; recordings and results stay until they are removed on the page, and the next start continues with
    what was waiting.

    Examples: audiodiff ui; audiodiff ui --port 8080 --no-browser
    """
    _require_server()
    from audiodiff.io.formats import display_path
    from audiodiff.ui.server import serve, user_folder

    engine = _Engine(model, seed, device, threads, allow_code)
    engine.check()
    kept = (folder or user_folder()).absolute()

    def announce(address: str) -> None:
        typer.echo(address)
        say(f"audiodiff: recordings and results are kept in {display_path(kept)}; Ctrl-C ends the page")

    serve(engine.load, kept, port, max_mb << 20, announce, browser)


@dataclass(frozen=True)
class _Engine:
    """What cleans, as `Denoiser` explains it."""

    model: str
    seed: int
    device: str
    threads: int | None
    allow_code: bool

    def check(self) -> None:
        """Refuse now what would only be told on the page."""
        from audiodiff.model.folder import find

        find(self.model)
        if self.device not in {"auto", "cpu"}:
            from audiodiff.inference.device import pick_device

            pick_device(self.device)

    def load(self) -> Denoiser:
        """The denoiser, at the first recording."""
        from audiodiff.inference.denoiser import Denoiser
        from audiodiff.model.folder import open_model

        model = open_model(self.model, self.allow_code)
        return Denoiser(model, seed=self.seed, device=self.device, threads=self.threads)


def _require_server() -> None:
    """Refuse where the packages that serve the page are missing."""
    try:
        import audiodiff.ui.server  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"starlette", "uvicorn"}:
            raise
        raise ConfigError(f"the page needs starlette and uvicorn; {install_hint('ui')}") from error
