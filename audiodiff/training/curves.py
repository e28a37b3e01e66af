"""The learning curve of a run as a picture (matplotlib, from the extra ``train``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audiodiff.errors import ConfigError, DataError
from audiodiff.training.log import read_log


def plot_curves(log_path: Path, png_path: Path) -> None:
    """Draw loss, and the scores of the validations, over minutes of training."""
    entries = read_log(log_path)
    steps = [entry for entry in entries if entry["kind"] == "step"]
    valid = [entry for entry in entries if entry["kind"] == "valid"]
    if not steps:
        raise DataError(f"{log_path}: holds no step yet; train for some steps first")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a learning curve needs matplotlib; pip install 'audiodiff[train]'") from error
    names = [name for name in ("pesq_wb", "estoi", "si_sdr") if any(name in entry for entry in valid)]
    figure = Figure(figsize=(5.0 * (1 + len(names)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    _draw_loss(figure.add_subplot(1, 1 + len(names), 1), steps)
    for place, name in enumerate(names, start=2):
        _draw_score(figure.add_subplot(1, 1 + len(names), place), valid, name)
    figure.savefig(png_path, dpi=100)


def _draw_loss(axes: Any, steps: list[dict[str, Any]]) -> None:
    """Loss, and the loss of the trivial predictor on the same batches."""
    axes.plot([entry["minutes"] for entry in steps], [entry["loss"] for entry in steps], label="network")
    trivial = [entry for entry in steps if entry["trivial"] is not None]
    if trivial:
        x, y = [entry["minutes"] for entry in trivial], [entry["trivial"] for entry in trivial]
        axes.plot(x, y, linestyle="--", label="trivial predictor")
    axes.set(xlabel="minutes", ylabel="loss")
    axes.legend()


def _draw_score(axes: Any, valid: list[dict[str, Any]], name: str) -> None:
    """One score of the validations, with the score of what it is compared with."""
    unit = " (dB)" if name == "si_sdr" else ""
    scored = [entry for entry in valid if name in entry]
    x = [entry["minutes"] for entry in scored]
    axes.plot(x, [entry[name] for entry in scored], marker="o", label="model")
    axes.plot(x, [entry["noisy"][name] for entry in scored], linestyle="--", label="without it")
    axes.set(xlabel="minutes", ylabel=f"{name}{unit}")
    axes.legend()
