"""The learning curve of a run as a picture (matplotlib, from the extra ``train``)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from audiodiff.errors import ConfigError, DataError
from audiodiff.extras import install_hint
from audiodiff.io.atomic import write_file
from audiodiff.training.log import read_log

SCORES = {
    "pesq_wb": "quality (PESQ-WB, 1 to 4.6)",
    "estoi": "intelligibility (ESTOI, 0 to 1)",
    "si_sdr": "signal over distortion (SI-SDR, dB)",
}
WIDTH_IN, DPI = 8.3, 100  # 830 pixels, the width at which pages show it


def plot_curves(log_path: Path, png_path: Path) -> None:
    """Draw loss, and the scores of every dev set, over the hours of audio heard."""
    entries = read_log(log_path)
    steps = [entry for entry in entries if entry["kind"] == "step"]
    valid = [entry for entry in entries if entry["kind"] == "valid"]
    if not steps:
        raise DataError(f"{log_path}: holds no step yet; train for some steps first")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"a learning curve needs matplotlib; {install_hint('train')}") from error
    names = [name for name in SCORES if any(name in entry for entry in valid)]
    n_rows = 1 + len(names) // 2
    figure = Figure(figsize=(WIDTH_IN, 3.2 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, 2 if names else 1, squeeze=False).flatten()
    hours = _hours(steps)
    _draw_loss(panels[0], steps, hours)
    for axes, name in zip(panels[1:], names, strict=False):
        _draw_score(axes, valid, hours, name)
    for axes in panels[1 + len(names) :]:
        axes.remove()
    for axes in panels[: 1 + len(names)]:
        axes.set_xlabel("hours of audio heard")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=9)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=DPI, format="png")
    write_file(png_path, picture.getvalue())


def _hours(steps: list[dict[str, Any]]) -> dict[int, float]:
    """Hours of audio heard up to each logged step."""
    heard, minutes, total = {0: 0.0}, 0.0, 0.0
    for entry in steps:
        total += (entry["minutes"] - minutes) * entry["audio_per_s"] / 60
        minutes = entry["minutes"]
        heard[entry["step"]] = total
    return heard


def _draw_loss(axes: Any, steps: list[dict[str, Any]], hours: dict[int, float]) -> None:
    """Loss, and the loss of the trivial predictor on the same batches."""
    x = [hours[entry["step"]] for entry in steps]
    axes.plot(x, [entry["loss"] for entry in steps], label="network", linewidth=1)
    trivial = [entry for entry in steps if entry["trivial"] is not None]
    if trivial:
        x = [hours[entry["step"]] for entry in trivial]
        axes.plot(x, [entry["trivial"] for entry in trivial], linewidth=1, label="recording unchanged")
    axes.set_ylabel("loss on training batches")


def _draw_score(axes: Any, valid: list[dict[str, Any]], hours: dict[int, float], name: str) -> None:
    """One score of the validations on each part of the dev items, and what it was without the model."""
    scored = [entry for entry in valid if name in entry]
    x = [hours[max(step for step in hours if step <= entry["step"])] for entry in scored]
    for part in sorted({part for entry in scored for part in entry["parts"]}):
        y = [entry["parts"].get(part, {}).get(name) for entry in scored]
        (line,) = axes.plot(x, y, marker="o", markersize=4, label=part)
        before = [entry["noisy"]["parts"].get(part, {}).get(name) for entry in scored]
        axes.plot(
            x, before, linestyle="--", linewidth=1, color=line.get_color(), label=f"{part}, unprocessed"
        )
    axes.set_ylabel(SCORES[name])
