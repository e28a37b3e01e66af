"""STOI and its extended form, by pystoi."""

from __future__ import annotations

import threading
import warnings

import numpy as np
from numpy.typing import NDArray

from audiodiff.evaluation.score import Score, Unscored, check_pair

_TOO_SHORT = 1e-5
_LEAST_S = 0.384
_SHORT = Unscored("short", "less than 384 ms of speech")
_lock = threading.Lock()


def stoi(
    ref: NDArray[np.floating], est: NDArray[np.floating], sample_rate: int, *, extended: bool = True
) -> Score:
    """Short-time objective intelligibility, extended (ESTOI) by default.

    Jensen and Taal, "An algorithm for predicting the intelligibility of speech masked by modulated
    noise maskers", 2016; Taal et al., 2011, for ``extended=False``.

    Args:
        ref: Reference ``[T]``.
        est: Estimate ``[T]``.

    Returns:
        At most 1, or the reason why there is none: pystoi's 1e-5 for clips with fewer than 30 frames
        of speech (384 ms) is no score.
    """
    from pystoi import stoi as pystoi_stoi

    pair = check_pair(ref, est)
    if isinstance(pair, Unscored):
        return pair
    if pair[0].size < _LEAST_S * sample_rate:  # below one frame of 25.6 ms pystoi fails
        return _SHORT
    # pystoi warns where it should refuse, and the warning filters of Python belong to the process.
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            value = float(pystoi_stoi(*pair, sample_rate, extended=extended))
        except (ValueError, IndexError, ZeroDivisionError) as error:  # one clip must not end a whole folder
            return Unscored("failed", f"STOI: {' '.join(str(error).split())}")
    if value == _TOO_SHORT:
        return _SHORT
    if not np.isfinite(value):
        return Unscored("failed", f"STOI gave {value}")
    # pystoi adds noise of the size of float rounding from numpy's global generator.
    return round(value, 9)
