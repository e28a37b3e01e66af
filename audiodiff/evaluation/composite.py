"""CSIG, CBAK and COVL: ratings of speech, background and the whole, predicted from other measures.

Hu and Loizou, "Evaluation of objective quality measures for speech enhancement", 2008. The frames, bands and
limits are those of Loizou's published program, by which the numbers in papers are made, and not those of the
text where the two differ. Everything is at 16 kHz. Letters: T samples, N frames, L = 480 samples a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audiodiff.evaluation.score import SAMPLE_RATE, Score, Signal, Unscored, at_16_khz, check_pair

FRAME, HOP = 480, 120
ORDER = 16
"""Coefficients of the linear prediction."""

KEPT = 0.95
"""Share of the frames, the best ones, over which LLR and WSS are averaged."""

SNR_RANGE_DB = (-10.0, 35.0)
"""To which the signal-to-noise ratio of a frame is cut."""

_CENTRES_HZ = (
    50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30, 1288.72,
    1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
)  # fmt: skip
_WIDTHS_HZ = (
    70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823,
    168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
)  # fmt: skip
_N_FFT = 1024
_K_MAX, _K_LOCAL = 20.0, 1.0  # Klatt's constants
_LEAST_POWER = 1e-10
_FRAMES_AT_ONCE = 4096
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Composite:
    """The three ratings, each 1 to 5 or the reason why there is none; more is better.

    Attributes:
        csig: Distortion of the speech.
        cbak: Intrusiveness of the background.
        covl: Overall quality.
    """

    csig: Score
    cbak: Score
    covl: Score


@dataclass(frozen=True)
class Parts:
    """What the ratings are made of, beside PESQ.

    Attributes:
        llr: Log-likelihood ratio, mean of the best 95 % of the frames; 0 is best.
        wss: Weighted spectral slope distance in dB^2, mean of the best 95 %; 0 is best.
        segmental_snr_db: Mean over frames, each cut to -10..35 dB.
    """

    llr: float
    wss: float
    segmental_snr_db: float


def composite(
    ref: NDArray[np.floating], est: NDArray[np.floating], sample_rate: int, pesq: Score
) -> Composite:
    """Rate one estimate.

    Args:
        ref: Reference ``[T]``, full scale 1.
        est: Estimate ``[T]``.
        sample_rate: Of both; other rates than 16 kHz are resampled.
        pesq: The pair's PESQ-WB (MOS-LQO), which the field puts in at 16 kHz.
    """
    found = parts(ref, est, sample_rate)
    if isinstance(found, Unscored):
        return Composite(found, found, found)
    return pesq_and_parts(pesq, found)


def pesq_and_parts(pesq: Score, found: Parts) -> Composite:
    """The regressions of Hu and Loizou, cut to 1..5."""
    if isinstance(pesq, Unscored):
        return Composite(pesq, pesq, pesq)
    return Composite(
        _rating(3.093 - 1.029 * found.llr + 0.603 * pesq - 0.009 * found.wss),
        _rating(1.634 + 0.478 * pesq - 0.007 * found.wss + 0.063 * found.segmental_snr_db),
        _rating(1.594 + 0.805 * pesq - 0.512 * found.llr - 0.007 * found.wss),
    )


def parts(ref: NDArray[np.floating], est: NDArray[np.floating], sample_rate: int) -> Parts | Unscored:
    """The measures behind the ratings; arguments as in `composite`.

    Returns:
        The parts, or the reason: ``short`` below 37.5 ms, or as `check_pair`.
    """
    pair = check_pair(ref, est)
    if isinstance(pair, Unscored):
        return pair
    r, e = (at_16_khz(x, sample_rate) + _EPS for x in pair)
    n_frames = r.size // HOP - FRAME // HOP  # as published: a last frame that just fits is left out
    if n_frames < 1:
        return Unscored("short", f"shorter than {1000 * (FRAME + HOP) / SAMPLE_RATE:g} ms")
    frames = list(zip(_frames(r, n_frames), _frames(e, n_frames), strict=True))
    return Parts(
        llr=_best_mean(np.concatenate([log_likelihood_ratio(s, y) for s, y in frames])),
        wss=_best_mean(np.concatenate([spectral_slope(s, y) for s, y in frames])),
        segmental_snr_db=float(np.concatenate([_snr_db(s, y) for s, y in frames]).mean()),
    )


def log_likelihood_ratio(ref: Signal, est: Signal) -> Signal:
    """ln(a' R a / b' R b): a and b predict the estimate and the reference, R is the reference's.

    Args:
        ref: Windowed frames ``[N, L]``.
        est: Windowed frames ``[N, L]``.

    Returns:
        One ratio a frame ``[N]``, at least 0 but for rounding.
    """
    r_ref, r_est = _autocorrelation(ref), _autocorrelation(est)
    lags = np.abs(np.subtract.outer(np.arange(ORDER + 1), np.arange(ORDER + 1)))
    matrix = r_ref[:, lags]
    least = _EPS * r_ref[:, 0]  # a tone is predicted down to the rounding
    energies = [
        np.maximum(np.einsum("ni,nij,nj->n", a, matrix, a), least)
        for a in (prediction(r_est), prediction(r_ref))
    ]
    ratio: Signal = np.log(energies[0] / energies[1])
    return ratio


def prediction(r: Signal) -> Signal:
    """Levinson and Durbin's recursion.

    Args:
        r: Autocorrelation ``[N, P + 1]`` of lags 0 to P.

    Returns:
        ``[N, P + 1]``: 1 and minus the coefficients of the linear prediction.
    """
    a = np.zeros_like(r)
    a[:, 0] = 1
    error = r[:, 0].copy()
    for i in range(1, r.shape[1]):
        k = -np.einsum("nj,nj->n", a[:, :i], r[:, i:0:-1]) / error
        a[:, 1 : i + 1] += k[:, None] * a[:, i - 1 :: -1][:, :i]
        error = np.maximum(error * (1 - k**2), _EPS * r[:, 0])
    return a


def spectral_slope(ref: Signal, est: Signal) -> Signal:
    """Klatt's weighted slope distance over 25 critical bands, in dB^2, for frames as above.

    Slopes between neighbouring bands are compared; those near a peak of the spectrum weigh more.
    """
    levels = [_band_levels(x) for x in (ref, est)]
    slopes = [np.diff(level, axis=1) for level in levels]
    weights = sum(_slope_weights(*pair) for pair in zip(levels, slopes, strict=True))
    distance: Signal = (weights * (slopes[0] - slopes[1]) ** 2).sum(axis=1) / np.sum(weights, axis=1)
    return distance


def _slope_weights(level: Signal, slope: Signal) -> Signal:
    """Klatt's weight of every slope [N, 24], from the highest band and from the nearest peak."""
    below = level[:, :-1]
    highest = level.max(axis=1, keepdims=True)
    weights: Signal = (
        _K_MAX / (_K_MAX + highest - below) * _K_LOCAL / (_K_LOCAL + _nearest_peaks(level, slope) - below)
    )
    return weights


