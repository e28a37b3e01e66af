"""Distances of spectra by which vocoders are compared: multi-resolution STFT and log mel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from audiodiff.evaluation.score import Score, Signal, Unscored, check_pair
from audiodiff.signal.mel import MelSpec, mel, to_linear_mel

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""Transform, hop and window in samples (Yamamoto et al. 2020, "Parallel WaveGAN")."""

LEAST_MAGNITUDE = 1e-4
"""Magnitudes are raised to this before the logarithm, for signals of full scale 1."""


def multi_resolution_stft_distance(ref: NDArray[np.floating], est: NDArray[np.floating]) -> Score:
    """Spectral convergence plus mean difference of log magnitudes, mean of `RESOLUTIONS`.

    The loss of Parallel WaveGAN (Yamamoto et al. 2020), at the signals' own rate; 0 is best.

    Args:
        ref: Reference ``[T]``, full scale 1.
        est: Estimate ``[T]``.

    Returns:
        The distance, or the reason why there is none.
    """
    pair = check_pair(ref, est)
    if isinstance(pair, Unscored):
        return pair
    total = 0.0
    for n_fft, hop, win in RESOLUTIONS:
        s, e = (_magnitude(x, n_fft, hop, win) for x in pair)
        total += float((s - e).norm() / s.norm()) + float((s.log() - e.log()).abs().mean())
    return total / len(RESOLUTIONS)


def _magnitude(x: Signal, n_fft: int, hop: int, win: int) -> torch.Tensor:
    window = torch.hann_window(win, dtype=torch.float64)
    z = torch.stft(
        torch.from_numpy(x), n_fft, hop, win, window, center=True, pad_mode="constant", return_complex=True
    )
    return z.abs().clamp_min(LEAST_MAGNITUDE)


def log_mel_l1(ref: NDArray[np.floating], est: NDArray[np.floating], spec: MelSpec) -> Score:
    """Mean difference of log mels in nepers, above the floor of the convention.

    Args:
        ref: Reference ``[T]`` at spec.sample_rate, full scale 1.
        est: Estimate ``[T]``.
    """
    pair = check_pair(ref, est)
    if isinstance(pair, Unscored):
        return pair
    first, second = (
        to_linear_mel(mel(torch.from_numpy(x).float(), spec), spec).clamp_min(spec.floor).log() for x in pair
    )
    return float((first - second).abs().mean())
