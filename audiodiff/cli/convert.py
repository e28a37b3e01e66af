"""``audiodiff convert``: a published checkpoint as a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE.pt", help="Checkpoint of a published DiffWave.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET_FOLDER", help="Model folder to write.")],
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, to be kept in the folder.")
    ] = "not stated by the checkpoint",
) -> None:
    """Make a model folder of a published DiffWave checkpoint.

    The checkpoint is read without running anything in it: whatever is no tensor and no plain value is
    refused, by name.

    Example: audiodiff convert diffwave-ljspeech.pt models/diffwave
    """
    from audiodiff.model.import_diffwave import convert as convert_file

    config = convert_file(source, target, licence)
    typer.echo(
        f"{target}: {config.network['layers']} layers of {config.network['residual_channels']} channels, "
        f"mel of {config.network['n_mels']} bands to {config.sample_rate} Hz"
    )
