"""Speech-like signals for the metrics: no recording is needed to test them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

RATE = 16000


def syllables(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Harmonic tones in bursts of about a third of a second ``[T]``: PESQ and STOI take it for speech."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    pitch_hz = 120 + 30 * np.sin(2 * np.pi * 0.6 * t)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    voice = sum(np.sin(k * phase + rng.uniform(0, 6.28)) / k for k in range(1, 30))
    envelope = np.clip(np.sin(2 * np.pi * 1.6 * t), 0, 1) ** 0.5
    return np.asarray(0.1 * voice * envelope, np.float32)


def hiss(like: NDArray[np.float32], snr_db: float, seed: int = 9) -> NDArray[np.float32]:
    """White noise at a signal-to-noise ratio ``[T]``."""
    noise = np.random.default_rng(seed).standard_normal(like.size)
    scale = np.sqrt(np.mean(like**2.0) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return np.asarray(scale * noise, np.float32)


@pytest.fixture(scope="session")
def speech() -> NDArray[np.float32]:
    """Two and a half seconds at 16 kHz."""
    return syllables(2.5)


@pytest.fixture(scope="session")
def noisy(speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same with white noise at 5 dB."""
    return speech + hiss(speech, 5.0)
