"""How a run begins: anew, from the weights of a model, or where its newest checkpoint was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiodiff import networks
from audiodiff.errors import ConfigError
from audiodiff.io.atomic import write_file
from audiodiff.model import plugin
from audiodiff.model.folder import load
from audiodiff.model.model import Model
from audiodiff.settings import dump_json, parse
from audiodiff.training import checkpoint
from audiodiff.training.checkpoint import State
from audiodiff.training.recipe import Recipe

_FIXED = ("representation", "sample_rate", "n_fft", "hop", "exponent", "scale", "target", "mel", "prior")
"""Of [model]: what the weights depend on, where the recipe has it."""


@dataclass(frozen=True)
class Begin:
    """How a call of `run` begins; see `run.run`."""

    resume: bool
    init: Path | None
    allow_code: bool


def start(recipe: Recipe, folder: Path, state: State, begin: Begin) -> tuple[int, list[str]]:
    """Fill the state from a checkpoint or a model; returns how much of the log to keep, and notes for it."""
    resume, init = begin.resume, begin.init
    newest = checkpoint.latest(folder / "checkpoints")
    if newest is not None and not resume:
        raise ConfigError(f"{folder}: already holds a run; add --resume to go on, or choose another folder")
    if newest is not None:
        _refuse_other_code(recipe, folder)
        values = checkpoint.read_document(newest)["config"]
        before = parse(Recipe, values, str(newest / "state.json"), context=recipe.code)
        _refuse_other_model(recipe, before, newest)
        document = checkpoint.load(newest, state)
        notes = [f"resume: --init {init} is ignored, the checkpoint's weights go on"] if init else []
        return int(document["log_bytes"]), notes + _changes(recipe, before)
    notes = ["resume: no checkpoint yet, started at step 0"] if resume else []
    if init is not None:
        _take_weights(recipe, state, load(init, begin.allow_code), init)
        notes.append(f"first weights from {init}")
    return 0, notes


def _refuse_other_code(recipe: Recipe, folder: Path) -> None:
    """Hold the plug-in of a resumed run to the one that it began with."""
    path = folder / plugin.FILE
    before = path.read_bytes() if path.is_file() else b""
    if before != recipe.code.content:
        raise ConfigError(
            f"{path}: is not the recipe's plug-in; resume with the one that the run began with, or start a "
            "new run with --init"
        )


def _refuse_other_model(recipe: Recipe, before: Recipe, path: Path) -> None:
    def weighty(of: Recipe) -> dict[str, Any]:
        model = {f"model.{key}": getattr(of.model, key, None) for key in _FIXED}
        # a table by its name or by its betas is the same process
        return model | {"process": of.make_process(), "network": of.network}

    now = weighty(recipe)
    for name, value in weighty(before).items():
        if now[name] != value:
            raise ConfigError(
                f"{path}: was trained with {name} = {value!r}, the recipe says {now[name]!r}; resume with "
                "the old value, or start a new run with --init"
            )


def _changes(recipe: Recipe, before: Recipe) -> list[str]:
    """What a resumed run does differently from here on; one note a key."""
    now, then = (
        of.model_dump(mode="json", exclude={"plugin", "process", "network"}) for of in (recipe, before)
    )
    return [
        f"resume: {section}.{key} is now {value!r}, was {then[section].get(key)!r}"
        for section in now
        for key, value in now[section].items()
        if value != then[section].get(key)
    ]


def _take_weights(recipe: Recipe, state: State, model: Model, init: Path) -> None:
    """Start network and average from the model of a folder."""
    # a folder of an older version lacks the keys that came later; their defaults keep its meaning
    if networks.complete(model.config.network, recipe.code.networks) != recipe.network:
        raise ConfigError(f"{init}: has another network than the recipe; make their [network] sections equal")
    weights = model.net.state_dict()
    state.net.load_state_dict(weights)
    for name, value in weights.items():
        state.average[name].copy_(value)


def write_recipe(recipe: Recipe, folder: Path, name: str = "recipe.json") -> None:
    """The resolved recipe, with its plug-in beside it."""
    if recipe.plugin is not None:
        write_file(folder / plugin.FILE, recipe.code.content)
        recipe = recipe.model_copy(update={"plugin": plugin.FILE})
    write_file(folder / name, dump_json(recipe).encode())
