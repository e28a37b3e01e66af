"""``audiodiff denoise``: clean recordings, one or a whole archive."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from audiodiff.cli._help import BATCH, MACHINE, MODEL, OUTPUT, PART, SOUND, PanelCommand
from audiodiff.cli._options import (
    Address,
    AllowCode,
    BitRate,
    Engine,
    EngineName,
    FormatName,
    bit_rate_of,
    cluster_of,
    shard_of,
    stretch,
)
from audiodiff.cli._printer import Printer
from audiodiff.cli._report import run_reported
from audiodiff.cli._runner import Command
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from audiodiff.io.loudness import Target

PREVIEW = "20"
"""Seconds of a bare --preview."""

_LENGTH = re.compile(r"[\d.:]+s?(@.*)?")


class DenoiseCommand(PanelCommand):
    """The command with one option whose value may be left out, which typer does not know."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        return super().parse_args(ctx, with_length(args))


class Quality(StrEnum):
    """Presets of a model."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"


class RuntimeName(StrEnum):
    """What runs the network."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


class PrecisionName(StrEnum):
    """In which numbers the network computes."""

    FLOAT32 = "float32"
    INT8 = "int8"


class ChannelMode(StrEnum):
    """How the channels of a recording are treated."""

    EACH = "each"
    LINKED = "linked"


Inputs: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        help="Recordings, folders, patterns, or - for a pipe (wav, flac, ogg, opus, mp3 and more).",
    ),
]
Output: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="<path>",
        help="File, folder, or - for a pipe. A name without a suffix, or with / at its end, is a folder; "
        "it is made if it does not exist. Default: INPUT.denoised.EXT beside the input.",
        rich_help_panel=OUTPUT,
    ),
]
ModelName: TypeAlias = Annotated[
    str,
    typer.Option(
        "-m", "--model", help="Name of a shipped model, or path of a model folder.", rich_help_panel=MODEL
    ),
]
QualityName: TypeAlias = Annotated[
    Quality, typer.Option(help="Preset of the model; it sets the number of steps.", rich_help_panel=MODEL)
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Number of reverse-process steps. Default: that of the preset.",
        rich_help_panel=MODEL,
    ),
]
Strength: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="0 leaves the recording unchanged, 1 removes all noise found.",
        rich_help_panel=SOUND,
    ),
]
MaxReduction: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0.0,
        metavar="DB",
        show_default=False,
        help="Never reduce any part of the spectrum by more than this.",
        rich_help_panel=SOUND,
    ),
]
ChannelsName: TypeAlias = Annotated[
    ChannelMode,
    typer.Option(
        help="Process each channel separately, or all with one gain (keeps the stereo image).",
        rich_help_panel=SOUND,
    ),
]
Seed: TypeAlias = Annotated[
    int,
    typer.Option(min=0, max=(1 << 64) - 1, help="Random seed of the model's noise.", rich_help_panel=MODEL),
]
Start: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Start of the output: 90 or 1:30.", rich_help_panel=PART)
]
End: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="End of the output.", rich_help_panel=PART)
]
Preview: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="[SECONDS[@START]]",
        help="Process only a part, into INPUT.denoised.preview.EXT: 20 seconds, or 10, or 10@1:30. A new "
        "preview replaces the last one.",
        rich_help_panel=PART,
    ),
]
Lufs: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=-50.0,
        max=0.0,
        metavar="LUFS",
        help="Normalise the result to this loudness, for example -16 (BS.1770).",
        rich_help_panel=SOUND,
    ),
]
TruePeak: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=-20.0,
        max=0.0,
        metavar="DBTP",
        help="With --lufs: highest true peak allowed. Default: -1.",
        rich_help_panel=SOUND,
    ),
]
Residual: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--residual", help="Also write what was removed, to OUTPUT.residual.EXT.", rich_help_panel=OUTPUT
    ),
]
Tag: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--tag/--no-tag",
        show_default=False,
        help="Record in the output's tags that audiodiff processed it. Default: yes.",
        rich_help_panel=OUTPUT,
    ),
]
Sidecar: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--sidecar/--no-sidecar",
        show_default=False,
        help="Write model, settings and hashes to OUTPUT.EXT.audiodiff.json. Default: yes.",
        rich_help_panel=OUTPUT,
    ),
]
Report: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="PAGE.html",
        help="Also write a web page for listening to and reviewing the results.",
        rich_help_panel=OUTPUT,
    ),
]
ReportSeeds: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="K",
        help="In the report, mark where K runs of the model disagree (takes K times as long).",
        rich_help_panel=OUTPUT,
    ),
]
Device: TypeAlias = Annotated[
    str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.", rich_help_panel=MACHINE)
]
Runtime: TypeAlias = Annotated[
    RuntimeName,
    typer.Option(
        help="What runs the network: onnx starts faster and needs no torch; torch is for GPUs and models "
        "without graphs.",
        rich_help_panel=MACHINE,
    ),
]
PrecisionOption: TypeAlias = Annotated[
    PrecisionName,
    typer.Option(
        help="Numbers of the network: int8 takes less time on processors that multiply 8-bit integers, at "
        "the same quality to the ear; for models that have such graphs.",
        rich_help_panel=MACHINE,
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="CPU threads. Default: one per core; in batches, one per job.",
        rich_help_panel=MACHINE,
    ),
]
Jobs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        help="Recordings processed at the same time. Default: one per core, at most 8.",
        rich_help_panel=BATCH,
    ),
]
Shard: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Process only part K of N; other machines process the rest.",
        rich_help_panel=BATCH,
    ),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done and how long it would take; write nothing.")
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per recording to standard output.")
]
Overwrite: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace existing outputs, and process every recording again; after an interruption, the "
        "same command continues where it stopped.",
        rich_help_panel=OUTPUT,
    ),
]
SkipExisting: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="In batches, keep existing outputs, whatever made them.",
        rich_help_panel=BATCH,
    ),
]
Strict: TypeAlias = Annotated[
    bool, typer.Option("--strict", help="Fail on a truncated recording instead of warning.")
]
MaxHours: TypeAlias = Annotated[
    float, typer.Option(min=0.0, help="Refuse recordings longer than this many hours.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings and errors.")]


