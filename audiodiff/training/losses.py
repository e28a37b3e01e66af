"""What a training minimises: a sum of named, weighted terms, each a small function of its own.

Letters: B items, F bins, N frames, T samples. Spectra are real tensors ``[B, F, N, 2]`` (re, im) in the
model's compressed domain, ``scale |z|^exponent e^(i arg z)``. Every term returns one value per item,
``[B]``.

A clip that was band limited before it reached the corpus says nothing about the band it lacks, so every
term sees only the bins up to the clip's `bandwidth_hz`: estimates and truth are both cut there before
anything is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from audiodiff.settings import Settings
from audiodiff.signal.stft import STFT, Compression, to_complex, to_real
from audiodiff.training.pesq_loss import PerceptualDistance

_TINY = (
    1e-8  # added to squared compressed magnitudes (about 1 in speech): a floor 80 dB down, finite gradients
)


@dataclass(frozen=True)
class Front:
    """The frozen front end of a model: waveforms to compressed spectra and back."""

    stft: STFT
    compression: Compression
    sample_rate: int

    def spectrum(self, wave: Tensor) -> Tensor:
        """Waveforms ``[B, T]`` to compressed spectra ``[B, F, N, 2]``."""
        return to_real(self.compression.apply(self.stft.forward(wave)))

    def waveform(self, spectrum: Tensor, n_samples: int) -> Tensor:
        """Compressed spectra ``[B, F, N, 2]`` to waveforms ``[B, n_samples]``."""
        return self.stft.inverse(self.compression.invert(to_complex(spectrum)), n_samples)


def band_mask(n_fft: int, sample_rate: int, bandwidth_hz: Tensor) -> Tensor:
    """Which bins a clip speaks about: 1.0 where ``k sample_rate / n_fft <= bandwidth_hz``.

    Args:
        n_fft: Transform length in samples.
        sample_rate: In Hz.
        bandwidth_hz: ``[B]``, upper edge of each clip's content.

    Returns:
        ``[B, F, 1]`` float32, F = n_fft // 2 + 1. Bin 0 is always 1, so that no mean is over nothing.
    """
    frequency = torch.arange(n_fft // 2 + 1, device=bandwidth_hz.device) * (sample_rate / n_fft)
    return (frequency[None, :, None] <= bandwidth_hz.clamp_min(0.0)[:, None, None]).float()


def _masked_mean(value: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``[B, F, N]`` weighted by ``[B, F, 1]``: ``[B]``."""
    return (value * mask).sum(dim=(1, 2)) / (mask.sum(dim=(1, 2)) * value.shape[2])


def complex_mse(x0_hat: Tensor, x_0: Tensor, mask: Tensor) -> Tensor:
    """Mean over bins and frames of ``|x0_hat - x_0|^2`` in the compressed domain: ``[B]``."""
    return _masked_mean((x0_hat - x_0).square().sum(-1), mask)


def power_magnitude(spectrum: Tensor, compression: Compression, exponent: float) -> Tensor:
    """Magnitudes at another power law: ``scale |z|^exponent`` from compressed spectra: ``[B, F, N]``.

    A floor of 1e-4 under the compressed magnitude keeps the gradient finite at digital silence.
    """
    power = (spectrum.square().sum(-1) + _TINY) / compression.scale**2
    return compression.scale * power ** (0.5 * exponent / compression.exponent)


def magnitude_mse(m_hat: Tensor, m: Tensor, mask: Tensor) -> Tensor:
    """Mean over bins and frames of ``(m_hat - m)^2``, magnitudes ``[B, F, N]``: ``[B]``."""
    return _masked_mean((m_hat - m).square(), mask)


def over_suppression(m_hat: Tensor, m: Tensor, mask: Tensor) -> Tensor:
    """Mean over bins and frames of ``max(m - m_hat, 0)^2``: what was taken away too much: ``[B]``."""
    return _masked_mean((m - m_hat).clamp_min(0.0).square(), mask)


def waveform_l1(wave_hat: Tensor, wave: Tensor) -> Tensor:
    """Mean absolute error of waveforms ``[B, T]``: ``[B]``."""
    return (wave_hat - wave).abs().mean(-1)


