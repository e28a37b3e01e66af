"""The network of a model as ONNX graphs, for inference without torch.

    encode.onnx    cond [B, F, N, 2] -> features...
    step.onnx      x_t [B, F, N, 2], t [B], features... -> prediction [B, F, N, 2]
    down.onnx      cond [1, F, n, 2], inside [n], state_... -> passed_..., next_...
    up.onnx        cond, inside, passed_..., state_... -> features..., next_...

The last two are `encode` on a recording that arrives piece by piece (`networks.spectral_stream`); they
compute every frame once. A network that cannot be cut so has none.

    encode.int8.onnx, step.int8.onnx, down.int8.onnx, up.int8.onnx
                   the same in integers of 8 bits (`integers`); a model need not have them
    ranges.json    of every layer the least and greatest value that goes in and that comes out

The graphs hold no weights: each names its parameters in ``weights.safetensors`` by place and length (ONNX
"external data"), so a model has its weights once and any ONNX runtime finds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from audiodiff.errors import ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ENCODE, STEP, DOWN, UP = "encode.onnx", "step.onnx", "down.onnx", "up.onnx"
NEEDED, PIECEWISE = (ENCODE, STEP), (DOWN, UP)
INT8 = {name: name.replace(".onnx", ".int8.onnx") for name in NEEDED + PIECEWISE}
"""Names of the graphs in integers, which follow from the weights and ``ranges.json``."""
RANGES = "ranges.json"
FILES = (*NEEDED, *PIECEWISE, *INT8.values())


@dataclass(frozen=True)
class Range:
    """Least and greatest value that goes into a layer, and that comes out of it."""

    in_low: float
    in_high: float
    out_low: float
    out_high: float


def dump_ranges(ranges: Mapping[str, Range]) -> bytes:
    """Contents of ``ranges.json``."""
    lines = (f"  {json.dumps(name)}: {json.dumps(astuple(found))}" for name, found in ranges.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_ranges(content: bytes, path: Path) -> dict[str, Range]:
    """The ranges in a file.

    Raises:
        ModelError: It holds none; code ``refused``.
    """
    try:
        return {name: Range(*map(float, values)) for name, values in json.loads(content).items()}
    except (AttributeError, TypeError, ValueError):
        line = f"{path}: holds no ranges of layers; measure them anew with `audiodiff export --int8`"
        raise ModelError(line, code="refused") from None


def has_runtime() -> bool:
    """Whether ONNX Runtime is installed."""
    return find_spec("onnxruntime") is not None


def session(path: Path, threads: int | None) -> InferenceSession:
    """A session of ONNX Runtime for one of the graphs of a model folder.

    Args:
        path: The graph, its hash checked.
        threads: CPU threads, None for one a core.

    Raises:
        ModelError: The graph is none, or its weights do not fit; code ``refused``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # its errors reach the caller as exceptions
    # a thread that waits sleeps: other jobs have work for the core
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  its exceptions have no common base but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        line = f"{path}: cannot be run ({reason}); get the model again, or use --runtime torch"
        raise ModelError(line, code="refused") from None
