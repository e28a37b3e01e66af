"""Write the graphs of a model (see `graph`): the one place where torch and onnx meet."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from audiodiff.errors import ModelError
from audiodiff.model.graph import DOWN, ENCODE, INT8, STEP, UP, Range
from audiodiff.model.integers import quantise
from audiodiff.networks.contract import Network
from audiodiff.networks.spectral_stream import StreamDown, StreamUp
from audiodiff.networks.spectral_unet import Spectral

_FRAMES = 16
_ITEMS = 2  # with one item the exporter would take its axis for a constant
_PREFIX = "net."

_STORED = {"F16": (TensorProto.FLOAT16, np.float16), "F32": (TensorProto.FLOAT, np.float32)}


class _Encode(nn.Module):
    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, cond: Tensor) -> tuple[Tensor, ...]:
        return self.net.encode(cond)


class _Step(nn.Module):
    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_t: Tensor, t: Tensor, features: tuple[Tensor, ...]) -> Tensor:
        return self.net(x_t, t, features)


def graphs(
    net: Network, n_bins: int, weights: bytes, location: str, ranges: Mapping[str, Range] | None = None
) -> dict[str, bytes]:
    """The graphs of a network of spectra, by file name.

    Args:
        net: The network, in evaluation mode on the CPU.
        n_bins: F.
        weights: Contents of the safetensors file that holds its parameters.
        location: Name of that file, beside the graphs.
        ranges: Of the layers that shall compute in integers of 8 bits, for graphs that do so, too.

    Raises:
        ModelError: The network cannot be exported, or not in integers; code ``refused``.
    """
    cond = torch.randn(_ITEMS, n_bins, _FRAMES, 2, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(False), torch.no_grad():
        features = net.encode(cond)
        spectrum = {0: "items", 2: "frames"}
        places = [{0: "items", feature.ndim - 1: "frames"} for feature in features]
        places[0] = spectrum if features[0].shape == cond.shape else places[0]
        names = [f"features_{i}" for i in range(len(features))]
        encode = _exported(_Encode(net), (cond,), ["cond"], names, {"cond": spectrum})
        dynamic = {"x_t": spectrum, "t": {0: "items"}, "features": tuple(places)}
        # a tensor of its own: the exporter would take one that is also among the features for the same input
        example = cond.clone(), torch.ones(_ITEMS), features
        step = _exported(_Step(net), example, ["x_t", "t", *names], ["prediction"], dynamic)
        made = {ENCODE: encode, STEP: step}
        if isinstance(net, Spectral):
            made |= _piecewise(net, cond[:1], names)
    stored = _Stored(weights, location)
    for proto in made.values():
        _link(proto, stored)
    contents = {name: _content(proto) for name, proto in made.items()}
    if ranges is None:
        return contents
    if not isinstance(net, Spectral):
        raise ModelError("only the network `spectral` can compute in integers", code="refused")
    for name, integer in INT8.items():
        quantise(made[name].graph, ranges, stored.values)
        contents[integer] = _content(made[name])
    return contents


def _piecewise(net: Spectral, cond: Tensor, features: list[str]) -> dict[str, onnx.ModelProto]:
    down, up, inside = StreamDown(net), StreamUp(net), torch.ones(cond.shape[2])
    kept_down, kept_up = down.states(), up.states()
    values, _ = down(cond, inside, kept_down)
    passed = [f"passed_{i}" for i in range(len(values))]
    frames = {"cond": {2: "frames"}, "inside": {0: "frames"}}
    last = tuple({value.ndim - 1: "frames"} for value in values)

    def names(kind: str, states: Sequence[Tensor]) -> list[str]:
        return [f"{kind}_{i}" for i in range(len(states))]

    return {
        DOWN: _exported(
            down,
            (cond, inside, kept_down),
            ["cond", "inside", *names("state", kept_down)],
            [*passed, *names("next", kept_down)],
            frames | {"states": ({},) * len(kept_down)},
        ),
        UP: _exported(
            up,
            (cond, inside, values, kept_up),
            ["cond", "inside", *passed, *names("state", kept_up)],
            [*features, *names("next", kept_up)],
            frames | {"values": last, "states": ({},) * len(kept_up)},
        ),
    }


def _exported(
    module: nn.Module,
    example: tuple[Any, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, Any],
) -> onnx.ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of axes that share a name, which is meant, and of torch's own
        try:
            program = torch.onnx.export(
                module,
                example,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=dynamic,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            raise ModelError(
                f"this network has operations that cannot be exported ({error})", code="refused"
            ) from error
    assert program is not None
    return program.model_proto


class _Stored:
    """The parameters in a safetensors file, with their places in it."""

    def __init__(self, content: bytes, location: str) -> None:
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        self.location = location
        self.places: dict[str, tuple[int, int, int, list[int]]] = {}
        self.values: dict[str, npt.NDArray[Any]] = {}
        for name, entry in header.items():
            begin, end = (start + offset for offset in entry["data_offsets"])
            kind, dtype = _STORED[entry["dtype"]]
            self.places[name] = kind, begin, end - begin, entry["shape"]
            self.values[name] = np.frombuffer(content[begin:end], dtype).reshape(entry["shape"])

    def transposed(self, wanted: npt.NDArray[Any]) -> str | None:
        """The matrix whose transpose this is: the exporter turns those of linear layers."""
        for name, value in self.values.items():
            if value.ndim == 2 and value.T.shape == wanted.shape and (value.T == wanted).all():
                return name
        return None


def _link(proto: onnx.ModelProto, stored: _Stored) -> None:
    """Put the graph's parameters into the safetensors file, and leave out the exporter's notes."""
    graph = proto.graph
    kept: list[TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    used: set[str] = set()
    for tensor in graph.initializer:
        name, turned = tensor.name.removeprefix(_PREFIX), False
        if name not in stored.places:
            found = stored.transposed(numpy_helper.to_array(tensor)) if len(tensor.dims) == 2 else None
            if found is None:
                kept.append(tensor)
                continue
            name, turned = found, True
        used.add(name)
        nodes += _reading(name, tensor.name, turned, stored)
    del graph.initializer[:]
    graph.initializer.extend([*kept, *(_external(name, stored) for name in sorted(used))])
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *body])
    for field in ("value_info", "metadata_props", "doc_string"):
        graph.ClearField(field)
    for field in ("metadata_props", "doc_string", "producer_name", "producer_version"):
        proto.ClearField(field)


def _content(proto: onnx.ModelProto) -> bytes:
    _name_anew(proto.graph)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _name_anew(graph: onnx.GraphProto) -> None:
    """Number what is inside the graph, so that the same network gives the same bytes."""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    fixed |= {tensor.name for tensor in graph.initializer if tensor.data_location == TensorProto.EXTERNAL}
    names = {name: name for name in ("", *sorted(fixed))}  # "" is an input that is left out
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"constant {len(names)}")
    for node in graph.node:
        inputs = [names.setdefault(name, f"value {len(names)}") for name in node.input]
        outputs = [names.setdefault(name, f"value {len(names)}") for name in node.output]
        for field in ("name", "doc_string", "metadata_props", "input", "output"):
            node.ClearField(field)
        node.input.extend(inputs)
        node.output.extend(outputs)


def _reading(name: str, wanted: str, turned: bool, stored: _Stored) -> Sequence[onnx.NodeProto]:
    """Nodes that make the float32 tensor `wanted` of a stored parameter; the runtime folds them at load."""
    nodes: list[onnx.NodeProto] = []
    at = name
    if stored.places[name][0] != TensorProto.FLOAT or not turned:
        goal = f"{name} wide" if turned else wanted
        nodes.append(helper.make_node("Cast", [at], [goal], to=TensorProto.FLOAT))
        at = goal
    if turned:
        nodes.append(helper.make_node("Transpose", [at], [wanted], perm=[1, 0]))
    return nodes


def _external(name: str, stored: _Stored) -> TensorProto:
    kind, offset, length, shape = stored.places[name]
    tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
    entries: Mapping[str, object] = {"location": stored.location, "offset": offset, "length": length}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
