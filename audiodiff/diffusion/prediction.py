"""From what a network says to an estimate of x_0, and back to what it should say.

``make_denoiser`` builds the one object that both the loss and the samplers call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.arrays import Doubles, X, like
from audiodiff.diffusion.process import Process, Time, as_double, broadcast
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Target = Literal["x0", "eps", "v", "velocity"]
"""What a network predicts: x_0, the noise, v = (a eps - s x_0)/sqrt(a^2 + s^2), or dx_t/dt."""

Denoiser: TypeAlias = Callable[[X, float | X], X]
"""(x_t ``[B, ...]``, t) -> x0_hat ``[B, ...]``; y and all conditioning are closed over."""

NetFn: TypeAlias = Callable[[X, X], X]
"""(x_t ``[B, ...]``, t ``[B]``) -> what the network predicts, ``[B, ...]``."""

LARGEST_GAIN = 2.0
"""Largest s/a at which sampling starts by itself where the estimate is (x_t - b y - s eps_hat)/a: an error of
the prediction is so many times larger in x_0. DiffWave's table ends at 1.6, DDPM's at 157."""


def _refuse_where(bad: npt.NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise ConfigError(
            f"{what} where the state holds nothing of x_0; start below t = 1, or predict x0 or v"
        )


def _rotation(a: Doubles, s: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """(a, s)/sqrt(a^2 + s^2) and 1/sqrt(a^2 + s^2); at a = s = 0 the limit (0, 1), and 1."""
    norm = np.hypot(a, s)
    nil = norm == 0.0
    safe = np.where(nil, 1.0, norm)
    return a / safe, np.where(nil, 1.0, s / safe), 1.0 / safe


def _x0_from_eps(process: Process, eps_hat: X, x_t: X, y: X | None, t: Time) -> X:
    a, b, s = process.eps_path(as_double(t))
    _refuse_where(a == 0.0, "eps determines no x_0")
    centred = x_t - broadcast(s, x_t) * eps_hat
    if process.uses_y and (b != 0.0).any():
        centred = centred - broadcast(b, x_t) * process.require(y)
    return broadcast(1.0 / a, x_t) * centred


def _x0_from_v(process: Process, v_hat: X, x_t: X, y: X | None, t: Time) -> X:
    a, _, s = process.path(as_double(t))
    cosine, sine, inverse = _rotation(a, s)
    pull = process.pull(y, x_t, t)
    centred = x_t if pull is None else x_t - pull
    return broadcast(cosine * inverse, x_t) * centred - broadcast(sine, x_t) * v_hat


def _x0_from_velocity(process: Process, w_hat: X, x_t: X, y: X | None, t: Time) -> X:
    t64 = as_double(t)
    a, _, s = process.path(t64)
    a_rate, b_rate, ss_rate = process.rates(t64)
    # x_0 = (s'(x - b y) - s (w - b' y))/(a s' - s a'), times s/s: s s' is finite where s' is not
    denominator = a * ss_rate - s * s * a_rate
    _refuse_where((a == 0.0) & (denominator == 0.0), "the velocity determines no x_0")
    clean = s == 0.0  # the state itself determines x_0 there
    safe = np.where(clean, 1.0, denominator)
    with np.errstate(divide="ignore"):
        state_gain = np.where(clean, 1.0 / a, ss_rate / safe)
    rate_gain = np.where(clean, 0.0, s * s / safe)
    pull = process.pull(y, x_t, t)
    centred = x_t if pull is None else x_t - pull
    rate = w_hat if pull is None else w_hat - broadcast(b_rate, x_t) * process.require(y)
    return broadcast(state_gain, x_t) * centred - broadcast(rate_gain, x_t) * rate


def to_x0(process: Process, target: Target, prediction: X, x_t: X, y: X | None, t: Time) -> X:
    """Turns a prediction into an estimate of x_0.

    Args:
        process: the process.
        target: what ``prediction`` is.
        prediction: the network's output, ``[B, ...]``.
        x_t: state, ``[B, ...]``.
        y: the recording, or None for a process without one.
        t: time, a float or ``[B]``.

    Returns:
        x0_hat, ``[B, ...]``.

    Raises:
        ConfigError: eps where a = 0, velocity where a = s = 0 or in a process without one, or y is missing.
    """
    match target:
        case "x0":
            return prediction
        case "eps":
            return _x0_from_eps(process, prediction, x_t, y, t)
        case "v":
            return _x0_from_v(process, prediction, x_t, y, t)
        case "velocity":
            return _x0_from_velocity(process, prediction, x_t, y, t)


def x0_gain(process: Process, target: Target, t: X) -> X:
    """By how much an error of the prediction is larger in x0_hat.

    1 for x0, s/a for eps, s/sqrt(a^2 + s^2) for v, |s s'/(a s' - s a')| over |s'| for the velocity.

    Args:
        process: the process.
        target: what the network predicts.
        t: times, ``[B]``.

    Returns:
        ``[B]`` in the dtype of ``t``.

    Raises:
        ConfigError: as ``to_x0``.
    """
    t64 = as_double(t)
    nil = np.zeros_like(t64)
    # x0_hat is linear in the prediction
    error = to_x0(process, target, nil + 1.0, nil, nil, t64) - to_x0(process, target, nil, nil, nil, t64)
    return like(np.abs(error), t)


def natural_start(process: Process, target: Target) -> float:
    """The time at which sampling starts where nothing else is said.

    1 for x0 and v. An eps network says next to nothing of x_0 where s/a is large, and nothing where a = 0, so
    it starts where s/a is `LARGEST_GAIN` at most; so does a velocity where it determines no x_0 at t = 1.

    Raises:
        ConfigError: the process has no such target.
    """
    if target in ("x0", "v"):
        return 1.0
    x0_gain(process, target, np.array([0.5]))  # refuses what has no velocity
    a, _, s = (float(c) for c in process.eps_path(as_double(1.0)))
    if (target == "velocity" and s > 0.0) or (a > 0.0 and s <= LARGEST_GAIN * a):
        return 1.0
    return process.inverse_log_snr(-2.0 * math.log(LARGEST_GAIN))


def check_target(process: Process, target: Target, start: float) -> None:
    """Refuse what cannot be learned: a prediction that says nothing of x_0 at the start, or in between.

    Raises:
        ConfigError: this process, target and start do not go together; the line says what to change.
    """
    times = np.array([start, 0.5 * start])
    nil = np.zeros_like(times)
    try:
        gains = x0_gain(process, target, times)
        target_of(process, target, nil, nil, nil, times)
    except ConfigError as error:
        raise ConfigError(f"target {target!r} with a start at t = {start:g}: {error}") from None
    if not (gains > 0.0).all():
        raise ConfigError(f"target {target!r} means nothing in a process without noise; predict x0")


def target_of(process: Process, target: Target, x_0: X, y: X | None, eps: X, t: Time) -> X:
    """What a perfect network would say of the state made of (x_0, y, eps): the inverse of ``to_x0``.

    Args:
        process: the process.
        target: what to compute.
        x_0: clean data, ``[B, ...]``.
        y: the recording, or None for a process without one.
        eps: the noise of the state, ``[B, ...]``.
        t: time, a float or ``[B]``.

    Returns:
        The target, ``[B, ...]``.

    Raises:
        ConfigError: velocity where s = 0 < |s s'| (it is infinite), or in a process without one, or y is
            missing.
    """
    t64 = as_double(t)
    a, _, s = process.path(t64)
    match target:
        case "x0":
            return x_0
        case "eps":
            return process.eps_target(x_0, y, eps, t)
        case "v":
            cosine, sine, _ = _rotation(a, s)
            return broadcast(cosine, x_0) * eps - broadcast(sine, x_0) * x_0
        case "velocity":
            a_rate, b_rate, ss_rate = process.rates(t64)
            if ((s == 0.0) & (ss_rate != 0.0)).any():
                raise ConfigError(
                    "the velocity is infinite where the noise starts or ends; draw t inside (0, 1)"
                )
            s_rate = np.where(s == 0.0, 0.0, ss_rate / np.where(s == 0.0, 1.0, s))
            velocity = broadcast(a_rate, x_0) * x_0 + broadcast(s_rate, x_0) * eps
            return velocity + broadcast(b_rate, x_0) * process.require(y) if process.uses_y else velocity


@dataclass(frozen=True)
class Scales:
    """Multipliers of a preconditioned network at a time: D = c_skip x_t + c_y y + c_out F(c_in x_t, ...)."""

    c_skip: Doubles
    c_y: Doubles
    c_out: Doubles
    c_in: Doubles


@dataclass(frozen=True)
class Preconditioning:
    """Second moments of the training data, which fix the best linear estimate that the network only corrects.

    The two-sided form of EDM (Karras et al. 2022): F then has a target of unit variance, -v on the residual
    (x_0 - beta y)/sigma_r, and at a bridge's start D is the Wiener estimate plus sigma_r F. Measured in the
    domain of the states; for complex spectra total standard deviations, as their noise has total variance 1.

    Args:
        sigma_x: root mean square of x_0, above 0.
        sigma_y: root mean square of y, above 0; without y leave it.
        sigma_xy: mean of x_0 y (real part of x_0 conj(y)), |sigma_xy| < sigma_x sigma_y; without y leave it
            at 0.

    Raises:
        ConfigError: the three are not the moments of two different signals.
    """

    sigma_x: float
    sigma_y: float = 1.0
    sigma_xy: float = 0.0

    def __post_init__(self) -> None:
        if not (
            self.sigma_x > 0.0 and self.sigma_y > 0.0 and abs(self.sigma_xy) < self.sigma_x * self.sigma_y
        ):
            raise ConfigError(
                f"moments need sigma_x, sigma_y > 0 and |sigma_xy| < sigma_x sigma_y, found {self}; remeasure"
            )

    @property
    def beta(self) -> float:
        """The Wiener gain from y to x_0."""
        return self.sigma_xy / self.sigma_y**2

    @property
    def sigma_r(self) -> float:
        """Standard deviation of the residual x_0 - beta y."""
        return math.sqrt(self.sigma_x**2 - self.sigma_xy**2 / self.sigma_y**2)

    def scales(self, process: Process, t: Time) -> Scales:
        """The four multipliers in float64, zero-dimensional or ``[B]``; finite at a bridge's start too.

        Raises:
            ConfigError: the process has no noise.
        """
        t64 = as_double(t)
        a, b, s = process.path(t64)
        ratio = process.noise_ratio(t64)  # s^2/a: V/a and V/s^2 stay finite in terms of it
        c_skip = self.sigma_r**2 / (a * self.sigma_r**2 + ratio)
        spread = (
            np.square(a) * self.sigma_x**2
            + np.square(b) * self.sigma_y**2
            + 2.0 * a * b * self.sigma_xy
            + np.square(s)
        )
        return Scales(
            c_skip=c_skip,
            c_y=self.beta - c_skip * (a * self.beta + b),
            c_out=self._out(a, ratio),
            c_in=1.0 / np.sqrt(spread),
        )

    def weight(self, process: Process, t: Tensor) -> Tensor:
        """Loss weight 1/c_out^2 of x0_hat's squared error, ``[B]`` in the dtype of ``t``; infinite at t = 0.

        Raises:
            ConfigError: the process has no noise.
        """
        t64 = as_double(t)
        with np.errstate(divide="ignore"):
            return like(self._out(process.path(t64)[0], process.noise_ratio(t64)) ** -2.0, t)

    def _out(self, a: Doubles, ratio: Doubles) -> Doubles:
        with np.errstate(divide="ignore"):
            return self.sigma_r / np.sqrt(1.0 + a * self.sigma_r**2 / ratio)


def _times(t: float | X, x: X) -> X:
    """The time as a network takes it, ``[B]``."""
    return like(np.broadcast_to(as_double(t), x.shape[:1]), x) if isinstance(t, float | int) else t


def make_denoiser(
    process: Process,
    target: Target,
    net_fn: NetFn[X],
    y: X | None = None,
    preconditioning: Preconditioning | None = None,
) -> Denoiser[X]:
    """Builds the denoiser that the loss and the samplers share.

    Without preconditioning the network sees x_t as it is. With it the network sees c_in x_t and answers F;
    whoever made ``net_fn`` gives it y/sigma_y then, and c_noise is t itself, finite everywhere.

    Args:
        process: the process.
        target: what the network predicts; "x0" with preconditioning.
        net_fn: (x_t ``[B, ...]``, t ``[B]``) -> prediction ``[B, ...]``, conditioning closed over.
        y: the recording in the shape of the state, or None where neither process nor target needs it.
        preconditioning: moments of the data, or None.

    Returns:
        (x_t, t) -> x0_hat. A float t is expanded to ``[B]`` for the network, a tensor ``[B]`` is handed on.

    Raises:
        ConfigError: preconditioning with another target than "x0", or without the y that it needs.
    """
    if preconditioning is None:

        def plain(x_t: X, t: float | X) -> X:
            return to_x0(process, target, net_fn(x_t, _times(t, x_t)), x_t, y, t)

        return plain

    moments = preconditioning
    if target != "x0":
        raise ConfigError(
            f"preconditioning already fixes what the network says; use target 'x0' with it, found {target!r}"
        )
    if y is None and (process.uses_y or moments.sigma_xy != 0.0):
        raise ConfigError(
            "preconditioning with a recording needs y, found none; pass y, or moments without sigma_xy"
        )

    def preconditioned(x_t: X, t: float | X) -> X:
        scales = moments.scales(process, t)
        answer = net_fn(broadcast(scales.c_in, x_t) * x_t, _times(t, x_t))
        x0_hat = broadcast(scales.c_skip, x_t) * x_t + broadcast(scales.c_out, x_t) * answer
        return x0_hat if y is None else x0_hat + broadcast(scales.c_y, x_t) * y

    return preconditioned
