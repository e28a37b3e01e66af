"""Everything a training needs to go on as if it had never stopped, in safetensors and JSON.

A checkpoint is a folder ``step-00001234`` with ``state.safetensors`` (weights ``net.*``, their average
``ema.*``, the optimiser's moments ``optimiser.<kind>.*``) and ``state.json`` (progress, configuration,
where the log stood). It is written under a temporary name, flushed to disk and renamed, so that one which
bears the final name is complete. What a killed run left under other names is removed at the next save, or
put back if it is the only one of its step. The randomness of training is a function of (seed, step), so
no generator state has to be kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from audiodiff import system
from audiodiff.errors import ConfigError, ModelError
from audiodiff.networks.contract import Network
from audiodiff.training import ema
from audiodiff.training.muon import Muon
from audiodiff.training.schedule import Optimisers

_KEEP = 2
_PREFIX = "step-"
_ASIDE, _GONE = ".old", ".gone"


@dataclass
class Progress:
    """How far a training has come, and the choices that later steps depend on."""

    step: int = 0
    minutes: float = 0.0
    audio_s: float = 0.0
    bf16: bool | None = None  # None: not decided yet; decided once by measurement, then kept for ever
    compiled: bool | None = None
    against_trivial: list[tuple[float, float]] = field(default_factory=list)  # (loss, loss of x0_hat = y)


@dataclass
class State:
    """What changes during a training."""

    net: nn.Module
    average: dict[str, Tensor]
    optimisers: Optimisers
    progress: Progress

    @property
    def network(self) -> Network:
        """The network by its contract."""
        return cast(Network, self.net)  # every network is a torch.nn.Module too; the protocol cannot say so


def fresh(net: nn.Module, optimisers: Optimisers) -> State:
    """The state before the first step."""
    return State(net, ema.start(net), optimisers, Progress())


def _tensors(state: State) -> dict[str, Tensor]:
    """Every tensor of a state under its name in the file."""
    tensors = {f"net.{name}": value for name, value in state.net.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in state.average.items()}
    for name, parameter in state.net.named_parameters():
        for optimiser in state.optimisers:
            for kind, value in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{kind}.{name}"] = torch.as_tensor(value)
    return {name: value.detach().contiguous().cpu().clone() for name, value in tensors.items()}


def _steps(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())


def latest(folder: Path) -> Path | None:
    """The newest finished checkpoint of a run's ``checkpoints`` folder, or None.

    For the process that trains there: it puts back what a killed run had set aside.
    """
    _put_back(folder)
    found = _steps(folder)
    return found[-1] if found else None


def _put_back(folder: Path) -> None:
    """Give a checkpoint its name again that a run, killed between two renames, had set aside."""
    for aside in folder.glob(f".{_PREFIX}*{_ASIDE}"):
        target = folder / aside.name.removeprefix(".").removesuffix(_ASIDE)
        if not target.exists():
            system.rename(aside, target)


def _clear(folder: Path) -> None:
    """Remove what killed runs left; only one process saves here at a time."""
    for left in folder.glob(f".{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint, or leave it whole where another program reads it."""
    gone = checkpoint.with_name(f".{checkpoint.name}{_GONE}")
    with contextlib.suppress(OSError):
        system.rename(checkpoint, gone)
        shutil.rmtree(gone, ignore_errors=True)


def _swap_in(temporary: Path, target: Path) -> None:
    """Give a complete checkpoint its name; an older one of its step is set aside for that."""
    if target.exists():  # the same step of the same run, saved again at its end
        system.rename(target, target.with_name(f".{target.name}{_ASIDE}"))
    try:
        system.rename(temporary, target)
    except OSError:
        _put_back(target.parent)
        raise


