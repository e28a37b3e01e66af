"""``audiodiff export``: a model with its graphs, for inference without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiodiff.cli._options import AllowCode
from audiodiff.errors import ConfigError


def export(
    model: Annotated[str, typer.Argument(help="Shipped model, or a model folder.")],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET_FOLDER", help="Model folder to write; may be the model's own.")
    ],
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write graphs for `denoise --precision int8`; the ranges of their integers are those "
            "of the noisy recordings in FOLDER. Give a few minutes of many voices and noises.",
        ),
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Write a copy of a model that holds its network as ONNX graphs, too.

    Such a model starts faster, and denoises where torch is not installed. Any ONNX runtime can run the
    graphs: encode.onnx and step.onnx, and down.onnx and up.onnx, which are encode.onnx in two halves for
    recordings that come piece by piece. They read their weights from the weights.safetensors beside them.

    Examples: audiodiff export runs/mine/model models/mine; audiodiff export models/a models/a --int8 noisy
    """
    from audiodiff.model.folder import add_graphs
    from audiodiff.model.graph import FILES

    ranges = None
    if int8 is not None:
        from audiodiff.inference.calibration import measured
        from audiodiff.io.folders import audio_files

        recordings = audio_files(int8)[0] if int8.is_dir() else []
        if not recordings:
            raise ConfigError(f"{int8}: no folder with recordings; give one that holds some noisy ones")
        ranges = measured(model, recordings, allow_code)
    add_graphs(model, target, allow_code, ranges)
    made = [path for path in (target / name for name in FILES) if path.is_file()]
    typer.echo(f"{target}: " + ", ".join(f"{path.name} {path.stat().st_size / 1000:.0f} kB" for path in made))
