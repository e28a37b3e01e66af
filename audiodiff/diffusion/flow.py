"""Straight-line flows to noise, or to the recording plus noise (Lipman et al. 2023; FlowSE, 2025)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from audiodiff.arrays import Doubles
from audiodiff.diffusion.process import Process
from audiodiff.errors import ConfigError


@dataclass(frozen=True)
class Flow(Process):
    """x_t = (1 - t) x_0 + t (y + sigma eps), or without y when ``to_y`` is false.

    Args:
        sigma: std of the noise at t = 1, above 0.
        to_y: whether the path ends at the recording plus noise, or at the noise alone.

    Raises:
        ConfigError: sigma is not above 0 (without noise this is ``BrownianBridge(0)``).
    """

    sigma: float = 1.0
    to_y: bool = False

    def __post_init__(self) -> None:
        if not self.sigma > 0.0:
            raise ConfigError(
                f"sigma must be above 0, found {self.sigma}; without noise use BrownianBridge(0)"
            )

    @property
    def uses_y(self) -> bool:
        """Whether the path ends at the recording plus noise."""
        return self.to_y

    def path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.path``."""
        return 1.0 - t, t if self.to_y else np.zeros_like(t), self.sigma * t

    def rates(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.rates``."""
        one = np.ones_like(t)
        return -one, one if self.to_y else np.zeros_like(t), self.sigma**2 * t

    def time_at(self, ratio: float) -> float:
        """See ``Process.time_at``."""
        root = math.sqrt(ratio)
        return root / (self.sigma + root)
