"""A data set in a picture: how long, loud, quiet in the pauses and wide its files are (matplotlib)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audiodiff.data.survey import FileFacts

PICTURE_NAME = "store.png"
WIDTH_IN, HEIGHT_IN, DPI = 8.3, 5.6, 100  # 830 pixels wide, as pages show it
COLOURS = {"speech": "#2166ac", "noisy": "#f4a582", "noise": "#b2182b"}
BINS = 30


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_store(files: Sequence[FileFacts], path: Path) -> None:
    """Draw histograms of length, level, noise floor and bandwidth, each kind in its colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).flatten()
    what: tuple[tuple[str, Callable[[FileFacts], float | None]], ...] = (
        ("length (s)", lambda file: file.seconds),
        ("level of what sounds (dBFS)", lambda file: file.level_db),
        ("noise floor (dBFS)", lambda file: file.floor_db),
        ("bandwidth (kHz)", lambda file: (file.band_hz or file.sample_rate / 2) / 1000),
    )
    for axes, (label, value) in zip(panels, what, strict=True):
        _histogram(axes, files, value)
        axes.set_xlabel(label)
        axes.set_ylabel("files")
        axes.grid(alpha=0.3)
    panels[0].legend()
    figure.savefig(path, dpi=DPI)


def _histogram(axes: Any, files: Sequence[FileFacts], value: Callable[[FileFacts], float | None]) -> None:
    values = {
        kind: [x for file in files if file.kind == kind and (x := value(file)) is not None]
        for kind in COLOURS
        if any(file.kind == kind for file in files)
    }
    everything = [x for some in values.values() for x in some]
    if not everything:
        return
    low, high = min(everything), max(everything)
    margin = 0.0 if high > low else 0.5
    edges = np.linspace(low - margin, high + margin, BINS + 1)
    axes.hist(
        list(values.values()),
        bins=edges,
        stacked=True,
        color=[COLOURS[kind] for kind in values],
        label=[f"{kind} ({sum(file.kind == kind for file in files)})" for kind in values],
    )
