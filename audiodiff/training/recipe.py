"""What a recipe may say: seven flat sections, checked before anything is loaded.

A recipe is a TOML file (or its resolved JSON). ``[process]`` and ``[network]`` name a ``kind`` and hold its
parameters. The kind of ``[data]`` says what is learned: ``mix`` (a denoiser, from mixtures), ``noisy_clean``
(a denoiser, from recordings with noise and without), ``pairs`` (a vocoder that starts from a mel inversion)
or ``waves`` (a vocoder of waveforms, conditioned on a mel). A denoiser works on spectra, or on waveforms by
``model.representation = "waveform"``. The other sections follow. Those of the model are in `model_sections`,
those of mixing in `data.mixing.MixConfig`, the objectives beside the losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from audiodiff.data.mixing import MixConfig
from audiodiff.data.noisy_clean import NoisyCleanData
from audiodiff.diffusion.prediction import Target, natural_start
from audiodiff.errors import ConfigError
from audiodiff.model.config import ModelConfig
from audiodiff.model.model import build_process
from audiodiff.networks import complete, sizes_of
from audiodiff.networks.contract import Network
from audiodiff.settings import Setting, Settings, load_json, load_toml, nearest, parse
from audiodiff.training.best import BestMetric
from audiodiff.training.losses import NoiseObjective, ObjectiveConfig
from audiodiff.training.model_sections import STEPS_OF_NOISE, NoisyWaveModel, SpectralModel, WaveModel
from audiodiff.training.pesq_loss import MIN_RATE
from audiodiff.training.wave_losses import WaveObjective


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
        t_steps: Times are drawn around the default sampling grid of this many steps; 8 where the network
            predicts anything but x_0 and nothing is said.
        t_start_share: Probability of the start of sampling itself; 0.2 in that case.
        t_jitter: Reach of the other times towards their neighbours in the grid; 0.5 covers everything.
    """

    t_steps: int = Field(default=4, ge=1, le=1000)
    t_start_share: float = Field(default=0.4, ge=0, le=1)
    t_jitter: float = Field(default=0.5, ge=0, lt=1)


