"""``audiodiff vocode``: speech from mel files, or recordings made anew through their mel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from audiodiff.cli._common import progress_bar, say
from audiodiff.cli._pipe import in_files, refuse_pipes
from audiodiff.cli._report import refuse_report, reported
from audiodiff.cli._runner import Printer, copy_out, foretell, jobs_of, run_batch, shard_of
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
from audiodiff.errors import AudiodiffError, ConfigError

if TYPE_CHECKING:
    from audiodiff.batch.batch_spec import Item
    from audiodiff.batch.job import Options
    from audiodiff.batch.vocode_job import Vocoding
    from audiodiff.inference.vocoder import Vocoder

LABEL = ".vocoded"

Inputs: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        help="Mel files (npy, npz, safetensors), recordings, folders, patterns, or - for a pipe.",
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="File, folder or - for a pipe (wav); default INPUT.vocoded.wav beside it."
    ),
]
ModelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-m", "--model", help="voice, inversion, or a model folder; default: voice if it is shipped."
    ),
]
Steps: TypeAlias = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Steps of the model, or iterations of the inversion.")
]
Seed: TypeAlias = Annotated[
    int, typer.Option(min=0, max=(1 << 64) - 1, help="Seed of the model's noise and of open phases.")
]
MelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--mel",
        metavar="PRESET",
        help="Convention of bare arrays (default: guessed, and said so) and of recordings.",
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
    """Make speech from mel spectrograms; a recording is turned into its mel first (copy synthesis).

    Prints the paths of the results: one channel at the rate of the mel, 16-bit wav unless -o names a file
    with another suffix. Their tags and a sidecar tell that a model, or mel inversion, made the speech.
    Several inputs, folders and patterns make a batch, as with denoise.

    Examples: audiodiff vocode talk.hifigan.npz; audiodiff vocode mels -o speech --mel hifigan --jobs 2
    """
    from audiodiff.batch.job import Options
    from audiodiff.batch.plan import is_single
    from audiodiff.batch.vocode_job import Vocoding

    if overwrite and skip_existing:
        raise ConfigError("--overwrite and --skip-existing exclude each other; choose one")
    options = Options(overwrite, skip_existing, strict, max_hours=max_hours, sidecar=True)
    printer = Printer(json_lines, quiet)
    alone = is_single(inputs) and shard is None and not dry_run
    settings = Vocoding(quality.value, steps, mel, seed, device, threads if alone else threads or 1)
    refuse_report(report, (*inputs, output))
    with reported(report, None, model or "", settings, options, printer):
        if alone:
            _one(inputs[0], output, model, settings, options, printer)
        else:
            items = _items(inputs, output, options, shard_of(shard))
            _many(items, jobs, model, settings, options, printer, dry_run)


def _one(
    source: Path,
    output: Path | None,
    model: str | None,
    settings: Vocoding,
    options: Options,
    printer: Printer,
) -> None:
    """One input: refusals are the command's own."""
    from audiodiff.batch.batch_spec import Item, failed
    from audiodiff.batch.preflight import check_sidecar
    from audiodiff.batch.vocode_job import ENDING, check_source, check_target, look_closely, process_vocoding

    with in_files(source, output, "--json" if printer.as_json else "", mels=True) as (source, pipe):
        if pipe:  # nothing lies beside a pipe
            options = replace(options, sidecar=False)
        target = pipe / f"result{ENDING}" if pipe else _target(source, output)
        try:
            check_source(source, settings)
            check_target(source, target, options.overwrite)
            check_sidecar(target, options)
            # From here on it costs seconds: torch and the model.
            vocoder = _load(model, settings, printer)
            found = look_closely(source, vocoder, settings)
            _tell(vocoder, [source], found.seconds, settings, printer)
            with progress_bar(source.name, shown=not printer.quiet) as progress:
                result = process_vocoding(source, target, (vocoder, settings), options, progress)
        except AudiodiffError as error:
            printer.failed_alone(failed(Item(source, target, source.name), error.code, str(error)))
            raise
        printer.result(result, path=pipe is None)
        if pipe:
            copy_out(target)
    printer.alone(result)


def _target(source: Path, output: Path | None) -> Path:
    from audiodiff.batch.job import default_target
    from audiodiff.batch.vocode_job import ENDING

    target = default_target(source, output, LABEL)
    return target.with_suffix(ENDING) if output is None or output.is_dir() else target


def _items(inputs: list[Path], output: Path | None, options: Options, part: tuple[int, int]) -> list[Item]:
    from audiodiff.batch.batch_spec import Item
    from audiodiff.batch.plan import Kinds, is_single, plan, shard
    from audiodiff.batch.vocode_job import ENDING, SUFFIXES

    refuse_pipes(inputs, output)
    if is_single(inputs) and not (output is not None and output.is_dir()):
        # a dry run or a shard of one file
        items = [Item(inputs[0], _target(inputs[0], output), inputs[0].name)]
    else:
        items = plan(inputs, output, options, LABEL, kinds=Kinds(SUFFIXES, ENDING))
    return shard(items, *part)


def _many(
    items: list[Item],
    jobs: int | None,
    model: str | None,
    settings: Vocoding,
    options: Options,
    printer: Printer,
    only_show: bool,
) -> None:
    """A batch: the model is loaded once here, so that it is refused before any work."""
    from audiodiff.batch.batch_spec import JobSpec
    from audiodiff.batch.plan import measured
    from audiodiff.batch.vocode_job import digest_of

    vocoder = _load(model, settings, printer)
    spec = JobSpec(settings, vocoder.name, digest_of(vocoder), options)
    n_jobs = jobs_of(jobs, len(items), on_cpu=vocoder.device.type == "cpu")
    if only_show:
        foretell(spec, items, n_jobs, vocoder.speed(), printer.as_json)
        return
    seconds = sum(item.seconds for item in measured(items, settings)) / n_jobs if vocoder.is_slow else 0.0
    _tell(vocoder, [item.source for item in items], seconds, settings, printer)
    del vocoder
    run_batch(spec, items, n_jobs, printer)


def _load(model: str | None, settings: Vocoding, printer: Printer) -> Vocoder:
    from audiodiff.inference.vocoder import INVERSION, default_model

    name = default_model() if model is None else model
    vocoder = settings.load(name)
    if model is None and not printer.quiet:
        why = "; no model is shipped" if name == INVERSION else ""
        say(f"audiodiff: made by {name}, as --model was not given{why}")
    return vocoder


def _tell(
    vocoder: Vocoder, sources: list[Path], seconds: float, settings: Vocoding, printer: Printer
) -> None:
    """Say what happens to recordings, and how long a slow model will take."""
    from audiodiff.batch.vocode_job import is_mel
    from audiodiff.signal.mel_presets import get_convention, names_of

    if printer.quiet:
        return
    if not all(map(is_mel, sources)):
        spec = vocoder.convention if settings.mel is None else get_convention(settings.mel)
        mel = settings.mel or (names_of(spec) or ["the model's own mel"])[0]
        say(f"audiodiff: recordings become one channel at {spec.sample_rate} Hz, through {mel}")
    if vocoder.is_slow:
        speed = vocoder.speed()
        about = f", in all about {speed * seconds / 60:.1f} minutes" if seconds else ""
        say(f"audiodiff: {vocoder.steps} steps take {speed:.2g} s a second of speech (measured now){about}")
