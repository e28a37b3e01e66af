"""The card of an exported model: what the training itself knows. Scores and data licences come by hand."""

from __future__ import annotations

from pathlib import Path

from audiodiff.training.checkpoint import Progress
from audiodiff.training.config import AnyConfig
from audiodiff.training.wave_config import WaveConfig


def card(config: AnyConfig, progress: Progress, n_parameters: int) -> str:
    """Markdown for ``card.md``.

    Args:
        config: The recipe.
        progress: How far the training has come.
        n_parameters: Size of the network.

    Returns:
        The text.
    """
    model = config.model
    rows = {
        "sample rate": f"{model.sample_rate} Hz",
        "parameters": f"{n_parameters:,}",
        "network": ", ".join(f"{key} = {value}" for key, value in config.network.items()),
        "process": ", ".join(f"{key} = {value}" for key, value in config.process.items()),
        "packed store": Path(config.data.store).name,  # where it lies is nobody else's business
        "steps": f"{progress.step:,} of {config.optim.steps:,}",
        "audio seen": f"{progress.audio_s / 3600:.1f} h",
        "training time": f"{progress.minutes / 60:.2f} h",
        "licence of the weights": model.licence,
    }
    lines = [
        f"# {_kind(config)}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return "\n".join(lines) + "\n"


def _kind(config: AnyConfig) -> str:
    if isinstance(config, WaveConfig):
        return f"Vocoder of waveforms from {config.model.mel} mels"
    return "Denoiser" if config.model.inversion is None else "Vocoder from a mel inversion"
