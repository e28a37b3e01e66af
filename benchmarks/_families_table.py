"""The table and the picture of the families, from what was scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from _families_sampling import FRAME_MEANS, FRAMES, ONE_PASS, STEPS, steps_label
from _families_scores import STABLE_STEPS
from _families_training import NAMES

TITLES = {
    "ddpm_eps": "DDPM, noise",
    "ddpm_x0": "DDPM, x0",
    "v": "v prediction",
    "ouve": "OUVE",
    "bridge": "Brownian bridge",
    "schroedinger": "Schroedinger bridge",
    "flow": "flow",
    "cdiffuse": "CDiffuSE",
    "gan": "GAN",
    "vae": "VAE",
    "ar": "autoregressive",
}
MEASURES = {
    "pesq_wb": ("PESQ-WB", 2),
    "estoi": ("ESTOI", 3),
    "si_sdr_db": ("SI-SDR dB", 1),
    "dnsmos_ovrl": ("DNSMOS", 2),
    "frechet": ("FAD", 1),
    "spread_db": ("spread dB", 2),
    "spread_over_error": ("spread / error", 2),
    "coverage": ("coverage", 2),
    "density": ("density", 2),
}
CHOSEN = (steps_label(8), ONE_PASS, FRAMES)
"""Which way stands for a family in the summary."""
NEAR_PESQ = 0.05
COLORS = (*(f"C{number}" for number in range(10)), "black")
MARKERS = "osD^v<>Pp*X"
Found = dict[str, Any]


def collect(folder: Path, minutes: float) -> Found:
    """What was scored and timed, by family and seed of the training."""
    families: Found = {}
    for name in NAMES:
        timing = folder / "timing" / f"{name}.json"
        times = json.loads(timing.read_text(encoding="utf-8")) if timing.exists() else {}
        for path in sorted((folder / "scores").glob(f"{name}-seed*-{minutes:g}.json")):
            found = json.loads(path.read_text(encoding="utf-8"))
            families.setdefault(name, {})[str(found["about"]["seed"])] = {**found, "times": times}
    noisy = folder / "scores" / "noisy.json"
    unprocessed = json.loads(noisy.read_text(encoding="utf-8")) if noisy.exists() else None
    return {"minutes": minutes, "families": families, "unprocessed": unprocessed}


def cell(value: float | None, digits: int) -> str:
    """A number of the table."""
    return "-" if value is None else f"{value:.{digits}f}"


def mean(values: list[float | None]) -> float | None:
    """Mean over the seeds that have one."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def over_seeds(seeds: Found, label: str, measure: str) -> float | None:
    """A measure of a way, mean over the trainings."""
    return mean([run["ways"].get(label, {}).get(measure) for run in seeds.values()])


def chosen(seeds: Found) -> str:
    """The way that stands for a family."""
    labels = labels_of(seeds)
    return next(label for label in (*CHOSEN, *labels) if label in labels)


def labels_of(seeds: Found) -> list[str]:
    """All ways to sample a family."""
    return list(next(iter(seeds.values()))["ways"])


def times_of(seeds: Found) -> dict[str, float]:
    """Seconds per second of every way that was timed."""
    times: dict[str, float] = next(iter(seeds.values()))["times"]
    return times


