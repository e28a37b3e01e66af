"""Short-time Fourier transform on an absolute frame grid, and its power-law compression.

Letters in shapes: T samples, F = n_fft/2 + 1 frequency bins, N frames; ``...`` any leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from audiodiff.errors import ConfigError, ShapeError

_LEAST_WEIGHT = 1e-8
"""Summed squared window under which a sample at the ends of a `FramedSTFT` counts as outside."""

LINEAR_BELOW = 1e-4
"""Magnitude under which `Compression` is linear: about 20 dB below the STFT of 16-bit dither."""


@dataclass(frozen=True)
class STFT:
    """STFT with a square-root Hann window for analysis and synthesis.

    Frame n is centred at sample n * hop of the recording, with zeros outside the recording, so a frame
    depends on its absolute number alone and a slice of the recording gives the frames of the whole.
    The inverse is the weighted overlap-add of Griffin and Lim (1984), eq. 6: exact to float rounding.
    Magnitudes are those of ``torch.stft(normalized=False)``.

    Attributes:
        n_fft: Window and transform length in samples, even.
        hop: Distance of two frames in samples; divides n_fft, at most n_fft / 2.

    Raises:
        ConfigError: If n_fft and hop do not fit together.
    """

    n_fft: int
    hop: int

    def __post_init__(self) -> None:
        if self.n_fft < 2 or self.n_fft % 2:
            raise ConfigError(f"n_fft must be an even number of samples, got {self.n_fft}")
        if self.hop < 1 or self.n_fft % self.hop or 2 * self.hop > self.n_fft:
            raise ConfigError(f"hop must divide n_fft = {self.n_fft} at least twice, got {self.hop}")

    @property
    def n_bins(self) -> int:
        """F, the number of frequency bins from 0 Hz to half the sample rate."""
        return self.n_fft // 2 + 1

    def n_frames(self, n_samples: int) -> int:
        """N = 1 + ceil(n_samples / hop), the frames of a recording of n_samples samples."""
        return 1 - (-n_samples // self.hop)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a whole recording.

        Args:
            x: Real samples [..., T].

        Returns:
            Complex spectrum [..., F, N] with N = n_frames(T).
        """
        return self.frames(x, 0, self.n_frames(x.shape[-1]))

    def frames(self, x: Tensor, first_frame: int, n_frames: int, first_sample: int = 0) -> Tensor:
        """Transform some frames of the absolute grid from a slice of the recording.

        Args:
            x: Real samples [..., T], a slice of the recording; everything outside it counts as zero.
            first_frame: Number of the first frame wanted.
            n_frames: How many frames, at least 1.
            first_sample: Absolute position of x[..., 0].

        Returns:
            Complex spectrum [..., F, n_frames].
        """
        begin = first_frame * self.hop - self.n_fft // 2 - first_sample
        end = begin + (n_frames - 1) * self.hop + self.n_fft
        n_samples = x.shape[-1]
        inner = x[..., min(max(begin, 0), n_samples) : min(max(end, 0), n_samples)]
        before = min(max(-begin, 0), end - begin)
        padded = functional.pad(inner, (before, end - begin - before - inner.shape[-1]))
        return transform_frames(padded, self._window, self.n_fft, self.hop)

    def inverse(self, z: Tensor, n_samples: int) -> Tensor:
        """Invert `forward`.

        Args:
            z: Complex spectrum [..., F, N].
            n_samples: Length T of the recording, with N = n_frames(T).

        Returns:
            Real samples [..., T]; for z that is no transform of a signal, the least-squares signal.

        Raises:
            ShapeError: If F or N does not fit.
        """
        if z.shape[-1] != self.n_frames(n_samples):
            raise ShapeError(
                f"{n_samples} samples have {self.n_frames(n_samples)} frames, the spectrum has {z.shape[-1]}"
            )
        return self.overlap_add(z, 0, 0, n_samples)

    def overlap_add(self, z: Tensor, first_frame: int, start: int, n_samples: int) -> Tensor:
        """Invert a slice of frames to a slice of the recording.

        Equals the same samples of `inverse` if z holds every frame that reaches into them.

        Args:
            z: Complex spectrum [..., F, N] of N consecutive frames.
            first_frame: Absolute number of z[..., 0].
            start: Absolute position of the first sample wanted.

        Returns:
            Real samples [..., n_samples].

        Raises:
            ShapeError: If F does not fit or a wanted sample lies under no frame.
        """
        if z.shape[-2] != self.n_bins:
            raise ShapeError(
                f"the spectrum has {z.shape[-2]} bins on its second last axis, not {self.n_bins}"
            )
        offset = start - (first_frame * self.hop - self.n_fft // 2)
        covered = (z.shape[-1] - 1) * self.hop + self.n_fft
        if n_samples and not 0 < offset <= covered - n_samples:
            raise ShapeError(f"samples {start} to {start + n_samples} are not under the {z.shape[-1]} frames")
        window = self._window.to(z.real)
        pieces = torch.fft.irfft(z.transpose(-1, -2), n=self.n_fft) * window
        weight = (window * window).expand(z.shape[-1], self.n_fft)
        wanted = slice(offset, offset + n_samples)
        total, weights = (_add_frames(x, self.hop).flatten(-2) for x in (pieces, weight))
        return total[..., wanted] / weights[wanted]

    @cached_property
    def _window(self) -> Tensor:
        """Periodic square-root Hann window [n_fft]: the square root of sin^2 is the sine itself."""
        return torch.sin(torch.arange(self.n_fft, dtype=torch.float64) * (torch.pi / self.n_fft))


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
        return transform_frames(x, self.window, self.n_fft, self.hop)

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
        total = _add_frames(pieces * self.window.to(pieces), self.hop)
        total *= self._gain(n_frames).to(total)
        return total.flatten(-2)[..., :n_samples]

    def _gain(self, n_frames: int) -> Tensor:
        """1 / summed squared window in blocks [N + overlap - 1, hop]."""
        few = min(n_frames, self.overlap)
        weight = _add_frames((self.window * self.window).expand(few, self.win), self.hop)
        gain = torch.where(weight > _LEAST_WEIGHT, 1 / weight.clamp_min(_LEAST_WEIGHT), 0.0)
        # In the middle all blocks are alike.
        block = torch.arange(n_frames + self.overlap - 1)
        picked: Tensor = gain[torch.minimum(block, (block - (n_frames - few)).clamp_min(few - 1))]
        return picked


def transform_frames(x: Tensor, window: Tensor, n_fft: int, hop: int) -> Tensor:
    """Transform of all whole windows, frame n from sample n hop on: real [..., T] to complex [..., F, N]."""
    z: Tensor = torch.fft.rfft(x.unfold(-1, window.shape[0], hop) * window.to(x), n=n_fft)
    return z.transpose(-1, -2)


def _add_frames(pieces: Tensor, hop: int) -> Tensor:
    """Sum windows [..., N, win] that lie hop apart to blocks [..., N + ceil(win / hop) - 1, hop]."""
    n_frames, win = pieces.shape[-2:]
    overlap = -(-win // hop)
    parts = functional.pad(pieces, (0, missing)) if (missing := overlap * hop - win) else pieces
    parts = parts.reshape(*parts.shape[:-1], overlap, hop)
    total = parts.new_zeros(*parts.shape[:-3], n_frames + overlap - 1, hop)
    for r in range(overlap):
        total[..., r : r + n_frames, :] += parts[..., r, :]
    return total


@dataclass(frozen=True)
class Compression:
    """Power law on the magnitude: scale |z|^exponent e^(i arg z), as in SGMSE (Welker et al. 2022, eq. 13).

    A true power law has an infinite slope at 0, which ruins gradients in silent bins. Below
    |z| = `LINEAR_BELOW` it goes on as the straight line to 0; this keeps the closed inverse and bounds the
    slope by scale * LINEAR_BELOW^(exponent - 1).

    Attributes:
        exponent: Power of the magnitude, above 0, at most 1.

    Raises:
        ConfigError: If one of them is out of range.
    """

    exponent: float
    scale: float

    def __post_init__(self) -> None:
        if not 0 < self.exponent <= 1:
            raise ConfigError(f"the compression exponent must lie in (0, 1], got {self.exponent}")
        if not 0 < self.scale < float("inf"):
            raise ConfigError(f"the compression scale must be positive and finite, got {self.scale}")

    def apply(self, z: Tensor) -> Tensor:
        """Compress a complex spectrum of any shape."""
        return z * (self.scale * z.abs().clamp_min(LINEAR_BELOW) ** (self.exponent - 1))

    def invert(self, z: Tensor) -> Tensor:
        """Undo `apply` on a complex spectrum of any shape."""
        linear = z / self.scale
        floor = LINEAR_BELOW**self.exponent
        return linear * linear.abs().clamp_min(floor) ** (1 / self.exponent - 1)


def to_real(z: Tensor) -> Tensor:
    """Complex [...] to real [..., 2] with (real, imaginary) last; shares memory."""
    return torch.view_as_real(z)


def to_complex(x: Tensor) -> Tensor:
    """Real [..., 2] with (real, imaginary) last to complex [...]; half precision becomes float32.

    Raises:
        ShapeError: If the last axis is not 2 long.
    """
    if x.shape[-1] != 2:
        raise ShapeError(f"the last axis must hold (real, imaginary), its length is {x.shape[-1]}")
    wide = x if x.dtype == torch.float64 else x.float()
    return torch.view_as_complex(wide.contiguous())
