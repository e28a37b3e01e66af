"""What stands in a table where a number cannot: the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from audiodiff.errors import ShapeError
from audiodiff.signal.resample import resample

Signal: TypeAlias = NDArray[np.float64]

SAMPLE_RATE = 16000
"""Hz at which PESQ and the ratings made of it are defined."""


@dataclass(frozen=True)
class Unscored:
    """Why a pair of signals has no score.

    Attributes:
        code: Stable machine-readable name, for example ``silence``.
        text: One line for people.
    """

    code: str
    text: str


Score: TypeAlias = float | Unscored


class Judge(Protocol):
    """Something that gives opinions of one signal alone; may be shared by threads."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its metrics."""
        ...

    def score(self, x: NDArray[np.floating], sample_rate: int) -> dict[str, Score]:
        """The opinions of a signal ``[T]``, full scale 1, by the names of their metrics."""
        ...


def check_pair(ref: NDArray[np.floating], est: NDArray[np.floating]) -> tuple[Signal, Signal] | Unscored:
    """Bring two mono signals to one length in float64, or say why they cannot be compared.

    A difference of one sample is a rounding of a resampler and is cut off; more is a mistake
    that no score should hide.

    Args:
        ref: Reference ``[T]``.
        est: Estimate ``[T]``.

    Returns:
        Both signals ``[T]``, or the reason: ``empty``, ``nonfinite``, ``length`` or ``silence``.
    """
    if ref.ndim != 1 or est.ndim != 1:
        raise ShapeError(f"expected two signals [T], found {ref.shape} and {est.shape}; mix channels down")
    if abs(ref.size - est.size) > 1:
        return Unscored("length", f"lengths differ: {ref.size} samples in the reference, {est.size} here")
    n = min(ref.size, est.size)
    if n == 0:
        return Unscored("empty", "no samples")
    r, e = ref[:n].astype(np.float64), est[:n].astype(np.float64)
    if not (np.isfinite(r).all() and np.isfinite(e).all()):
        return Unscored("nonfinite", "NaN or infinite samples")
    for signal, name in ((r, "reference"), (e, "estimate")):
        if np.ptp(signal) == 0:
            return Unscored("silence", f"the {name} is silent")
    return r, e


def at_16_khz(x: Signal, sample_rate: int) -> Signal:
    """A mono signal ``[T]`` at `SAMPLE_RATE`; one that is there already is given back as it is."""
    if sample_rate == SAMPLE_RATE:
        return x
    y: Signal = resample(x[None].astype(np.float32), sample_rate, SAMPLE_RATE)[0].astype(np.float64)
    return y
