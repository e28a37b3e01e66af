"""Mel scales.

``htk`` is 2595 log10(1 + f / 700) (O'Shaughnessy 1987); ``slaney`` is 3 f / 200 below 1 kHz and then 27 steps
for every factor 6.4 (Slaney, Auditory Toolbox, 1998).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

Scale = Literal["htk", "slaney"]

_BEND_HZ, _BEND_MEL, _LOG_STEP = 1000.0, 15.0, math.log(6.4) / 27


def hz_to_mel(hz: npt.ArrayLike, scale: Scale = "htk") -> npt.NDArray[np.float64]:
    """Frequencies in Hz, of any shape, in mels."""
    f = np.asarray(hz, dtype=np.float64)
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + f / 700))
    above = _BEND_MEL + np.log(np.maximum(f, _BEND_HZ) / _BEND_HZ) / _LOG_STEP
    return np.where(f < _BEND_HZ, f * (_BEND_MEL / _BEND_HZ), above)


def mel_to_hz(mels: npt.ArrayLike, scale: Scale = "htk") -> npt.NDArray[np.float64]:
    """Mels, of any shape, in Hz."""
    m = np.asarray(mels, dtype=np.float64)
    if scale == "htk":
        return np.asarray(700 * (10 ** (m / 2595) - 1))
    above = _BEND_HZ * np.exp((m - _BEND_MEL) * _LOG_STEP)
    return np.where(m < _BEND_MEL, m * (_BEND_HZ / _BEND_MEL), above)
