"""A data set in a picture: how long, loud, quiet in the pauses and wide its files are (matplotlib)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from audiodiff.data.survey import FileFacts

PICTURE_NAME = "store.png"
WIDTH_IN, HEIGHT_IN, DPI = 8.3, 5.6, 100  # 830 pixels wide, as pages show it
COLOURS = {"speech": "#2166ac", "noisy": "#f4a582", "noise": "#b2182b"}
BINS = 30
Value: TypeAlias = Callable[[FileFacts], float | None]


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_store(files: Sequence[FileFacts], path: Path) -> None:
    """Draw histograms of length, level, noise floor and bandwidth, each kind in its colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).flatten()
    what: tuple[tuple[str, Value], ...] = (
        ("length (s)", lambda file: file.seconds),
        ("level while something sounds (dBFS)", lambda file: file.level_db),
        ("noise floor (dBFS)", lambda file: file.floor_db),
        ("bandwidth (kHz)", lambda file: (file.band_hz or file.sample_rate / 2) / 1000),
    )
    for axes, (label, value) in zip(panels, what, strict=True):
        _histogram(axes, files, value, _edges(label, files, value))
        axes.set_xlabel(label)
        axes.set_ylabel("files")
        axes.grid(alpha=0.3)
    panels[0].set_xscale("log")
    panels[0].xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    panels[0].legend()
    figure.savefig(path, dpi=DPI)


def _edges(label: str, files: Sequence[FileFacts], value: Value) -> NDArray[np.float64]:
    """Edges of the bins: of equal ratios for lengths, from 0 on for bandwidths."""
    known = [x for file in files if (x := value(file)) is not None] or [0.0]
    low, high = min(known), max(known)
    if label.startswith("length"):
        low, high = max(low, 1e-3), max(high, 1e-3)
        return np.geomspace(low / 1.1, 1.1 * high, BINS + 1)
    if label.startswith("bandwidth"):
        return np.linspace(0, 1.05 * high, BINS + 1)
    return np.linspace(low - 1, high + 1, BINS + 1)


def _histogram(axes: Any, files: Sequence[FileFacts], value: Value, edges: NDArray[np.float64]) -> None:
    kinds = [kind for kind in COLOURS if any(file.kind == kind for file in files)]
    some = [[file for file in files if file.kind == kind] for kind in kinds]
    axes.hist(
        [[x for file in each if (x := value(file)) is not None] for each in some],
        bins=edges,
        stacked=True,
        color=[COLOURS[kind] for kind in kinds],
        label=[f"{kind} ({len(each)})" for kind, each in zip(kinds, some, strict=True)],
    )
