"""The settings of a model folder."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from audiodiff.settings import Setting, Settings

FORMAT_VERSION = 3
"""Version of the model folder that this code writes; it reads every version up to this one. Version 2 added
models of waveforms and mels: stft, compression and level_db may be absent, mel and prior may be there.
Version 3 added a preset's own grid of times, and code of a model's own."""


class StftSettings(Settings):
    """The spectral front end: window length and hop in samples at the model's rate."""

    n_fft: int = Field(ge=16, le=16384)
    hop: int = Field(ge=4, le=16384)


class CompressionSettings(Settings):
    """Power-law compression of a spectrum: z -> scale |z|^exponent e^(i arg z)."""

    exponent: float = Field(gt=0, le=1)
    scale: float = Field(gt=0)


class SamplerPreset(Settings):
    """One way to run the reverse process.

    Attributes:
        steps: Number of steps of the grid.
        sampler: ``ddim`` (one network evaluation a step), ``dpmpp_2m`` (the same), ``heun`` (2 steps - 1), or
            ``diffwave``: ``ddim`` with the state, a waveform, clamped to [-1, 1] after every step.
        eta: Share of fresh noise a step, 0 (deterministic) to 1 (the posterior); only ``ddim`` and
            ``diffwave`` use it.
        start_noise: Scale of the fresh noise that leaves a bridge's start; 0 is the deterministic limit.
        betas: Inference schedule of ``diffwave``, from data towards noise, a beta a step; the process is
            ``vp`` or ``cdiffuse``.
        project: Bring every estimate of the waveform next to the mel (GLA-Grad).
        mix_back: Share of the recording in the waveform that comes out at the end (0.2 in CDiffuSE).
        times: Times of the grid, falling, from the model's start to 0, one more than steps; None for the
            grid of the process, or of betas.
    """

    steps: int = Field(ge=1, le=1000)
    sampler: Literal["ddim", "dpmpp_2m", "heun", "diffwave"] = "ddim"
    eta: float = Field(default=0.0, ge=0, le=1)
    start_noise: float = Field(default=1.0, ge=0, le=1)
    betas: tuple[float, ...] | None = None
    project: bool = False
    mix_back: float = Field(default=0.0, ge=0, le=1)
    times: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _times_fall(self) -> SamplerPreset:
        if self.times is None:
            return self
        if self.sampler == "diffwave":
            raise ValueError("diffwave takes betas, no times; use ddim, or leave times out")
        if len(self.times) != self.steps + 1:
            raise ValueError(f"{self.steps} steps need {self.steps + 1} times, found {len(self.times)}")
        falling = all(u < t for t, u in pairwise(self.times))
        if not falling or self.times[0] > 1 or self.times[-1] != 0:
            raise ValueError(f"times must fall from the model's start to 0, found {list(self.times)}")
        return self

    @model_validator(mode="after")
    def _eta_is_used(self) -> SamplerPreset:
        if self.eta > 0 and self.sampler not in ("ddim", "diffwave"):
            raise ValueError(f"eta {self.eta} has no meaning for {self.sampler}; use ddim or leave eta at 0")
        return self

    @model_validator(mode="after")
    def _betas_are_used(self) -> SamplerPreset:
        found = None if self.betas is None else len(self.betas)
        expected = self.steps if self.sampler == "diffwave" else None
        if found != expected:
            raise ValueError(f"{self.sampler} with {self.steps} steps needs {expected} betas, found {found}")
        return self

    @property
    def evaluations(self) -> int:
        """How often the network is called."""
        return 2 * self.steps - 1 if self.sampler == "heun" else self.steps


class Presets(Settings):
    """The sampler presets of a model; ``balanced`` is the default."""

    fast: SamplerPreset
    balanced: SamplerPreset
    best: SamplerPreset


class ModelConfig(Settings):
    """Everything a model folder states beside its weights (``config.json``).

    A model of spectra has ``stft`` and ``compression``; a model of waveforms has neither. A model that is
    conditioned on a mel states the convention in ``mel``.

    Attributes:
        format_version: Version of the folder format.
        task: What the model does.
        sample_rate: Rate in Hz at which the model works.
        level_db: Gated active level in dBFS to which recordings are brought before the model sees them; None
            for a vocoder that takes its level from the mel.
        stft: Spectral front end, or None.
        compression: Compression of the spectrum, or None.
        mel: Mel convention (``signal.mel_spec.MelSpec`` as plain values), or None.
        prior: ``kind`` (energy if absent) and the parameters of the noise's prior, or None.
        inversion: Iterations of the mel inversion that makes the input of a vocoder of spectra, or None.
        process: ``kind`` and the parameters of the diffusion process.
        target: What the network predicts.
        network: ``kind`` and the parameters of the network.
        start: Time in (0, 1] at which sampling starts.
        reach_encode: Frames on one side that `encode` looks at.
        reach_step: Frames on one side that one evaluation looks at.
        licence: Licence of the weights (SPDX name or a short sentence).
        plugin: SHA-256 of ``plugin.py``, the code that the model needs; None and left out for none.
    """

    format_version: Literal[1, 2, 3] = 3
    task: Literal["denoise", "vocode"] = "denoise"
    sample_rate: int = Field(ge=4000, le=384000)
    level_db: float | None = Field(default=None, ge=-60, le=0)
    stft: StftSettings | None = None
    compression: CompressionSettings | None = None
    mel: dict[str, bool | int | float | str | None] | None = None
    prior: dict[str, Setting] | None = None
    inversion: int | None = Field(default=None, ge=0, le=1000)
    process: dict[str, Setting]
    target: Literal["x0", "eps", "v", "velocity"] = "x0"
    network: dict[str, Setting]
    start: float = Field(default=1.0, gt=0, le=1)
    presets: Presets
    reach_encode: int = Field(ge=0)
    reach_step: int = Field(ge=0)
    licence: str = Field(min_length=1)
    plugin: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", exclude_if=lambda sha: sha is None)

    @model_validator(mode="after")
    def _kinds(self) -> ModelConfig:
        for name in ("process", "network"):
            if not isinstance(getattr(self, name).get("kind"), str):
                raise ValueError(f'{name} needs a string "kind"')
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> ModelConfig:
        presets = [getattr(self.presets, name) for name in Presets.model_fields]
        clamped = any(preset.sampler == "diffwave" for preset in presets)
        projects = any(preset.project for preset in presets)
        mixes = any(preset.mix_back > 0 for preset in presets)
        starts = {preset.times[0] for preset in presets if preset.times is not None}
        faults = {
            f"the times of a preset begin at start, which is {self.start:g}; correct presets or start": bool(
                starts - {self.start}
            ),
            "stft and compression go together; give both, or neither for a model of waveforms": (
                (self.stft is None) != (self.compression is None)
            ),
            "a model that denoises needs level_db": self.task == "denoise" and self.level_db is None,
            "a model of spectra needs level_db": self.stft is not None and self.level_db is None,
            "inversion goes with task vocode and stft; give all three, or leave inversion out": (
                (self.task == "vocode" and self.stft is not None) != (self.inversion is not None)
            ),
            "prior is made from a mel; give mel too": self.prior is not None and self.mel is None,
            "project needs waveforms and a mel; leave it out here": projects
            and (self.stft is not None or self.mel is None),
            "the sampler diffwave clamps waveforms; use ddim for spectra": clamped and self.stft is not None,
            "mix_back mixes waveforms of a recording; leave it out here": mixes
            and (self.stft is not None or self.task != "denoise"),
        }
        for line, wrong in faults.items():
            if wrong:
                raise ValueError(line)
        return self
