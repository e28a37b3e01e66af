"""Promise: a prior's noise is as loud as the mel tells, and silence gets next to none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import soundfile
import torch
from torch.testing import assert_close

from audiodiff.diffusion.noise_prior import EnergyPrior, LevelPrior
from audiodiff.model.noise_shaping import shape
from audiodiff.signal.mel import mel, to_linear_mel
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_presets import PRESETS
from audiodiff.signal.resample import resample

SPEECH = Path(__file__).parents[2] / "samples" / "interview_clean.flac"
FLOOR = 1e-4


def speech(spec: MelSpec) -> torch.Tensor:
    """A second of speech between two half seconds of silence, [1, T], T a multiple of the hop."""
    wave, rate = soundfile.read(SPEECH, frames=48_000, start=48_000, dtype="float32")
    x = torch.from_numpy(resample(wave[None], rate, spec.sample_rate))
    half = spec.sample_rate // 2
    padded = torch.nn.functional.pad(x, (half, half))
    return padded[:, : padded.shape[1] // spec.hop * spec.hop]


def frames(wave: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    return mel(wave, spec)[..., : wave.shape[1] // spec.hop]


def level(wave: torch.Tensor) -> float:
    return float(wave.square().mean().sqrt())


@pytest.mark.parametrize("preset", ["hifigan", "bigvgan-24k", "tacotron2", "nemo-hifigan"])
def test_noise_and_speech_are_equally_loud(preset: str) -> None:
    spec = PRESETS[preset]
    wave = speech(spec)
    scale = shape(LevelPrior(FLOOR), frames(wave, spec), spec).scale
    assert scale.shape == wave.shape
    half = spec.sample_rate // 2
    assert level(scale[:, half:-half]) == pytest.approx(level(wave[:, half:-half]), rel=0.15)
    assert level(wave[:, half:-half] / scale[:, half:-half]) == pytest.approx(1.0, rel=0.2)
    silent = scale[:, : half - 2 * spec.n_fft]
    assert_close(silent, torch.full_like(silent, FLOOR))


def test_white_noise_of_deviation_one_has_scale_one() -> None:
    spec = PRESETS["hifigan"]
    wave = torch.randn(1, 200 * spec.hop, generator=torch.Generator().manual_seed(0))
    scale = shape(LevelPrior(), frames(wave, spec), spec).scale
    covered = spec.f_max / (spec.sample_rate / 2)  # the mel tells nothing of what lies above
    # a band tells the mean of magnitudes, whose square is pi/4 of the mean power if they fluctuate as noise
    assert math.pi / 4 < float(scale.square().mean()) / covered < 1


def test_the_network_sees_an_even_level_and_energy_priors_leave_the_state() -> None:
    spec = PRESETS["hifigan"]
    values = frames(speech(spec), spec)
    z = torch.randn(1, values.shape[-1] * spec.hop, generator=torch.Generator().manual_seed(0))
    even, energy = (shape(prior, values, spec) for prior in (LevelPrior(), EnergyPrior()))
    assert_close(even.enter(z * even.scale), z)
    assert_close(even.leave(even.enter(z)), z)
    assert energy.enter(z) is z
    assert energy.leave(z) is z
    assert_close(energy.scale, EnergyPrior().scale(to_linear_mel(values, spec), spec.hop))
