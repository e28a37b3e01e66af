"""A published DiffWave checkpoint as a model folder.

The layout (``step``, ``model``, ``optimizer``, ``params``, ``scaler``) is that of the code that LMNT
published; `networks.wavenet.WaveNet` has the same parameter names, so the weights are copied as they are.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251  the exception alone
from typing import Any

import torch
from torch import Tensor

from audiodiff import networks
from audiodiff.diffusion import time_grids
from audiodiff.diffusion.diffwave import FAST_BETAS
from audiodiff.diffusion.vp import VP, linear_betas
from audiodiff.errors import ModelError
from audiodiff.model.config import ModelConfig, Presets, SamplerPreset
from audiodiff.model.folder import save, verify
from audiodiff.networks.wavenet import WaveNet, WaveNetConfig
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_presets import PRESETS

MEL = "diffwave"
"""Preset of the mel that the published code computes."""

_MAX_LAYERS = 200

MAX_MEMBERS = 65_536
MAX_PROGRAM = 16 * 2**20
"""Bytes of the pickled program; a checkpoint of 254 tensors with its optimiser takes 80 kB."""
MAX_BYTES = 4 * 2**30
"""Bytes of all members together."""

# All that a DiffWave checkpoint names. `torch.load` allows a few more, among them bytearray(n) for any n.
_NAMES = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
}
# What zipfile, pickletools and torch raise for damaged files.
_DAMAGED = (
    zipfile.BadZipFile,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    UnpicklingError,
)


def convert(source: Path, folder: Path, licence: str) -> ModelConfig:
    """Write the model folder of a published checkpoint.

    Args:
        source: Checkpoint, read without running anything in it.
        folder: Model folder to write; an older model there is replaced.
        licence: Licence of the weights, for the folder; the checkpoint states none.

    Raises:
        ModelError: The file cannot be read, holds anything but tensors and plain values, or has another
            layout; or the target exists and is no model folder.
        ConfigError: Schedules that do not fit each other.
    """
    checkpoint = read_checkpoint(source)
    try:
        config, state = _settings(checkpoint, licence)
    except ModelError as error:
        raise ModelError(f"{source}: {error}", code=error.code) from None
    step = checkpoint.get("step")
    save(folder, config, state, _card(source, step, config), dtype=torch.float32)
    verify(folder)
    return config


def read_checkpoint(path: Path) -> Any:
    """Tensors and plain values of a checkpoint, by torch's restricted unpickler and within size limits."""
    try:
        _check_archive(path)
        # the only unpickling of the package: weights_only runs no code of the file
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except ModelError as error:
        raise ModelError(f"{path}: {error}", code=error.code) from None
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"{path}: cannot be read ({reason}); check the path", code="missing") from None
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{path}: not a complete torch checkpoint ({reason}); get it again, or save it again with torch "
            "1.6 or newer",
            code="damaged",
        ) from None


