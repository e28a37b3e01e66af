"""The models inside the package, by name; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parent / "pretrained"
"""Folder of the models that come with the package."""

INVERSION = "inversion"
"""Name of the vocoder without a model."""

VOICE = "voice"
"""Name of the shipped vocoder, if this package has it."""


def default_vocoder() -> str:
    """``voice`` if this package has it, else ``inversion``."""
    return VOICE if (SHIPPED / VOICE / "config.json").is_file() else INVERSION
