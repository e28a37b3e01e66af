"""What runs a network on arrays: torch, or ONNX Runtime, which starts in a fraction of the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import numpy as np

from audiodiff.errors import ConfigError, ModelError
from audiodiff.model import graph
from audiodiff.model.representation import Real
from audiodiff.system import has_nvidia_driver

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from audiodiff.inference.device import Precision
    from audiodiff.model.model import Model

Runtime: TypeAlias = Literal["auto", "onnx", "torch"]
"""``auto`` takes ONNX Runtime where the model has graphs and nothing asks for torch."""


class Evaluator(Protocol):
    """A network of one model, ready to run.

    Attributes:
        runtime: What runs it.
        place: Where: ``cpu``, ``cuda:0``, ``mps``.
    """

    @property
    def runtime(self) -> str: ...  # noqa: D102  documented in the class
    @property
    def place(self) -> str: ...  # noqa: D102

    def encode(self, cond: Real) -> Sequence[object]:
        """Features of a recording, once a signal; only for `step`."""
        ...

    def step(self, x_t: Real, t: Real, features: Sequence[object]) -> Real:
        """One evaluation of the network: the prediction, in the shape of x_t."""
        ...


class GraphEvaluator:
    """The graphs of a model folder in ONNX Runtime."""

    runtime, place = "onnx", "cpu"

    def __init__(self, model: Model, threads: int | None) -> None:
        assert model.graphs is not None  # `evaluator_of` asked
        self._encode, self._step = graph.sessions(model.graphs, threads)
        self._names = [node.name for node in self._encode.get_outputs()]

    def encode(self, cond: Real) -> Sequence[object]:
        """See `Evaluator`."""
        return _run(self._encode, {"cond": cond})

    def step(self, x_t: Real, t: Real, features: Sequence[object]) -> Real:
        """See `Evaluator`."""
        known = dict(zip(self._names, features, strict=True))
        result: Real = _run(self._step, {"x_t": x_t, "t": t, **known})[0]
        return result


def _run(session: InferenceSession, inputs: dict[str, object]) -> list[Real]:
    dense = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
    found: list[Real] = session.run(None, dense)
    return found


def evaluator_of(
    model: Model, runtime: Runtime, device: str, threads: int | None, precision: Precision
) -> Evaluator:
    """The evaluator that a user means.

    Args:
        model: The model.
        runtime: ``auto``, ``onnx`` or ``torch``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: CPU threads, None for one a core.
        precision: As `Denoiser`.

    Raises:
        ConfigError: A choice is unknown, or two of them exclude each other.
        ModelError: The model has no graphs, or they cannot be run.
    """
    if runtime not in get_args(Runtime):
        raise ConfigError(f"runtime {runtime!r} is unknown; use auto, onnx or torch")
    wanted = device in ("auto", "cpu") and precision in ("auto", "float32")
    if runtime == "onnx":
        _check(model, wanted, device, precision)
    has_both = model.graphs is not None and graph.has_runtime()
    if runtime == "onnx" or (runtime == "auto" and wanted and has_both and not _may_have_gpu(device)):
        return GraphEvaluator(model, threads)
    from audiodiff.inference.torch_evaluator import TorchEvaluator

    return TorchEvaluator.of(model, device, threads, precision)


def _check(model: Model, wanted: bool, device: str, precision: str) -> None:
    if not wanted:
        raise ConfigError(
            f"runtime onnx computes in float32 on the CPU, not {precision} on {device}; use torch"
        )
    if model.graphs is None:
        line = (
            f"{model.name}: has no graphs for ONNX Runtime; make them with `audiodiff export`, or use torch"
        )
        raise ModelError(line, code="refused")
    if not graph.has_runtime():
        line = "the package onnxruntime is not installed; install audiodiff anew, or use torch"
        raise ModelError(line, code="refused")


def _may_have_gpu(device: str) -> bool:
    """Whether torch should be asked for a GPU, which takes seconds and a gigabyte of it."""
    if device == "cpu":
        return False
    from importlib.util import find_spec

    return has_nvidia_driver() and find_spec("torch") is not None
