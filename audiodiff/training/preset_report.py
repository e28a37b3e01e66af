"""What a search of sampler presets found: the search itself, its table, its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint
from audiodiff.inference.sampling import way_of
from audiodiff.model.config import Presets, SamplerPreset
from audiodiff.training.preset_search import (
    FOUND,
    OWN,
    Candidate,
    Sampler,
    Trial,
    candidates,
    descend,
    noise_variants,
)
from audiodiff.training.preset_trials import LABELS, Bench, Metric

WIDTH_IN, HEIGHT_IN, DPI = 8.3, 4.6, 100  # 830 pixels wide, as pages show it
_NAMES = {"ddim": "DDIM", "dpmpp_2m": "DPM-Solver++ 2M", "heun": "Heun", "diffwave": "DiffWave's"}


@dataclass(frozen=True)
class SearchPlan:
    """What is tried.

    Attributes:
        steps: Numbers of steps of the grids.
        samplers: Samplers.
        descent_steps: Steps of the grid whose times are moved; below 2 none is.
        descent_trials: Grids that the descent tries at most.
        seed: Seed of the order in which it moves times.
    """

    steps: tuple[int, ...]
    samplers: tuple[Sampler, ...]
    descent_steps: int
    descent_trials: int
    seed: int = 0


def search(bench: Bench, plan: SearchPlan, tell: Callable[[Trial], None] = lambda _: None) -> list[Trial]:
    """Try the model's presets and all grids, then fresh noise on the best, then move the times of one grid.

    Args:
        bench: What measures.
        plan: What to try.
        tell: Called with every trial.

    Returns:
        Every trial once, in the order in which they were made.
    """
    model, metric = bench.denoiser.model, bench.metrics[0]
    process, start = model.process, model.config.start

    def measure(candidate: Candidate) -> Trial:
        trial = bench.measure(candidate)
        tell(trial)
        return trial

    def best_of(steps: int) -> Trial:
        all_of = [trial for trial in bench.trials if trial.candidate.preset.steps == steps]
        rivals = [trial for trial in all_of if trial.candidate.preset.betas is None]
        return max(rivals, key=lambda trial: trial.score(metric))

    counts = sorted({*plan.steps, *([plan.descent_steps] if plan.descent_steps > 1 else [])})
    presets = model.config.presets
    for own in (presets.fast, presets.balanced, presets.best):
        measure(Candidate(OWN, own))
    for candidate in candidates(process, start, counts, plan.samplers, presets.balanced.mix_back):
        measure(candidate)
    for steps in counts:
        for variant in noise_variants(process, start, best_of(steps).candidate):
            measure(variant)
    if plan.descent_steps > 1:
        base = best_of(plan.descent_steps).candidate

        def value(times: tuple[float, ...]) -> float:
            if list(times) == way_of(model, base.preset).grid:
                return measure(base).score(metric)
            preset = base.preset.model_copy(update={"times": times})
            return measure(Candidate(FOUND, preset)).score(metric)

        descend(tuple(way_of(model, base.preset).grid), value, plan.descent_trials, plan.seed)
    return bench.trials


def table(
    trials: Sequence[Trial], unprocessed: Mapping[str, float | None], metrics: Sequence[Metric]
) -> list[str]:
    """The trials as lines of text: the best by the first metric first, then the recordings as they are."""
    names = "".join(f" {LABELS[metric]:>9}" for metric in metrics)
    lines = [
        f"{'sampler':9} {'steps':>5} {'calls':>5} {'grid':8} {'eta':>4} {'noise':>5}{names} {'s per s':>8}"
    ]
    for trial in sorted(trials, key=lambda trial: -trial.score(metrics[0])):
        preset = trial.candidate.preset
        lines.append(
            f"{preset.sampler:9} {preset.steps:5} {preset.evaluations:5} {trial.candidate.grid:8} "
            f"{preset.eta:4g} {preset.start_noise:5g}{_cells(trial.scores, metrics)} {trial.work_s:8.4f}"
        )
    return [*lines, f"{'unprocessed':41}{_cells(unprocessed, metrics)}"]


def _cells(scores: Mapping[str, float | None], metrics: Sequence[Metric]) -> str:
    return "".join(f" {'-' if (value := scores[m]) is None else f'{value:.3f}':>9}" for m in metrics)


def describe(preset: SamplerPreset) -> str:
    """A preset in one line."""
    noise = f", eta {preset.eta:g}, start noise {preset.start_noise:g}"
    times = "" if preset.times is None else f", times {' '.join(f'{t:.4g}' for t in preset.times)}"
    return f"{preset.sampler}, {preset.steps} steps{noise}{times}"


def card_note(presets: Presets, bench: Bench, trials: Sequence[Trial]) -> str:
    """What the card of a copy with these presets says of them."""
    measured = {trial.candidate.preset: trial for trial in trials}
    lines = [
        f"Found by `audiodiff schedule` on {len(bench.pairs)} pairs, by {LABELS[bench.metrics[0]]}. Scores "
        "above this line are those of the presets that the model had before.",
        "",
    ]
    for name in Presets.model_fields:
        preset = getattr(presets, name)
        scores = ", ".join(
            f"{LABELS[metric]} {value:.3f}"
            for metric in bench.metrics
            if (value := measured[preset].scores[metric]) is not None
        )
        lines.append(f"- `{name}`: {describe(preset)}; {scores}")
    return "\n".join(lines)


def draw(
    trials: Sequence[Trial], unprocessed: Mapping[str, float | None], metric: Metric, path: Path
) -> None:
    """Quality against time, one line per sampler through its best trial of each number of steps (PNG).

    What takes equally many evaluations by the same sampler takes equally long; the quickest such trial gives
    the time, since other work on the machine can only slow one down.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    except ImportError as error:
        raise ConfigError(f"a picture needs matplotlib; {install_hint('train')}") from error
    scored = [trial for trial in trials if trial.scores[metric] is not None]
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for sampler, marker in zip(_NAMES, "osD^", strict=True):
        of_sampler = [trial for trial in scored if trial.candidate.preset.sampler == sampler]
        if of_sampler:
            _draw_sampler(axes, of_sampler, metric, sampler, marker)
    if (before := unprocessed[metric]) is not None:
        axes.axhline(before, color="0.4", linestyle="--", linewidth=1, label="unprocessed")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.08)
    axes.set_xlabel("core-seconds of work per second of audio (numbers: steps; star: times found by descent)")
    axes.set_ylabel(f"quality ({LABELS[metric]}, more is better)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=DPI)


def _draw_sampler(axes: Any, trials: Sequence[Trial], metric: Metric, sampler: str, marker: str) -> None:
    """One line, its points labelled with their steps; the rest of the sampler's trials as pale dots."""
    best: dict[int, Trial] = {}
    seconds: dict[int, float] = {}
    for trial in trials:
        steps = trial.candidate.preset.steps
        seconds[steps] = min(trial.work_s, seconds.get(steps, trial.work_s))
        if steps not in best or trial.score(metric) > best[steps].score(metric):
            best[steps] = trial
    points = [(seconds[steps], trial.score(metric)) for steps, trial in sorted(best.items())]
    (line,) = axes.plot(*zip(*points, strict=True), marker=marker, markersize=6, label=_NAMES[sampler])
    colour = line.get_color()
    rest = [trial for trial in trials if trial not in best.values()]
    x, y = [seconds[t.candidate.preset.steps] for t in rest], [t.score(metric) for t in rest]
    axes.scatter(x, y, s=9, color=colour, alpha=0.35)
    for (steps, trial), point in zip(sorted(best.items()), points, strict=True):
        text = f"{steps}*" if trial.candidate.grid == FOUND else f"{steps}"
        axes.annotate(text, point, xytext=(5, 5), textcoords="offset points", color=colour, fontsize=10)
