"""Short-time Fourier transform without padding, and its inverse: the one that mel inversion works on.

Letters in shapes: T samples, F = n_fft/2 + 1 frequency bins, N frames; ``...`` any leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from audiodiff.errors import ConfigError, ShapeError
from audiodiff.signal.stft import add_frames, transform_frames

_LEAST_WEIGHT = 1e-8
"""Summed squared window under which a sample at the ends counts as outside."""


@dataclass(frozen=True, eq=False)
class FramedSTFT:
    """Transform with one window for analysis, whose frame n covers the samples n hop ... n hop + win - 1.

    Nothing is padded: the signal is what lies under the windows. The inverse is that of Griffin and Lim
    (1984), eq. 6, the signal whose transform is nearest in least squares. Phases refer to the first sample
    of a frame, magnitudes are those of ``torch.stft(normalized=False)``.

    Attributes:
        window: Analysis window, float64 [win].
        n_fft: Transform length in samples, at least win.
        hop: Distance of two frames in samples, at most win / 2.

    Raises:
        ConfigError: If the three do not fit together.
    """

    window: Tensor
    n_fft: int
    hop: int

    def __post_init__(self) -> None:
        if self.n_fft < self.win:
            raise ConfigError(f"a window of {self.win} samples does not fit in n_fft = {self.n_fft}")
        if not 0 < 2 * self.hop <= self.win:
            raise ConfigError(f"windows of {self.win} samples must overlap by half, the hop is {self.hop}")

    @property
    def win(self) -> int:
        """Window length in samples."""
        return self.window.shape[0]

    @property
    def n_bins(self) -> int:
        """F, the number of frequency bins."""
        return self.n_fft // 2 + 1

    @property
    def overlap(self) -> int:
        """Frames over one sample, rounded up."""
        return -(-self.win // self.hop)

    def n_samples(self, n_frames: int) -> int:
        """Samples under n_frames frames."""
        return (n_frames - 1) * self.hop + self.win

    def forward(self, x: Tensor) -> Tensor:
        """Transform.

        Args:
            x: Real samples [..., T], at least win; what reaches over the last whole frame is left out.

        Returns:
            Complex [..., F, N], the frames next to each other in memory.

        Raises:
            ShapeError: If x is shorter than one window.
        """
        if x.shape[-1] < self.win:
            raise ShapeError(f"a frame has {self.win} samples, got {x.shape[-1]}")
        return transform_frames(x, self.window.to(x), self.n_fft, self.hop)

    def inverse(self, z: Tensor, n_samples: int) -> Tensor:
        """Signal whose transform is nearest to z in least squares.

        Args:
            z: Complex [..., F, N].

        Returns:
            Real samples [..., n_samples].

        Raises:
            ShapeError: If the sizes do not fit.
        """
        n_frames = z.shape[-1]
        if z.shape[-2] != self.n_bins or n_samples != self.n_samples(n_frames):
            raise ShapeError(
                f"{self.n_bins} bins and {n_frames} frames have {self.n_samples(n_frames)} samples, "
                f"got {z.shape[-2]} bins and {n_samples} samples"
            )
        pieces = torch.fft.irfft(z.transpose(-1, -2), n=self.n_fft)[..., : self.win]
        total = add_frames(pieces * self.window.to(pieces), self.hop)
        total *= self._gain(n_frames).to(total)
        samples: Tensor = total.flatten(-2)[..., :n_samples]
        return samples

    def _gain(self, n_frames: int) -> Tensor:
        """1 / summed squared window in blocks [N + overlap - 1, hop]."""
        few = min(n_frames, self.overlap)
        weight = add_frames((self.window * self.window).expand(few, self.win), self.hop)
        gain = torch.where(weight > _LEAST_WEIGHT, 1 / weight.clamp_min(_LEAST_WEIGHT), 0.0)
        # In the middle all blocks are alike.
        block = torch.arange(n_frames + self.overlap - 1)
        picked: Tensor = gain[torch.minimum(block, (block - (n_frames - few)).clamp_min(few - 1))]
        return picked
