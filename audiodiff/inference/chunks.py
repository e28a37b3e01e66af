"""Which frames and samples belong to which chunk: integers only.

The signal has T samples and N = 1 + ceil(T / hop) frames; frame n is centred at sample n * hop and covers
n_fft samples. Chunk i delivers the samples [i * core, (i + 1) * core) and computes the frames around them:

    frames 0 ... N   |----halo----|=========core=========|----halo----|
    samples        |window|                                       |window|

The halo is the reach of all network evaluations plus the frames whose windows touch the core. At the ends of
the signal the halo is cut, because beyond them there is nothing: the network sees there what it sees on the
whole signal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from audiodiff.errors import ConfigError


@dataclass(frozen=True)
class Chunk:
    """One piece of work; all numbers are absolute.

    Attributes:
        first_frame: First frame to compute.
        n_frames: How many frames to compute.
        first_sample: First sample to read; what lies outside [0, T) is not read.
        stop_sample: Sample after the last one to read.
        start: First sample to deliver.
        stop: Sample after the last one to deliver.
    """

    first_frame: int
    n_frames: int
    first_sample: int
    stop_sample: int
    start: int
    stop: int

    @property
    def stop_frame(self) -> int:
        """Frame after the last one to compute."""
        return self.first_frame + self.n_frames


@dataclass(frozen=True)
class Plan:
    """The grid of chunks, which depends on nothing but these four numbers and on T at the end.

    Attributes:
        hop: Samples between frames.
        n_fft: Samples under one frame.
        core_frames: Hops that one chunk delivers.
        reach: Frames on one side on which a result frame depends, over all evaluations together.

    Raises:
        ConfigError: A number is out of range.
    """

    hop: int
    n_fft: int
    core_frames: int
    reach: int

    def __post_init__(self) -> None:
        if min(self.hop, self.n_fft, self.core_frames) < 1 or self.reach < 0:
            raise ConfigError(f"chunk plan needs positive lengths and a reach of at least 0, found {self}")

    @property
    def core(self) -> int:
        """Samples that one chunk delivers."""
        return self.core_frames * self.hop

    @property
    def _half(self) -> int:
        """Frames on one side of a sample whose windows may touch it."""
        return -(-self.n_fft // (2 * self.hop))

    def n_chunks(self, n_samples: int) -> int:
        """Number of chunks of a signal of n_samples samples."""
        return -(-n_samples // self.core)

    def needs(self, index: int) -> int:
        """Samples that must have arrived before chunk `index` is certain to lie inside the signal."""
        last_frame = (index + 1) * self.core_frames + self._half + self.reach - 1
        return (last_frame + self._half) * self.hop

    def chunk(self, index: int, n_samples: int) -> Chunk:
        """One chunk of a signal of n_samples samples."""
        halo = self._half + self.reach
        first = max(0, index * self.core_frames - halo)
        stop = min(1 + -(-n_samples // self.hop), (index + 1) * self.core_frames + halo)
        return Chunk(
            first_frame=first,
            n_frames=stop - first,
            first_sample=max(0, (first - self._half) * self.hop),
            stop_sample=min(n_samples, (stop - 1 + self._half) * self.hop),
            start=index * self.core,
            stop=min(n_samples, (index + 1) * self.core),
        )

    def inner(self, chunk: Chunk, reach: int) -> Chunk:
        """A chunk of this plan with the frames alone that a smaller reach asks for."""
        first = self.first_frame(chunk.start, reach)
        stop = min(chunk.stop_frame, -(-chunk.stop // self.hop) + self._half + reach)
        return replace(chunk, first_frame=first, n_frames=stop - first)

    def first_frame(self, start: int, reach: int) -> int:
        """First frame that the samples from `start` on, a whole number of hops, ask for with such a reach."""
        return max(0, start // self.hop - self._half - reach)
