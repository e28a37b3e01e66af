"""``audiodiff ui``: a page on this machine to hear, clean and save recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser


def ui(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    model: Annotated[
        str, typer.Option("-m", "--model", help="Shipped model, or a model folder.")
    ] = "podcast",
    seed: Annotated[int, typer.Option(min=0, max=(1 << 64) - 1, help="Seed of the model's noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: one per core.")
    ] = None,
    max_mb: Annotated[int, typer.Option(min=1, help="Refuse larger files, in MiB.")] = 4096,
) -> None:
    """Open a local page to preview, clean and save recordings.

    The page is served to this machine only, at an address with a random token, which is printed. Ctrl-C ends
    it and removes its files.

    Examples: audiodiff ui; audiodiff ui --port 8080 --no-browser
    """
    try:
        from audiodiff.ui.server import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"starlette", "uvicorn"}:
            raise
        raise ConfigError(f"the page needs starlette and uvicorn; {install_hint('ui')}") from error
    from audiodiff.model.folder import find

    find(model)  # a wrong name is told now, not at the first preview

    def load() -> Denoiser:
        from audiodiff.inference.denoiser import Denoiser

        return Denoiser(model, seed=seed, device=device, threads=threads)

    serve(load, port, max_mb << 20, typer.echo, browser)
