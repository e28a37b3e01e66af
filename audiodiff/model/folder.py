"""The model folder: load, save, verify.

    config.json           ModelConfig: rate, level, front end, process, network, presets, reaches, licence
    weights.safetensors   parameters, in half or single precision
    card.md               what it was trained on, what it scores, where it fails
    encode.onnx, step.onnx, down.onnx, up.onnx, the same as *.int8.onnx, ranges.json
                          the network for inference without torch (see `graph`); need not be there
    plugin.py             code of a model whose network or process is its trainer's own (see `plugin`)
    hashes.json           SHA-256 of the files above

Loading reads data only: nothing is unpickled, nothing is downloaded. A ``plugin.py`` runs only where the user
allows code.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from audiodiff.errors import AudiodiffError, ConfigError, ModelError
from audiodiff.io.atomic import atomic_folder, set_aside
from audiodiff.model import graph, plugin
from audiodiff.model.config import FORMAT_VERSION, ModelConfig, Presets
from audiodiff.model.model import Model, assemble, build_process, check_network, outline
from audiodiff.model.plugin import NO_PLUGIN, Plugin
from audiodiff.model.shipped import SHIPPED
from audiodiff.settings import dump_json, nearest, parse

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from audiodiff.networks.contract import Network

__all__ = [
    "SHIPPED",
    "Model",
    "assemble",
    "build_process",
    "find",
    "load",
    "load_model",
    "open_model",
    "save",
    "save_presets",
    "verify",
]

_CONFIG, _WEIGHTS, _CARD, _HASHES = "config.json", "weights.safetensors", "card.md", "hashes.json"


def load_model(model: str | os.PathLike[str], *, allow_code: bool = False) -> Model:
    """Load a model by the name of a shipped one, or from a folder.

    Args:
        model: A name such as ``podcast``, or the path of a model folder.
        allow_code: Run the code of a folder that brings some; it can do whatever you can.

    Returns:
        The model, on the CPU.

    Raises:
        ModelError: There is no such model, or the folder is damaged, of an unknown version, or refused; with
            code ``foreign_code`` where it brings code that may not run.
    """
    found = open_model(model, allow_code)
    _ = found.net  # so that what does not fit is told here
    return found


def open_model(model: str | os.PathLike[str], allow_code: bool = False) -> Model:
    """`load_model` without the network, which is loaded when it is first asked for."""
    return _opened(find(model), os.fspath(model), allow_code)


def find(model: str | os.PathLike[str]) -> Path:
    """The folder of a model; a shipped name wins over a folder of that name in the current directory."""
    name = os.fspath(model)
    shipped = SHIPPED / name
    if Path(name).name == name and (shipped / _CONFIG).is_file():
        return shipped
    path = _standing(Path(name))
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(
            f"{name}: is a file; a model is a folder with {_CONFIG} and {_WEIGHTS}", code="missing"
        )
    names = sorted(entry.parent.name for entry in SHIPPED.glob(f"*/{_CONFIG}"))
    raise ModelError(
        f"model {name!r} is neither a shipped model nor a folder; {nearest(name, names)}", code="missing"
    )


def load(folder: Path, allow_code: bool = False) -> Model:
    """Load and check a model folder.

    Args:
        folder: Folder with the four files.
        allow_code: Run the code that it brings.

    Returns:
        The model, float32 on the CPU, in evaluation mode.

    Raises:
        ModelError: A file is missing or differs from its hash, the version is unknown, or settings and
            weights do not fit; code ``missing``, ``damaged``, ``version``, ``refused`` or ``foreign_code``.
    """
    model = _opened(_standing(folder), "a loaded model", allow_code)
    _ = model.net
    return model


def _opened(folder: Path, name: str, allow_code: bool) -> Model:
    files = _read_files(folder)
    config = _read_config(folder, files[_CONFIG])
    own = _plugin_of(folder, config, files, allow_code)

    @functools.cache
    def make_net() -> Network:
        return _network(folder, config, files[_WEIGHTS], own)

    digest = hashlib.sha256(files[_WEIGHTS]).hexdigest()
    has_graphs = all(file in files for file in graph.NEEDED) and config.stft is not None
    try:
        model = outline(config, make_net, digest, folder if has_graphs else None, own.processes)
    except AudiodiffError as error:
        raise (
            error if isinstance(error, ModelError) else ModelError(f"{folder}: {error}", code="refused")
        ) from None
    return dataclasses.replace(model, name=name)


def _plugin_of(folder: Path, config: ModelConfig, files: Mapping[str, bytes], allow_code: bool) -> Plugin:
    """The code that a folder's settings name, if it is what they name and may run."""
    if config.plugin is None:
        return NO_PLUGIN
    path = folder / plugin.FILE
    content = files.get(plugin.FILE)
    if content is None:
        raise ModelError(f"{path}: is missing; {_CONFIG} names it, get the model again", code="missing")
    if hashlib.sha256(content).hexdigest() != config.plugin:
        line = f"{path}: differs from its SHA-256 in {_CONFIG}; get the model again"
        raise ModelError(line, code="damaged")
    try:
        return plugin.load(content, path, allow_code)
    except ConfigError as error:
        code = plugin.FOREIGN_CODE if error.code == plugin.FOREIGN_CODE else "refused"
        raise ModelError(str(error), code=code) from error