def save(folder: Path, state: State, config: Mapping[str, Any], log_bytes: int) -> Path:
    """Write a checkpoint atomically and remove all but the last two.

    Raises:
        ModelError: Code ``unwritable``: it cannot be written, as on a full disk; those before it stay.
    """
    target = folder / f"{_PREFIX}{state.progress.step:08d}"
    temporary = folder / f".{target.name}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put_back(folder)
        _clear(folder)
        temporary.mkdir()
        save_file(_tensors(state), temporary / "state.safetensors")
        document = {"progress": vars(state.progress), "config": config, "log_bytes": log_bytes}
        (temporary / "state.json").write_bytes(f"{json.dumps(document, indent=1)}\n".encode())
        for name in ("state.safetensors", "state.json"):
            system.flush_file(temporary / name)
        _swap_in(temporary, target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        why = _why(error)
        before = _steps(folder)
        start = f"from {before[-1].name}" if before else "from the start, as there is none before it"
        raise ModelError(
            f"{target}: this checkpoint could not be written ({why}); make room on the disk, then go on with "
            f"--resume {start}",
            code="unwritable",
        ) from error
    system.flush_folder(folder)
    _clear(folder)
    for old in _steps(folder)[:-_KEEP]:
        _remove(old)
    return target


def _why(error: OSError | SafetensorError) -> str:
    """What the system said; safetensors wraps it in its own words."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    said = os.strerror(int(number[1])) if number else str(error)
    return error.strerror or said if isinstance(error, OSError) else said


def read_document(checkpoint: Path) -> dict[str, Any]:
    """The JSON half of a checkpoint: ``progress``, ``config``, ``log_bytes``."""
    path = checkpoint / "state.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: damaged ({error}); remove {checkpoint} to resume from the one before"
        ) from error
    return document


def _take(
    tensors: dict[str, Tensor], prefix: str, like: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The entries under a prefix, checked against the shapes they must have."""
    taken: dict[str, Tensor] = {}
    for name, value in like.items():
        found = tensors.get(prefix + name)
        if found is None or found.shape != value.shape:
            has = "nothing" if found is None else f"shape {tuple(found.shape)}"
            raise ConfigError(
                f"{path}: {prefix}{name} should have shape {tuple(value.shape)}, found {has}; resume with "
                "the recipe that started the run, or start another run with --init"
            )
        taken[name] = found
    return taken


def load(checkpoint: Path, state: State) -> dict[str, Any]:
    """Put a checkpoint into a fresh state, in place."""
    document = read_document(checkpoint)
    path = checkpoint / "state.safetensors"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: damaged ({error}); remove {checkpoint} to resume from the one before"
        ) from error
    weights = state.net.state_dict()
    state.net.load_state_dict(_take(tensors, "net.", weights, path))
    for name, value in _take(tensors, "ema.", state.average, path).items():
        state.average[name].copy_(value)
    _load_moments(tensors, state)
    values = document["progress"]
    values["against_trivial"] = [(float(a), float(b)) for a, b in values["against_trivial"]]
    state.progress = Progress(**values)
    return document


def _load_moments(tensors: dict[str, Tensor], state: State) -> None:
    """Give every parameter its moments back (a parameter that never had a gradient has none)."""
    owners = {p: o for o in state.optimisers for group in o.param_groups for p in group["params"]}
    for name, parameter in state.net.named_parameters():
        owner = owners.get(parameter)
        if owner is None:
            continue
        with_momentum = isinstance(owner, Muon | torch.optim.SGD)
        kinds = ("momentum_buffer",) if with_momentum else ("step", "exp_avg", "exp_avg_sq")
        found = {kind: tensors.get(f"optimiser.{kind}.{name}") for kind in kinds}
        entry: dict[str, Tensor] = {}
        for kind, value in found.items():
            if value is not None:
                # the fused kernel walks raw memory: moments must lie as their parameter does
                like = value.to(parameter.device) if kind == "step" else torch.empty_like(parameter.detach())
                entry[kind] = like.copy_(value)
        if entry:
            owner.state[parameter] = entry
