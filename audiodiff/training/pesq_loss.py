"""A differentiable perceptual distance in the manner of ITU-T P.862 (PESQ), for training only.

It follows the model of P.862 (2001) and its wide-band form P.862.2 (2007): level alignment, power per
critical band, compensation of the linear response and of slow gain, Zwicker loudness, a dead zone, a
symmetric and an asymmetric disturbance, and norms over time. What differs, so that it is smooth and works
at any rate: bands come from Schroeder's Bark formula instead of the standard's tables, the threshold of
hearing from Terhardt's formula, there is no time alignment, and gains are not smoothed over frames. It
orders recordings as PESQ does; it is not PESQ, and scores are always taken with the real one.

Letters: B items, T samples, F bins, K bands, N frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

BANDS = 49
TOP_HZ = 8000.0
MIN_RATE = 16_000
"""Lowest rate in Hz whose spectrum holds every band."""
LISTENING_POWER = 10**8.36
"""Power of aligned speech, 83.6 dB SPL, when a 40 dB SPL tone has power 1e4 (P.862 calibration)."""
LOUDNESS_EXPONENT = 0.23
LOUDNESS_FACTOR = 0.1866
"""Sone per Bark, P.862.2 at 16 kHz."""
SILENT_POWER = 1e-7
"""Mean square below which (-70 dBFS) a truth has nothing to compare with."""


def _bark(hz: Tensor) -> Tensor:
    """Schroeder's critical-band rate 6 asinh(f / 600), in Bark."""
    return 6 * torch.asinh(hz / 600)