def multi_resolution_stft(
    wave_hat: Tensor, wave: Tensor, windows: tuple[int, ...], sample_rate: int, bandwidth_hz: Tensor
) -> Tensor:
    """Spectral convergence plus log-magnitude error, mean over window lengths: ``[B]``.

    ``|| |S| - |S_hat| || / || |S| ||  +  mean | ln|S| - ln|S_hat| |`` (Parallel WaveGAN, Yamamoto 2020, eq.
    4 to 6) with a hop of a quarter window. Both magnitudes get a floor at the level of a sine of amplitude
    1e-4 (-80 dBFS), below which nothing is heard and the logarithm would count only rounding.
    """
    total = torch.zeros_like(wave[:, 0])
    for n_fft in windows:
        stft = STFT(n_fft, n_fft // 4)
        mask = band_mask(n_fft, sample_rate, bandwidth_hz)
        floor = 1e-4 * n_fft / 4
        m_hat = stft.forward(wave_hat).abs() * mask
        m = stft.forward(wave).abs() * mask
        size = m.square().sum(dim=(1, 2))
        error = (m - m_hat).square().sum(dim=(1, 2))
        quiet = floor**2 * mask.sum(dim=(1, 2)) * m.shape[2]  # keeps silence finite
        convergence = ((error + _TINY * quiet) / (size + quiet)).sqrt()
        log_error = _masked_mean((torch.log(m_hat + floor) - torch.log(m + floor)).abs(), mask)
        total = total + convergence + log_error
    return total / len(windows)


def negative_si_sdr(wave_hat: Tensor, wave: Tensor) -> Tensor:
    """Minus the scale-invariant SDR in dB (Le Roux et al. 2019, no mean removal), within +-60 dB: ``[B]``.

    A silent truth has no SI-SDR: such an item contributes 0 and no gradient.
    """
    energy = wave.square().sum(-1)
    silent = energy <= 1e-10 * wave.shape[-1]  # rms below -100 dBFS
    safe = torch.where(silent, torch.ones_like(energy), energy)
    scale = (wave_hat * wave).sum(-1) / safe
    target = scale.square() * safe
    residual = (wave_hat - scale[:, None] * wave).square().sum(-1)
    guard = 1e-6 * (wave_hat.square().sum(-1) + 1e-6 * safe)
    ratio = 10.0 * torch.log10((target + guard) / (residual + guard))
    return torch.where(silent, torch.zeros_like(ratio), -ratio)


class Comparison:
    """Estimates beside the truth in every form that a term compares; each form is made when first asked for.

    Attributes:
        config: Weights and settings of the terms.
        front: The model's front end.
        bandwidth_hz: ``[B]``, upper edge of each clip's content.
        mask: ``[B, F, 1]`` of `band_mask`.
        x0_hat: Estimates ``[B, F, N, 2]``, compressed, cut to the mask.
        x_0: Truth, likewise.
    """

    def __init__(
        self,
        config: ObjectiveConfig,
        front: Front,
        x0_hat: Tensor,
        x_0: Tensor,
        bandwidth_hz: Tensor,
        n_samples: int,
    ) -> None:
        self.config, self.front, self.bandwidth_hz, self._n_samples = config, front, bandwidth_hz, n_samples
        self.mask = band_mask(front.stft.n_fft, front.sample_rate, bandwidth_hz)
        self.x0_hat, self.x_0 = x0_hat.float() * self.mask[..., None], x_0.float() * self.mask[..., None]

    @cached_property
    def weight(self) -> Tensor:
        """Weight of each bin in the spectral terms ``[B, F, 1]``: the mask, its high part scaled."""
        # Two thirds of the bins of a 48 kHz spectrum lie above 8 kHz, a small part of speech.
        front, config = self.front, self.config
        bins = torch.arange(self.mask.shape[1], device=self.mask.device)
        high = (bins * (front.sample_rate / front.stft.n_fft) >= config.high_hz)[:, None]
        return torch.where(high, self.mask * config.high_weight, self.mask)

    @cached_property
    def magnitudes(self) -> tuple[Tensor, Tensor]:
        """Magnitudes of estimate and truth ``[B, F, N]`` at the objective's own power law."""
        law = self.front.compression, self.config.magnitude_exponent
        return power_magnitude(self.x0_hat, *law), power_magnitude(self.x_0, *law)

    @cached_property
    def waves(self) -> tuple[Tensor, Tensor]:
        """Waveforms of estimate and truth ``[B, T]``."""
        n = self._n_samples
        return self.front.waveform(self.x0_hat, n), self.front.waveform(self.x_0, n)


def _consistent(c: Comparison) -> Tensor:
    """The complex error of the spectra that the waveforms really have ``[B]``."""
    return complex_mse(c.front.spectrum(c.waves[0]), c.front.spectrum(c.waves[1]), c.weight)


def _mrstft(c: Comparison) -> Tensor:
    return multi_resolution_stft(*c.waves, c.config.mrstft_windows, c.front.sample_rate, c.bandwidth_hz)


def _perceptual(c: Comparison) -> Tensor:
    return perceptual_distance(c.front.sample_rate, c.config.perceptual_follow)(*c.waves)


@cache
def perceptual_distance(sample_rate: int, follow: bool) -> PerceptualDistance:
    """One distance a rate: its filter bank is computed once."""
    return PerceptualDistance(sample_rate, follow)


@dataclass(frozen=True)
class Term:
    """Marks a field of the objective as the weight of what this function computes ``[B]``."""

    compute: Callable[[Comparison], Tensor]


def _weight(default: float, description: str) -> float:
    """A weight with its default."""
    value: float = Field(default=default, ge=0, description=description)
    return value


class ObjectiveConfig(Settings):
    """Weights of the terms; a weight of 0 leaves the term out (and uncomputed).

    To add a term: its function, and a field here that names it.
    """

    complex: Annotated[float, Term(lambda c: complex_mse(c.x0_hat, c.x_0, c.weight))] = _weight(
        0.3, "compressed complex squared error"
    )
    magnitude: Annotated[float, Term(lambda c: magnitude_mse(*c.magnitudes, c.weight))] = _weight(
        0.7, "magnitude squared error at magnitude_exponent"
    )
    over: Annotated[float, Term(lambda c: over_suppression(*c.magnitudes, c.weight))] = _weight(
        0.0, "magnitude, only where the estimate is too small"
    )
    consistent: Annotated[float, Term(_consistent)] = _weight(
        0.0, "complex, of the spectrum that the waveform has"
    )
    waveform: Annotated[float, Term(lambda c: waveform_l1(*c.waves))] = _weight(
        0.0, "mean absolute error of the waveform"
    )
    mrstft: Annotated[float, Term(_mrstft)] = _weight(0.0, "multi-resolution STFT loss")
    si_sdr: Annotated[float, Term(lambda c: negative_si_sdr(*c.waves))] = _weight(
        0.0, "negative SI-SDR in dB"
    )
    perceptual: Annotated[float, Term(_perceptual)] = _weight(0.0, "distance in the manner of P.862")
    perceptual_follow: bool = Field(
        default=False, description="whether its gradient knows of its compensations"
    )
    high_hz: float = Field(default=8000.0, gt=0, description="bins from here on are the high part")
    high_weight: float = Field(default=1.0, ge=0, description="weight of a high bin in the spectral terms")
    magnitude_exponent: float = Field(
        default=0.3, gt=0, le=1, description="power law of the magnitudes that are compared"
    )
    mrstft_windows: tuple[int, ...] = Field(
        default=(512, 1024, 2048), min_length=1, description="windows of mrstft, in samples"
    )


class NoiseObjective(Settings):
    """What a training of waveforms minimises.

    Attributes:
        noise: Mean absolute (``l1``) or squared (``l2``) error of the prediction; with a prior divided by the
            standard deviation of its noise.
    """

    noise: Literal["l1", "l2"] = "l1"


def objective(
    config: ObjectiveConfig, front: Front, x0_hat: Tensor, x_0: Tensor, bandwidth_hz: Tensor, n_samples: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch of estimates, computed in float32.

    Args:
        config: Weights of the terms.
        front: The model's front end.
        x0_hat: Estimates ``[B, F, N, 2]``, compressed.
        x_0: Truth ``[B, F, N, 2]``, compressed.
        bandwidth_hz: ``[B]``, upper edge of each clip's content; bins above it count for nothing.
        n_samples: T, length of the waveforms behind the spectra.

    Returns:
        The weighted sum ``[B]`` and the unweighted terms ``[B]`` by name.
    """
    comparison = Comparison(config, front, x0_hat, x_0, bandwidth_hz, n_samples)
    total = torch.zeros_like(bandwidth_hz, dtype=torch.float32)
    terms: dict[str, Tensor] = {}
    for name, field in ObjectiveConfig.model_fields.items():
        weight = getattr(config, name)
        for term in field.metadata:
            if isinstance(term, Term) and weight:
                terms[name] = term.compute(comparison)
                total = total + weight * terms[name]
    return total, terms
