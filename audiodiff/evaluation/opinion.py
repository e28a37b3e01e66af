"""An opinion score without a reference: Distill-MOS, whose package carries its weights."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from audiodiff.evaluation.score import Score, Unscored
from audiodiff.extras import install_hint
from audiodiff.signal.resample import resample

SAMPLE_RATE = 16000


def distill_mos(x: NDArray[np.floating], sample_rate: int) -> Score:
    """Predicted mean opinion score (Stahl and Gamper 2025, "Distillation and pruning for scalable SSL").

    Args:
        x: Signal ``[T]``.

    Returns:
        1 to 5, or the reason why there is none: ``missing`` without the package.
    """
    if importlib.util.find_spec("distillmos") is None:
        return Unscored("missing", f"Distill-MOS is not installed; {install_hint('mos')}")
    if x.size == 0 or np.ptp(x) == 0:
        return Unscored("silence", "the signal is silent")
    y = resample(np.ascontiguousarray(x[None], dtype=np.float32), sample_rate, SAMPLE_RATE)
    with torch.inference_mode():
        return float(_network()(torch.from_numpy(y)).mean())


@lru_cache(maxsize=1)
def _network() -> Any:
    with _torchaudio(), contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights lie
        from distillmos import ConvTransformerSQAModel

        return ConvTransformerSQAModel().eval()


@contextlib.contextmanager
def _torchaudio() -> Iterator[None]:
    """An empty stand-in where torchaudio does not load: Distill-MOS imports it, but only to read files."""
    name = "torchaudio"
    try:
        importlib.import_module(name)
    except (ImportError, OSError):
        sys.modules[name] = types.ModuleType(name)
        try:
            yield
        finally:
            del sys.modules[name]
    else:
        yield
