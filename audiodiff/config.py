"""Strict settings: the pydantic base, the TOML and JSON codec, and the settings of a model folder.

Every settings class of audiodiff derives from `Settings`: frozen, strict (no silent casts), no unknown keys,
finite numbers only. Whatever is wrong becomes one `ConfigError` line with the source, the key's path, what
was found and, for an unknown key, the nearest name.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, Tag, ValidationError, create_model, model_validator

from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT_VERSION = 2
"""Version of the model folder that this code writes; it reads every version up to this one. Version 2 added
models of waveforms and mels: stft, compression and level_db may be absent, mel and prior may be there."""

Setting: TypeAlias = bool | int | float | str | list[int] | list[float] | list[str]
"""One plain value in the free part of a configuration (parameters of a network or of a process)."""


class Settings(BaseModel):
    """Base of all settings: frozen, strict, unknown keys refused, numbers finite."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T", bound=Settings)
D = TypeVar("D", bound="DataclassInstance")


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
        betas: Inference schedule of ``diffwave``, from data towards noise, a beta a step.
        project: Bring every estimate of the waveform next to the mel (GLA-Grad).
    """

    steps: int = Field(ge=1, le=1000)
    sampler: Literal["ddim", "dpmpp_2m", "heun", "diffwave"] = "ddim"
    eta: float = Field(default=0.0, ge=0, le=1)
    start_noise: float = Field(default=1.0, ge=0, le=1)
    betas: tuple[float, ...] | None = None
    project: bool = False

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
        presets: Sampler presets.
        reach_encode: Frames on one side that `encode` looks at.
        reach_step: Frames on one side that one evaluation looks at.
        licence: Licence of the weights (SPDX name or a short sentence).
    """

    format_version: Literal[1, 2] = 2
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
        faults = {
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
        }
        for line, wrong in faults.items():
            if wrong:
                raise ValueError(line)
        return self


def nearest(name: str, choices: Iterable[str]) -> str:
    """Ending for an error line about an unknown name: the closest choice, or all of them.

    Args:
        name: What was written.
        choices: What exists.

    Returns:
        ``did you mean 'steps'?``, or the list of choices when nothing is close.
    """
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def parse(cls: type[T], data: Mapping[str, Any], source: str) -> T:
    """Check plain data against a settings class.

    Args:
        cls: Settings class.
        data: Plain values as JSON or TOML give them (lists may stand for tuples).
        source: Name of the origin, for the error line.

    Returns:
        The frozen settings.

    Raises:
        ConfigError: Unknown key, wrong type or bad range; the line names the first fault's path.
    """
    # JSON mode is the strict mode that still lets a list be a tuple, so TOML goes the same way.
    try:
        text = json.dumps(data)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{source}: holds a value that is not plain data ({error}); use numbers and text"
        ) from None
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_describe(cls, error)}") from None


def construct(cls: type[D], data: Mapping[str, Any], source: str) -> D:
    """Build a plain frozen dataclass (a diffusion process, for one) from settings, as strictly as `parse`.

    Args:
        cls: Dataclass whose fields are plain values.
        data: Its fields.
        source: Name of the origin, for the error line.

    Returns:
        The object.

    Raises:
        ConfigError: Unknown key, missing key, wrong type, or a value that the class itself refuses.
    """
    hints = get_type_hints(cls)
    fields: dict[str, Any] = {
        field.name: (hints[field.name], ... if field.default is dataclasses.MISSING else field.default)
        for field in dataclasses.fields(cls)
        if field.init
    }
    shape: type[Settings] = create_model(cls.__name__, __base__=Settings, **fields)
    checked = parse(shape, data, source)
    try:
        return cls(**{name: getattr(checked, name) for name in fields})
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from None


def load_json(cls: type[T], path: Path) -> T:
    """Read settings from a JSON file.

    Args:
        cls: Settings class.
        path: File.

    Returns:
        The frozen settings.

    Raises:
        ConfigError: The file cannot be read, is not JSON, or does not fit the class.
    """
    return parse(cls, read_json(path), str(path))


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Args:
        path: File.

    Returns:
        The object's plain values.

    Raises:
        ConfigError: The file cannot be read or does not hold one JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON ({error}); correct the file") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected one JSON object, found {type(data).__name__}")
    return data


def load_toml(cls: type[T], path: Path, overrides: Sequence[str] = ()) -> T:
    """Read settings from a TOML file, then apply ``section.key=value`` overrides.

    Args:
        cls: Settings class.
        path: File.
        overrides: Assignments; the value is TOML (``3``, ``true``, ``[1, 2]``), and what is not TOML is text.

    Returns:
        The frozen settings.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or does not fit the class.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not TOML ({error}); correct the file") from None
    for assignment in overrides:
        _assign(data, assignment)
    return parse(cls, data, " ".join([str(path), *overrides]))


def dump_json(settings: Settings) -> str:
    """Settings as readable JSON text; `parse` of it gives an equal object.

    Args:
        settings: Any settings.

    Returns:
        Indented JSON with a final newline.
    """
    return settings.model_dump_json(indent=2) + "\n"


def _assign(data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"override {assignment!r}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table = data
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"override {assignment!r}: {part} is a value, not a section")
    table[parts[-1]] = value


def _describe(cls: type[Settings], error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    # An unknown key is most often the misspelt form of a missing one: report it first.
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    path = ".".join(str(part) for part in _walk(cls, fault["loc"])[1])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    match fault["type"]:
        case "extra_forbidden":
            key = str(fault["loc"][-1])
            return f"unknown key {path!r}; {nearest(key, _fields_at(cls, fault['loc'][:-1]))}{more}"
        case "missing":
            return f"key {path!r} is missing; add it{more}"
        case "value_error":
            return f"{path or 'settings'}: {fault['ctx']['error']}{more}"
        case _:
            return f"{path}: {fault['msg']}, found {fault['input']!r}{more}"


def _fields_at(cls: type[Settings], loc: tuple[int | str, ...]) -> list[str]:
    owner = _settings_in(_walk(cls, loc)[0])
    return list(owner.model_fields) if owner is not None else []


def _walk(cls: type[Settings], loc: tuple[int | str, ...]) -> tuple[Any, list[int | str]]:
    """What lies at a fault's place, and the keys that lead there: pydantic names members of unions too."""
    annotation: Any = cls
    keys: list[int | str] = []
    for part in loc:
        member = _tagged(annotation, part)
        if member is not None:
            annotation = member
            continue
        keys.append(part)
        owner = _settings_in(annotation)
        if owner is not None and part in owner.model_fields:
            annotation = owner.model_fields[str(part)].annotation
    return annotation, keys


def _tagged(annotation: Any, tag: int | str) -> Any:
    """The member of a tagged union, or None."""
    for member in get_args(annotation):
        if any(isinstance(mark, Tag) and mark.tag == tag for mark in getattr(member, "__metadata__", ())):
            return member
    return None


def _settings_in(annotation: Any) -> type[Settings] | None:
    """The settings class inside an annotation such as ``tuple[Section, ...]`` or ``Section | None``."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, Settings) else None
    return next((found for arg in get_args(annotation) if (found := _settings_in(arg)) is not None), None)