def _network(folder: Path, config: ModelConfig, weights: bytes, own: Plugin) -> Network:
    """The network of a folder, in evaluation mode on the CPU."""
    import torch

    from audiodiff import networks
    from audiodiff.model.torch_defaults import plain_torch

    try:
        with plain_torch(), torch.inference_mode(False):
            net = networks.build(config.network, own.networks)
            state = safetensors.numpy.load(weights)
            _check_state(folder, state)
            wide = {name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()}
            net.load_state_dict(wide, strict=True)
            check_network(config, net)
            return net.train(False)
    except safetensors.SafetensorError as error:
        raise ModelError(
            f"{folder / _WEIGHTS}: is not a safetensors file ({error})", code="damaged"
        ) from None
    except RuntimeError as error:  # torch's word for names or shapes that do not fit
        raise ModelError(
            f"{folder}: weights do not fit the network in {_CONFIG}: {error}", code="refused"
        ) from None
    except AudiodiffError as error:
        raise (
            error if isinstance(error, ModelError) else ModelError(f"{folder}: {error}", code="refused")
        ) from None


def verify(folder: Path, allow_code: bool = False) -> Model:
    """Load a model and run its network once on silence at the start of sampling, in all that can run it.

    Raises:
        ModelError: As `load`, or the network gives NaN or the wrong shape.
    """
    model = _opened(_standing(folder), "a loaded model", allow_code)
    outputs = []
    has_torch = find_spec("torch") is not None
    if has_torch or model.graphs is None:
        outputs.append(_tried_in_torch(model))
    if model.graphs is not None and graph.has_runtime():
        steps = (graph.STEP, graph.INT8[graph.STEP])
        there = [step for step in steps if (model.graphs / step).is_file()]
        outputs += [_tried_as_graph(model, model.graphs, step) for step in there]
    shape = model.representation.silence()[1].shape
    if not all(out.shape == shape and np.isfinite(out).all() for out in outputs):
        raise ModelError(f"{folder}: the network fails on silence; do not use this model", code="refused")
    return model


def _tried_in_torch(model: Model) -> npt.NDArray[Any]:
    import torch

    cond, x_t = (torch.from_numpy(silent) for silent in model.representation.silence())
    with torch.inference_mode():
        out: Tensor = model.net(x_t, torch.tensor([model.config.start]), model.net.encode(cond))
    return out.numpy()


def _tried_as_graph(model: Model, folder: Path, name: str) -> npt.NDArray[Any]:
    encode, step = (graph.session(folder / file, 1) for file in (graph.ENCODE, name))
    cond, x_t = model.representation.silence()
    names = [node.name for node in encode.get_outputs()]
    features = dict(zip(names, encode.run(None, {"cond": cond}), strict=True))
    time = np.array([model.config.start], dtype=np.float32)
    out: npt.NDArray[Any] = step.run(None, {"x_t": x_t, "t": time, **features})[0]
    return out


def save(
    folder: Path,
    config: ModelConfig,
    state_dict: Mapping[str, Tensor],
    card: str,
    dtype: torch.dtype | None = None,
    own: Plugin = NO_PLUGIN,
) -> None:
    """Write a model folder (see `atomic_folder`): a crash leaves the old model or the new one.

    Args:
        folder: Target; an older model folder there is replaced.
        state_dict: Parameters; floating ones are stored as `dtype`.
        dtype: ``torch.float16``, which None is too, or ``torch.float32``.
        own: The code that `config` names by its ``plugin``, if it does.

    Raises:
        ModelError: The target exists and is not a model folder, or a parameter is not finite as `dtype`.
    """
    import safetensors.torch
    import torch

    dtype = dtype or torch.float16
    if folder.exists() and not (folder / _HASHES).is_file():
        raise ModelError(f"{folder}: exists and is not a model folder; choose another name", code="refused")
    state = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state_dict.items()
    }
    _check_state(folder, {name: value.numpy() for name, value in state.items()})
    files = {
        _CONFIG: dump_json(config.model_copy(update={"format_version": FORMAT_VERSION})).encode(),
        _WEIGHTS: safetensors.torch.save(state),
        _CARD: card.encode(),
    }
    if config.plugin is not None:
        files[plugin.FILE] = own.content
    _write(folder, files)


