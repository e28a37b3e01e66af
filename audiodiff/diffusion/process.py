"""What every diffusion process shares: the state, the one step, the start.

    x_t = a(t) x_0 + b(t) y + s(t) eps         t = 0 is data, t = 1 is where sampling starts

A concrete process (``VP``, ``CDiffuSE``, ``OUVE``, ``BrownianBridge``, ``SchroedingerBridge``, ``Flow``) is a
frozen dataclass that supplies the three coefficients, and s^2/a and the inverse of the log-SNR in closed
form. All scalars are computed in float64. Letters in shapes: B is the batch, ``...`` is anything.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import overload

import torch
from torch import Tensor

from audiodiff.errors import ConfigError, ShapeError

Time = float | Tensor
"""A time in [0, 1]: one float for the whole batch, or a tensor ``[B]``."""


def as_double(t: Time) -> Tensor:
    """Turns a time into a float64 tensor, zero-dimensional for a float, ``[B]`` for a batch.

    Raises:
        ConfigError: a float outside [0, 1] (tensors are not checked: that would stall an accelerator).
    """
    if isinstance(t, Tensor):
        return t.double()
    if not 0.0 <= t <= 1.0:
        raise ConfigError(
            f"time must lie in [0, 1], found {t}; use 0 for data and 1 for the start of sampling"
        )
    return torch.tensor(t, dtype=torch.float64)


def broadcast(c: Tensor, x: Tensor) -> Tensor:
    """Shapes a coefficient to multiply a state: the only place where ``[B]`` meets ``[B, ...]``.

    Args:
        c: zero-dimensional, or ``[B]``.
        x: the state ``[B, ...]``.

    Returns:
        ``c`` itself when zero-dimensional (it never promotes ``x``), else ``[B, 1, ...]`` in the dtype of
        ``x``.

    Raises:
        ShapeError: ``c`` has another shape.
    """
    if c.ndim == 0:
        return c
    if c.ndim != 1 or x.ndim == 0 or c.shape[0] != x.shape[0]:
        raise ShapeError(
            f"time has shape {list(c.shape)}, the state {list(x.shape)}; give one float, or one time per item"
        )
    return c.to(x.dtype).reshape(-1, *(1 for _ in x.shape[1:]))


class Process(ABC):
    """A diffusion process between data x_0 and its end (noise, the recording y, or both).

    Subclasses give ``path``, ``time_at`` and, where the quotient s^2/a is 0/0, ``noise_ratio``.
    """

    @property
    def uses_y(self) -> bool:
        """Whether b is not identically zero, so that a recording y is needed."""
        return True

    @abstractmethod
    def path(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients (a, b, s) at float64 times of any shape, each of that shape."""

    @abstractmethod
    def time_at(self, ratio: float) -> float:
        """The time at which s^2/a^2 equals ``ratio`` >= 0 (above 1 when the process never gets so noisy)."""

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002 - subclasses use it
        """Derivatives (a', b', s s') at float64 times; s s' because s' is infinite wherever s ~ sqrt(t).

        Raises:
            ConfigError: this process offers no velocity.
        """
        raise ConfigError(f"{type(self).__name__} has no velocity; use the target 'x0', 'eps' or 'v' with it")

    def noise_ratio(self, t: Tensor) -> Tensor:
        """s^2/a at float64 times, infinite where only a is 0; a bridge's start rests on it."""
        a, _, s = self.path(t)
        return s * s / a

    def eps_path(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients by which an eps network reads the state: x_t = a x_0 + b y + s eps_hat."""
        return self.path(t)

    def eps_target(
        self,
        x_0: Tensor,  # noqa: ARG002 - subclasses use it
        y: Tensor | None,  # noqa: ARG002 - subclasses use it
        eps: Tensor,
        t: Time,  # noqa: ARG002 - subclasses use it
    ) -> Tensor:
        """What an eps network is trained to say, ``[B, ...]``: the noise itself."""
        return eps

    @overload
    def coeffs(self, t: float) -> tuple[float, float, float]: ...
    @overload
    def coeffs(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...
    def coeffs(self, t: Time) -> tuple[float, float, float] | tuple[Tensor, Tensor, Tensor]:
        """Coefficients (a, b, s): python floats for a float, tensors like ``t`` for a tensor ``[B]``.

        Raises:
            ConfigError: a float outside [0, 1].
        """
        a, b, s = self.path(as_double(t))
        if isinstance(t, Tensor):
            return a.to(t.dtype), b.to(t.dtype), s.to(t.dtype)
        return a.item(), b.item(), s.item()

    @overload
    def log_snr(self, t: float) -> float: ...
    @overload
    def log_snr(self, t: Tensor) -> Tensor: ...
    def log_snr(self, t: Time) -> Time:
        """2 ln(a/s), falling strictly with t; +inf at t = 0 and -inf where a = 0.

        Raises:
            ConfigError: a float outside [0, 1], or a process without noise.
        """
        t64 = as_double(t)
        # ln(a) - ln(s^2/a): the quotient a/s itself is 0/0 at a bridge's start
        value = torch.log(self.path(t64)[0]) - torch.log(self.noise_ratio(t64))
        return value.to(t.dtype) if isinstance(t, Tensor) else value.item()

    def inverse_log_snr(self, value: float) -> float:
        """The time at which ``log_snr`` equals ``value``.

        Raises:
            ConfigError: the process never gets as noisy as ``value`` asks.
        """
        # exp overflows beyond 709; at 700 every process is at its end to the last bit
        t = self.time_at(math.exp(min(-value, 700.0)))
        if not t <= 1.0 + 1e-12:
            raise ConfigError(
                f"{type(self).__name__} ends at log-SNR {self.log_snr(1.0):.4g}, found {value:.4g}; raise it"
            )
        return min(t, 1.0)

    def posterior_gain(self, t: float, u: float) -> float:
        """(a_t/a_u)(s_u/s_t)^2, the old state's weight in x_u's posterior; finite also at s_t = 0."""
        return (self.noise_ratio(as_double(u)) / self.noise_ratio(as_double(t))).item()

    def step(self, t: float, u: float, eta: float) -> tuple[float, float]:
        """Scalars (kappa, n) of the one step from t down to u.

            x_u = a_u D + b_u y + kappa (x_t - a_t D - b_t y) + n z

        eta = 0 is DDIM, the bridge ODE and flow Euler; eta = 1 is the DDPM, DiffWave, CDiffuSE, OUVE and
        bridge posterior. Where s_t = 0 (a bridge's start) the noise is fresh for every eta, n = s_u, which
        keeps the trained marginal.

        Raises:
            ConfigError: not 0 <= u < t <= 1, or eta outside [0, 1].
        """
        if not u < t:
            raise ConfigError(f"a step goes from t down to u < t, found t = {t}, u = {u}; use a falling grid")
        if not 0.0 <= eta <= 1.0:
            raise ConfigError(f"eta must lie in [0, 1], found {eta}")
        a_t, _, s_t = self.coeffs(t)
        a_u, _, s_u = self.coeffs(u)
        gain = self.posterior_gain(t, u)
        if s_t == 0.0:
            return gain, s_u
        n = eta * s_u * math.sqrt(max(0.0, 1.0 - a_t / a_u * gain))
        kappa = gain if eta == 1.0 else math.sqrt(max(0.0, s_u * s_u - n * n)) / s_t
        return kappa, n

    def mean(self, x_0: Tensor, y: Tensor | None, t: Time) -> Tensor:
        """The state without its noise, a x_0 + b y, ``[B, ...]``.

        Raises:
            ConfigError: y is missing and the process needs it.
        """
        a, b, _ = self.path(as_double(t))
        scaled = broadcast(a, x_0) * x_0
        return scaled + broadcast(b, x_0) * self.require(y) if self.uses_y else scaled

    def pull(self, y: Tensor | None, like: Tensor, t: Time) -> Tensor | None:
        """The term b y, shaped to the state ``like``, or None for a process without y.

        Raises:
            ConfigError: y is missing and the process needs it.
        """
        if not self.uses_y:
            return None
        _, b, _ = self.path(as_double(t))
        return broadcast(b, like) * self.require(y)

    def require(self, y: Tensor | None) -> Tensor:
        """Returns y.

        Raises:
            ConfigError: y is missing.
        """
        if y is None:
            raise ConfigError(f"{type(self).__name__} ends at the recording y, found none; pass y")
        return y

    def start(self, y: Tensor | None, eps: Tensor, t0: float) -> Tensor:
        """The state at which sampling starts, ``[B, ...]``: y + s(t0) eps, which is y at a bridge's start.

        Args:
            y: the recording, or None for a process without one.
            eps: noise in the shape of the state; with an energy prior it carries the prior's scale.
            t0: first time of the grid, at most 1.

        Raises:
            ConfigError: y is missing and the process needs it.
        """
        s = self.coeffs(t0)[2]
        return self.require(y) + s * eps if self.uses_y else s * eps


def advance(
    process: Process,
    x_t: Tensor,
    x0_hat: Tensor,
    y: Tensor | None,
    times: tuple[float, float],
    kappa: float,
    added: Tensor | None,
) -> Tensor:
    """Takes the one step with the scalars of ``Process.step``.

    Args:
        process: the process.
        x_t: state at t, ``[B, ...]``.
        x0_hat: estimate of x_0, same shape.
        y: the recording, same shape, or None for a process without one.
        times: (t, u), u < t.
        kappa: weight of the old state's noise.
        added: n z, or None for no fresh noise.

    Returns:
        x_u = a_u D + b_u y + kappa (x_t - a_t D - b_t y) + n z, ``[B, ...]``.
    """
    t, u = times
    x_u = process.mean(x0_hat, y, u) + kappa * (x_t - process.mean(x0_hat, y, t))
    return x_u if added is None else x_u + added