def _nearest_peaks(level: Signal, slope: Signal) -> Signal:
    """The level of the peak that each band climbs to: up the slope to the right, or to the left.

    As published, the search to the right ends one band short of the peak.
    """
    peaks = np.empty_like(slope)
    rising = slope > 0
    n = slope.shape[1]
    for i in range(n):  # to the left: the first band behind the last rise
        peaks[:, i] = level[:, i] if i == 0 else np.where(rising[:, i - 1], level[:, i], peaks[:, i - 1])
    right = np.empty_like(slope)
    for i in reversed(range(n)):
        right[:, i] = level[:, i] if i == n - 1 else np.where(rising[:, i + 1], right[:, i + 1], level[:, i])
    return np.where(rising, right, peaks)


def _band_levels(frames: Signal) -> Signal:
    """Levels of the critical bands in dB [N, 25]."""
    power = np.abs(np.fft.rfft(frames, _N_FFT, axis=1)[:, :-1]) ** 2
    levels: Signal = 10 * np.log10(np.maximum(power @ _band_filters().T, _LEAST_POWER))
    return levels


def _band_filters() -> Signal:
    """Gaussian filters [25, 512], zero below -30 dB."""
    bins = np.arange(_N_FFT // 2)
    per_bin = SAMPLE_RATE / _N_FFT
    centres = np.floor(np.array(_CENTRES_HZ) / per_bin)[:, None]
    widths = np.array(_WIDTHS_HZ)[:, None]
    filters = np.exp(-11 * ((bins - centres) / (widths / per_bin)) ** 2) * (widths[0] / widths)
    kept: Signal = np.where(filters > np.exp(-30 / (2 * 2.303)), filters, 0.0)
    return kept


def _snr_db(ref: Signal, est: Signal) -> Signal:
    signal, noise = np.square(ref).sum(axis=1), np.square(ref - est).sum(axis=1)
    ratio: Signal = np.clip(10 * np.log10(signal / (noise + _EPS) + _EPS), *SNR_RANGE_DB)
    return ratio


def _autocorrelation(frames: Signal) -> Signal:
    """Lags 0 to 16 of every frame: [N, L] to [N, 17]."""
    n = frames.shape[1]
    lags = [np.einsum("nt,nt->n", frames[:, : n - k], frames[:, k:]) for k in range(ORDER + 1)]
    return np.stack(lags, axis=1)


def _frames(x: Signal, n_frames: int) -> Iterator[Signal]:
    """Windowed frames [n, L], some thousand at a time."""
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, FRAME + 1) / (FRAME + 1)))
    views = np.lib.stride_tricks.sliding_window_view(x, FRAME)[::HOP]
    for first in range(0, n_frames, _FRAMES_AT_ONCE):
        yield views[first : min(first + _FRAMES_AT_ONCE, n_frames)] * window


def _best_mean(distances: Signal) -> float:
    kept = max(1, round(KEPT * distances.size))
    return float(np.sort(distances)[:kept].mean())


def _rating(value: float) -> float:
    return float(np.clip(value, 1.0, 5.0))
