"""What a prior makes of a mel: the level of the noise, at which a network may see the state, too.

Letters: B items, M bands, N frames, T = N hop samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from audiodiff.diffusion.noise_prior import EnergyPrior, Prior
from audiodiff.networks.upsampling import interpolate_frames
from audiodiff.signal.mel import analysis_window, to_linear_mel
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_inversion import invert_magnitude

ITERATIONS = 1
"""Of the magnitude's inversion; the level needs no more."""


@dataclass(frozen=True)
class Shaping:
    """The noise that goes with one batch of mels.

    Attributes:
        scale: Standard deviation of the noise at every sample, ``[B, T]``; a loss is divided by it.
        even: Whether the network works on the state over `scale`.
    """

    scale: Tensor
    even: bool

    def enter(self, x_t: Tensor) -> Tensor:
        """What the network sees of a state [B, T]."""
        return x_t / self.scale if self.even else x_t

    def leave(self, out: Tensor) -> Tensor:
        """The prediction that the network's output [B, T] stands for; undoes `enter`."""
        return out * self.scale if self.even else out


def shape(prior: Prior, mel: Tensor, spec: MelSpec) -> Shaping:
    """Fit a prior to mels.

    Args:
        mel: ``[B, M, N]`` in the numbers of `spec`.

    Returns:
        The shaping of noise [B, N hop].
    """
    linear = to_linear_mel(mel, spec)
    if isinstance(prior, EnergyPrior):
        return Shaping(prior.scale(linear, spec.hop), even=False)
    level = prior.level(invert_magnitude(linear, spec, ITERATIONS), analysis_window(spec))
    return Shaping(interpolate_frames(level.log()[:, None], spec.hop)[:, 0].exp(), even=True)
