"""What a recipe may say: seven flat sections, checked before anything is loaded.

A recipe is a TOML file (or its resolved JSON). ``[process]`` and ``[network]`` name a ``kind`` and hold its
parameters. The kind of ``[data]`` says what is learned: ``mix`` (a denoiser), ``pairs`` (a vocoder that
starts from a mel inversion) or ``waves`` (a vocoder of waveforms, conditioned on a mel); the other sections
follow from it. The keys of mixing are in `data.mixing.MixConfig`, the objectives beside the losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from audiodiff.data.mixing import MixConfig
from audiodiff.diffusion import time_grids
from audiodiff.diffusion.diffwave import FAST_BETAS
from audiodiff.diffusion.prediction import Target
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, MelError
from audiodiff.model.config import CompressionSettings, ModelConfig, Presets, SamplerPreset, StftSettings
from audiodiff.model.model import build_prior, build_process
from audiodiff.networks import complete, sizes_of
from audiodiff.networks.contract import Network
from audiodiff.settings import Setting, Settings, load_json, load_toml, nearest, parse
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_presets import get_convention
from audiodiff.training.best import BestMetric
from audiodiff.training.losses import NoiseObjective, ObjectiveConfig
from audiodiff.training.pesq_loss import MIN_RATE


class SpectralModel(Settings):
    """``[model]`` of a model of spectra: what its folder will state.

    Attributes:
        sample_rate: Rate in Hz at which the model works; the packed store must have it.
        n_fft, hop: Window of the spectral front end and distance of its frames, in samples.
        exponent, scale: Compression of the spectrum, z -> scale |z|^exponent e^(i arg z).
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

    @property
    def title(self) -> str:
        """Heading of the card."""
        return "Denoiser" if self.inversion is None else "Vocoder from a mel inversion"

    def sizes(self, process: Process) -> dict[str, int]:  # noqa: ARG002  every model's signature
        """Sizes of the network that follow."""
        return {"n_bins": self.n_fft // 2 + 1}

    def folder_keys(self, process: Process) -> dict[str, Any]:  # noqa: ARG002
        """What the model folder states of this model alone."""
        shared = {"sampler": self.sampler, "eta": self.eta, "start_noise": self.start_noise}
        fast, balanced, best = (parse(SamplerPreset, {"steps": n, **shared}, at="model") for n in self.steps)
        return {
            "task": "denoise" if self.inversion is None else "vocode",
            "inversion": self.inversion,
            "stft": StftSettings(n_fft=self.n_fft, hop=self.hop),
            "compression": CompressionSettings(exponent=self.exponent, scale=self.scale),
            "start": self.start,
            "presets": Presets(fast=fast, balanced=balanced, best=best),
        }


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

    def sizes(self, process: Process) -> dict[str, int]:
        """Sizes of the network that follow."""
        return {"n_mels": self.spec.n_mels, "hop": self.spec.hop, "table": len(plain_table(process).betas)}

    def folder_keys(self, process: Process) -> dict[str, Any]:
        """What the model folder states of this model alone."""
        table = plain_table(process)
        try:
            time_grids.from_betas(table, self.schedule)
        except ConfigError as error:
            raise ConfigError(f"model.schedule: {error}") from None
        shared = {"sampler": "diffwave", "eta": 1.0, "project": self.project}
        fast, best = (
            parse(SamplerPreset, {"steps": len(betas), "betas": betas, **shared}, at="model")
            for betas in (self.schedule, table.betas)
        )
        return {
            "task": "vocode",
            "mel": self.spec.as_dict(),
            "prior": self.prior,
            "presets": Presets(fast=fast, balanced=fast, best=best),
        }


def plain_table(process: Process) -> VP:
    """The process of a recipe of waveforms, whose times are drawn and sampled by its betas."""
    if not isinstance(process, VP) or process.zero_terminal:
        raise ConfigError(
            'process: a recipe of waveforms needs kind = "vp" without zero_terminal; leave [process] out'
        )
    return process


class MixData(MixConfig):
    """``[data]`` of a denoiser: what is learned from, and how it is mixed (every key of `MixConfig`).

    Attributes:
        kind: ``mix``, which is also what a section without a kind is.
        store, batch: Folder of the packed store; items in a batch.
        segment_s: Seconds of each item; at least 0.1.
    """

    kind: Literal["mix"] = "mix"
    store: str = Field(min_length=1)
    batch: int = Field(ge=1)
    segment_s: float = Field(ge=0.1)


class PairData(Settings):
    """``[data]`` of a vocoder of spectra: pairs of mel inversions and their targets.

    Attributes:
        kind: ``pairs``.
        store, batch: Folder of the pair store; items in a batch.
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


class WaveData(Settings):
    """``[data]`` of a vocoder of waveforms: crops of clips with their mels.

    Attributes:
        kind: ``waves``.
        store, batch: Folder of the packed store; crops in a batch.
        frames: Frames of a crop; its samples are frames x hop. Shorter clips are left out.
        peak: Each clip is scaled to this peak; None leaves it at its level.
    """

    kind: Literal["waves"]
    store: str = Field(min_length=1)
    batch: int = Field(ge=1)
    frames: int = Field(default=62, ge=2)
    peak: float | None = Field(default=None, gt=0, le=1)
    level_db: ClassVar[None] = None  # the mel says how loud the speech is


class Optim(Settings):
    """How the weights are changed.

    Attributes:
        kind: ``adamw``, ``adam`` (weight decay goes through the moments), ``sgd`` with momentum, or ``muon``
            for the inner matrices and kernels with AdamW for all else.
        steps: Length of the schedule; training ends there.
        lr: Highest learning rate, of all that Muon does not change.
        shape: What follows the warm-up: half a ``cosine`` over all steps, or a ``constant`` rate with a tail.
        tail: Steps at the end of a constant rate in which it falls in a straight line; 0 for none.
        lr_floor: Last learning rate as a share of the highest.
        warmup: Steps of the linear warm-up.
        betas: Decay rates of AdamW and Adam.
        momentum: Of SGD; 0 for none.
        weight_decay: On matrices and kernels only; 0 makes AdamW Adam.
        clip: Largest norm of the gradient; 0 leaves it as it is.
        ema: Largest decay of the average of the weights.
        muon_lr, muon_momentum: Highest learning rate of Muon, and the decay of its momentum.
        adamw_names: Modules and parameters that stay with AdamW under ``muon``: first and last layers,
            embeddings. What has fewer than two axes stays there anyway.
    """

    kind: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    steps: int = Field(ge=1)
    lr: float = Field(gt=0)
    shape: Literal["cosine", "constant"] = "cosine"
    tail: int = Field(default=0, ge=0)
    lr_floor: float = Field(default=0.01, ge=0, le=1)
    warmup: int = Field(default=200, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, ge=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    muon_lr: float = Field(default=0.02, gt=0)
    muon_momentum: float = Field(default=0.95, ge=0, lt=1)
    adamw_names: tuple[str, ...] = ()


class TimedOptim(Optim):
    """How the weights of a model of spectra are changed, and at which times of the process.

    Attributes:
        t_steps: Times are drawn around the default sampling grid of this many steps.
        t_start_share: Probability of the start of sampling itself.
        t_jitter: Reach of the other times towards their neighbours in the grid; 0.5 covers everything.
    """

    t_steps: int = Field(default=4, ge=1, le=1000)
    t_start_share: float = Field(default=0.4, ge=0, le=1)
    t_jitter: float = Field(default=0.5, ge=0, lt=1)


class RunSection(Settings):
    """How the training runs; all of it may change when a run is resumed, but the seed should not.

    Attributes:
        seed: Seed of the first weights and of every batch, time and noise.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or another torch device.
        bf16: bfloat16 autocast; ``auto`` measures both at the start and takes the faster.
        compile: torch.compile; ``auto`` measures too, which costs a minute or two.
        log_every: Steps between two lines of the log.
        checkpoint_minutes: Minutes between two checkpoints.
        validate_minutes: Minutes between two validations; 0 turns them off.
        validate_items: Dev items that a validation runs the model on.
        trivial_after: Steps after which a network that is worse than the trivial predictor ends the run.
        best: Score of the validations (``pesq``, ``estoi`` or ``si_sdr``) whose best model is kept in
            ``model-best``; None keeps the newest only.
        patience: Validations without a better score of ``best`` after which the run ends; 0 for never.
    """

    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    bf16: Literal["auto", "on", "off"] = "auto"
    compile: Literal["auto", "on", "off"] = "off"
    log_every: int = Field(default=20, ge=1)
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    validate_minutes: float = Field(default=30.0, ge=0)
    validate_items: int = Field(default=24, ge=1)
    trivial_after: int = Field(default=500, ge=1)
    best: BestMetric | None = None
    patience: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _best_is_validated(self) -> RunSection:
        if self.best is not None and not self.validate_minutes:
            raise ConfigError("run.best needs validations; set run.validate_minutes, or leave it out")
        if self.patience and self.best is None:
            raise ConfigError('run.patience needs run.best, such as "si_sdr", to tell what is better')
        return self


_SECTIONS: dict[str, tuple[type[Settings], ...]] = {  # [model] [data] [objective] [optim] [run] by data.kind
    "mix": (SpectralModel, MixData, ObjectiveConfig, TimedOptim, RunSection),
    "pairs": (SpectralModel, PairData, ObjectiveConfig, TimedOptim, RunSection),
    "waves": (WaveModel, WaveData, NoiseObjective, Optim, RunSection),
}


class Recipe(Settings):
    """A whole recipe. Sizes of the network that follow from the model need not be given.

    Of a vocoder of waveforms ``[process]`` may be left out: it is DiffWave's table of 50 entries then.
    """

    model: SpectralModel | WaveModel
    process: dict[str, Setting]
    network: dict[str, Setting]
    data: Annotated[MixData | PairData | WaveData, Field(discriminator="kind")]
    objective: ObjectiveConfig | NoiseObjective
    optim: TimedOptim | Optim
    run: RunSection

    @model_validator(mode="before")
    @classmethod
    def _sections_by_kind(cls, values: Any) -> Any:
        # Each section meets its own class here, so that an error names this class's keys and no other's.
        if not isinstance(values, Mapping):
            return values
        values = migrate(values)
        data = values.get("data")
        kind = data["kind"] if isinstance(data, Mapping) else getattr(data, "kind", "mix")
        if not isinstance(kind, str) or kind not in _SECTIONS:
            raise ConfigError(f"data.kind: unknown kind {kind!r}; {nearest(str(kind), _SECTIONS)}")
        names = ("model", "data", "objective", "optim", "run")
        return values | {
            name: parse(section, values[name], at=name)
            for name, section in zip(names, _SECTIONS[kind], strict=True)
            if name in values and not isinstance(values[name], section)
        }

    @model_validator(mode="after")
    def _goes_together(self) -> Recipe:
        process = build_process(self.process)
        self.model.folder_keys(process)  # refused now, not after hours of training
        self.network.update(_sized(self.network, self.model.sizes(process), self.data.kind))
        if self.network.get("conditioner") == "waveform":
            raise ConfigError("network.conditioner: a vocoder hears a mel; use published or frames")
        if (self.data.kind == "pairs") != (getattr(self.model, "inversion", None) is not None):
            raise ConfigError('model.inversion and data.kind = "pairs" go together; give both, or neither')
        if getattr(self.objective, "perceptual", 0) > 0 and self.model.sample_rate < MIN_RATE:
            raise ConfigError(
                f"objective.perceptual needs a model.sample_rate of at least {MIN_RATE} Hz, it is "
                f"{self.model.sample_rate}; set objective.perceptual = 0"
            )
        return self


def migrate(values: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of a recipe, of an older version's too, as today's classes take them.

    Every recipe passes here on its way from TOML, ``recipe.json`` or a checkpoint: what is renamed one day is
    put right here, and what may be left out is filled in.
    """
    values = dict(values)
    if isinstance(values.get("data"), Mapping):
        values["data"] = {"kind": "mix", **values["data"]}  # before there were vocoders, there were no kinds
        if values["data"]["kind"] == "waves":
            values = {"process": {"kind": "vp", "schedule": "diffwave"}, **values}
    return {"objective": {}, "run": {}, **values}


def _sized(network: Mapping[str, Setting], sizes: Mapping[str, int], kind: str) -> dict[str, Setting]:
    """The section ``[network]`` with the sizes that follow from the model, and every default written out."""
    known = sizes_of(network)
    for name, value in sizes.items():
        if name == "table" and name not in known:
            continue  # only some networks of waveforms look times up in the process's table
        if name not in known:
            raise ConfigError(f'network.kind = "{network["kind"]}" does not go with data.kind = "{kind}"')
        if network.get(name, value) != value:
            raise ConfigError(f"network.{name} must be {value}, as the model says; leave it out")
    return complete({**network, **{name: value for name, value in sizes.items() if name in known}})


def model_config(recipe: Recipe, net: Network) -> ModelConfig:
    """What the model folder of a recipe states; the network knows its reaches."""
    return ModelConfig(
        sample_rate=recipe.model.sample_rate,
        level_db=recipe.data.level_db,
        process=recipe.process,
        target=recipe.model.target,
        network=recipe.network,
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        licence=recipe.model.licence,
        **recipe.model.folder_keys(build_process(recipe.process)),
    )


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe (TOML), with overrides, or the resolved recipe of another run (JSON)."""
    if path.suffix != ".json":
        return load_toml(Recipe, path, overrides)
    if overrides:
        raise ConfigError(f"{path}: overrides go with a TOML recipe; edit the JSON file instead")
    return load_json(Recipe, path)
