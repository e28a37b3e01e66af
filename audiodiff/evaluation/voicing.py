"""Pitch, voicing and periodicity of speech, compared: the buzz and the creak that spectra do not show."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from audiodiff import system
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.signal.resample import resample

SAMPLE_RATE = 16000
"""Hz at which the pitch is tracked, whatever the rate of the signal, so that scores compare."""

RANGE_HZ = (60.0, 500.0)
FRAME, HOP = 1024, 256


@dataclass(frozen=True, eq=False)
class Voicing:
    """What a pitch tracker finds, every 16 ms.

    Attributes:
        f0: Pitch in Hz ``[N]``, NaN where there is no voice.
        periodicity: Probability of voice ``[N]``, 0 to 1.
    """

    f0: NDArray[np.float64]
    periodicity: NDArray[np.float64]


@dataclass(frozen=True)
class VoicingScores:
    """An estimate against its reference.

    Attributes:
        f1: F1 of the decision between voice and none; 1 is best.
        periodicity_rmse: Root mean square difference of the periodicities over all frames; 0 is best.
        pitch_cents: Mean distance of the pitches where both have voice; 0 is best.
    """

    f1: Score
    periodicity_rmse: Score
    pitch_cents: Score


def import_pyin() -> Callable[..., Any]:
    """The pitch tracker of librosa, imported by one process of a user at a time.

    librosa compiles parts of itself when it is first imported and keeps them on disk. Two processes that do
    so together may keep halves that do not fit, and then every later process crashes, seen with numba 0.68.
    """
    with FileLock(pyin_lock()):
        from librosa import pyin
    result: Callable[..., Any] = pyin
    return result


def pyin_lock() -> Path:
    """The file that `import_pyin` locks."""
    return Path(tempfile.gettempdir()) / f"audiodiff-librosa-{system.user()}.lock"


def track(x: NDArray[np.floating], sample_rate: int) -> Voicing:
    """Track the pitch by pYIN (Mauch and Dixon 2014), as librosa has it.

    Args:
        x: Signal ``[T]``.

    Returns:
        Pitch and periodicity; no frame of silence has voice.
    """
    pyin = import_pyin()
    y = resample(np.ascontiguousarray(x[None], dtype=np.float32), sample_rate, SAMPLE_RATE)[0]
    f0, voiced, probability = pyin(
        y, fmin=RANGE_HZ[0], fmax=RANGE_HZ[1], sr=SAMPLE_RATE, frame_length=FRAME, hop_length=HOP
    )
    return Voicing(np.where(voiced, f0, np.nan), probability)


def compare(ref: Voicing, est: Voicing) -> VoicingScores:
    """The scores of Morrison et al. 2022 ("Chunked autoregressive GAN"), by pYIN and with a mean in cents.

    Args:
        est: The estimate's, of the same length within one frame.
    """
    n = min(ref.f0.size, est.f0.size)
    if abs(ref.f0.size - est.f0.size) > 1:
        reason = Unscored("length", f"{ref.f0.size} frames in the reference, {est.f0.size} here")
        return VoicingScores(reason, reason, reason)
    r, e = ref.f0[:n], est.f0[:n]
    wanted, found = np.isfinite(r), np.isfinite(e)
    both = wanted & found
    rmse = float(np.sqrt(np.mean(np.square(ref.periodicity[:n] - est.periodicity[:n]))))
    f1: Score = Unscored("unvoiced", "no voice in either signal")
    cents: Score = Unscored("unvoiced", "no frame has voice in both signals")
    if wanted.any() or found.any():
        f1 = float(2 * both.sum() / (wanted.sum() + found.sum()))
    if both.any():
        cents = float(np.mean(np.abs(1200 * np.log2(e[both] / r[both]))))
    return VoicingScores(f1, rmse, cents)