def _check_archive(path: Path) -> None:
    """Refuse absurd sizes, and every name that a DiffWave checkpoint does not need."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        # torch stores without compression, so a member is never larger than the file that holds it
        if any(info.compress_type or info.file_size != info.compress_size for info in members):
            raise ModelError("a member is compressed, which torch never does", code="refused")
        programs = [info for info in members if info.filename.partition("/")[2] == "data.pkl"]
        if len(programs) != 1:
            raise ModelError("there is no data.pkl in it; is it a checkpoint of torch?", code="refused")
        sizes = len(members), programs[0].file_size, sum(info.file_size for info in members)
        if any(
            size > limit for size, limit in zip(sizes, (MAX_MEMBERS, MAX_PROGRAM, MAX_BYTES), strict=True)
        ):
            raise ModelError(f"it is too large: {sizes[0]} members, {sizes[2]} bytes", code="refused")
        for instruction, argument, _ in pickletools.genops(archive.read(programs[0])):
            if instruction.name == "PROTO" and argument != 2:
                raise ModelError(f"pickle protocol {argument}, but torch.save writes 2", code="refused")
            if instruction.name == "GLOBAL" and argument not in _NAMES:
                name = str(argument).replace(" ", ".")
                raise ModelError(f"it holds {name}; only tensors and plain values are read", code="refused")


def _settings(checkpoint: Any, licence: str) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Settings and weights of a checkpoint of the published layout."""
    state = checkpoint.get("model") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(
        type(name) is str and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ModelError('expected a key "model" with named tensors; is it a DiffWave checkpoint?')
    for name, value in state.items():
        if value.numel() * value.itemsize > value.untyped_storage().nbytes():
            raise ModelError(f"parameter {name} repeats its values, which no weight does", code="refused")
    params = checkpoint.get("params") or {}
    if not isinstance(params, dict):
        raise ModelError('expected names and values in "params", found something else')
    betas = _betas(params, "noise_schedule") or linear_betas(1e-4, 0.05, 50)
    fast = _betas(params, "inference_noise_schedule") or FAST_BETAS
    mel = _mel(params)
    sizes = _sizes(state, params, len(betas), mel)
    with torch.device("meta"):  # shapes only: sizes of a file are not trusted with memory
        net = WaveNet(sizes)
    _check_layout(net.state_dict(), state)
    time_grids.from_betas(VP(betas), fast)  # an inference schedule below the table is refused here, not later
    quick = _preset(fast)
    config = ModelConfig(
        task="vocode",
        sample_rate=mel.sample_rate,
        mel=mel.as_dict(),
        process={"kind": "vp", "betas": list(betas)},
        target="eps",
        network=networks.complete({"kind": "wavenet", **_plain(sizes)}),
        presets=Presets(fast=quick, balanced=quick, best=_preset(betas)),
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        licence=licence,
    )
    return config, {name: value.float() for name, value in state.items()}


def _plain(sizes: WaveNetConfig) -> dict[str, Any]:
    return {name: getattr(sizes, name) for name in WaveNetConfig.__dataclass_fields__}


def _preset(betas: tuple[float, ...]) -> SamplerPreset:
    return SamplerPreset(steps=len(betas), sampler="diffwave", eta=1.0, betas=betas)


def _betas(params: Mapping[Any, Any], name: str) -> tuple[float, ...]:
    """A schedule of the checkpoint; nothing where it has none."""
    values = params.get(name)
    if values is None:
        return ()
    good = isinstance(values, list | tuple) and all(type(v) is float and 0 < v < 1 for v in values)
    if not good or not 1 <= len(values) <= 1000:
        raise ModelError(f"params.{name}: expected up to 1000 numbers in (0, 1)")
    return tuple(values)


def _mel(params: Mapping[Any, Any]) -> MelSpec:
    """The convention of the published code, which its params may vary in these places and no other."""
    if params.get("unconditional"):
        raise ModelError("the checkpoint is unconditional; a vocoder needs one that takes a mel")
    mel = PRESETS[MEL]
    stated = {
        "sample_rate": mel.sample_rate,
        "n_mels": mel.n_mels,
        "n_fft": mel.n_fft,
        "hop_samples": mel.hop,
    }
    found = {name: params.get(name, value) for name, value in stated.items()}
    if not all(type(value) is int and 0 < value < 1_000_000 for value in found.values()):
        raise ModelError(f"params: expected whole numbers for {', '.join(stated)}")
    if found["hop_samples"] != mel.hop:
        raise ModelError(f"params.hop_samples is {found['hop_samples']}; its upsampler makes {mel.hop}")
    rate = found["sample_rate"]
    # its code takes 4 hops for the window and half the rate for the upper edge
    return replace(
        mel, sample_rate=rate, n_mels=found["n_mels"], n_fft=found["n_fft"], win=4 * mel.hop, f_max=rate / 2
    )


def _sizes(state: Mapping[str, Tensor], params: Mapping[Any, Any], table: int, mel: MelSpec) -> WaveNetConfig:
    """Sizes of the network: from the shapes, the dilation cycle from params."""
    layers = len({name.split(".")[1] for name in state if name.startswith("residual_layers.")})
    first = state.get("input_projection.weight")
    embedding = state.get("diffusion_embedding.projection1.weight")
    cycle = params.get("dilation_cycle_length", 10)
    if first is None or embedding is None or first.ndim != 3 or embedding.ndim != 2:
        raise ModelError("its layers are not those of the published DiffWave")
    if not 1 <= layers <= _MAX_LAYERS or type(cycle) is not int or not 1 <= cycle <= 20:
        raise ModelError(f"{layers} layers in cycles of {cycle} are no DiffWave")
    return WaveNetConfig(
        residual_channels=first.shape[0],
        layers=layers,
        cycle=cycle,
        step_width=embedding.shape[0],
        table=table,
        n_mels=mel.n_mels,
    )


def _check_layout(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Names and shapes, the first difference named."""
    for name in [*expected, *found]:
        shapes = [tuple(part[name].shape) if name in part else None for part in (expected, found)]
        if shapes[0] != shapes[1]:
            raise ModelError(f"parameter {name}: expected shape {shapes[0]}, found {shapes[1]}")


def _card(source: Path, step: Any, config: ModelConfig) -> str:
    trained = f"{step} steps" if type(step) is int else "an unstated number of steps"
    return (
        f"# {source.stem}\n\nA DiffWave vocoder, converted from {source.name} after {trained}. It turns a "
        f"mel of the convention in config.json into speech at {config.sample_rate} Hz.\n\n## Scores\n\nNot "
        f"measured.\n\n## Data\n\nNot stated in the checkpoint.\n\nWeights: licence {config.licence}.\n"
    )
