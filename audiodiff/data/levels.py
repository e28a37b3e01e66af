"""Levels of short signals held in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audiodiff.signal.level import LevelMeter

Audio = NDArray[np.float32]


def active_level_db(x: Audio, sample_rate: int) -> float | None:
    """Level while something sounds, by the meter that also sets the gain at inference.

    Args:
        x: Samples [T].
        sample_rate: Hz.

    Returns:
        dBFS, or None for silence.
    """
    meter = LevelMeter(sample_rate)
    meter.push(x[np.newaxis])
    return meter.active_db()


def gain_of(db: float) -> np.float32:
    """Factor of a gain in decibels."""
    return np.float32(10 ** (db / 20))