@dataclass(frozen=True)
class PerceptualDistance:
    """Distance of an estimate from the truth, 0 for equal signals, about 0.1 D + 0.0309 DA of P.862.

    Attributes:
        sample_rate: In Hz, at least 16000. Frames are 32 ms at half overlap, as in P.862.
        follow: Whether the gradient knows that response and gain are compensated. If it does not, the true
            distance has slopes along which it does not fall: harmless where another term holds the level of
            every band, else the estimate drifts along them.
    """

    sample_rate: int
    follow: bool = False

    @property
    def window(self) -> int:
        """Samples in 32 ms, even."""
        return 2 * round(0.016 * self.sample_rate)

    def __call__(self, estimate: Tensor, truth: Tensor) -> Tensor:
        """Compare waveforms.

        Args:
            estimate: ``[B, T]``.
            truth: ``[B, T]``; an item below -70 dBFS contributes 0 and no gradient.

        Returns:
            Distance ``[B]``; P.862 maps it to a score by 4.5 minus it.
        """
        reference, active = self._aligned(truth)
        degraded, _ = self._aligned(estimate)
        with torch.set_grad_enabled(self.follow and torch.is_grad_enabled()):
            response = self._response(reference, degraded, active)
        reference = reference * response
        with torch.set_grad_enabled(self.follow and torch.is_grad_enabled()):
            gain = self._gain(reference, degraded)
        degraded = degraded * gain
        symmetric, asymmetric = self._disturbances(reference, degraded)
        distance = 0.1 * _over_time(symmetric) + 0.0309 * _over_time(asymmetric)
        heard = truth.square().mean(1) > SILENT_POWER
        return torch.where(heard, distance, torch.zeros_like(distance))

    def _aligned(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Band powers ``[B, K, N]`` at listening level, and the active frames ``[B, N]``."""
        n = self.window
        shape = torch.hann_window(n, device=wave.device)
        spectrum = torch.stft(
            wave, n, n // 2, n, shape, center=True, pad_mode="constant", return_complex=True
        )
        power = spectrum[:, : self._n_bins].abs().square() * self._high_pass.to(wave.device)[:, None]
        telephone = (power * self._telephone.to(wave.device)[:, None]).sum(1)
        active = telephone > 1e-3 * telephone.amax(1, keepdim=True)  # within 30 dB of the loudest frame
        level = (telephone * active).sum(1) / active.sum(1).clamp_min(1)
        power = power * (LISTENING_POWER / level.clamp_min(1e-9))[:, None, None]
        return torch.matmul(self._bands.to(wave.device), power), active

    def _response(self, reference: Tensor, degraded: Tensor, active: Tensor) -> Tensor:
        """Linear response ``[B, K, 1]`` within +-20 dB: what a filter did is half forgiven."""
        loud = active[:, None] & (reference > 100 * self._threshold.to(reference.device)[:, None])
        ratio = ((degraded * loud).sum(2) + 1000) / ((reference * loud).sum(2) + 1000)
        return ratio.clamp(0.01, 100)[:, :, None]

    def _gain(self, reference: Tensor, degraded: Tensor) -> Tensor:
        """Gain of each frame ``[B, 1, N]`` between 3e-4 and 5."""
        threshold = self._threshold.to(reference.device)[:, None]
        audible = (reference * (reference > threshold)).sum(1) + 5e3
        ratio = audible / ((degraded * (degraded > threshold)).sum(1) + 5e3)
        return ratio.clamp(3e-4, 5)[:, None]

    def _loudness(self, power: Tensor) -> Tensor:
        """Zwicker's specific loudness ``[B, K, N]``, 0 below the threshold of hearing."""
        threshold = self._threshold.to(power.device)[:, None]
        rise = (0.5 + 0.5 * power / threshold) ** LOUDNESS_EXPONENT - 1
        loudness = LOUDNESS_FACTOR * (threshold / 0.5) ** LOUDNESS_EXPONENT * rise
        return torch.where(power > threshold, loudness, torch.zeros_like(loudness))

    def _disturbances(self, reference: Tensor, degraded: Tensor) -> tuple[Tensor, Tensor]:
        """Symmetric and asymmetric disturbance of each frame, ``[B, N]`` each, at most 45."""
        is_loud, was_loud = self._loudness(degraded), self._loudness(reference)
        difference = is_loud - was_loud
        masked = 0.25 * torch.minimum(is_loud, was_loud)  # what loud bands hide
        difference = difference.sign() * (difference.abs() - masked).clamp_min(0)
        added = ((degraded + 50) / (reference + 50)) ** 1.2  # additions disturb more than losses
        added = torch.where(added < 3, torch.zeros_like(added), added.clamp_max(12))
        width = _bark(torch.tensor(TOP_HZ)).item() / BANDS
        symmetric = (difference.square().mean(1) + 1e-6).sqrt() * (width * BANDS)
        asymmetric = (difference.abs() * added).sum(1) * width
        audible = (reference * (reference > self._threshold.to(reference.device)[:, None])).sum(1)
        weight = ((audible.detach() + 1e5) / 1e7) ** 0.04
        return (symmetric / weight).clamp_max(45), (asymmetric / weight).clamp_max(45)

    @cached_property
    def _hz(self) -> Tensor:
        """Frequencies ``[F]`` of the bins up to 8 kHz."""
        spacing = self.sample_rate / self.window
        return torch.arange(int(TOP_HZ / spacing) + 1) * spacing

    @property
    def _n_bins(self) -> int:
        return len(self._hz)

    @cached_property
    def _high_pass(self) -> Tensor:
        """Power response ``[F]`` of a second-order high-pass at 100 Hz, P.862.2's input filter."""
        ratio = (self._hz / 100) ** 4
        return ratio / (1 + ratio)

    @cached_property
    def _telephone(self) -> Tensor:
        """1.0 ``[F]`` in 300 to 3250 Hz, where P.862 takes the level."""
        return ((self._hz >= 300) & (self._hz <= 3250)).float()

    @cached_property
    def _edges(self) -> Tensor:
        """Edges ``[K + 1]`` in Hz of bands of equal width in Bark."""
        top = _bark(torch.tensor(TOP_HZ)).item()
        return 600 * torch.sinh(torch.linspace(0, top, BANDS + 1) / 6)

    @cached_property
    def _bands(self) -> Tensor:
        """Share ``[K, F]`` of each bin, half a spacing to either side, that lies in each band."""
        half = self.sample_rate / self.window / 2
        low, high = (self._hz - half).clamp_min(0), self._hz + half
        shared = torch.minimum(high, self._edges[1:, None]) - torch.maximum(low, self._edges[:-1, None])
        return shared.clamp_min(0) / (high - low)

    @cached_property
    def _threshold(self) -> Tensor:
        """Threshold of hearing ``[K]`` as power (Terhardt 1979), between -5 and 60 dB SPL."""
        khz = ((self._edges[1:] + self._edges[:-1]) / 2000).clamp_min(0.03)
        level = 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
        return torch.pow(10.0, level.clamp(-5, 60) / 10)


def _over_time(disturbance: Tensor) -> Tensor:
    """P.862's norms: p = 6 in half-overlapping stretches of 20 frames, then p = 2 over them: ``[B]``."""
    stretch = disturbance.unfold(1, min(20, disturbance.shape[1]), 10)
    inner = stretch.clamp_min(1e-3).pow(6).mean(2).pow(1 / 6)  # the floor keeps the root's slope finite
    return inner.square().mean(1).sqrt()
