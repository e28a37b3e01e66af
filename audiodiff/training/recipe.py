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
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from audiodiff import networks
from audiodiff.data.mixing import MixConfig
from audiodiff.data.noisy_clean import NoisyCleanData
from audiodiff.data.own_data import OwnData, OwnSource
from audiodiff.diffusion import time_grids
from audiodiff.diffusion.prediction import Target, natural_start
from audiodiff.diffusion.process import Process
from audiodiff.errors import ConfigError
from audiodiff.model import plugin
from audiodiff.model.config import ModelConfig, Presets
from audiodiff.model.model import build_process
from audiodiff.model.plugin import NO_PLUGIN, Plugin
from audiodiff.networks import complete, sizes_of
from audiodiff.networks.contract import Network
from audiodiff.settings import Setting, Settings, add_kinds, nearest, parse, read_json, read_toml
from audiodiff.training.losses import NoiseObjective, ObjectiveConfig
from audiodiff.training.model_sections import STEPS_OF_NOISE, NoisyWaveModel, SpectralModel, WaveModel
from audiodiff.training.pesq_loss import MIN_RATE
from audiodiff.training.run_sections import Optim, RunSection, TimedOptim
from audiodiff.training.shipped_recipes import find
from audiodiff.training.wave_losses import WaveObjective


class MixData(MixConfig):
    """``[data]`` of a denoiser: what is learned from, and how it is mixed (every key of `MixConfig`).

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


class PairData(Settings):
    """``[data]`` of a vocoder of spectra: pairs of mel inversions and their targets.

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


class WaveData(Settings):
    """``[data]`` of a vocoder of waveforms: crops of clips with their mels.

    Attributes:
        kind: ``waves``.
        store: Folder of the packed store.
        batch: Crops in a batch.
        frames: Frames of a crop; its samples are frames x hop. Shorter clips are left out.
        peak: Each clip is scaled to this peak; None leaves it at its level.
    """

    kind: Literal["waves"]
    store: str = Field(min_length=1)
    batch: int = Field(ge=1)
    frames: int = Field(default=62, ge=2)
    peak: float | None = Field(default=None, gt=0, le=1)
    level_db: ClassVar[None] = None  # the mel says how loud the speech is


_SECTIONS: dict[str, tuple[type[Settings], ...]] = {  # [model] [data] [objective] [optim] [run] by data.kind
    "mix": (SpectralModel, MixData, ObjectiveConfig, TimedOptim, RunSection),
    "noisy_clean": (SpectralModel, NoisyCleanData, ObjectiveConfig, TimedOptim, RunSection),
    "pairs": (SpectralModel, PairData, ObjectiveConfig, TimedOptim, RunSection),
    "waves": (WaveModel, WaveData, NoiseObjective, Optim, RunSection),
}
_OF_OWN_DATA = (SpectralModel, OwnData, ObjectiveConfig, TimedOptim, RunSection)
_BY_REPRESENTATION: dict[str, tuple[type[Settings], type[Settings]]] = {
    "spectrum": (SpectralModel, ObjectiveConfig),
    "waveform": (NoisyWaveModel, WaveObjective),
}
"""[model] and [objective] of a denoiser, by model.representation."""
DenoiserData: TypeAlias = MixData | NoisyCleanData | OwnSource


_ADVICE = {  # for a network that lacks this size
    "n_bins": ' and spectra; networks of waveforms need model.representation = "waveform"',
    "conditioner": ' and waveforms; networks of spectra need model.representation = "spectrum"',
}


_TIMES_OF_NOISE = {"t_steps": 8, "t_start_share": 0.2}
"""Of [optim], where the network predicts anything but x_0: it is read at every level of noise."""


