"""Short-time Fourier transform on an absolute frame grid, and its power-law compression.

Everything takes numpy arrays and torch tensors alike and answers in kind: inference has the first, training
the second.

Letters in shapes: T samples, F = n_fft/2 + 1 frequency bins, N frames; ``...`` any leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from audiodiff.arrays import Doubles, X, irfft, like, pad, rfft, spread, windows, zeros
from audiodiff.errors import ConfigError, ShapeError

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

    def forward(self, x: X) -> X:
        """Transform a whole recording.

        Args:
            x: Real samples [..., T].

        Returns:
            Complex spectrum [..., F, N] with N = n_frames(T).
        """
        return self.frames(x, 0, self.n_frames(x.shape[-1]))

    def frames(self, x: X, first_frame: int, n_frames: int, first_sample: int = 0) -> X:
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
        padded = pad(inner, before, end - begin - before - inner.shape[-1])
        return transform_frames(padded, like(self._window, padded), self.n_fft, self.hop)

    def inverse(self, z: X, n_samples: int) -> X:
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

    def overlap_add(self, z: X, first_frame: int, start: int, n_samples: int) -> X:
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
        window = like(self._window, z)
        pieces = irfft(z.swapaxes(-1, -2), self.n_fft) * window
        weight = spread(window * window, (z.shape[-1], self.n_fft))
        wanted = slice(offset, offset + n_samples)
        total, weights = (_joined(add_frames(x, self.hop)) for x in (pieces, weight))
        samples: X = total[..., wanted] / weights[wanted]
        return samples

    @cached_property
    def _window(self) -> Doubles:
        """Periodic square-root Hann window [n_fft]: the square root of sin^2 is the sine itself."""
        return np.sin(np.arange(self.n_fft, dtype=np.float64) * (np.pi / self.n_fft))


def transform_frames(x: X, window: X, n_fft: int, hop: int) -> X:
    """Transform of all whole windows, frame n from sample n hop on: real [..., T] to complex [..., F, N]."""
    frames: X = windows(x, window.shape[0], hop) * window
    return rfft(frames, n_fft).swapaxes(-1, -2)


def add_frames(pieces: X, hop: int) -> X:
    """Sum windows [..., N, win] that lie hop apart to blocks [..., N + ceil(win / hop) - 1, hop]."""
    n_frames, win = pieces.shape[-2:]
    overlap = -(-win // hop)
    missing = overlap * hop - win
    whole = pad(pieces, 0, missing) if missing else pieces
    parts: X = whole.reshape(*whole.shape[:-1], overlap, hop)
    total = zeros((*parts.shape[:-3], n_frames + overlap - 1, hop), parts)
    for r in range(overlap):
        total[..., r : r + n_frames, :] += parts[..., r, :]
    return total


def _joined(blocks: X) -> X:
    """Blocks [..., n, hop] end to end, [..., n hop]."""
    return blocks.reshape(*blocks.shape[:-2], -1)


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

    def apply(self, z: X) -> X:
        """Compress a complex spectrum of any shape."""
        return z * (self.scale * abs(z).clip(min=LINEAR_BELOW) ** (self.exponent - 1))

    def invert(self, z: X) -> X:
        """Undo `apply` on a complex spectrum of any shape."""
        linear = z / self.scale
        floor = LINEAR_BELOW**self.exponent
        result: X = linear * abs(linear).clip(min=floor) ** (1 / self.exponent - 1)
        return result


def to_real(z: X) -> X:
    """Complex [...] to real [..., 2] with (real, imaginary) last; a tensor shares memory."""
    if isinstance(z, np.ndarray):
        return np.ascontiguousarray(z)[..., np.newaxis].view(z.real.dtype)
    import torch

    return torch.view_as_real(z)


def to_complex(x: X) -> X:
    """Real [..., 2] with (real, imaginary) last to complex [...]; half precision becomes float32.

    Raises:
        ShapeError: If the last axis is not 2 long.
    """
    if x.shape[-1] != 2:
        raise ShapeError(f"the last axis must hold (real, imaginary), its length is {x.shape[-1]}")
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x).view(np.result_type(x, np.complex64))[..., 0]
    import torch

    wide = x if x.dtype == torch.float64 else x.float()
    return torch.view_as_complex(wide.contiguous())
