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

from audiodiff.errors import ConfigError
from audiodiff.evaluation.metrics import DISTILL_MOS
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.extras import install_hint
from audiodiff.signal.resample import resample

SAMPLE_RATE = 16000


class DistillMos:
    """Distill-MOS, ready to score; may be shared by threads.

    Raises:
        ConfigError: Its package is not installed.
    """

    names = (DISTILL_MOS.name,)

    def __init__(self) -> None:
        if not _is_there():
            raise ConfigError(f"Distill-MOS is not installed; {install_hint('mos')}", code="missing_extra")
        _network()  # once, before threads ask for it

    def score(self, x: NDArray[np.floating], sample_rate: int) -> dict[str, Score]:
        """The opinion of a signal ``[T]`` by the name of its metric."""
        return {DISTILL_MOS.name: distill_mos(x, sample_rate)}


def distill_mos(x: NDArray[np.floating], sample_rate: int) -> Score:
    """Predicted mean opinion score (Stahl and Gamper 2025, "Distillation and pruning for scalable SSL").

    Args:
        x: Signal ``[T]``.

    Returns:
        1 to 5, or the reason why there is none: ``missing`` without the package.
    """
    if not _is_there():
        return Unscored("missing", f"Distill-MOS is not installed; {install_hint('mos')}")
    if x.size == 0 or not np.isfinite(x).all() or np.ptp(x) == 0:
        return Unscored("silence", "no sound to give an opinion of")
    y = resample(np.ascontiguousarray(x[None], dtype=np.float32), sample_rate, SAMPLE_RATE)
    with torch.inference_mode():
        return float(_network()(torch.from_numpy(y)).mean())


def _is_there() -> bool:
    return importlib.util.find_spec("distillmos") is not None


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
