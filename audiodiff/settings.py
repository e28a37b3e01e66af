"""Strict settings: the pydantic base, and the TOML and JSON codec.

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
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Tag, ValidationError, create_model

from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Setting: TypeAlias = bool | int | float | str | list[int] | list[float] | list[str]
"""One plain value in the free part of a configuration (parameters of a network or of a process)."""


class Settings(BaseModel):
    """Base of all settings: frozen, strict, unknown keys refused, numbers finite."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T", bound=Settings)
D = TypeVar("D", bound="DataclassInstance")


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
