"""What training needs of the process: states, the law of t, weights and means per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from audiodiff.arrays import X, like
from audiodiff.diffusion.prediction import Target, x0_gain
from audiodiff.diffusion.process import Process, Time, as_double, broadcast
from audiodiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor


def sample_state(
    process: Process,
    x_0: X,
    y: X | None,
    t: Time,
    eps: X,
    prior_scale: X | None = None,
) -> X:
    """A state of the forward process, x_t = a x_0 + b y + s eps.

    Args:
        process: the process.
        x_0: clean data, ``[B, ...]``.
        y: the recording, same shape, or None for a process without one.
        t: time, a float or ``[B]``.
        eps: noise of the shape of x_0. For spectra with re and im as the last axis each part has standard
            deviation 1/sqrt(2), total variance 1.
        prior_scale: standard deviation of an energy prior (PriorGrad), broadcastable to ``eps``, or None.

    Returns:
        x_t, ``[B, ...]``.

    Raises:
        ConfigError: y is missing and the process needs it.
        ShapeError: t is neither a float nor one time per item.
    """
    s = broadcast(process.path(as_double(t))[2], x_0)
    return process.mean(x_0, y, t) + s * (eps if prior_scale is None else eps * prior_scale)


@dataclass(frozen=True)
class TimeLaw:
    """How t is drawn in training: where it will be sampled.

    With probability ``p_start`` the start, ``grid[0]``; otherwise one of the grid's times above 0, moved
    evenly within ``jitter`` of the distance to each neighbour (0.5 meets the neighbours' ranges half-way, so
    that every t in (0, t_start] can occur).

    Args:
        grid: falling times from the start to 0, as sampled.
        p_start: probability of the start itself, in [0, 1]; a network of few steps is used there most.
        jitter: reach towards each neighbour, in [0, 1).

    Raises:
        ConfigError: a grid that does not fall to 0, or a probability or jitter out of range.
    """

    grid: Sequence[float]
    p_start: float = 0.4
    jitter: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", tuple(self.grid))
        falls = all(u < t for t, u in pairwise(self.grid))
        if len(self.grid) < 2 or not falls or self.grid[-1] != 0.0 or self.grid[0] > 1.0:
            raise ConfigError(f"a training grid must fall from at most 1 to 0, found {self.grid}")
        if not (0.0 <= self.p_start <= 1.0 and 0.0 <= self.jitter < 1.0):
            raise ConfigError(
                f"p_start must lie in [0, 1] and jitter in [0, 1), found {self.p_start} and {self.jitter}"
            )

    def draw(self, uniforms: Tensor) -> Tensor:
        """Times from uniform numbers, so that the caller owns the randomness.

        Args:
            uniforms: ``[B, 3]`` in [0, 1): start or not, which time of the grid, where in its range.

        Returns:
            t, ``[B]``, in (0, grid[0]].

        Raises:
            ShapeError: another shape.
        """
        if uniforms.ndim != 2 or uniforms.shape[1] != 3:
            raise ShapeError(f"the law of t needs uniforms [B, 3], found {list(uniforms.shape)}")
        grid = like(np.asarray(self.grid), uniforms)
        chosen = (uniforms[:, 1] * (len(self.grid) - 1)).long().clamp(max=len(self.grid) - 2)
        centre = grid[chosen]
        upper = centre + self.jitter * (grid[(chosen - 1).clamp(min=0)] - centre)
        lower = centre + self.jitter * (grid[chosen + 1] - centre)
        t = upper + uniforms[:, 2] * (lower - upper)
        return grid[0].where(uniforms[:, 0] < self.p_start, t)


def snr_weight(process: Process, t: Tensor, limit: float) -> Tensor:
    """Weight min(a^2/s^2, limit) that turns x0_hat's squared error into eps's (Hang et al. 2023), ``[B]``.

    Raises:
        ConfigError: the process has no noise, or limit is not above 0.
    """
    if not limit > 0.0:
        raise ConfigError(f"the limit of an SNR weight must be above 0, found {limit}")
    return process.log_snr(t).exp().clamp(max=limit)


def x0_weight(process: Process, target: Target, t: Tensor) -> Tensor:
    """Weight min(1, 1/gain^2) by which x0_hat's error counts no more than the prediction's, ``[B]``.

    The gain is `x0_gain`'s. For eps this is min(1, a^2/s^2), Min-SNR with gamma = 1 (Hang et al. 2023): at
    high noise the squared error of eps, at low noise that of x_0. For x0 and v it is 1.

    Raises:
        ConfigError: as ``to_x0``.
    """
    return x0_gain(process, target, t).clamp(min=1.0).pow(-2)


def item_mean(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of an elementwise error over everything but the batch, times each item's weight.

    Args:
        error: ``[B, ...]``.
        weight: ``[B]``, or None for 1.

    Returns:
        ``[B]``; item i never depends on item j.

    Raises:
        ShapeError: the weight does not hold one number per item.
    """
    means = error.flatten(1).mean(1) if error.ndim > 1 else error
    if weight is None:
        return means
    if weight.shape != means.shape:
        raise ShapeError(f"one weight per item is needed, [{means.shape[0]}], found {list(weight.shape)}")
    return means * weight
