"""Graphs in integers of 8 bits: every layer between ONNX's QuantizeLinear and DequantizeLinear.

    x, weight -> quantise -> dequantise -> layer -> quantise -> dequantise

ONNX Runtime makes one operation on integers of each such pattern. The graphs hold scales alone: they read the
parameters from ``weights.safetensors`` as before and round them when they are loaded, so the integers are the
rounding of the weights by construction. Weights have a scale for every output channel and no offset,
activations one scale and offset a layer, from measured ranges (Jacob et al. 2018, Nagel et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, helper, numpy_helper

from audiodiff.model.graph import Range

WEIGHT_MAX = 63
"""Weights take 7 bits: AVX2 without VNNI adds pairs of products in 16 bits, which 8 would overflow."""

FLOAT_LAYERS = ("low_masks", "high_masks")
"""The layers that make the masks cost little, and steps of 8 bits between masks can be heard."""

WHOLE = 8
"""Channels that a convolution copies at once; fewer are quicker in single precision, others are filled up."""

_LAYERS = ("Conv", "ConvTranspose", "MatMul")


def quantise(graph: GraphProto, ranges: Mapping[str, Range], weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Bring layers of a graph to integers, in place.

    Args:
        graph: As `export` links it to the stored parameters.
        ranges: Of the layers, by their names in the network.
        weights: All stored parameters, by name.
    """
    layers = {name: found for name, found in ranges.items() if name not in FLOAT_LAYERS}
    _Quantiser(graph, layers, weights).run()