def grid(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(found: Found) -> str:
    """One row a family: the chosen way's numbers."""
    shown = [name for name in MEASURES if name != "dnsmos_ovrl" or _has_dnsmos(found)]
    head = ["family", "M parameters", "steps trained", "hours heard", "sampled by"]
    head += [MEASURES[name][0] for name in shown] + ["s per s"]
    rows = []
    if found["unprocessed"] is not None:
        scores = found["unprocessed"]["ways"]["unprocessed"]
        numbers = [cell(scores.get(name), MEASURES[name][1]) for name in shown]
        rows.append(["unprocessed", "", "", "", "", *numbers, ""])
    for name, seeds in found["families"].items():
        label = chosen(seeds)
        about = [run["about"] for run in seeds.values()]
        rows.append(
            [
                TITLES[name],
                f"{about[0]['parameters'] / 1e6:.2f}",
                f"{mean([each['step'] for each in about]):.0f}",
                cell(mean([each["audio_h"] for each in about]), 1),
                label,
                *(cell(over_seeds(seeds, label, each), MEASURES[each][1]) for each in shown),
                cell(times_of(seeds).get(label), 3),
            ]
        )
    return grid(head, rows)


def by_steps(found: Found, title: str, digits: int, value: Callable[[Found, str], float | None]) -> str:
    """One row a family, one column a number of steps; what knows no steps has one number."""
    rows = []
    for name, seeds in found["families"].items():
        ways = labels_of(seeds)
        labels = [steps_label(n) for n in STEPS]
        cells = [cell(value(seeds, label), digits) if label in ways else "" for label in labels]
        others = [f"{cell(value(seeds, each), digits)} ({each})" for each in ways if each not in labels]
        rows.append([TITLES[name], *cells, "; ".join(others)])
    return grid([title, *(str(n) for n in STEPS), "without steps"], rows)


def claims(found: Found) -> str:
    """Fast, stable, diverse: what was measured of each, a row a family."""
    head = ["family", "fewest steps near its best PESQ-WB", "s per s there", "largest fall of SI-SDR, dB"]
    head += ["last SI-SDR of raw weights, dB", "ended early", "spread / error", "coverage"]
    rows = []
    for name, seeds in found["families"].items():
        label, near = chosen(seeds), fewest(seeds)
        runs = list(seeds.values())
        broken = [run["about"]["broken"] for run in runs if run["about"]["broken"]]
        rows.append(
            [
                TITLES[name],
                near,
                cell(times_of(seeds).get(near), 3),
                cell(max((fall(run) for run in runs), default=0.0), 1),
                cell(mean([_raw(run)[-1] if _raw(run) else None for run in runs]), 1),
                "; ".join(broken) or "no",
                cell(over_seeds(seeds, label, "spread_over_error"), 2),
                cell(over_seeds(seeds, label, "coverage"), 2),
            ]
        )
    return grid(head, rows)


def fewest(seeds: Found) -> str:
    """The first way whose PESQ-WB is within `NEAR_PESQ` of the family's best."""
    ways = [each for each in labels_of(seeds) if each != FRAME_MEANS]
    scores = {label: over_seeds(seeds, label, "pesq_wb") for label in ways}
    best = max((value for value in scores.values() if value is not None), default=0.0)
    return next((label for label, v in scores.items() if v is not None and v >= best - NEAR_PESQ), ways[0])


def _raw(run: Found) -> list[float]:
    marks = sorted(run["stability"].items(), key=lambda entry: float(entry[0]))
    return [scores["si_sdr_db"] for _, scores in marks if scores["si_sdr_db"] is not None]


def fall(run: Found) -> float:
    """By how much SI-SDR fell at most from one snapshot of the raw weights to the next."""
    return max((max(0.0, before - after) for before, after in pairwise(_raw(run))), default=0.0)


def _has_dnsmos(found: Found) -> bool:
    ways = [
        way for seeds in found["families"].values() for run in seeds.values() for way in run["ways"].values()
    ]
    return any("dnsmos_ovrl" in way for way in ways)


def report(found: Found) -> str:
    """All tables as Markdown."""
    seeds = sorted({seed for runs in found["families"].values() for seed in runs})
    parts = [
        f"## After {found['minutes']:g} CPU minutes each (seeds of the training: {', '.join(seeds)})",
        summary(found),
    ]
    parts += [
        "What the claims are measured by (stability: unaveraged weights every 4 minutes, "
        f"{STABLE_STEPS} steps where there are steps):",
        claims(found),
    ]
    for name, (title, digits) in MEASURES.items():
        if name != "dnsmos_ovrl" or _has_dnsmos(found):
            parts.append(by_steps(found, f"{title} at steps", digits, partial(over_seeds, measure=name)))
    parts.append(by_steps(found, "s per s at steps", 3, lambda seeds, label: times_of(seeds).get(label)))
    return "\n\n".join(parts) + "\n"


def draw(found: Found, path: Path) -> None:
    """Quality over time and over diversity, 830 pixels wide; a point for each way, a line for each family."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.3, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for name, color, marker in zip(NAMES, COLORS, MARKERS, strict=True):
        if name not in found["families"]:
            continue
        seeds = found["families"][name]
        style = {"color": color, "marker": marker, "markersize": 5, "linewidth": 1.2}
        ways = [each for each in labels_of(seeds) if each != FRAME_MEANS]
        pesq = [over_seeds(seeds, label, "pesq_wb") for label in ways]
        left.plot(*_both([times_of(seeds).get(label) for label in ways], pesq), label=TITLES[name], **style)
        right.plot(*_both([over_seeds(seeds, label, "spread_over_error") for label in ways], pesq), **style)
    left.set_xscale("log")
    left.xaxis.set_major_formatter("{x:g}")
    left.set_xlabel("CPU seconds for each second of audio\n(1, 2, 4, 8 and 30 steps, left to right)")
    left.set_ylabel("quality (PESQ-WB, 1 to 4.6)")
    right.set_xlabel("distance between samples of one input,\nas a share of their distance to the truth")
    if found["unprocessed"] is not None:
        before = found["unprocessed"]["ways"]["unprocessed"]["pesq_wb"]
        for axes in (left, right):
            axes.axhline(before, color="gray", linestyle="--", linewidth=1, label="unprocessed")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=100)


def _both(x: list[float | None], y: list[float | None]) -> tuple[list[float], list[float]]:
    """The pairs of which both numbers are there."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
    return [a for a, _ in pairs], [b for _, b in pairs]
