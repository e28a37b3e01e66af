"""What the state of a model is: a compressed spectrum, or a waveform.

A chunk of a recording has samples, and frames of a spectrum on the absolute grid of the whole recording. In
both representations the result of a chunk is handed on as bins of that spectrum, where levels are limited and
from which chunks are joined; so whatever a network works on, everything around it is the same.

Letters: B items (the channels of a recording), F bins, N frames, T samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.arrays import pad
from audiodiff.signal.counter_noise import gaussian
from audiodiff.signal.stft import STFT, Compression, to_complex, to_real

if TYPE_CHECKING:
    from audiodiff.networks.contract import Reaches, WaveDomain

Real: TypeAlias = npt.NDArray[np.float32]
Complex: TypeAlias = npt.NDArray[np.complex64]

_NOISE_STREAM = 0
_FRAME_S = 0.016


class Place(Protocol):
    """Where a slice lies in its recording, in absolute frames and samples."""

    @property
    def first_frame(self) -> int: ...  # noqa: D102
    @property
    def n_frames(self) -> int: ...  # noqa: D102
    @property
    def first_sample(self) -> int: ...  # noqa: D102
    @property
    def stop_sample(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class CompressedSTFT:
    """States are spectra ``[B, F, N, 2]`` (re, im) whose magnitudes are compressed."""

    stft: STFT
    compression: Compression

    def state(self, _samples: Real, bins: Complex) -> Real:
        """The recording as the network sees it, of its samples ``[B, T]`` and bins ``[B, F, N]``."""
        return to_real(self.compression.apply(bins))

    def bins(self, x_0: Real, _place: Place) -> Complex:
        """Bins ``[B, F, N]`` of an estimate."""
        return self.compression.invert(to_complex(x_0))

    def noise(self, seed: int, draw: int, like: Real, place: Place) -> Real:
        """Complex noise of total variance 1, addressed by the absolute frame and shared by the items."""
        _, n_bins, n_frames, _ = like.shape
        a_frame = 2 * n_bins
        flat = gaussian(seed, _NOISE_STREAM, draw, place.first_frame * a_frame, n_frames * a_frame)
        eps = flat.reshape(n_frames, n_bins, 2).transpose(1, 0, 2)
        return np.broadcast_to(eps * np.float32(math.sqrt(0.5)), like.shape)

    def context(self, net: Reaches, evaluations: int) -> int:
        """Frames on one side that a result depends on, over all evaluations."""
        return net.reach_encode + evaluations * net.reach_step

    def silence(self) -> tuple[Real, Real]:
        """A silent condition and state, to try a network."""
        zeros = np.zeros((1, self.stft.n_bins, 8, 2), dtype=np.float32)
        return zeros, zeros


@dataclass(frozen=True)
class Waveform:
    """States are samples ``[B, T]``; the spectrum serves to limit and to join.

    Attributes:
        stft: That spectrum; its hop is a multiple of the network's grid.
        domain: What the network works on.
    """

    stft: STFT
    domain: WaveDomain

    @classmethod
    def at(cls, sample_rate: int, domain: WaveDomain) -> Waveform:
        """The representation of a model at that rate in Hz."""
        hop = max(1, round(_FRAME_S * sample_rate / domain.grid)) * domain.grid
        return cls(STFT(2 * hop, hop), domain)

    def state(self, samples: Real, _bins: Complex) -> Real:
        """The recording as the network sees it: filled up to the network's grid."""
        return pad(samples, 0, -samples.shape[-1] % self.domain.grid)

    def bins(self, x_0: Real, place: Place) -> Complex:
        """Bins ``[B, F, N]`` of an estimate."""
        inside = x_0[..., : place.stop_sample - place.first_sample]
        return self.stft.frames(inside, place.first_frame, place.n_frames, place.first_sample)

    def noise(self, seed: int, draw: int, like: Real, place: Place) -> Real:
        """Noise of variance 1, addressed by the absolute sample and shared by the items."""
        flat = gaussian(seed, _NOISE_STREAM, draw, place.first_sample, like.shape[-1])
        return np.broadcast_to(flat, like.shape)

    def context(self, net: Reaches, evaluations: int) -> int:
        """Frames on one side that a result depends on, over all evaluations."""
        from audiodiff.networks.contract import halo_samples

        return -(-halo_samples(net, self.domain, evaluations) // self.stft.hop)

    def silence(self) -> tuple[Real, Real]:
        """A silent condition and state, to try a network."""
        cond, x_t = self.domain.zeros(8 * self.domain.grid // self.domain.hop)
        return cond.numpy(), x_t.numpy()


Representation: TypeAlias = CompressedSTFT | Waveform
