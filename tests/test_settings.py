"""Promise: settings survive a round trip; every fault is one line with the key's path and nearest name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from audiodiff.errors import ConfigError
from audiodiff.model.config import ModelConfig, SamplerPreset
from audiodiff.settings import Settings, dump_json, load_json, load_toml, nearest, parse


class Inner(Settings):
    learning_rate: float = 0.1
    steps: int = 3
    sizes: tuple[int, ...] = (1, 2)


class Outer(Settings):
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    name: str


@dataclass(frozen=True)
class Bridge:
    rho: float
    note: str = "x"

    def __post_init__(self) -> None:
        if self.rho < 0:
            raise ConfigError("rho below 0")


def model_config() -> dict[str, Any]:
    preset = {"steps": 2}
    return {
        "sample_rate": 48000,
        "level_db": -25.0,
        "stft": {"n_fft": 1536, "hop": 768},
        "compression": {"exponent": 0.5, "scale": 0.3},
        "process": {"kind": "brownian", "rho": 0.5},
        "network": {"kind": "spectral", "width": 320, "dilations": [1, 2, 4]},
        "presets": {"fast": {"steps": 1}, "balanced": preset, "best": preset},
        "reach_encode": 3,
        "reach_step": 2,
        "licence": "CC-BY-4.0",
    }


def test_model_config_round_trip() -> None:
    config = parse(ModelConfig, model_config(), "test")
    assert parse(ModelConfig, json.loads(dump_json(config)), "again") == config
    assert config.network["width"] == 320
    assert isinstance(config.network["width"], int)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.lists(st.integers()), st.text())
def test_any_settings_round_trip(rate: float, steps: int, sizes: list[int], name: str) -> None:
    settings = Outer(inner=Inner(learning_rate=rate, steps=steps, sizes=tuple(sizes)), name=name)
    assert parse(Outer, json.loads(dump_json(settings)), "test") == settings


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"name": "a", "inner": {"step": 3}}, "unknown key 'inner.step'; did you mean 'steps'?"),
        (
            {"name": "a", "parts": [{"lerning_rate": 3}]},
            "'parts.0.lerning_rate'; did you mean 'learning_rate'?",
        ),
        ({"name": "a", "zzz": 1}, "unknown key 'zzz'; known: inner, name, parts"),
        ({}, "key 'name' is missing"),
        ({"name": "a", "inner": {"steps": "3"}}, "inner.steps: Input should be a valid integer, found '3'"),
        ({"name": "a", "inner": {"steps": True}}, "inner.steps"),
        ({"name": 1}, "name: Input should be a valid string, found 1"),
        ({"name": "a", "inner": {"steps": 1.5, "x": 2}}, "unknown key 'inner.x'"),
        ({"name": {1, 2}}, "not plain data"),
    ],
)
def test_faults_are_one_line(data: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, data, "recipe.toml")
    message = str(caught.value)
    assert message.startswith("recipe.toml: ")
    assert line in message
    assert "\n" not in message


def test_kind_is_required() -> None:
    data = model_config() | {"network": {"width": 3}}
    with pytest.raises(ConfigError, match='network needs a string "kind"'):
        parse(ModelConfig, data, "config.json")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Inner().steps = 4


def test_toml_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('name = "a"\n[inner]\nsteps = 5\n')
    settings = load_toml(Outer, path, ["inner.learning_rate=1e-3", "inner.sizes=[4, 5]", "name=plain text"])
    assert settings == Outer(name="plain text", inner=Inner(steps=5, learning_rate=1e-3, sizes=(4, 5)))
    assert load_toml(Outer, path, ["parts=[]", "inner.steps=7"]).inner.steps == 7
    for override, line in [
        ("inner.stps=3", "steps"),
        ("inner", "section.key=value"),
        ("name.x=1", "not a section"),
    ]:
        with pytest.raises(ConfigError, match=line):
            load_toml(Outer, path, [override])


def test_unreadable_files(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("[[")
    for load in (load_toml, load_json):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(Outer, tmp_path / "none")
        with pytest.raises(ConfigError, match="correct the file"):
            load(Outer, bad)
    bad.write_text("[1]")
    with pytest.raises(ConfigError, match="one JSON object"):
        load_json(Outer, bad)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"roh": 1.0}, "config.json: unknown key 'process.roh'; did you mean 'rho'"),
        ({}, "key 'process.rho' is missing"),
        ({"rho": "a"}, "process.rho: "),
        ({"rho": float("nan")}, "process.rho: "),
        ({"rho": -1.0}, "config.json: process: rho below 0"),
    ],
)
def test_a_plain_dataclass_is_checked_as_strictly(data: dict[str, Any], line: str) -> None:
    assert parse(Bridge, {"rho": 1}) == Bridge(rho=1.0)
    with pytest.raises(ConfigError, match=line):
        parse(Bridge, data, "config.json", at="process")


def test_evaluations() -> None:
    assert SamplerPreset(steps=4).evaluations == 4
    assert SamplerPreset(steps=4, sampler="heun").evaluations == 7


def test_nearest() -> None:
    assert nearest("stpes", ["steps", "seed"]) == "did you mean 'steps'?"
    assert nearest("qqq", []) == "known: none"
