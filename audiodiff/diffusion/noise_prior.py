"""Priors: noise as loud as the speech will be, and its loss.

PriorGrad (Lee et al. 2022): the standard deviation s of the noise follows the energy of the mel's frames.
Start, fresh noise and training noise all carry it (`samplers.prior_noise`,
``sample_state(prior_scale=s)``), the network predicts s z, and the loss divides by s, so that quiet places
count as much as loud ones. `LevelPrior` takes the level itself for s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from audiodiff.diffusion.loss import item_mean
from audiodiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class EnergyPrior:
    """s = max((e - low)/(high - low), floor), with e = sqrt(sum of a frame's bands) cut at high.

    Args:
        low: Energy of silence, the least e of the training data.
        high: Energy at which s is 1; PriorGrad's 4 belongs to HiFi-GAN's mel.
        floor: Least s, in (0, 1].

    Raises:
        ConfigError: Values out of range.
    """

    low: float = 0.0
    high: float = 4.0
    floor: float = 0.1

    def __post_init__(self) -> None:
        if not (0.0 <= self.low < self.high < float("inf") and 0.0 < self.floor <= 1.0):
            found = f"{self.low}, {self.high} and {self.floor}"
            raise ConfigError(f"a prior needs 0 <= low < high and 0 < floor <= 1, found {found}")

    def scale(self, bands: Tensor, hop: int) -> Tensor:
        """The standard deviation of every sample.

        Args:
            bands: Linear, nonnegative band values ``[B, M, N]`` (``signal.mel.bands`` of a mel; PriorGrad
                sums exp of its log mel, which is the same).
            hop: Samples a frame; a frame's value holds for all of them.

        Returns:
            s, ``[B, N hop]``, in [floor, 1].

        Raises:
            ShapeError: `bands` has another shape.
        """
        if bands.ndim != 3:
            raise ShapeError(f"the energy prior needs bands [B, M, N], found {list(bands.shape)}")
        energy = bands.sum(dim=1).sqrt().clamp(max=self.high)
        scale = ((energy - self.low) / (self.high - self.low)).clamp(min=self.floor)
        return scale.repeat_interleave(hop, dim=-1)


@dataclass(frozen=True)
class LevelPrior:
    """s = max(root mean square of the frame, floor), as the mel's magnitudes tell it.

    PriorGrad's s is a root of an amplitude, some dB louder than speech and louder still in its pauses. Here
    noise and speech are equally loud everywhere, so a level of a process means the same in all places, and a
    network that sees the state over s sees one level.

    Args:
        floor: Least s, in (0, 1].

    Raises:
        ConfigError: A floor out of range.
    """

    floor: float = 3e-4

    def __post_init__(self) -> None:
        if not 0.0 < self.floor <= 1.0:
            raise ConfigError(f"a prior needs 0 < floor <= 1, found {self.floor}")

    def level(self, magnitude: Tensor, window: Tensor) -> Tensor:
        """The standard deviation of every frame.

        Args:
            magnitude: Short-time magnitudes ``[B, F, N]``, all bins up to half the rate.
            window: The window they were measured with ``[n]``.

        Returns:
            s, ``[B, N]``, in [floor, inf).

        Raises:
            ShapeError: `magnitude` has another shape.
        """
        if magnitude.ndim != 3:
            raise ShapeError(f"the level prior needs magnitudes [B, F, N], found {list(magnitude.shape)}")
        # white noise of deviation 1 has the power sum(window^2) in every bin
        power = magnitude.square().mean(dim=1) / float(window.square().sum())
        return power.sqrt().clamp(min=self.floor)


Prior: TypeAlias = EnergyPrior | LevelPrior


def noise_loss(
    target: Tensor, prediction: Tensor, kind: Literal["l1", "l2"] = "l1", prior_scale: Tensor | None = None
) -> Tensor:
    """Mean error of a predicted noise: DiffWave's L1 (its code) or L2 (its paper), PriorGrad's with a scale.

    Args:
        target: What ``target_of`` says, ``[B, ...]``; with a prior made from s z.
        prediction: What the network says, same shape.
        kind: Mean absolute or mean squared error.
        prior_scale: s, broadcastable; the error is divided by it before the mean. None for 1.

    Returns:
        ``[B]``; item i never depends on item j.
    """
    error = target - prediction if prior_scale is None else (target - prediction) / prior_scale
    return item_mean(error.abs() if kind == "l1" else error.square())