def add_graphs(
    model: str | os.PathLike[str],
    folder: Path,
    allow_code: bool = False,
    ranges: Mapping[str, graph.Range] | None = None,
) -> None:
    """Write a copy of a model of spectra that holds its graphs, too.

    Args:
        model: Name of a shipped model, or path of a model folder.
        folder: Target; may be the model's own folder.
        allow_code: Run the code that the model brings.
        ranges: Of the layers, for graphs in integers of 8 bits; None for those that the model has.

    Raises:
        ModelError: As `load`; or the model works on waveforms, or its network cannot be exported.
        ConfigError: onnx is not installed.
    """
    found = find(model)
    loaded = load_model(model, allow_code=allow_code)
    if loaded.config.stft is None:
        raise ModelError(f"{found}: works on waveforms; only models of spectra have graphs", code="refused")
    from audiodiff.model.export import graphs

    files = {name: content for name, content in _read_files(found).items() if name not in graph.FILES}
    if ranges is not None:
        files[graph.RANGES] = graph.dump_ranges(ranges)
    known = files.get(graph.RANGES)
    used = None if known is None else graph.read_ranges(known, found / graph.RANGES)
    made = graphs(loaded.net, loaded.stft.n_bins, files[_WEIGHTS], _WEIGHTS, used)
    _write(folder, files | made)


def save_presets(model: str | os.PathLike[str], folder: Path, presets: Presets, note: str) -> None:
    """Write a copy of a model with other presets; weights and graphs stay as they are.

    Args:
        model: Name of a shipped model, or path of a model folder.
        folder: Target, which must not exist.
        presets: In place of the model's.
        note: What the copy's card says of them.

    Raises:
        ModelError: As `load`; the target exists, or the presets do not fit the model; code ``refused``.
    """
    if folder.exists():
        raise ModelError(f"{folder}: exists; choose another name", code="refused")
    files = _read_files(find(model))
    config = _read_config(find(model), files[_CONFIG])
    plain = config.model_dump(mode="json") | {
        "presets": presets.model_dump(mode="json"),
        "format_version": FORMAT_VERSION,
    }
    try:
        files[_CONFIG] = dump_json(parse(ModelConfig, plain)).encode()
    except ConfigError as error:
        raise ModelError(f"{folder}: {error}", code="refused") from None
    files[_CARD] = files[_CARD].rstrip(b"\n") + f"\n\n## Presets of this copy\n\n{note}\n".encode()
    _write(folder, files)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    with atomic_folder(folder, replace=True) as fresh:
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        (fresh / _HASHES).write_bytes(f"{json.dumps(hashes, indent=2)}\n".encode())


def _standing(folder: Path) -> Path:
    """The folder, or the old model that a save, killed between its renames, had set aside."""
    return set_aside(folder) if not folder.exists() and set_aside(folder).is_dir() else folder


def _read_files(folder: Path) -> dict[str, bytes]:
    """The hashed files, each read once, so that what was checked is what is used."""
    files = {}
    there = [name for name in (*graph.FILES, graph.RANGES, plugin.FILE) if (folder / name).is_file()]
    for name in (_HASHES, _CONFIG, _WEIGHTS, _CARD, *there):
        try:
            files[name] = (folder / name).read_bytes()
        except OSError as error:
            line = f"{folder}: {name} cannot be read ({error.strerror}); a model folder needs it"
            raise ModelError(line, code="missing") from None
    try:
        hashes = json.loads(files.pop(_HASHES))
    except ValueError:
        raise ModelError(f"{folder / _HASHES}: is not JSON; get the model again", code="damaged") from None
    for name, content in files.items():
        if not isinstance(hashes, dict) or hashes.get(name) != hashlib.sha256(content).hexdigest():
            raise ModelError(
                f"{folder / name}: differs from its SHA-256 in {_HASHES}; get the model again", code="damaged"
            )
    return files


def _read_config(folder: Path, content: bytes) -> ModelConfig:
    try:
        data = json.loads(content)
    except ValueError as error:
        raise ModelError(f"{folder / _CONFIG}: is not JSON ({error})", code="damaged") from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        line = (
            f"{folder}: has format version {version!r}, this audiodiff reads 1 to {FORMAT_VERSION}; update it"
        )
        raise ModelError(line, code="version")
    try:
        return parse(ModelConfig, data, str(folder / _CONFIG))
    except ConfigError as error:
        raise ModelError(str(error), code="refused") from None


def _check_state(folder: Path, state: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise ModelError(
                f"{folder}: parameter {name} holds NaN or infinity; do not use this model", code="refused"
            )
