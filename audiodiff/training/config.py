"""What a recipe may say: seven flat sections, checked before anything is loaded.

A recipe is a TOML file (or its resolved JSON) with the sections ``[model] [process] [network] [data]
[objective] [optim] [run]``. ``[process]`` and ``[network]`` name a ``kind`` and hold its parameters; the
others are the classes below, ``[data]`` one of two by its ``kind``; with the kind ``waves`` the recipe is
a `WaveConfig`. Unknown keys are errors that name the nearest key.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from audiodiff.data.mixing import MixConfig
from audiodiff.diffusion.prediction import Target
from audiodiff.errors import ConfigError
from audiodiff.model.config import CompressionSettings, ModelConfig, Presets, SamplerPreset, StftSettings
from audiodiff.networks import complete
from audiodiff.networks.contract import Network
from audiodiff.settings import Setting, Settings, load_json, load_toml, parse
from audiodiff.training.losses import ObjectiveConfig
from audiodiff.training.pesq_loss import MIN_RATE
from audiodiff.training.sections import OptimSection, RunSection
from audiodiff.training.wave_config import WaveConfig, wave_model_config


class ModelSection(Settings):
    """What the finished model folder will state.

    Attributes:
        sample_rate: Rate in Hz at which the model works; the packed store must have it.
        n_fft: Window of the spectral front end in samples.
        hop: Distance of its frames in samples.
        exponent: Power law of the compression.
        scale: Factor of the compression.
        target: What the network predicts.
        start: Time in (0, 1] at which sampling starts.
        steps: Sampler steps of the presets fast, balanced and best.
        sampler: Solver of the presets.
        eta: Share of fresh noise a step in the presets.
        start_noise: Scale of the fresh noise that leaves a bridge's start; 0 is the deterministic limit.
        inversion: A vocoder's: iterations of the mel inversion that it starts from.
        licence: Licence of the weights.
    """

    sample_rate: int = Field(ge=4000, le=384000)
    n_fft: int = Field(ge=16, le=16384)
    hop: int = Field(ge=4, le=16384)
    exponent: float = Field(gt=0, le=1)
    scale: float = Field(gt=0)
    target: Target = "x0"
    start: float = Field(default=1.0, gt=0, le=1)
    steps: tuple[int, int, int] = (1, 2, 4)
    sampler: Literal["ddim", "dpmpp_2m", "heun"] = "ddim"
    eta: float = Field(default=0.0, ge=0, le=1)
    start_noise: float = Field(default=1.0, ge=0, le=1)
    inversion: int | None = Field(default=None, ge=0, le=1000)
    licence: str = Field(min_length=1)

    @model_validator(mode="after")
    def _presets_fit(self) -> ModelSection:
        self.presets()  # refused now, not after hours of training
        return self

    def presets(self) -> Presets:
        """The sampler presets of the model folder.

        Raises:
            ConfigError: Steps, sampler, eta and start noise do not go together.
        """
        shared = {"sampler": self.sampler, "eta": self.eta, "start_noise": self.start_noise}
        fast, balanced, best = (parse(SamplerPreset, {"steps": n, **shared}, "[model]") for n in self.steps)
        return Presets(fast=fast, balanced=balanced, best=best)


class TimedOptimSection(OptimSection):
    """How the weights are changed, and at which times of the process.

    Attributes:
        t_steps: Times are drawn around the default sampling grid of this many steps.
        t_start_share: Probability of the start of sampling itself.
        t_jitter: Reach of the other times towards their neighbours in the grid; 0.5 covers everything.
    """

    t_steps: int = Field(default=4, ge=1, le=1000)
    t_start_share: float = Field(default=0.4, ge=0, le=1)
    t_jitter: float = Field(default=0.5, ge=0, lt=1)


class DataSection(MixConfig):
    """A denoiser's: what is learned from, and how it is mixed (every key of `MixConfig`).

    Attributes:
        kind: ``mix``, which is also what a section without a kind is.
        store: Folder of the packed store.
        batch: Items in a batch.
        segment_s: Seconds of each item; at least 0.1.
    """

    kind: Literal["mix"] = "mix"
    store: str = Field(min_length=1)
    batch: int = Field(ge=1)
    segment_s: float = Field(ge=0.1)


class PairSection(Settings):
    """A vocoder's: pairs of mel inversions and their targets.

    Attributes:
        kind: ``pairs``.
        store: Folder of the pair store.
        batch: Items in a batch.
        segment_s: Seconds of each item; at least 0.1.
        level_db: Active level of the starts, dBFS; the level at which the model hears them.
        gain_db: Each item is then made louder or quieter by up to this.
    """

    kind: Literal["pairs"]
    store: str = Field(min_length=1)
    batch: int = Field(ge=1)
    segment_s: float = Field(ge=0.1)
    level_db: float = Field(default=-25.0, ge=-60, le=0)
    gain_db: float = Field(default=8.0, ge=0, le=40)


def _data_kind(section: Any) -> str:
    """Which of the two sections plain data is meant for, or settings are."""
    kind = section.get("kind") if isinstance(section, dict) else section.kind
    return "pairs" if kind == "pairs" else "mix"


AnyData = Annotated[
    Annotated[DataSection, Tag("mix")] | Annotated[PairSection, Tag("pairs")], Discriminator(_data_kind)
]


class TrainConfig(Settings):
    """A whole recipe of a model of spectra. ``network.n_bins`` follows from ``model.n_fft``."""

    model: ModelSection
    process: dict[str, Setting]
    network: dict[str, Setting]
    data: AnyData
    objective: ObjectiveConfig
    optim: TimedOptimSection
    run: RunSection = RunSection()

    @model_validator(mode="after")
    def _complete(self) -> TrainConfig:
        for name in ("process", "network"):
            if not isinstance(getattr(self, name).get("kind"), str):
                raise ValueError(f'section [{name}] needs a string "kind"')
        n_bins = self.model.n_fft // 2 + 1
        if self.network.setdefault("n_bins", n_bins) != n_bins:
            raise ValueError(f"network.n_bins must be n_fft / 2 + 1 = {n_bins}; leave it out")
        self.network.update(complete(self.network))
        if isinstance(self.data, PairSection) != (self.model.inversion is not None):
            raise ValueError('model.inversion and data.kind = "pairs" go together; give both, or neither')
        if self.objective.perceptual > 0 and self.model.sample_rate < MIN_RATE:
            raise ValueError(
                f"objective.perceptual needs a model.sample_rate of at least {MIN_RATE} Hz, it is "
                f"{self.model.sample_rate}; set objective.perceptual = 0"
            )
        return self


T = TypeVar("T", bound=Settings)
AnyConfig: TypeAlias = TrainConfig | WaveConfig


def model_config(config: AnyConfig, net: Network) -> ModelConfig:
    """What the model folder of this recipe states.

    Args:
        config: The recipe.
        net: The network, which knows its reaches.

    Returns:
        The settings of the folder.
    """
    if isinstance(config, WaveConfig):
        return wave_model_config(config, net)
    model = config.model
    return ModelConfig(
        task="denoise" if model.inversion is None else "vocode",
        inversion=model.inversion,
        sample_rate=model.sample_rate,
        level_db=config.data.level_db,
        stft=StftSettings(n_fft=model.n_fft, hop=model.hop),
        compression=CompressionSettings(exponent=model.exponent, scale=model.scale),
        process=config.process,
        target=model.target,
        network=config.network,
        start=model.start,
        presets=model.presets(),
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        licence=model.licence,
    )


class _Peek(Settings):
    """As much of a recipe as tells its class."""

    model_config = ConfigDict(extra="ignore")
    data: dict[str, Any] = Field(default_factory=dict)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> AnyConfig:
    """Read a recipe (TOML) or the resolved recipe of another run (JSON) and apply overrides.

    Args:
        path: The file; a relative store in it is taken from the working folder.
        overrides: ``section.key=value``, the value in TOML.

    Returns:
        The checked recipe.

    Raises:
        ConfigError: The file cannot be read, or a key, type or range is wrong.
    """
    if path.suffix == ".json" and overrides:
        raise ConfigError(f"{path}: overrides go with a TOML recipe; edit the JSON file instead")

    def load(cls: type[T]) -> T:
        return load_json(cls, path) if path.suffix == ".json" else load_toml(cls, path, overrides)

    return load(WaveConfig) if load(_Peek).data.get("kind") == "waves" else load(TrainConfig)
