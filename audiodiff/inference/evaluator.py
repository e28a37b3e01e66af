"""What runs a network on arrays: torch, or ONNX Runtime, which starts in a fraction of the time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import numpy as np

from audiodiff.errors import ConfigError, ModelError
from audiodiff.inference.hearing import Listener, Piece
from audiodiff.model import graph
from audiodiff.model.representation import Real
from audiodiff.system import cores, has_nvidia_driver

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
        listener: Makes what computes the features of a channel piece by piece, before its first frame; None
            for a network that hears every chunk anew.
        workers: Threads that may work with it at the same time.
    """

    @property
    def runtime(self) -> str: ...  # noqa: D102  documented in the class
    @property
    def place(self) -> str: ...  # noqa: D102
    @property
    def listener(self) -> Callable[[], Listener] | None: ...  # noqa: D102
    @property
    def workers(self) -> int: ...  # noqa: D102

    def encode(self, cond: Real) -> Sequence[object]:
        """Features of a recording, once a signal; only for `step`."""
        ...

    def step(self, x_t: Real, t: Real, features: Sequence[object]) -> Real:
        """One evaluation of the network: the prediction, in the shape of x_t."""
        ...


class GraphEvaluator:
    """The graphs of a model folder in ONNX Runtime.

    Args:
        model: With graphs.
        threads: CPU threads, None for one a core.
        names: Files to take in place of graphs, by their names.
    """

    runtime, place = "onnx", "cpu"

    def __init__(self, model: Model, threads: int | None, names: Mapping[str, str] | None = None) -> None:
        assert model.graphs is not None  # `evaluator_of` asked
        self._folder, self._threads, self._files = model.graphs, threads or cores(), names or {}
        self._has_halves = all((self._folder / name).is_file() for name in graph.PIECEWISE)
        self.workers = self._threads if self._has_halves else 1
        self._step = self._session(graph.STEP)
        self._names = [node.name for node in self._step.get_inputs()[2:]]
        _ = self._halves if self._has_halves else self._encode  # what cannot be run is told here

    @property
    def listener(self) -> Callable[[], Listener] | None:
        """See `Evaluator`."""
        return self._listener if self._has_halves else None

    @functools.cached_property
    def _encode(self) -> InferenceSession:
        return self._session(graph.ENCODE)

    @functools.cached_property
    def _halves(self) -> tuple[GraphHalf, GraphHalf]:
        down, up = (GraphHalf(self._session(name)) for name in graph.PIECEWISE)
        return down, up

    def _session(self, name: str) -> InferenceSession:
        # two halves at work at the same time scale better than operations that are shared
        return graph.session(
            self._folder / self._files.get(name, name),
            max(1, self._threads // 2) if self._has_halves else self._threads,
        )

    def encode(self, cond: Real) -> Sequence[object]:
        """See `Evaluator`."""
        return _run(self._encode, {"cond": cond})

    def step(self, x_t: Real, t: Real, features: Sequence[object]) -> Real:
        """See `Evaluator`."""
        known = dict(zip(self._names, features, strict=True))
        result: Real = _run(self._step, {"x_t": x_t, "t": t, **known})[0]
        return result

    def _listener(self) -> GraphListener:
        return GraphListener(*self._halves)


class GraphHalf:
    """One of the two graphs that make a `Listener`.

    Attributes:
        states: Shapes of what it keeps, by the names of its inputs.
        axes: Axis of the frames in what it hands on.
    """

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        cond, *others = session.get_inputs()
        self._names = [node.name for node in others if not node.name.startswith("state_")]
        self.states = {node.name: node.shape for node in others if node.name.startswith("state_")}
        self._results = [node.name for node in session.get_outputs()[: -len(self.states)]]
        self.axes = [node.shape.index(cond.shape[2]) for node in session.get_outputs()[: len(self._results)]]

    def run(self, cond: Real, passed: dict[str, Real], states: dict[str, Real]) -> dict[str, Real]:
        """What the half hands on, by name; the states are replaced by the next ones."""
        known = {"cond": cond, **{name: passed[name] for name in self._names}, **states}
        found = _run(self._session, known)
        states.update(zip(states, found[len(self._results) :], strict=True))
        return dict(zip(self._results, found, strict=False))


class GraphListener:
    """See `Listener`."""

    def __init__(self, down: GraphHalf, up: GraphHalf) -> None:
        self._halves = down, up
        self._states = [
            {name: np.zeros(shape, dtype=np.float32) for name, shape in half.states.items()}
            for half in self._halves
        ]
        # the first state is `inside`, of which twice the reach is kept
        self.reach: int = next(iter(down.states.values()))[0] // 2
        self.axes = up.axes

    def hear(self, piece: Piece) -> None:
        """See `Listener`."""
        piece.passed = self._run(0, piece)

    def features(self, piece: Piece) -> list[Real]:
        """See `Listener`."""
        return list(self._run(1, piece).values())

    def _run(self, which: int, piece: Piece) -> dict[str, Real]:
        n_inside = piece.state.shape[2]
        cond = np.zeros((1, piece.state.shape[1], piece.n_frames, 2), dtype=np.float32)
        cond[:, :, :n_inside] = piece.state
        inside = (np.arange(piece.n_frames) < n_inside).astype(np.float32)
        return self._halves[which].run(cond, {"inside": inside, **piece.passed}, self._states[which])


def _run(session: InferenceSession, inputs: Mapping[str, object]) -> list[Real]:
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
    if precision == "int8":
        _check(model, device in ("auto", "cpu") and runtime != "torch", device, precision)
        return GraphEvaluator(model, threads, graph.INT8)
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
            "int8 is computed by runtime onnx on the CPU; use that, or float32"
            if precision == "int8"
            else f"runtime onnx computes in float32 on the CPU, not {precision} on {device}; use torch"
        )
    if model.graphs is None:
        line = (
            f"{model.name}: has no graphs for ONNX Runtime; make them with `audiodiff export`, or use torch"
        )
        raise ModelError(line, code="refused")
    if precision == "int8" and not all((model.graphs / name).is_file() for name in graph.INT8.values()):
        line = (
            f"{model.name}: has no graphs in integers; make them with `audiodiff export --int8`, "
            "or use float32"
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
