"""What a search over a recipe found: a table, a picture, and the best recipe."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint
from audiodiff.io.atomic import write_file
from audiodiff.training.begin import write_recipe
from audiodiff.training.best import SCORE_OF
from audiodiff.training.preset_trials import LABELS
from audiodiff.training.tuning import Grid, Range, Row, Search, best_of

WIDTH_IN, PANEL_IN, DPI = 8.3, 3.4, 100  # 830 pixels wide, as pages show it
SMALLEST_SPAN = 0.01
_COLUMNS = 2


def cells(rows: Sequence[Row], search: Search) -> list[list[str]]:
    """Heading and rows: values, scores, steps and minutes of each trial, the best first, failed ones last."""
    scores = [SCORE_OF[search.metric], *(name for name in LABELS if name != SCORE_OF[search.metric])]
    head = ["trial", *(axis.key for axis in search.axes), *(LABELS[name] for name in scores)]  # type: ignore[index]
    ranked = sorted(
        rows, key=lambda row: (row.score(search.metric) is None, -(row.score(search.metric) or 0))
    )
    body = [
        [
            str(row.number),
            *(row.texts[axis.key] for axis in search.axes),
            *(_number(row.entry.get(name)) for name in scores),
            str(row.entry.get("step", "-")),
            _number(row.entry.get("minutes")),
            row.reason,
        ]
        for row in ranked
    ]
    return [[*head, "steps", "minutes", "failed"], *body]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def write_tables(table: Sequence[Sequence[str]], folder: Path) -> None:
    """Write ``trials.csv`` and ``trials.md``."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    write_file(folder / "trials.csv", text.getvalue().encode())
    lines = [[cell.replace("|", "\\|") for cell in row] for row in table]
    lines.insert(1, ["---"] * len(table[0]))
    write_file(folder / "trials.md", "".join(f"| {' | '.join(row)} |\n" for row in lines).encode())


def write_best(rows: Sequence[Row], search: Search, folder: Path) -> Row | None:
    """Write the recipe of the best trial to ``best.json``, with its plug-in beside it."""
    best = best_of(rows, search.metric)
    if best is not None:
        write_recipe(search.load(best.texts), folder, "best.json")
    return best


def draw(rows: Sequence[Row], search: Search, path: Path) -> None:
    """The score of every trial over the values of each key (PNG).

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"a picture needs matplotlib; {install_hint('train')}") from error
    n_lines = -(-len(search.axes) // _COLUMNS)
    figure = Figure(figsize=(WIDTH_IN, PANEL_IN * n_lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_lines, min(_COLUMNS, len(search.axes)), squeeze=False).flatten()
    for axes, axis in zip(panels, search.axes, strict=False):
        _draw_axis(axes, axis, rows, search)
    for axes in panels[len(search.axes) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=DPI)


def _draw_axis(axes: Any, axis: Grid | Range, rows: Sequence[Row], search: Search) -> None:
    best = best_of(rows, search.metric)
    scored = [(row, score) for row in rows if (score := row.score(search.metric)) is not None]
    if isinstance(axis, Grid):
        axes.set_xticks(range(len(axis.values)), axis.values)
        axes.set_xlim(-0.5, len(axis.values) - 0.5)
        places = _beside_each_other([axis.values.index(row.texts[axis.key]) for row, _ in scored])
    else:
        axes.set_xscale("log" if axis.log else "linear")
        places = [float(row.texts[axis.key]) for row, _ in scored]
    for place, (row, score) in zip(places, scored, strict=True):
        marker, colour, size = ("*", "C3", 14) if row is best else ("o", "C0", 6)
        axes.plot(place, score, marker, color=colour, markersize=size)
        axes.annotate(f"{row.number}", (place, score), xytext=(6, 4), textcoords="offset points", fontsize=10)
    axes.margins(0.12)
    low, high = axes.get_ylim()
    if high - low < SMALLEST_SPAN:  # so that equal scores look equal
        axes.set_ylim((low + high - SMALLEST_SPAN) / 2, (low + high + SMALLEST_SPAN) / 2)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel(f"{axis.key} (numbers: trials; star: the best)")
    axes.set_ylabel(f"{LABELS[SCORE_OF[search.metric]]}, more is better")  # type: ignore[index]
    axes.grid(alpha=0.3)


def _beside_each_other(places: Sequence[int]) -> list[float]:
    """Trials of the same value side by side within 0.3 of its place."""
    most = max((places.count(place) for place in places), default=1)
    rank = [places[:i].count(place) - (places.count(place) - 1) / 2 for i, place in enumerate(places)]
    return [place + 0.6 * shift / most for place, shift in zip(places, rank, strict=True)]