class _Quantiser:
    """Writes the nodes of a graph anew."""

    def __init__(
        self, graph: GraphProto, ranges: Mapping[str, Range], weights: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        self._graph, self._ranges, self._weights = graph, ranges, weights
        self._nodes: list[NodeProto] = []
        # which parameter a value is, cast or turned
        self._parameters = {name: name for name in weights}
        self._turned: dict[str, str] = {}

    def run(self) -> None:
        body = list(self._graph.node)
        for node in body:
            name = self._parameters.get(node.input[0]) if node.input else None
            if name is not None and node.op_type in ("Cast", "Transpose"):
                self._parameters[node.output[0]] = name
                if node.op_type == "Transpose":
                    self._turned[node.output[0]] = node.input[0]
        for node in body:
            layer = self._parameters.get(node.input[1], "") if len(node.input) > 1 else ""
            layer = layer.removesuffix(".weight")
            if node.op_type in _LAYERS and layer in self._ranges and self._gains(node, layer):
                self._replace(node, layer, self._ranges[layer])
            else:
                self._nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def _gains(self, node: NodeProto, layer: str) -> bool:
        """Whether a layer is quicker in integers."""
        return node.op_type != "Conv" or self._weights[f"{layer}.weight"].shape[1] >= WHOLE

    def _replace(self, node: NodeProto, layer: str, found: Range) -> None:
        weight = self._weights[f"{layer}.weight"].astype(np.float32)
        node.input[0] = self._rounded(node.input[0], f"{layer} in", found.in_low, found.in_high)
        match node.op_type:
            case "MatMul":  # its result may stay in single precision
                node.input[1] = self._turned_weight(node.input[1], layer, _scale(weight))
                self._nodes.append(node)
            case "Conv":
                self._fill(node, layer, weight.shape[1])
                node.input[1] = self._weight(node.input[1], layer, _scale(weight))
                self._convolve(node, layer, found)
            case "ConvTranspose":
                self._transposed(node, layer, found, weight)

    def _fill(self, node: NodeProto, layer: str, n_in: int) -> None:
        """Append zeros as further channels up to a multiple of `WHOLE`."""
        missing = -n_in % WHOLE
        if not missing:
            return
        pads = self._constant(f"{layer} fill", [0, 0, 0, 0, 0, missing, 0, 0])
        back = self._nodes.pop()
        back.input[0] = self._add("Pad", [back.input[0], pads, back.input[2]])
        self._nodes.append(back)
        node.input[1] = self._add("Pad", [node.input[1], pads])

    def _convolve(self, node: NodeProto, layer: str, found: Range) -> None:
        """Append a convolution whose result is rounded, too."""
        result = node.output[0]
        node.output[0] = f"{layer} sum"
        self._nodes.append(node)
        self._rounded(f"{layer} sum", f"{layer} out", found.out_low, found.out_high)
        self._nodes[-1].output[0] = result

    def _transposed(self, node: NodeProto, layer: str, found: Range, weight: npt.NDArray[Any]) -> None:
        """Append a transposed convolution over positions as a convolution to s times the channels.

        With stride s, 2 s taps and padding s / 2, position s i + r of its result is the sum over
        j = -1, 0, 1 of tap r + s / 2 - s j on position i + j.
        """
        n_in, n_out, taps, _ = weight.shape
        stride = taps // 2
        more = [0, 0, stride // 2, 0]
        kernel = self._add("Pad", [node.input[1], self._constant(f"{layer} pads", [*more, *more])])
        kernel = self._reshape(kernel, f"{layer} taps", [n_in, n_out, 3, stride])
        kernel = self._add("Gather", [kernel, self._constant(f"{layer} order", [2, 1, 0])], {"axis": 2})
        kernel = self._add("Transpose", [kernel], {"perm": [3, 1, 0, 2]})
        kernel = self._reshape(kernel, f"{layer} kernel", [stride * n_out, n_in, 3, 1])
        wide = np.pad(weight[..., 0], ((0, 0), (0, 0), (stride // 2, stride // 2)))
        rows = wide.reshape(n_in, n_out, 3, stride).transpose(3, 1, 0, 2).reshape(stride * n_out, -1)
        weighed = self._weight(kernel, layer, _scale(rows))
        bias = self._add("Tile", [node.input[2], self._constant(f"{layer} repeats", [stride])])
        conv = helper.make_node(
            "Conv", [node.input[0], weighed, bias], [f"{layer} groups"], pads=[1, 0, 1, 0]
        )
        self._convolve(conv, layer, found)
        # [B, s C, P, N] to [B, P, s C, N] to [B, s P, C, N] to [B, C, s P, N]
        turned = self._add("Transpose", [f"{layer} groups"], {"perm": [0, 2, 1, 3]})
        joined = self._reshape(turned, f"{layer} join", [0, -1, n_out, 0])
        self._add("Transpose", [joined], {"perm": [0, 2, 1, 3]})
        self._nodes[-1].output[0] = node.output[0]

    def _rounded(self, name: str, made: str, low: float, high: float) -> str:
        """A value in 256 steps from `low` to `high`; one of them is 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32(max(high - low, 1e-6) / 255)
        return self._there_and_back(name, made, scale, np.uint8(np.round(-low / scale)), {})

    def _weight(self, name: str, layer: str, scale: npt.NDArray[np.float32], axis: int = 0) -> str:
        zero = np.zeros(len(scale), np.int8)
        return self._there_and_back(name, f"{layer} weight", scale, zero, {"axis": axis})

    def _turned_weight(self, name: str, layer: str, scale: npt.NDArray[np.float32]) -> str:
        """The weight of a matrix product, rounded before it is turned: rows are quicker than columns."""
        made = self._weight(self._turned[name], layer, scale)
        back = self._nodes.pop()
        self._nodes.append(helper.make_node("Transpose", [back.input[0]], [f"{made} turned"], perm=[1, 0]))
        back.input[0], back.attribute[0].i = f"{made} turned", 1
        self._nodes.append(back)
        return made

    def _there_and_back(
        self, name: str, made: str, scale: object, zero: object, axis: Mapping[str, Any]
    ) -> str:
        step = [self._constant(f"{made} scale", scale), self._constant(f"{made} zero", zero)]
        integers = self._add("QuantizeLinear", [name, *step], axis)
        self._nodes.append(helper.make_node("DequantizeLinear", [integers, *step], [made], **axis))
        return made

    def _reshape(self, name: str, constant: str, shape: Sequence[int]) -> str:
        return self._add("Reshape", [name, self._constant(constant, shape)])

    def _add(self, op: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None) -> str:
        made = f"made {len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [made], **(attributes or {})))
        return made

    def _constant(self, name: str, value: object) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _scale(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The step of each output channel, by which its largest weight becomes `WEIGHT_MAX`."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    return np.where(largest > 0, largest / WEIGHT_MAX, 1).astype(np.float32)
