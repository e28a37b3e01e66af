"""``audiodiff schedule``: find the steps, sampler and times that suit a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from audiodiff.cli._common import say
from audiodiff.cli._options import AllowCode
from audiodiff.cli._progress import progress_bar

if TYPE_CHECKING:
    from audiodiff.training.preset_report import SearchPlan
    from audiodiff.training.preset_search import Trial
    from audiodiff.training.preset_trials import Bench

SEARCH, RESULT = "Search", "Result"

MetricName: TypeAlias = Literal["pesq_wb", "si_sdr", "estoi"]


class Solver(StrEnum):
    """The samplers that can be tried."""

    DDIM, DPMPP_2M, HEUN = "ddim", "dpmpp_2m", "heun"


Model: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Name of a shipped model, or a model folder; it denoises."),
]
Data: TypeAlias = Annotated[
    Path, typer.Option(help="Folder with noisy/ and clean/, whose files have equal names.")
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Folder for trials and picture; default: runs/schedule-NAME.",
        rich_help_panel=RESULT,
    ),
]
Save: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Write a copy of the model with the presets that were found.", rich_help_panel=RESULT),
]
Steps: TypeAlias = Annotated[
    list[int] | None,
    typer.Option(min=1, max=1000, help="Steps to try; repeatable; default: 1 2 4 8.", rich_help_panel=SEARCH),
]
Sampler: TypeAlias = Annotated[
    list[Solver] | None,
    typer.Option(help="Sampler to try; repeatable; default: all three.", rich_help_panel=SEARCH),
]
Metric: TypeAlias = Annotated[
    MetricName | None,
    typer.Option(
        help="Score that decides; default: pesq_wb where pesq is installed, else si_sdr.",
        rich_help_panel=SEARCH,
    ),
]
Descend: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Steps of the grid whose times are moved; default: 4.",
        rich_help_panel=SEARCH,
    ),
]
Trials: TypeAlias = Annotated[
    int,
    typer.Option(min=0, help="Maximum number of grids that the descent tries.", rich_help_panel=SEARCH),
]
Files: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Use only the first N pairs.", rich_help_panel=SEARCH)
]
Seed: TypeAlias = Annotated[
    int, typer.Option(min=0, help="Seed of the noise and of the search.", rich_help_panel=SEARCH)
]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; default: all cores.", rich_help_panel=SEARCH)
]


def schedule(
    model: Model,
    data: Data,
    output: Output = None,
    save: Save = None,
    allow_code: AllowCode = False,
    steps: Steps = None,
    sampler: Sampler = None,
    metric: Metric = None,
    descend: Descend = None,
    trials: Trials = 20,
    files: Files = None,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Find the steps, sampler and times that suit a model.

    Samplers, numbers of steps and time grids are tried on pairs of noisy and clean recordings, then fresh
    noise on the best of them, then the times of one grid are moved one by one as long as the score rises. A
    table of quality against seconds of work per second of audio is printed; a picture and the trials go to
    one folder, and the same command continues where it was stopped. Choose other pairs than those whose
    scores you report.

    Examples: audiodiff schedule podcast --data dev; audiodiff schedule runs/a/model --data dev --save tuned
    """
    from audiodiff.training.preset_report import SearchPlan
    from audiodiff.training.preset_search import SAMPLERS

    samplers = tuple(name for name in SAMPLERS if not sampler or name in sampler)
    plan = SearchPlan(tuple(steps or (1, 2, 4, 8)), samplers, descend or 4, trials, seed)
    folder = output or Path("runs") / f"schedule-{Path(model).resolve().name}"
    _find(_Subject(model, data, metric, files, threads, allow_code), plan, folder, save)


@dataclass(frozen=True)
class _Subject:
    """What is measured."""

    model: str
    data: Path
    metric: MetricName | None
    files: int | None
    threads: int | None
    allow_code: bool


def _find(subject: _Subject, plan: SearchPlan, folder: Path, save: Path | None) -> None:
    """Search, print what was found, draw and save it."""
    from audiodiff.errors import ConfigError
    from audiodiff.model.folder import save_presets
    from audiodiff.training.preset_report import card_note, describe, draw, table
    from audiodiff.training.preset_search import choose

    if save is not None and save.exists():
        raise ConfigError(f"{save}: exists; choose another folder for --save")
    bench, before = _tried(subject, plan, folder)
    found, metrics = bench.trials, bench.metrics
    presets = choose(found, metrics[0])
    typer.echo("\n".join(table(found, before, metrics)))
    for name in type(presets).model_fields:
        typer.echo(f"{name:9} {describe(getattr(presets, name))}")
    try:
        draw(found, before, metrics[0], folder / "quality.png")
    except ConfigError as error:
        say(f"no picture: {error}")
    if save is not None:
        save_presets(subject.model, save, presets, card_note(presets, bench, found))
        typer.echo(f"{save}: {subject.model} with these presets")


def _tried(subject: _Subject, plan: SearchPlan, folder: Path) -> tuple[Bench, dict[str, float | None]]:
    """The bench with all its trials, and the scores of the recordings as they are."""
    from audiodiff.evaluation.pesq import Pesq
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.model.folder import open_model
    from audiodiff.training.preset_report import search
    from audiodiff.training.preset_trials import Bench, metrics_for, read_pairs

    metrics = metrics_for(subject.metric)
    denoiser = Denoiser(
        open_model(subject.model, subject.allow_code), seed=plan.seed, threads=subject.threads
    )
    pairs = read_pairs(subject.data, subject.files)
    with Pesq() as pesq, progress_bar("trials", shown=True) as show:
        bench = Bench(denoiser, pairs, metrics, folder / "trials.jsonl", pesq)

        def tell(trial: Trial) -> None:
            show(len(bench.trials), 0, f"{trial.candidate.preset.sampler} {trial.candidate.preset.steps}")

        before = bench.unprocessed()
        search(bench, plan, tell)
    return bench, before
