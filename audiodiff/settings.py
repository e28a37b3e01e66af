"""Strict settings: the pydantic base, the one check of plain values, and the TOML and JSON codec.

What a file may say is a `Settings` class (frozen, strict, no unknown keys, finite numbers only) or a plain
frozen dataclass (a diffusion process, the sizes of a network, a mel convention); `parse` checks both alike.
Whatever is wrong becomes one `ConfigError` line with the source, the key's path, what was found and, for an
unknown key, the nearest name.
"""

from __future__ import annotations

import difflib
import inspect
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from audiodiff.errors import ConfigError

Setting: TypeAlias = bool | int | float | str | list[int] | list[float] | list[str]
"""One plain value in the free part of a configuration (parameters of a network or of a process)."""

STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Settings(BaseModel):
    """Base of all settings: frozen, strict, unknown keys refused, numbers finite."""

    model_config = STRICT


T = TypeVar("T")
S = TypeVar("S", bound=Settings)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Ending for an error line about an unknown name: ``did you mean 'steps'?``, or all of them."""
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def add_kinds(built_in: Mapping[str, T], own: Mapping[str, T], at: str) -> dict[str, T]:
    """The kinds of a section that are built in, and those of a plug-in, whose names must be new."""
    for kind in own:
        if kind in built_in:
            raise ConfigError(f"{at}: the plug-in's kind {kind!r} is built in; give yours another name")
    return {**built_in, **own}


def parse(cls: type[T], data: Mapping[str, Any], source: str = "", at: str = "", context: object = None) -> T:
    """Check plain data against a settings class or a plain dataclass.

    Args:
        cls: The class.
        data: Plain values as JSON or TOML give them (lists may stand for tuples).
        source: Name of the origin, for the error line.
        at: Path of the keys that lead to the data in that origin, such as ``network``.
        context: What the validators of a settings class find as their ``info.context``.

    Returns:
        The frozen object.

    Raises:
        ConfigError: Unknown key, missing key, wrong type or bad range; the line names the first fault's path.
    """
    prefix = f"{source}: " if source else ""
    # JSON mode is the strict mode that still lets a list be a tuple, so TOML goes the same way.
    try:
        text = json.dumps([data])
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{prefix}{at or 'settings'}: not plain data ({error}); use numbers and text"
        ) from None
    try:
        # in a tuple, because a plain dataclass takes its strictness from what holds it
        held: Any = tuple
        found: T = TypeAdapter(held[cls], config=STRICT).validate_json(text, context=context)[0]
    except ValidationError as error:
        raise ConfigError(prefix + _describe(cls, error, at)) from None
    except ConfigError as error:  # the class's own refusal, or that of a part of it, which knows its path
        raise ConfigError(prefix + (f"{at}: " if at and is_dataclass(cls) else "") + str(error)) from None
    return found


def keys_of(cls: type[Any]) -> list[str]:
    """The keys that `parse` takes for a settings class or a dataclass."""
    if issubclass(cls, Settings):
        return list(cls.model_fields)
    return list(inspect.signature(cls).parameters) if is_dataclass(cls) else []


def load_json(cls: type[S], path: Path) -> S:
    """Read settings from a JSON file."""
    return parse(cls, read_json(path), str(path))


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON ({error}); correct the file") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected one JSON object, found {type(data).__name__}")
    return data


def load_toml(cls: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """Read settings from a TOML file with overrides, see `read_toml`."""
    return parse(cls, read_toml(path, overrides), " ".join([str(path), *overrides]))


def read_toml(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a TOML file, then apply ``section.key=value`` overrides.

    The value of an override is TOML (``3``, ``true``, ``[1, 2]``); what is not TOML is text.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not TOML ({error}); correct the file") from None
    for assignment in overrides:
        _assign(data, assignment)
    return data


def dump_json(settings: Settings) -> str:
    """Settings as readable JSON text; `parse` of it gives an equal object."""
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


def _describe(cls: type[Any], error: ValidationError, at: str) -> str:
    faults = error.errors(include_url=False)
    unknown = ("extra_forbidden", "unexpected_keyword_argument")  # of settings, of a dataclass
    # An unknown key is most often the misspelt form of a missing one: report it first.
    fault = next((f for f in faults if f["type"] in unknown), faults[0])
    keys = fault["loc"][1:]
    path = ".".join([*filter(None, [at]), *map(str, keys)])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] in unknown:
        return f"unknown key {path!r}; {nearest(str(keys[-1]), keys_of(_owner(cls, keys)))}{more}"
    match fault["type"]:
        case "missing":
            return f"key {path!r} is missing; add it{more}"
        case "value_error":
            return f"{path or 'settings'}: {fault['ctx']['error']}{more}"
        case _:
            return f"{path or 'settings'}: {fault['msg']}, found {fault['input']!r}{more}"


def _owner(cls: type[Any], keys: tuple[int | str, ...]) -> type[Any]:
    """The class that the last of these keys belongs to."""
    for key in keys[:-1]:
        field = cls.model_fields.get(str(key)) if issubclass(cls, Settings) else None
        if field is not None:
            cls = _settings_in(field.annotation) or object  # an item of a list is of the list's class
    return cls


def _settings_in(annotation: Any) -> type[Settings] | None:
    """The settings class inside an annotation such as ``tuple[Section, ...]`` or ``Section | None``."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, Settings) else None
    return next((found for arg in get_args(annotation) if (found := _settings_in(arg)) is not None), None)
