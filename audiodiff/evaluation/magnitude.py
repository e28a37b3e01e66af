"""Where the magnitude of an estimate is wrong, and what its magnitude and its phase are worth alone.

Spectra have windows of 32 ms every 8 ms. Letters: T samples, F bins, N frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from audiodiff.errors import ShapeError
from audiodiff.signal.stft import STFT

EDGES_DB = (0.0, -20.0, -40.0, -60.0, -100.0)
"""Levels of the clean bins below the strongest bin of the clip that part the classes."""

LEVELS = ("> -20", "-40..-20", "-60..-40", "< -60", "pauses")

PAUSE_DB = -40.0
"""A frame is a pause if its power is this far below that of the loudest frame."""


@dataclass(frozen=True)
class Error:
    """Moments of the error of magnitudes in dB, estimate minus clean; ``+`` pools clips.

    Attributes:
        total: Sum of the errors in dB.
        squares: Sum of their squares.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Error) -> Error:
        return Error(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def bias_db(self) -> float:
        """Mean error in dB; NaN without bins."""
        return self.total / self.count if self.count else float("nan")

    @property
    def spread_db(self) -> float:
        """Standard deviation of the error in dB; NaN without bins."""
        if not self.count:
            return float("nan")
        return float(np.sqrt(max(self.squares / self.count - self.bias_db**2, 0.0)))


def magnitude_errors(
    clean: NDArray[np.floating], estimate: NDArray[np.floating], sample_rate: int
) -> dict[str, Error]:
    """Error of the estimate's magnitude by the level of the clean bin.

    Magnitudes are floored 100 dB below the strongest clean bin. Bins of pauses count in "pauses" alone.

    Args:
        clean: Clean signal ``[T]``.
        estimate: Estimate ``[T]``.
    """
    s, e = (np.abs(z) for z in _spectra(clean, estimate, sample_rate))
    peak = s.max()
    if peak == 0:
        raise ShapeError("expected a clean signal that is not silent; leave this clip out")
    floor = peak * 10 ** (EDGES_DB[-1] / 20)
    level_db = 20 * np.log10(np.maximum(s, floor) / peak)
    error_db = 20 * np.log10(np.maximum(e, floor) / peak) - level_db
    power = (s**2).sum(axis=0)
    pause = np.broadcast_to(power <= power.max() * 10 ** (PAUSE_DB / 10), s.shape)
    masks = [~pause & (level_db <= high) & (level_db > low) for high, low in pairwise(EDGES_DB)]
    masks[-1] |= ~pause & (level_db <= EDGES_DB[-1])
    return {name: _moments(error_db[mask]) for name, mask in zip(LEVELS, [*masks, pause], strict=True)}


def recombine(
    magnitude_of: NDArray[np.floating], phase_of: NDArray[np.floating], sample_rate: int
) -> NDArray[np.float32]:
    """The magnitude of one signal with the phase of another.

    Args:
        magnitude_of: Signal ``[T]`` that gives the magnitude.
        phase_of: Signal ``[T]`` that gives the phase.

    Returns:
        The signal ``[T]`` whose transform is nearest in least squares.
    """
    m, p = _spectra(magnitude_of, phase_of, sample_rate)
    z = np.abs(m) * np.exp(1j * np.angle(p))
    y: NDArray[np.float32] = (
        _stft(sample_rate).inverse(torch.from_numpy(z), magnitude_of.size).float().numpy()
    )
    return y


def _stft(sample_rate: int) -> STFT:
    hop = round(0.008 * sample_rate)
    return STFT(n_fft=4 * hop, hop=hop)


def _spectra(
    x: NDArray[np.floating], y: NDArray[np.floating], sample_rate: int
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise ShapeError(f"expected two signals [T] of one length, found {x.shape} and {y.shape}")
    stft = _stft(sample_rate)
    first, second = (stft.forward(torch.from_numpy(v.astype(np.float64))).numpy() for v in (x, y))
    return first, second


def _moments(values: NDArray[np.float64]) -> Error:
    return Error(values.size, float(values.sum()), float(np.square(values).sum()))
