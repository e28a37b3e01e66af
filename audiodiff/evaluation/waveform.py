"""Scores in closed form: SI-SDR and log-spectral distance."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from audiodiff.evaluation.score import Score, Unscored, check_pair
from audiodiff.signal.frames import power_pieces

MAX_SI_SDR_DB = 100.0
"""Beyond this, rounding is measured and not the estimate; the score is cut here on both sides."""

FLOOR_DB = -80.0
"""Power floor of the log-spectral distance, relative to the strongest bin of the reference."""


def si_sdr(ref: NDArray[np.floating], est: NDArray[np.floating]) -> Score:
    """Scale-invariant signal-to-distortion ratio in dB, means removed.

    Le Roux et al., "SDR: half-baked or well done?", 2019, equation 4.

    Args:
        ref: Reference ``[T]``.
        est: Estimate ``[T]``; any gain other than 0 gives the same score.

    Returns:
        dB, cut to +-100, or the reason why there is none.
    """
    pair = check_pair(ref, est)
    if isinstance(pair, Unscored):
        return pair
    r, e = (x - x.mean() for x in pair)
    r /= np.sqrt(np.dot(r, r))
    e /= np.sqrt(np.dot(e, e))
    correlation = np.dot(e, r)
    distortion = e - correlation * r
    smallest = 1e-20  # of a power of 1; the cut below is far above it
    ratio_db = 10 * np.log10(max(correlation**2, smallest) / max(np.dot(distortion, distortion), smallest))
    return float(np.clip(ratio_db, -MAX_SI_SDR_DB, MAX_SI_SDR_DB))


def log_spectral_distance(ref: NDArray[np.floating], est: NDArray[np.floating], sample_rate: int) -> Score:
    """Log-spectral distance in dB: root mean square over bins, mean over frames.

    Gray and Markel, "Distance measures for speech processing", 1976. Hann windows of 32 ms every
    8 ms; bin powers are floored 80 dB below the strongest bin of the reference, so that digital
    silence has a finite distance.

    Args:
        ref: Reference ``[T]``.
        est: Estimate ``[T]``.
    """
    pair = check_pair(ref, est)
    if isinstance(pair, Unscored):
        return pair
    n_fft = round(0.032 * sample_rate)
    if pair[0].size < n_fft:
        return Unscored("short", f"shorter than one window of {n_fft} samples")
    ref_pieces, est_pieces = (partial(power_pieces, x, n_fft, n_fft // 4) for x in pair)
    floor = max(piece.max() for piece in ref_pieces()) * 10 ** (FLOOR_DB / 10)
    distances = [
        np.sqrt(np.square(10 * np.log10((ref_power + floor) / (est_power + floor))).mean(axis=1))
        for ref_power, est_power in zip(ref_pieces(), est_pieces(), strict=True)
    ]
    return float(np.concatenate(distances).mean())
