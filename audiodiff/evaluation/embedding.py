"""Points that stand for sound: what the distances between sets of recordings are measured on.

A point stands for one second at 16 kHz, with a new one every half second: the mean and the standard deviation
over time of 16 mel cepstral coefficients, and the standard deviation of their first differences, so 48
numbers. Nothing in it was learned and nothing is downloaded.

It says how bright, how noisy, how lively and how fast a set of recordings sounds on the whole. It knows
nothing of words, of speakers or of how people hear. Its values compare only with values of this same
embedding, never with published FAD or KAD values, which use networks such as VGGish.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from audiodiff.errors import ShapeError
from audiodiff.signal.mel import mel
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.resample import resample

Points = NDArray[np.float64]

SAMPLE_RATE = 16000
N_COEFFICIENTS = 16
SIZE = 3 * N_COEFFICIENTS
"""Numbers of a point."""

_HOP = 160
_PATCH, _STEP = 100, 50  # frames
_N_MELS = 40
_FLOOR = 1e-5


@cache
def _spec() -> MelSpec:
    return MelSpec(
        SAMPLE_RATE, n_fft=400, hop=_HOP, win=400, f_min=0, f_max=8000, n_mels=_N_MELS, floor=_FLOOR
    )


@cache
def _cosines() -> Points:
    """The orthonormal DCT-II, its first rows [16, M]."""
    k, m = np.arange(N_COEFFICIENTS)[:, None], np.arange(_N_MELS)
    rows = np.sqrt(2 / _N_MELS) * np.cos(np.pi * k * (m + 0.5) / _N_MELS)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


def embed(x: NDArray[np.floating], sample_rate: int) -> Points:
    """The points of a recording.

    Args:
        x: Signal ``[T]``, full scale 1.

    Returns:
        ``[P, 48]``, one a second from every half second on; none of a recording below a second.
    """
    if x.ndim != 1:
        raise ShapeError(f"expected a signal [T], found {list(x.shape)}; mix channels down")
    y = resample(np.ascontiguousarray(x[None], dtype=np.float32), sample_rate, SAMPLE_RATE)[0]
    if y.size < _PATCH * _HOP:
        return np.zeros((0, SIZE))
    log_mel = mel(torch.from_numpy(y), _spec()).double().numpy()
    cepstrum = _cosines() @ log_mel
    patches = np.lib.stride_tricks.sliding_window_view(cepstrum, _PATCH, axis=1)[:, ::_STEP]
    changes = np.diff(patches, axis=-1)
    points: Points = np.concatenate([patches.mean(-1), patches.std(-1), changes.std(-1)]).T
    return points