class RunSection(Settings):
    """How the training runs; all of it may change when a run is resumed, but the seed should not.

    Attributes:
        seed: Seed of the first weights and of every batch, time and noise.
        device: ``auto`` (a GPU of NVIDIA where there is one), ``cpu``, ``cuda`` or ``mps``.
        bf16: bfloat16 autocast; ``auto`` measures both at the start and takes the faster.
        compile: torch.compile; ``auto`` measures too, which costs a minute or two.
        log_every: Steps between two lines of the log.
        checkpoint_minutes: Minutes between two checkpoints.
        validate_minutes: Minutes between two validations; 0 turns them off.
        validate_items: Dev items that a validation runs the model on.
        trivial_after: Steps after which a network that is worse than the trivial predictor ends the run.
        best: Score of the validations (``pesq``, ``estoi`` or ``si_sdr``) whose best model is kept in
            ``model-best``; None keeps the newest only.
        tensorboard: Write TensorBoard events too, if the package tensorboard is installed.
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
    tensorboard: bool = False
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
    "noisy_clean": (SpectralModel, NoisyCleanData, ObjectiveConfig, TimedOptim, RunSection),
    "pairs": (SpectralModel, PairData, ObjectiveConfig, TimedOptim, RunSection),
    "waves": (WaveModel, WaveData, NoiseObjective, Optim, RunSection),
}
_BY_REPRESENTATION: dict[str, tuple[type[Settings], type[Settings]]] = {
    "spectrum": (SpectralModel, ObjectiveConfig),
    "waveform": (NoisyWaveModel, WaveObjective),
}
"""[model] and [objective] of a denoiser, by model.representation."""
DenoiserData: TypeAlias = MixData | NoisyCleanData


_ADVICE = {  # for a network that lacks this size
    "n_bins": ' and spectra; networks of waveforms need model.representation = "waveform"',
    "conditioner": ' and waveforms; networks of spectra need model.representation = "spectrum"',
}


_TIMES_OF_NOISE = {"t_steps": 8, "t_start_share": 0.2}
"""Of [optim], where the network predicts anything but x_0: it is read at every level of noise."""


class Recipe(Settings):
    """A whole recipe. Sizes of the network that follow from the model need not be given.

    Of a vocoder of waveforms ``[process]`` may be left out: it is DiffWave's table of 50 entries then.
    """

    model: SpectralModel | NoisyWaveModel | WaveModel
    process: dict[str, Setting]
    network: dict[str, Setting]
    data: Annotated[MixData | NoisyCleanData | PairData | WaveData, Field(discriminator="kind")]
    objective: ObjectiveConfig | WaveObjective | NoiseObjective
    optim: TimedOptim | Optim
    run: RunSection

    @model_validator(mode="before")
    @classmethod
    def _sections_by_kind(cls, values: Any) -> Any:
        # Each section meets its own class here, so that an error names this class's keys and no other's.
        if not isinstance(values, Mapping):
            return values
        values = migrate(values)
        kind = _key(values.get("data"), "kind", "mix")
        if not isinstance(kind, str) or kind not in _SECTIONS:
            raise ConfigError(f"data.kind: unknown kind {kind!r}; {nearest(str(kind), _SECTIONS)}")
        model, data, objective, optim, run = _SECTIONS[kind]
        if kind in ("mix", "noisy_clean"):
            wanted = _key(values.get("model"), "representation", "spectrum")
            if wanted not in _BY_REPRESENTATION:
                line = f"unknown representation {wanted!r}; {nearest(str(wanted), _BY_REPRESENTATION)}"
                raise ConfigError(f"model.representation: {line}")
            model, objective = _BY_REPRESENTATION[wanted]
        sections = {"model": model, "data": data, "objective": objective, "optim": optim, "run": run}
        return values | {
            name: parse(section, values[name], at=name)
            for name, section in sections.items()
            if name in values and not isinstance(values[name], section)
        }

    @model_validator(mode="after")
    def _goes_together(self) -> Recipe:
        process = build_process(self.process)
        self.model.folder_keys(process)  # refused now, not after hours of training
        self.network.update(_sized(self.network, self.model.sizes(process), self.data.kind))
        if isinstance(self.model, WaveModel) and self.network.get("conditioner") == "waveform":
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
            return {"objective": {}, "run": {}, "process": {"kind": "vp", "schedule": "diffwave"}, **values}
    return {"objective": {}, "run": {}, **values, **_by_target(values)}


def _by_target(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sections ``[model]`` and ``[optim]`` of a denoiser with what follows from what its network predicts."""
    sections = [values.get(name) for name in ("model", "process", "optim")]
    if not all(isinstance(section, Mapping) for section in sections):
        return {}
    model, process, optim = (dict(section) for section in sections if section is not None)
    target = model.get("target", "x0")
    if target not in get_args(Target):
        return {}
    start = {} if "start" in model else {"start": natural_start(build_process(process), target)}
    if target == "x0":
        return {"model": {**start, **model}}
    steps = {} if "schedule" in model else {"steps": STEPS_OF_NOISE}
    return {"model": {**start, **steps, **model}, "optim": {**_TIMES_OF_NOISE, **optim}}


def _key(section: Any, name: str, default: str) -> Any:
    """A key of a section that is plain values or an object already."""
    return section.get(name, default) if isinstance(section, Mapping) else getattr(section, name, default)


def _sized(network: Mapping[str, Setting], sizes: Mapping[str, str | int], kind: str) -> dict[str, Setting]:
    """The section ``[network]`` with the sizes that follow from the model, and every default written out."""
    known = sizes_of(network)
    for name, value in sizes.items():
        if name in ("table", "passes") and name not in known:
            continue  # only some networks look times up in a table, or hand something on untrained
        if name not in known:
            advice = _ADVICE.get(name, "") if kind == "mix" else ""
            raise ConfigError(
                f'network.kind = "{network["kind"]}" does not go with data.kind = "{kind}"{advice}'
            )
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
