"""The card of an exported model: what the training itself knows. Scores and data licences come by hand."""

from __future__ import annotations

from pathlib import Path

from audiodiff.data.own_data import OwnData
from audiodiff.training.checkpoint import Progress
from audiodiff.training.recipe import Recipe


def _data(recipe: Recipe) -> dict[str, str]:
    """What it learned from; where that lies is nobody else's business."""
    if isinstance(recipe.data, OwnData):
        return {"data": f"{recipe.data.kind}, made by a plug-in"}
    return {"packed store": Path(recipe.data.store).name}


def card(recipe: Recipe, progress: Progress, n_parameters: int) -> str:
    """Markdown for ``card.md``."""
    model = recipe.model
    rows = {
        "sample rate": f"{model.sample_rate} Hz",
        "parameters": f"{n_parameters:,}",
        "network": ", ".join(f"{key} = {value}" for key, value in recipe.network.items()),
        "process": ", ".join(f"{key} = {value}" for key, value in recipe.process.items()),
        **_data(recipe),
        "steps": f"{progress.step:,} of {recipe.optim.steps:,}",
        "audio seen": f"{progress.audio_s / 3600:.1f} h",
        "training time": f"{progress.minutes / 60:.2f} h",
        "licence of the weights": model.licence,
    }
    lines = [
        f"# {model.title}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return "\n".join(lines) + "\n"
