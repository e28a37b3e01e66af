"""Section ``[model]`` of a recipe: what the model folder will state, by what is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.diffwave import FAST_BETAS
from audiodiff.diffusion.prediction import Target, check_target
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, MelError
from audiodiff.model.config import CompressionSettings, Presets, SamplerPreset, StftSettings
from audiodiff.model.model import build_prior
from audiodiff.settings import Setting, Settings, parse
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_presets import get_convention

DEFAULT_STEPS = (1, 2, 4)
"""Sampler steps of the presets fast, balanced and best."""

STEPS_OF_NOISE = (2, 2, 4)
"""The same of a network that predicts anything but x_0: one step multiplies its error by s/a at the start,
and after a short training more than four add up more errors than they mend."""


class SpectralModel(Settings):
    """``[model]`` of a model of spectra: what its folder will state.

    Attributes:
        representation: ``spectrum``, which is also what a section without one is.
        sample_rate: Rate in Hz at which the model works; the packed store must have it.
        n_fft: Window of the spectral front end, in samples.
        hop: Distance of its frames, in samples.
        exponent: Of the compressed spectrum, z -> scale |z|^exponent e^(i arg z).
        scale: Of the compressed spectrum.
        target: What the network predicts.
        start: Time in (0, 1] at which sampling starts; left out, it follows from process and target.
        steps: Sampler steps of the presets fast, balanced and best; their default follows from the target.
        sampler: Solver of the presets.
        grid: Name of a plug-in's schedule: the times of training and of the presets; else the process's.
        eta: Share of fresh noise a step in the presets.
        start_noise: Scale of the fresh noise that leaves a bridge's start; 0 is the deterministic limit.
        inversion: A vocoder's: iterations of the mel inversion that it starts from.
        licence: Licence of the weights.
    """

    representation: Literal["spectrum"] = "spectrum"
    sample_rate: int = Field(ge=4000, le=384000)
    n_fft: int = Field(ge=16, le=16384)
    hop: int = Field(ge=4, le=16384)
    exponent: float = Field(gt=0, le=1)
    scale: float = Field(gt=0)
    target: Target = "x0"
    start: float = Field(default=1.0, gt=0, le=1)
    steps: tuple[int, int, int] = DEFAULT_STEPS
    sampler: Literal["ddim", "dpmpp_2m", "heun"] = "ddim"
    grid: str | None = Field(default=None, exclude_if=lambda name: name is None)
    eta: float = Field(default=0.0, ge=0, le=1)
    start_noise: float = Field(default=1.0, ge=0, le=1)
    inversion: int | None = Field(default=None, ge=0, le=1000)
    licence: str = Field(min_length=1)

    @property
    def title(self) -> str:
        """Heading of the card."""
        return "Denoiser" if self.inversion is None else "Vocoder from a mel inversion"

    def sizes(self, process: Process) -> dict[str, str | int]:  # noqa: ARG002  every model's signature
        """Sizes of the network that follow."""
        passes = "recording" if self.target == "x0" else "state"
        return {"n_bins": self.n_fft // 2 + 1, "passes": passes}

    def folder_keys(self, process: Process) -> dict[str, Any]:
        """What the model folder states of this model alone."""
        _check_start(process, self.target, self.start)
        shared = {"sampler": self.sampler, "eta": self.eta, "start_noise": self.start_noise}
        return {
            "task": "denoise" if self.inversion is None else "vocode",
            "inversion": self.inversion,
            "stft": StftSettings(n_fft=self.n_fft, hop=self.hop),
            "compression": CompressionSettings(exponent=self.exponent, scale=self.scale),
            "start": self.start,
            "presets": _presets([{"steps": n, **shared} for n in self.steps]),
        }


class NoisyWaveModel(Settings):
    """``[model]`` of a denoiser of waveforms, conditioned on the noisy one: what its folder will state.

    Attributes:
        representation: ``waveform``.
        sample_rate: Rate in Hz at which the model works; the packed store must have it.
        target: What the network predicts.
        start: Time in (0, 1] at which sampling starts; left out, it follows from process and target.
        steps: Sampler steps of the presets fast, balanced and best, by default as the target needs; not with
            `schedule`.
        schedule: Inference betas of the presets fast and balanced, from data towards noise, for the sampler
            ``diffwave`` on ``vp`` or ``cdiffuse``; best takes the whole table that was trained.
        sampler: Solver of the presets; ``diffwave`` is ``ddim`` with the state clamped to [-1, 1].
        grid: Name of a plug-in's schedule: the times of training and of the presets; else the process's.
        eta: Share of fresh noise a step in the presets.
        start_noise: Scale of the fresh noise that leaves a bridge's start; 0 is the deterministic limit.
        mix_back: Share of the recording in what comes out at the end.
        licence: Licence of the weights.
    """

    representation: Literal["waveform"]
    sample_rate: int = Field(ge=4000, le=384000)
    target: Target = "x0"
    start: float = Field(default=1.0, gt=0, le=1)
    steps: tuple[int, int, int] | None = None
    schedule: tuple[float, ...] | None = None
    sampler: Literal["ddim", "dpmpp_2m", "heun", "diffwave"] = "ddim"
    grid: str | None = Field(default=None, exclude_if=lambda name: name is None)
    eta: float = Field(default=0.0, ge=0, le=1)
    start_noise: float = Field(default=1.0, ge=0, le=1)
    mix_back: float = Field(default=0.0, ge=0, le=1)
    licence: str = Field(min_length=1)

    @model_validator(mode="after")
    def _steps_or_schedule(self) -> NoisyWaveModel:
        if (self.sampler == "diffwave") != (self.schedule is not None):
            raise ConfigError(
                'model.schedule goes with model.sampler = "diffwave"; give both, or steps and another sampler'
            )
        if self.schedule is not None and self.steps is not None:
            raise ConfigError("model.steps: the schedule has one beta a step; leave steps out")
        return self

    @property
    def title(self) -> str:
        """Heading of the card."""
        return "Denoiser of waveforms"

    def sizes(self, process: Process) -> dict[str, str | int]:
        """Sizes of the network that follow."""
        table = {"table": len(process.betas)} if isinstance(process, VP | CDiffuSE) else {}
        return {"conditioner": "waveform", **table}

    def folder_keys(self, process: Process) -> dict[str, Any]:
        """What the model folder states of this model alone."""
        _check_start(process, self.target, self.start)
        shared = {
            "sampler": self.sampler,
            "eta": self.eta,
            "start_noise": self.start_noise,
            "mix_back": self.mix_back,
        }
        ways: list[dict[str, Any]] = [{"steps": n, **shared} for n in self.steps or DEFAULT_STEPS]
        if self.schedule is not None:
            table = check_schedule(process, self.schedule)
            ways = [{"steps": len(b), "betas": b, **shared} for b in (self.schedule, self.schedule, table)]
        return {"task": "denoise", "start": self.start, "presets": _presets(ways)}


class WaveModel(Settings):
    """``[model]`` of a vocoder of waveforms (DiffWave and its like): what its folder will state.

    Attributes:
        mel: Name of the mel convention; it gives the rate and the hop.
        prior: ``kind`` (energy or level) and parameters of the noise's prior, or None.
        target: What the network predicts: the noise (``eps``, as DiffWave) or ``v`` (Salimans and Ho 2022).
        schedule: Inference betas of the presets fast and balanced, from data towards noise; best takes the
            whole table that was trained.
        project: Whether sampling brings every estimate next to the mel; training does not know it.
        licence: Licence of the weights.
    """

    mel: str
    prior: dict[str, Setting] | None = None
    target: Literal["eps", "v"] = "eps"
    schedule: tuple[float, ...] = FAST_BETAS
    project: bool = False
    licence: str = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_are_known(self) -> WaveModel:
        try:
            get_convention(self.mel)
        except MelError as error:
            raise ConfigError(f"model.mel: {error}") from None
        if self.prior is not None:
            build_prior(self.prior, "model.prior")
        return self

    @property
    def title(self) -> str:
        """Heading of the card."""
        return f"Vocoder of waveforms from {self.mel} mels"

    @property
    def spec(self) -> MelSpec:
        """The mel convention."""
        return get_convention(self.mel)

    @property
    def sample_rate(self) -> int:
        """Rate in Hz at which the model works."""
        return self.spec.sample_rate

    def sizes(self, process: Process) -> dict[str, str | int]:
        """Sizes of the network that follow."""
        return {"n_mels": self.spec.n_mels, "hop": self.spec.hop, "table": len(plain_table(process).betas)}

    def folder_keys(self, process: Process) -> dict[str, Any]:
        """What the model folder states of this model alone."""
        table = check_schedule(plain_table(process), self.schedule)
        shared = {"sampler": "diffwave", "eta": 1.0, "project": self.project}
        ways = [{"steps": len(b), "betas": b, **shared} for b in (self.schedule, self.schedule, table)]
        return {
            "task": "vocode",
            "mel": self.spec.as_dict(),
            "prior": self.prior,
            "presets": _presets(ways),
        }


def _presets(ways: Sequence[Mapping[str, Any]]) -> Presets:
    """The presets fast, balanced and best."""
    fast, balanced, best = (parse(SamplerPreset, way, at="model") for way in ways)
    return Presets(fast=fast, balanced=balanced, best=best)


def _check_start(process: Process, target: Target, start: float) -> None:
    try:
        check_target(process, target, start)
    except ConfigError as error:
        raise ConfigError(f"model.start: {error}") from None


def check_schedule(process: Process, schedule: Sequence[float]) -> tuple[float, ...]:
    """Hold inference betas to the table that is trained; returns that table's betas."""
    try:
        match process:
            case VP():
                time_grids.from_betas(process, schedule)
                return process.betas
            case CDiffuSE():
                for betas in (tuple(schedule), process.betas):  # each is a process of its own at inference
                    CDiffuSE(betas, inference=True)
                    process.time_of(math.prod(1.0 - beta for beta in betas))
                return process.betas
            case _:
                raise ConfigError("only the processes vp and cdiffuse have a table; leave it out")
    except ConfigError as error:
        raise ConfigError(f"model.schedule: {error}") from None


def plain_table(process: Process) -> VP:
    """The process of a recipe of waveforms, whose times are drawn and sampled by its betas."""
    if not isinstance(process, VP) or process.zero_terminal:
        raise ConfigError(
            'process: a recipe of waveforms needs kind = "vp" without zero_terminal; leave [process] out'
        )
    return process
