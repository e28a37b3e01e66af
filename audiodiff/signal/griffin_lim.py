"""Fast Griffin-Lim and a short-time Fourier transform whose frames begin at sample 0.

Letters in shapes: T samples, F = n_fft/2 + 1 frequency bins, N frames; ``...`` any leading axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from audiodiff.errors import ConfigError, ShapeError

MOMENTUM = 0.99
"""Acceleration of fast Griffin-Lim (Perraudin, Balazs, Sondergaard 2013, section 4)."""

_TINY = 1e-12
_LEAST_WEIGHT = 1e-8
"""Summed squared window under which a sample at the ends counts as outside."""


class Transform(Protocol):
    """A linear transform with a least-squares inverse, for example `audiodiff.signal.stft.STFT`."""

    def forward(self, x: Tensor) -> Tensor:
        """Samples [..., T] to complex [..., F, N]."""

    def inverse(self, z: Tensor, n_samples: int) -> Tensor:
        """Complex [..., F, N] to samples [..., n_samples]."""


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
        z: Tensor = torch.fft.rfft(x.unfold(-1, self.win, self.hop) * self.window.to(x), n=self.n_fft)
        return z.transpose(-1, -2)

    def inverse(self, z: Tensor, n_samples: int) -> Tensor:
        """Signal whose transform is nearest to z in least squares.

        Args:
            z: Complex [..., F, N].
            n_samples: `n_samples(N)`.

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
        total = self._add(pieces * self.window.to(pieces))
        total *= self._gain(n_frames).to(total)
        return total.flatten(-2)[..., :n_samples]

    def _add(self, pieces: Tensor) -> Tensor:
        """Sum windows [..., N, win] that lie hop apart to blocks [..., N + overlap - 1, hop]."""
        n_frames = pieces.shape[-2]
        missing = self.overlap * self.hop - self.win
        parts = functional.pad(pieces, (0, missing)) if missing else pieces
        parts = parts.reshape(*parts.shape[:-1], self.overlap, self.hop)
        total = parts.new_zeros(*parts.shape[:-3], n_frames + self.overlap - 1, self.hop)
        for r in range(self.overlap):
            total[..., r : r + n_frames, :] += parts[..., r, :]
        return total

    def _gain(self, n_frames: int) -> Tensor:
        """1 / summed squared window in blocks [N + overlap - 1, hop]."""
        few = min(n_frames, self.overlap)
        weight = self._add((self.window * self.window).expand(few, self.win))
        gain = torch.where(weight > _LEAST_WEIGHT, 1 / weight.clamp_min(_LEAST_WEIGHT), 0.0)
        # In the middle all blocks are alike.
        block = torch.arange(n_frames + self.overlap - 1)
        picked: Tensor = gain[torch.minimum(block, (block - (n_frames - few)).clamp_min(few - 1))]
        return picked


def accelerated(
    z: Tensor, project: Callable[[Tensor], Tensor], magnitude: Callable[[Tensor], Tensor], iterations: int
) -> Tensor:
    """Fast Griffin-Lim between spectra of signals and spectra of a wanted magnitude.

    One iteration is r = project(z), a = r + MOMENTUM (r - r_previous), z = magnitude(r) a / |a|, the
    momentum being absent from the first (Perraudin et al. 2013, algorithm 2).

    Args:
        z: Complex start [..., F, N].
        project: Makes z the transform of a signal.
        magnitude: The wanted magnitude [..., F, N], given r.
        iterations: How many, at least 0.

    Returns:
        Complex [..., F, N], of the wanted magnitude if iterations > 0.
    """
    previous: Tensor | None = None
    for _ in range(iterations):
        r = project(z)
        a = r if previous is None else torch.sub(r, previous, alpha=MOMENTUM / (1 + MOMENTUM))
        z = a * (magnitude(r) / a.abs().clamp_min(_TINY))
        previous = r
    return z


def fast_griffin_lim(
    magnitude: Tensor, start_phase: Tensor, stft: Transform, n_samples: int, iterations: int
) -> Tensor:
    """Signal of a given magnitude whose phase lies near a given one.

    Args:
        magnitude: Wanted magnitude [..., F, N].
        start_phase: Phase to begin with in radians [..., F, N].
        stft: The transform, for example `audiodiff.signal.stft.STFT`.
        n_samples: T, the length of the signal under the N frames.
        iterations: How many, at least 0.

    Returns:
        Real samples [..., T].

    Raises:
        ShapeError: If magnitude, phase and transform do not fit.
        ConfigError: If iterations is negative.
    """
    if magnitude.shape != start_phase.shape:
        raise ShapeError(f"magnitude {list(magnitude.shape)} and phase {list(start_phase.shape)} differ")
    if iterations < 0:
        raise ConfigError(f"iterations must be at least 0, got {iterations}")
    z = accelerated(
        torch.polar(magnitude, start_phase),
        lambda x: stft.forward(stft.inverse(x, n_samples)),
        lambda _: magnitude,
        iterations,
    )
    return stft.inverse(z, n_samples)
