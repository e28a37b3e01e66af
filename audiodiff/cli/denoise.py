"""``audiodiff denoise``: clean one recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiodiff.cli._common import progress_bar, say


def denoise(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Recording: wav, flac, ogg, opus, mp3, aiff, caf.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File or existing folder; default INPUT.denoised.EXT beside it."),
    ] = None,
    model: Annotated[
        str, typer.Option("-m", "--model", help="Shipped model, or a model folder.")
    ] = "podcast",
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Steps of the reverse process; default: the model's.")
    ] = None,
    strength: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="0 leaves the recording as it is, 1 cleans it fully.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 64) - 1, help="Seed of the model's noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: one a core.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
) -> None:
    """Clean a speech recording; length, rate, channels, container and depth stay as they are.

    Prints the path of the result. The input is never changed.

    Examples: audiodiff denoise talk.wav; audiodiff denoise talk.wav -o clean.flac --strength 0.8
    """
    from audiodiff.batch.job import Options, check, default_target, process_file

    target = default_target(source, output)
    options = Options(overwrite=overwrite)
    check(source, target, options)
    # From here on it costs seconds: torch and the model.
    from audiodiff.tasks.denoise import Denoiser

    denoiser = Denoiser(model, steps=steps, strength=strength, seed=seed, device=device, threads=threads)
    with progress_bar(source.name, shown=not quiet) as progress:
        result = process_file(source, target, denoiser, options, progress)
    for warning in result.warnings:
        say(f"audiodiff: warning: {warning}")
    if not quiet:
        speed = result.elapsed_s / result.seconds
        say(f"{result.seconds:.1f} s of audio in {result.elapsed_s:.1f} s (real-time factor {speed:.3f})")
    typer.echo(result.target)
