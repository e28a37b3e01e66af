"""``audiodiff export``: a model with its graphs, for inference without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiodiff.cli._options import AllowCode


def export(
    model: Annotated[str, typer.Argument(help="Shipped model, or a model folder.")],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET_FOLDER", help="Model folder to write; may be the model's own.")
    ],
    allow_code: AllowCode = False,
) -> None:
    """Write a copy of a model that holds its network as ONNX graphs, too.

    Such a model starts faster, and denoises where torch is not installed. Any ONNX runtime can run the
    graphs: encode.onnx and step.onnx, and down.onnx and up.onnx, which are encode.onnx in two halves for
    recordings that come piece by piece. They read their weights from the weights.safetensors beside them.

    Example: audiodiff export runs/mine/model models/mine
    """
    from audiodiff.model.folder import add_graphs
    from audiodiff.model.graph import FILES

    add_graphs(model, target, allow_code)
    sizes = ", ".join(f"{name} {(target / name).stat().st_size / 1000:.0f} kB" for name in FILES)
    typer.echo(f"{target}: {sizes}")
