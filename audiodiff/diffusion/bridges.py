"""Bridges: processes that start sampling at the recording itself, with no noise at either end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from audiodiff.arrays import Doubles
from audiodiff.diffusion.process import Process
from audiodiff.errors import ConfigError


@dataclass(frozen=True)
class BrownianBridge(Process):
    """x_t = (1 - t) x_0 + t y + rho sqrt(t (1 - t)) eps (Li et al. 2023; rho = 0 is cold diffusion).

    Args:
        rho: noise scale, at least 0; the largest std is rho/2. Without noise only ``ddim`` samples it.

    Raises:
        ConfigError: rho is negative.
    """

    rho: float = 0.5

    def __post_init__(self) -> None:
        if not self.rho >= 0.0:
            raise ConfigError(f"rho must be at least 0, found {self.rho}")

    def path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.path``."""
        return 1.0 - t, t, self.rho * np.sqrt(t * (1.0 - t))

    def rates(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.rates``."""
        return -np.ones_like(t), np.ones_like(t), 0.5 * self.rho**2 * (1.0 - 2.0 * t)

    def noise_ratio(self, t: Doubles) -> Doubles:
        """s^2/a = rho^2 t, finite at the start.

        Raises:
            ConfigError: rho = 0, which has no signal-to-noise ratio.
        """
        self._need_noise()
        return self.rho**2 * t

    def time_at(self, ratio: float) -> float:
        """See ``Process.time_at``.

        Raises:
            ConfigError: rho = 0, which has no signal-to-noise ratio.
        """
        self._need_noise()
        return ratio / (self.rho**2 + ratio)

    def posterior_gain(self, t: float, u: float) -> float:
        """u/t, also for rho = 0, where the general quotient is 0/0."""
        return u / t

    def _need_noise(self) -> None:
        if self.rho == 0.0:
            raise ConfigError(
                "a bridge with rho = 0 has no log-SNR and no preconditioning; use ddim on a tau^2 grid"
            )


@dataclass(frozen=True)
class SchroedingerBridge(Process):
    """The paired variance-exploding Schroedinger bridge (Jukic et al. 2024).

    sigma^2(t) = c (k^(2t) - 1)/(2 ln k); a = 1 - sigma^2(t)/sigma^2(1), b = sigma^2(t)/sigma^2(1), s^2 =
    sigma^2(1) a b. Complex noise has total variance 1.

    Args:
        k: growth of the noise, above 1.
        c: its scale, above 0; with the defaults the largest std is 0.549.

    Raises:
        ConfigError: a constant out of range.
    """

    k: float = 2.6
    c: float = 0.4

    def __post_init__(self) -> None:
        if not (self.k > 1.0 and self.c > 0.0):
            raise ConfigError(
                f"the Schroedinger bridge needs k > 1 and c > 0, found k = {self.k}, c = {self.c}"
            )

    @property
    def _rate(self) -> float:
        return 2.0 * math.log(self.k)

    @property
    def variance_end(self) -> float:
        """sigma^2(1), the variance that the unpaired process would reach."""
        return self.c * math.expm1(self._rate) / self._rate

    def path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.path``."""
        whole = math.expm1(self._rate)
        b = np.expm1(self._rate * t) / whole
        a = np.exp(self._rate * t) * np.expm1(self._rate * (1.0 - t)) / whole
        return a, b, np.sqrt(self.variance_end * a * b)

    def rates(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """See ``Process.rates``."""
        a, b, _ = self.path(t)
        slope = self._rate * np.exp(self._rate * t) / math.expm1(self._rate)
        return -slope, slope, 0.5 * self.variance_end * slope * (a - b)

    def noise_ratio(self, t: Doubles) -> Doubles:
        """s^2/a = sigma^2(t), finite at the start."""
        return self.c * np.expm1(self._rate * t) / self._rate

    def time_at(self, ratio: float) -> float:
        """See ``Process.time_at``."""
        variance = ratio * self.variance_end / (ratio + self.variance_end)
        return math.log1p(self._rate * variance / self.c) / self._rate
