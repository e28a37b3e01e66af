"""What a training of denoisers of waveforms minimises.

Letters: B items, T samples. One term is the error of what the network predicts; the others compare the
estimate of x_0 with the truth, as those of spectra do. A clip that was band limited before it reached the
corpus says nothing about the band it lacks, so every error is heard up to the clip's `bandwidth_hz` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from audiodiff.errors import ConfigError
from audiodiff.settings import Settings
from audiodiff.training.losses import (
    multi_resolution_stft,
    negative_si_sdr,
    perceptual_distance,
    waveform_l1,
)


class WaveObjective(Settings):
    """Weights of the terms; a weight of 0 leaves the term out (and uncomputed).

    Attributes:
        prediction: Error of what the network predicts, as `norm` measures it.
        norm: Mean absolute (``l1``) or squared (``l2``) error.
        waveform: Mean absolute error of the estimate.
        mrstft: Multi-resolution STFT loss of the estimate.
        si_sdr: Negative SI-SDR of the estimate in dB.
        perceptual: Distance in the manner of P.862.
        perceptual_follow: Whether its gradient knows of its compensations.
        mrstft_windows: Windows of `mrstft`, in samples.
    """

    prediction: float = Field(default=1.0, ge=0)
    norm: Literal["l1", "l2"] = "l1"
    waveform: float = Field(default=0.0, ge=0)
    mrstft: float = Field(default=0.0, ge=0)
    si_sdr: float = Field(default=0.0, ge=0)
    perceptual: float = Field(default=0.0, ge=0)
    perceptual_follow: bool = False
    mrstft_windows: tuple[int, ...] = Field(default=(512, 1024, 2048), min_length=1)

    @model_validator(mode="after")
    def _something_counts(self) -> WaveObjective:
        if not any((self.prediction, self.waveform, self.mrstft, self.si_sdr, self.perceptual)):
            raise ConfigError("objective: every weight is 0; give prediction or another term a weight")
        return self


def band_limited(wave: Tensor, sample_rate: int, bandwidth_hz: Tensor) -> Tensor:
    """What waveforms ``[B, T]`` hold up to the edges ``[B]`` in Hz: ``[B, T]``."""
    n_samples = wave.shape[-1]
    frequency = torch.arange(n_samples // 2 + 1, device=wave.device) * (sample_rate / n_samples)
    inside = frequency[None] <= bandwidth_hz[:, None]
    result: Tensor = torch.fft.irfft(torch.fft.rfft(wave) * inside, n_samples)
    return result


def wave_objective(
    config: WaveObjective,
    error: Tensor,
    waves: Callable[[], tuple[Tensor, Tensor]],
    weight: Tensor,
    sample_rate: int,
    bandwidth_hz: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch of predictions, computed in float32.

    Args:
        config: Weights of the terms.
        error: Truth minus prediction ``[B, T]``.
        waves: Estimate and truth of x_0 ``[B, T]``; called if a term compares them.
        weight: Weight of each item's terms of x_0, ``[B]``.
        sample_rate: In Hz.
        bandwidth_hz: ``[B]``, upper edge of each clip's content.

    Returns:
        The weighted sum ``[B]`` and the unweighted terms ``[B]`` by name.
    """
    terms: dict[str, Tensor] = {}
    total = torch.zeros_like(bandwidth_hz, dtype=torch.float32)
    if config.prediction:
        heard = band_limited(error, sample_rate, bandwidth_hz)
        terms["prediction"] = (heard.abs() if config.norm == "l1" else heard.square()).mean(-1)
        total = total + config.prediction * terms["prediction"]
    wanted = [name for name in ("waveform", "mrstft", "si_sdr", "perceptual") if getattr(config, name)]
    if not wanted:
        return total, terms
    wave_hat, wave = (band_limited(part, sample_rate, bandwidth_hz) for part in waves())
    for name in wanted:
        match name:
            case "waveform":
                term = waveform_l1(wave_hat, wave)
            case "mrstft":
                windows = config.mrstft_windows
                term = multi_resolution_stft(wave_hat, wave, windows, sample_rate, bandwidth_hz)
            case "si_sdr":
                term = negative_si_sdr(wave_hat, wave)
            case _:
                term = perceptual_distance(sample_rate, config.perceptual_follow)(wave_hat, wave)
        terms[name] = term
        total = total + getattr(config, name) * weight * term
    return total, terms
