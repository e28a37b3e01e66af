"""``audiodiff vocode``: speech from mel files, or recordings made anew through their mel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from audiodiff.cli._help import MODEL, OUTPUT
from audiodiff.cli._options import AllowCode, BitRate, MelAxes, SpeechFormat, bit_rate_of, shard_of
from audiodiff.cli._printer import Printer
from audiodiff.cli._report import run_reported
from audiodiff.cli._runner import Command
from audiodiff.cli.denoise import (
    AsJson,
    Device,
    DryRun,
    Jobs,
    MaxHours,
    Overwrite,
    Quality,
    QualityName,
    Quiet,
    Report,
    Shard,
    SkipExisting,
    Strict,
    Threads,
)

Inputs: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        help="Mel files (npy, npz, safetensors), recordings, folders, patterns, or - for a pipe.",
    ),
]
Output: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="<path>",
        help="File, folder, or - for a pipe (wav). A name without a suffix, or with / at its end, is a "
        "folder; it is made if it does not exist. Default: INPUT.vocoded.wav beside the input.",
        rich_help_panel=OUTPUT,
    ),
]
ModelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help="voice, inversion, or path of a model folder. Default: voice.",
        rich_help_panel=MODEL,
    ),
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="Number of model steps, or of inversion iterations.", rich_help_panel=MODEL
    ),
]
Seed: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0,
        max=(1 << 64) - 1,
        help="Random seed of the model's noise and of undetermined phases.",
        rich_help_panel=MODEL,
    ),
]
MelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--mel",
        metavar="PRESET",
        help="Mel convention of recordings and of arrays that state none. Default: guessed, and printed.",
        rich_help_panel=MODEL,
    ),
]


def vocode(
    inputs: Inputs,
    output: Output = None,
    model: ModelName = None,
    quality: QualityName = Quality.BALANCED,
    steps: Steps = None,
    seed: Seed = 0,
    mel: MelName = None,
    mel_axes: MelAxes = None,
    allow_code: AllowCode = False,
    output_format: SpeechFormat = None,
    bitrate: BitRate = None,
    report: Report = None,
    device: Device = "auto",
    threads: Threads = None,
    jobs: Jobs = None,
    shard: Shard = None,
    dry_run: DryRun = False,
    json_lines: AsJson = False,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    strict: Strict = False,
    max_hours: MaxHours = 24.0,
    quiet: Quiet = False,
) -> None:
    """Make speech from mel spectrograms; recordings are first turned into mels (copy synthesis).

    Prints the paths of the results: one channel at the sample rate of the mel, as 16-bit wav unless -o or
    --format names another format. Tags and a sidecar file state that the speech was made by a model or by
    mel inversion. Several inputs, folders or patterns form a batch, as with denoise.

    Examples: audiodiff vocode talk.hifigan.npz; audiodiff vocode mels -o speech --mel hifigan --jobs 2
    """
    from audiodiff.batch.job_options import Options
    from audiodiff.batch.vocode_task import VocodeSettings

    options = Options(overwrite, skip_existing, strict, max_hours=max_hours, tag=True, sidecar=True)
    options = replace(options, bit_rate=bit_rate_of(bitrate), format=output_format or "")
    settings = VocodeSettings(quality.value, steps, mel, seed, device, threads, mel_axes, allow_code)
    name, note = _chosen(model)
    command = Command(settings, name, options, shard_of(shard), jobs, dry_run)
    run_reported(inputs, output, command, Printer(json_lines, quiet), report, note=note)


def _chosen(model: str | None) -> tuple[str, str]:
    """The model, and a line about it where it was not asked for."""
    from audiodiff.model.shipped import INVERSION, default_vocoder

    if model is not None:
        return model, ""
    name = default_vocoder()
    why = "; no model is shipped" if name == INVERSION else ""
    return name, f"made by {name}, as --model was not given{why}"
