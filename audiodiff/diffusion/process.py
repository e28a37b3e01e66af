"""What every diffusion process shares: the state, the one step, the start.

    x_t = a(t) x_0 + b(t) y + s(t) eps         t = 0 is data, t = 1 is where sampling starts

A concrete process (``VP``, ``CDiffuSE``, ``OUVE``, ``BrownianBridge``, ``SchroedingerBridge``, ``Flow``) is a
frozen dataclass that supplies the three coefficients, and s^2/a and the inverse of the log-SNR in closed
form. Coefficients are float64 numpy arrays, whatever the states are; states are numpy arrays or torch tensors
and nothing here loads torch. Letters in shapes: B is the batch, ``...`` is anything.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from audiodiff.arrays import Doubles, X, like
from audiodiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor

Time: TypeAlias = "float | Tensor | npt.NDArray[Any]"
"""A time in [0, 1]: one float for the whole batch, or one an item, ``[B]``."""


def as_double(t: Time) -> Doubles:
    """Turns a time into a float64 array, zero-dimensional for a float, ``[B]`` for a batch.

    Raises:
        ConfigError: a float outside [0, 1].
    """
    if not isinstance(t, float | int):
        values = t if isinstance(t, np.ndarray) else t.detach().cpu().numpy()
        return np.asarray(values, dtype=np.float64)
    if not 0.0 <= t <= 1.0:
        raise ConfigError(
            f"time must lie in [0, 1], found {t}; use 0 for data and 1 for the start of sampling"
        )
    return np.asarray(t, dtype=np.float64)


def broadcast(c: Doubles, x: X) -> X | float:
    """Shapes a coefficient to multiply a state: the only place where ``[B]`` meets ``[B, ...]``.

    Args:
        c: zero-dimensional, or ``[B]``.
        x: the state ``[B, ...]``.

    Returns:
        A float when zero-dimensional (it never promotes ``x``), else ``[B, 1, ...]`` in the dtype of ``x``.

    Raises:
        ShapeError: ``c`` has another shape.
    """
    if np.ndim(c) == 0:
        return float(c)
    if np.ndim(c) != 1 or x.ndim == 0 or c.shape[0] != x.shape[0]:
        raise ShapeError(
            f"time has shape {list(c.shape)}, the state {list(x.shape)}; give one float, or one time per item"
        )
    return like(c, x).reshape(-1, *(1 for _ in x.shape[1:]))


class Process(ABC):
    """A diffusion process between data x_0 and its end (noise, the recording y, or both).

    Subclasses give ``path``, ``time_at`` and, where the quotient s^2/a is 0/0, ``noise_ratio``.
    """

    @property
    def uses_y(self) -> bool:
        """Whether b is not identically zero, so that a recording y is needed."""
        return True

    @abstractmethod
    def path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Coefficients (a, b, s) at float64 times of any shape, each of that shape."""

    @abstractmethod
    def time_at(self, ratio: float) -> float:
        """The time at which s^2/a^2 equals ``ratio`` >= 0 (above 1 when the process never gets so noisy)."""

    def rates(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:  # noqa: ARG002 - subclasses use it
        """Derivatives (a', b', s s') at float64 times; s s' because s' is infinite wherever s ~ sqrt(t).

        Raises:
            ConfigError: this process offers no velocity.
        """
        raise ConfigError(f"{type(self).__name__} has no velocity; use the target 'x0', 'eps' or 'v' with it")

    def noise_ratio(self, t: Doubles) -> Doubles:
        """s^2/a at float64 times, infinite where only a is 0; a bridge's start rests on it."""
        a, _, s = self.path(t)
        with np.errstate(divide="ignore"):
            return s * s / a

    def eps_path(self, t: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Coefficients by which an eps network reads the state: x_t = a x_0 + b y + s eps_hat."""
        return self.path(t)

    def eps_target(
        self,
        x_0: X,  # noqa: ARG002 - subclasses use it
        y: X | None,  # noqa: ARG002 - subclasses use it
        eps: X,
        t: Time,  # noqa: ARG002 - subclasses use it
    ) -> X:
        """What an eps network is trained to say, ``[B, ...]``: the noise itself."""
        return eps

    @overload
    def coeffs(self, t: float) -> tuple[float, float, float]: ...
    @overload
    def coeffs(self, t: X) -> tuple[X, X, X]: ...
    def coeffs(self, t: Any) -> tuple[Any, Any, Any]:
        """Coefficients (a, b, s): python floats for a float, arrays like ``t`` for ``[B]``.

        Raises:
            ConfigError: a float outside [0, 1].
        """
        a, b, s = self.path(as_double(t))
        if isinstance(t, float | int):
            return float(a), float(b), float(s)
        return like(a, t), like(b, t), like(s, t)

    @overload
    def log_snr(self, t: float) -> float: ...
    @overload
    def log_snr(self, t: X) -> X: ...
    def log_snr(self, t: Any) -> Any:
        """2 ln(a/s), falling strictly with t; +inf at t = 0 and -inf where a = 0.

        Raises:
            ConfigError: a float outside [0, 1], or a process without noise.
        """
        t64 = as_double(t)
        # ln(a) - ln(s^2/a): the quotient a/s itself is 0/0 at a bridge's start
        with np.errstate(divide="ignore"):
            value = np.log(self.path(t64)[0]) - np.log(self.noise_ratio(t64))
        return float(value) if isinstance(t, float | int) else like(value, t)

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
        return float(self.noise_ratio(as_double(u)) / self.noise_ratio(as_double(t)))

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

    def mean(self, x_0: X, y: X | None, t: Time) -> X:
        """The state without its noise, a x_0 + b y, ``[B, ...]``.

        Raises:
            ConfigError: y is missing and the process needs it.
        """
        a, b, _ = self.path(as_double(t))
        scaled = broadcast(a, x_0) * x_0
        return scaled + broadcast(b, x_0) * self.require(y) if self.uses_y else scaled

    def pull(self, y: X | None, x: X, t: Time) -> X | None:
        """The term b y, shaped to the state ``x``, or None for a process without y.

        Raises:
            ConfigError: y is missing and the process needs it.
        """
        if not self.uses_y:
            return None
        _, b, _ = self.path(as_double(t))
        return broadcast(b, x) * self.require(y)

    def require(self, y: X | None) -> X:
        """Returns y.

        Raises:
            ConfigError: y is missing.
        """
        if y is None:
            raise ConfigError(f"{type(self).__name__} ends at the recording y, found none; pass y")
        return y

    def start(self, y: X | None, eps: X, t0: float) -> X:
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
    x_t: X,
    x0_hat: X,
    y: X | None,
    times: tuple[float, float],
    kappa: float,
    added: X | None,
) -> X:
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
    moved: X = x_u if added is None else x_u + added
    return moved
