"""Fast Griffin-Lim.

Letters in shapes: T samples, F = n_fft/2 + 1 frequency bins, N frames; ``...`` any leading axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from audiodiff.errors import ConfigError, ShapeError

MOMENTUM = 0.99
"""Acceleration of fast Griffin-Lim (Perraudin, Balazs, Sondergaard 2013, section 4)."""

_TINY = 1e-12


class Transform(Protocol):
    """A linear transform with a least-squares inverse, for example `audiodiff.signal.stft.STFT`."""

    def forward(self, x: Tensor) -> Tensor:
        """Samples [..., T] to complex [..., F, N]."""

    def inverse(self, z: Tensor, n_samples: int) -> Tensor:
        """Complex [..., F, N] to samples [..., n_samples]."""


def accelerated(
    z: Tensor, project: Callable[[Tensor], Tensor], magnitude: Callable[[Tensor], Tensor], iterations: int
) -> Tensor:
    """Fast Griffin-Lim between spectra of signals and spectra of a wanted magnitude.

    One iteration is r = project(z), a = r + MOMENTUM (r - r_previous), z = magnitude(r) a / |a|, the
    momentum being absent from the first (Perraudin et al. 2013, algorithm 2).

    Args:
        z: Complex start [..., F, N].
        project: Makes z the transform of a signal.
        magnitude: The wanted magnitude [..., F, N], given r.
        iterations: How many, at least 0.

    Returns:
        Complex [..., F, N], of the wanted magnitude if iterations > 0.
    """
    previous: Tensor | None = None
    for _ in range(iterations):
        r = project(z)
        a = r if previous is None else torch.sub(r, previous, alpha=MOMENTUM / (1 + MOMENTUM))
        z = a * (magnitude(r) / a.abs().clamp_min(_TINY))
        previous = r
    return z


def fast_griffin_lim(
    magnitude: Tensor, start_phase: Tensor, stft: Transform, n_samples: int, iterations: int
) -> Tensor:
    """Signal of a given magnitude whose phase lies near a given one.

    Args:
        magnitude: Wanted magnitude [..., F, N].
        start_phase: Phase to begin with in radians [..., F, N].
        stft: The transform, for example `audiodiff.signal.stft.STFT`.
        n_samples: T, the length of the signal under the N frames.
        iterations: How many, at least 0.

    Returns:
        Real samples [..., T].

    Raises:
        ShapeError: If magnitude, phase and transform do not fit.
    """
    if magnitude.shape != start_phase.shape:
        raise ShapeError(f"magnitude {list(magnitude.shape)} and phase {list(start_phase.shape)} differ")
    if iterations < 0:
        raise ConfigError(f"iterations must be at least 0, got {iterations}")
    z = accelerated(
        torch.polar(magnitude, start_phase),
        lambda x: stft.forward(stft.inverse(x, n_samples)),
        lambda _: magnitude,
        iterations,
    )
    return stft.inverse(z, n_samples)