def with_length(words: Sequence[str]) -> list[str]:
    """Give a bare ``--preview`` its length."""
    stop = words.index("--") if "--" in words else len(words)
    filled: list[str] = []
    for place, word in enumerate(words):
        filled.append(word)
        following = words[place + 1] if place + 1 < stop else ""
        if place < stop and word == "--preview" and not _LENGTH.fullmatch(following):
            filled.append(PREVIEW)
    return filled


def denoise(
    inputs: Inputs,
    output: Output = None,
    model: ModelName = "podcast",
    quality: QualityName = Quality.BALANCED,
    steps: Steps = None,
    strength: Strength = 1.0,
    max_reduction: MaxReduction = math.inf,
    channels: ChannelsName = ChannelMode.EACH,
    seed: Seed = 0,
    allow_code: AllowCode = False,
    start: Start = None,
    end: End = None,
    preview: Preview = None,
    lufs: Lufs = None,
    true_peak: TruePeak = None,
    output_format: FormatName = None,
    bitrate: BitRate = None,
    residual: Residual = False,
    tag: Tag = True,
    sidecar: Sidecar = True,
    report: Report = None,
    report_seeds: ReportSeeds = None,
    device: Device = "auto",
    runtime: Runtime = RuntimeName.AUTO,
    precision: PrecisionOption = PrecisionName.FLOAT32,
    threads: Threads = None,
    jobs: Jobs = None,
    shard: Shard = None,
    engine: EngineName = Engine.LOCAL,
    address: Address = None,
    dry_run: DryRun = False,
    json_lines: AsJson = False,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    strict: Strict = False,
    max_hours: MaxHours = 24.0,
    quiet: Quiet = False,
) -> None:
    """Clean speech recordings; length, sample rate, channels, format and bit rate stay the same.

    Prints the paths of the results. Inputs are never changed. Several recordings, folders or patterns form a
    batch: -o DIR mirrors the folder tree, a second run skips what is already done, and a file that fails does
    not stop the others. What audiodiff made before is left out of a batch.

    Examples: audiodiff denoise talk.wav; audiodiff denoise shows -o clean --jobs 2 --strength 0.8
    """
    from audiodiff.batch.denoise_task import DenoiseSettings
    from audiodiff.batch.job_options import Options

    target, part = loudness(lufs, true_peak), stretch(start, end, preview)
    options = Options(
        overwrite,
        skip_existing,
        strict,
        *part,
        residual,
        max_hours,
        tag,
        sidecar,
        loudness=target,
        bit_rate=bit_rate_of(bitrate),
        format=output_format or "",
        preview=preview is not None,
    )
    settings = DenoiseSettings(
        quality.value, steps, strength, max_reduction, channels.value, seed, device, threads, runtime.value,
        allow_code, precision.value,
    )  # fmt: skip
    cluster = cluster_of(engine, address, jobs)
    command = Command(settings, model, options, shard_of(shard), cluster or jobs, dry_run)
    run_reported(inputs, output, command, Printer(json_lines, quiet), report, report_seeds)


def loudness(lufs: float | None, true_peak: float | None) -> Target | None:
    """What --lufs and --true-peak ask for."""
    if lufs is None:
        if true_peak is not None:
            raise ConfigError("--true-peak limits what --lufs does; add --lufs, or leave out --true-peak")
        return None
    from audiodiff.io.loudness import Target, require

    require()
    return Target(lufs) if true_peak is None else Target(lufs, true_peak)
