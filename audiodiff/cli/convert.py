"""``audiodiff convert``: a published checkpoint as a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE.pt", help="Checkpoint of a published DiffWave.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET_FOLDER", help="Model folder to write.")],
    licence: Annotated[
        str, typer.Option(help="Licence of the weights; it is stored in the folder.")
    ] = "not stated by the checkpoint",
) -> None:
    """Convert a published DiffWave checkpoint to a model folder.

    Reading the checkpoint runs no code from it. Anything but tensors and plain values is refused by name.

    Example: audiodiff convert diffwave-ljspeech.pt models/diffwave
    """
    from audiodiff.model.import_diffwave import convert as convert_file

    config = convert_file(source, target, licence)
    typer.echo(
        f"{target}: {config.network['layers']} layers of {config.network['residual_channels']} channels, "
        f"mel of {config.network['n_mels']} bands to {config.sample_rate} Hz"
    )
