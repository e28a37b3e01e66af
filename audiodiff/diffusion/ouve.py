"""The Ornstein-Uhlenbeck process with exploding variance of SGMSE+ (Richter et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from audiodiff.arrays import Doubles
from audiodiff.diffusion.process import Process
from audiodiff.errors import ConfigError


@dataclass(frozen=True)
class OUVE(Process):
    """dx = theta (y - x) dt + g dw, g = sigma_min (sigma_max/sigma_min)^t sqrt(2 ln(sigma_max/sigma_min)).

    The defaults are the published 16 kHz constants; at 48 kHz they are 2.0, 0.1, 1.0. Complex noise has total
    variance 1.

    Args:
        theta: pull towards y, per unit of t, above 0.
        sigma_min: noise scale at t = 0, above 0.
        sigma_max: noise scale at t = 1, above sigma_min.

    Raises:
        ConfigError: a constant out of range.
    """

    theta: float = 1.5
    sigma_min: float = 0.05
    sigma_max: float = 0.5

    def __post_init__(self) -> None:
        if not (self.theta > 0.0 and 0.0 < self.sigma_min < self.sigma_max):
            raise ConfigError(f"OUVE needs theta > 0 and 0 < sigma_min < sigma_max, found {self}")

    @property
    def _growth(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    @property
    def _scale(self) -> float:
        return self.sigma_min**2 * self._growth / (self.theta + self._growth)

    def path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.path``."""
        a = np.exp(-self.theta * t)
        s = a * np.sqrt(self._scale * np.expm1(2.0 * (self.theta + self._growth) * t))
        return a, -np.expm1(-self.theta * t), s

    def rates(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.rates``; s^2 = scale (e^(2 L t) - e^(-2 theta t))."""
        a = np.exp(-self.theta * t)
        slope = self._scale * (self._growth * np.exp(2.0 * self._growth * t) + self.theta * a * a)
        return -self.theta * a, self.theta * a, slope

    def time_at(self, ratio: float) -> float:
        """See ``Process.time_at``."""
        return math.log1p(ratio / self._scale) / (2.0 * (self.theta + self._growth))
