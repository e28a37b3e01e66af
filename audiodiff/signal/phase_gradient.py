"""Phase from the gradient of a magnitude, and random phase by position.

Letters in shapes: F frequency bins, N frames; ``...`` any leading axes.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audiodiff.errors import ConfigError
from audiodiff.signal.counter_noise import gaussian
from audiodiff.signal.framed_stft import FramedSTFT

HANN_GAMMA = 0.25645
"""gamma / win^2 of the Gaussian exp(-pi t^2 / gamma) that is nearest to a Hann window (Prusa et al. 2017)."""

RELATIVE_FLOOR = 1e-3
"""Bins below this part of the strongest bin keep the phase they start with."""

STREAM = 11
"""Which noise of a seed the random phases are, see `audiodiff.signal.counter_noise.gaussian`."""


@cache
def available() -> bool:
    """Whether numba, which compiles the integration, is installed."""
    return importlib.util.find_spec("numba") is not None


def random_phase(seed: int, first_frame: int, n_bins: int, n_frames: int) -> Tensor:
    """Phases that depend on the seed, the absolute frame and the bin alone.

    Args:
        seed: The user's seed, 0 <= seed < 2^64.
        first_frame: Absolute number of the first frame.

    Returns:
        float32 [F, N], uniform between -pi and pi.

    Raises:
        ConfigError: If the seed is out of range.
    """
    noise = gaussian(seed, STREAM, 0, first_frame * n_bins, n_frames * n_bins)
    uniform = torch.erf(torch.from_numpy(noise) / math.sqrt(2))
    return (math.pi * uniform).reshape(n_frames, n_bins).T


def gradient_phase(magnitude: Tensor, start: Tensor, stft: FramedSTFT, known_frames: int = 0) -> Tensor:
    """Phase gradient heap integration (Prusa, Balazs, Sondergaard 2017, section III).

    For a Gaussian window the gradient of the phase follows from that of s = ln |X|: with f in bins and n in
    frames, d phase / dn = 2 pi hop f / n_fft + (hop n_fft / gamma) ds/df and
    d phase / df = -(gamma / (hop n_fft)) ds/dn - pi win / n_fft, the last because phases refer to the first
    sample of a frame. It is integrated from the strongest bins to weaker neighbours.

    Args:
        magnitude: float32 [..., F, N] of one recording or several.
        start: Phases in radians [..., F, N]: what bins below `RELATIVE_FLOOR`, the strongest bin of every
            connected part and the known frames have.
        stft: The transform, with a Hann window.
        known_frames: How many frames at the beginning have the right phase already; the rest continues it.

    Returns:
        float32 [..., F, N] in -pi ... pi.

    Raises:
        ConfigError: If numba is not installed; ask `available` before.
    """
    if not available():
        raise ConfigError("the phase gradient needs numba, which is not installed; pip install numba")
    flat = magnitude.reshape(-1, *magnitude.shape[-2:]).transpose(-1, -2)
    starts = start.expand(magnitude.shape).reshape(flat.shape[0], *magnitude.shape[-2:]).transpose(-1, -2)
    phases = [_integrate(m, s, stft, known_frames) for m, s in zip(flat, starts, strict=True)]
    return torch.stack(phases).transpose(-1, -2).reshape(magnitude.shape)


def _integrate(magnitude: Tensor, start: Tensor, stft: FramedSTFT, known_frames: int) -> Tensor:
    """Phases of one recording [N, F] on the host."""
    from audiodiff.signal.phase_gradient_numba import spread

    host = magnitude.detach().float().cpu().contiguous()
    peak = float(host.max()) if host.numel() else 0.0
    if peak == 0:
        return start
    n_bins = host.shape[-1]
    level = host.clamp_min(peak * RELATIVE_FLOOR * 1e-3).log()
    strong = level > math.log(peak * RELATIVE_FLOOR)
    done = ~strong
    done[:known_frames] = True
    border = torch.zeros_like(strong)
    border[known_frames - 1 : known_frames] = strong[known_frames - 1 : known_frames]
    peaks = _local_peaks(level) & ~done
    seeds = _flat(peaks)
    seeds = seeds[np.argsort(-level.numpy().reshape(-1)[seeds], kind="stable")]
    phase = start.detach().cpu().double().contiguous().clone()
    spread(
        level.numpy().reshape(-1),
        _steps(level, stft),
        phase.numpy().reshape(-1),
        done.numpy().reshape(-1),
        n_bins,
        _flat(border),
        seeds,
    )
    wrapped = torch.remainder(phase + math.pi, 2 * math.pi) - math.pi
    return wrapped.to(magnitude)


def _flat(mask: Tensor) -> NDArray[np.int64]:
    return np.flatnonzero(mask.numpy())


def _steps(level: Tensor, stft: FramedSTFT) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Phase steps to the next frame and to the next bin for log magnitudes [N, F], flat."""
    gamma = HANN_GAMMA * stft.win**2
    ratio = stft.hop * stft.n_fft / gamma
    bins = torch.arange(level.shape[-1], dtype=level.dtype)
    along = _slope(level, -1).mul_(ratio).add_(bins * (2 * math.pi * stft.hop / stft.n_fft))
    across = _slope(level, -2).mul_(-1 / ratio).sub_(math.pi * stft.win / stft.n_fft)
    return along.numpy().reshape(-1), across.numpy().reshape(-1)


def _slope(level: Tensor, dim: int) -> Tensor:
    """Central differences, one-sided at the ends; 0 along an axis of length 1."""
    n = level.shape[dim]
    slope = torch.zeros_like(level)
    if n == 1:
        return slope
    torch.sub(level.narrow(dim, 2, n - 2), level.narrow(dim, 0, n - 2), out=slope.narrow(dim, 1, n - 2))
    slope.mul_(0.5)
    slope.select(dim, 0).copy_(level.select(dim, 1) - level.select(dim, 0))
    slope.select(dim, n - 1).copy_(level.select(dim, n - 1) - level.select(dim, n - 2))
    return slope


def _local_peaks(level: Tensor) -> Tensor:
    """Bins that no neighbour exceeds: every connected part of strong bins holds one."""
    peak = torch.ones_like(level, dtype=torch.bool)
    for dim in (-1, -2):
        n = level.shape[dim]
        rises = level.narrow(dim, 1, n - 1) > level.narrow(dim, 0, n - 1)
        falls = level.narrow(dim, 1, n - 1) < level.narrow(dim, 0, n - 1)
        peak.narrow(dim, 0, n - 1).logical_and_(~rises)
        peak.narrow(dim, 1, n - 1).logical_and_(~falls)
    return peak