class Recipe(Settings):
    """A whole recipe. Sizes of the network that follow from the model need not be given.

    Of a vocoder of waveforms ``[process]`` may be left out: it is DiffWave's table of 50 entries then.
    ``plugin`` names a Python file beside the recipe with kinds of one's own; validation takes what it offers,
    a `Plugin`, as its context.
    """

    _code: Plugin = PrivateAttr(default=NO_PLUGIN)

    plugin: str | None = Field(default=None, min_length=1, exclude_if=lambda name: name is None)
    model: SpectralModel | NoisyWaveModel | WaveModel
    process: dict[str, Setting]
    network: dict[str, Setting]
    data: MixData | NoisyCleanData | PairData | WaveData | OwnData
    objective: ObjectiveConfig | WaveObjective | NoiseObjective
    optim: TimedOptim | Optim
    run: RunSection

    @model_validator(mode="before")
    @classmethod
    def _sections_by_kind(cls, values: Any, info: ValidationInfo) -> Any:
        # Each section meets its own class here, so that an error names this class's keys and no other's.
        if not isinstance(values, Mapping):
            return values
        code = info.context if isinstance(info.context, Plugin) else NO_PLUGIN
        values = migrate(values, code)
        kind = _key(values.get("data"), "kind", "mix")
        known = add_kinds(_SECTIONS, dict.fromkeys(code.data, _OF_OWN_DATA), "data")
        if not isinstance(kind, str) or kind not in known:
            raise ConfigError(f"data.kind: unknown kind {kind!r}; {nearest(str(kind), known)}")
        model, data, objective, optim, run = known[kind]
        if data in (MixData, NoisyCleanData, OwnData):
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
    def _goes_together(self, info: ValidationInfo) -> Recipe:
        if isinstance(info.context, Plugin):
            self._code = info.context
        elif self.plugin is not None:
            raise ConfigError(f"plugin: {self.plugin} was not read; load the recipe with load_recipe")
        self.check_grid()
        process = self.make_process()
        self.folder_keys()  # refused now, not after hours of training
        self.data_source()
        self.network.update(_sized(self.network, self.model.sizes(process), self.data.kind, self._code))
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

    @property
    def code(self) -> Plugin:
        """What the recipe's plug-in offers."""
        return self._code

    def make_process(self) -> Process:
        """The diffusion process."""
        return build_process(self.process, self._code.processes)

    def make_network(self) -> Network:
        """The network before training."""
        return networks.build(self.network, self._code.networks)

    def data_source(self) -> MixData | NoisyCleanData | PairData | WaveData | OwnSource:
        """What is read: the section ``[data]``, or what makes a plug-in's recordings by it."""
        if not isinstance(self.data, OwnData):
            return self.data
        recorder = parse(self._code.data[self.data.kind], self.data.model_extra or {}, at="data")
        return OwnSource(self.data, recorder)

    def grid(self, n_steps: int) -> list[float]:
        """The times of so many steps, from the start of sampling to 0."""
        start = getattr(self.model, "start", 1.0)
        name = getattr(self.model, "grid", None)
        if name is None:
            return time_grids.default(self.make_process(), n_steps, start)
        return self._code.times(name, n_steps, start)

    def folder_keys(self) -> dict[str, Any]:
        """What the model folder states by the sections ``[model]`` and ``[process]``."""
        keys = self.model.folder_keys(self.make_process())
        if getattr(self.model, "grid", None) is not None:
            presets = keys["presets"].model_dump()
            for preset in presets.values():
                preset["times"] = self.grid(preset["steps"])
            keys["presets"] = parse(Presets, presets, at="model")
        return keys

    def check_grid(self) -> None:
        """Refuse a schedule that the plug-in does not have."""
        name = getattr(self.model, "grid", None)
        if name is not None and name not in self._code.schedules:
            line = f"unknown schedule {name!r} of a plug-in; {nearest(name, self._code.schedules)}"
            raise ConfigError(f"model.grid: {line}")

    @property
    def model_code(self) -> Plugin:
        """The plug-in where its network or process is what is trained, else none: data need not travel."""
        needed = self.network["kind"] in self._code.networks or self.process["kind"] in self._code.processes
        return self._code if needed else NO_PLUGIN


def migrate(values: Mapping[str, Any], code: Plugin = NO_PLUGIN) -> dict[str, Any]:
    """The plain values of a recipe, of an older version's too, as today's classes take them.

    Every recipe passes here on its way from TOML, ``recipe.json`` or a checkpoint: what is renamed one day is
    put right here, and what may be left out is filled in.
    """
    values = dict(values)
    if isinstance(values.get("data"), Mapping):
        values["data"] = {"kind": "mix", **values["data"]}  # before there were vocoders, there were no kinds
        if values["data"]["kind"] == "waves":
            return {"objective": {}, "run": {}, "process": {"kind": "vp", "schedule": "diffwave"}, **values}
    return {"objective": {}, "run": {}, **values, **_by_target(values, code)}


def _by_target(values: Mapping[str, Any], code: Plugin) -> dict[str, Any]:
    """Sections ``[model]`` and ``[optim]`` of a denoiser with what follows from what its network predicts."""
    sections = [values.get(name) for name in ("model", "process", "optim")]
    if not all(isinstance(section, Mapping) for section in sections):
        return {}
    model, process, optim = (dict(section) for section in sections if section is not None)
    target = model.get("target", "x0")
    if target not in get_args(Target):
        return {}
    start = (
        {} if "start" in model else {"start": natural_start(build_process(process, code.processes), target)}
    )
    if target == "x0":
        return {"model": {**start, **model}}
    steps = {} if "schedule" in model else {"steps": STEPS_OF_NOISE}
    return {"model": {**start, **steps, **model}, "optim": {**_TIMES_OF_NOISE, **optim}}


def _key(section: Any, name: str, default: str) -> Any:
    """A key of a section that is plain values or an object already."""
    return section.get(name, default) if isinstance(section, Mapping) else getattr(section, name, default)


def _sized(
    network: Mapping[str, Setting], sizes: Mapping[str, str | int], kind: str, code: Plugin
) -> dict[str, Setting]:
    """The section ``[network]`` with the sizes that follow from the model, and every default written out."""
    known = sizes_of(network, code.networks)
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
    more = {name: value for name, value in sizes.items() if name in known}
    return complete({**network, **more}, code.networks)


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
        plugin=recipe.model_code.digest if recipe.model_code.content else None,
        **recipe.folder_keys(),
    )


def load_recipe(path: Path, overrides: Sequence[str] = (), allow_code: bool = False) -> Recipe:
    """Read a recipe (TOML), with overrides, or the resolved recipe of another run (JSON).

    Args:
        path: The file, its folder, or the name of a shipped recipe; a plug-in that it names lies relative to
            the file.
        overrides: ``section.key=value``, for TOML.
        allow_code: Run the plug-in; without it a recipe that names one is refused (code ``foreign_code``).
    """
    path = find(path)
    if path.suffix != ".json":
        values = read_toml(path, overrides)
    elif overrides:
        raise ConfigError(f"{path}: overrides go with a TOML recipe; edit the JSON file instead")
    else:
        values = read_json(path)
    name = values.get("plugin")
    code = plugin.read(path.parent / name, allow_code) if isinstance(name, str) and name else None
    return parse(Recipe, values, " ".join([str(path), *overrides]), context=code)
