"""Sampling of vocoders of waveforms (DiffWave and its like), for mels of any length.

Letters: M bands, N frames, T = N hop samples. The frames are cut into segments on an absolute grid; a
segment reads what all evaluations together can see on both sides, so it gives what the whole gives. Within a
segment the network runs over tiles, each with the sight of one evaluation, so that memory stays small.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from audiodiff.diffusion import samplers
from audiodiff.diffusion.noise_prior import Prior
from audiodiff.diffusion.prediction import NetFn
from audiodiff.errors import ModelError
from audiodiff.inference.sampling import sample
from audiodiff.model.config import SamplerPreset
from audiodiff.model.model import Model
from audiodiff.model.noise_shaping import shape
from audiodiff.networks.contract import Features, WaveDomain, domain_of, halo_samples
from audiodiff.signal.counter_noise import gaussian
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_inversion import projection

SEGMENT_S = 16.0
"""Seconds that a segment delivers; four times its halo if that is more."""

TILE_S = 4.0
"""Seconds that the network works on at once, beside its sight."""

_NOISE_STREAM = 0


@dataclass(frozen=True)
class _Tile:
    """Frames core[0]..core[1] of a segment, evaluated on read[0]..read[1]."""

    core: tuple[int, int]
    read: tuple[int, int]
    features: Features


@dataclass(frozen=True)
class WaveSampler:
    """A model of waveforms with the way to run it.

    Attributes:
        model: The model; it states a mel, and its network lies on `device`.
        preset: Sampler and steps.
        seed: Seed of the noise, 0 <= seed < 2^64.
        device: Where to compute.
        segment_s: Seconds that a segment delivers at least.
        tile_s: Seconds of a tile.
    """

    model: Model
    preset: SamplerPreset
    seed: int
    device: torch.device
    segment_s: float = SEGMENT_S
    tile_s: float = TILE_S

    @property
    def spec(self) -> MelSpec:
        """The convention of the model's mel."""
        if self.model.mel is None:
            raise ModelError("this model takes no mel; use a vocoder of waveforms here", code="refused")
        return self.model.mel

    @property
    def domain(self) -> WaveDomain:
        """What the network works on."""
        domain = domain_of(self.model.net)
        if domain is None or domain.cond != "mel":
            raise ModelError("this model makes no waveform from a mel; use a vocoder here", code="refused")
        return domain

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Make the waveform of a mel.

        Args:
            blocks: Consecutive frames [M, n], any n >= 0, in the numbers of `spec`.

        Yields:
            Consecutive samples, float32 [n] on the CPU; together N hop, the first one frame 0's.
        """
        hop = self.spec.hop
        halo = halo_samples(self.model.net, self.domain, self.preset.evaluations) // hop
        if self.preset.project:
            halo += -(-self.spec.n_fft // hop) * self.preset.evaluations
        core = max(1, round(self.segment_s * self.spec.sample_rate / hop), 4 * halo)
        for frames, first, delivered in _segments(blocks, core, halo):
            with torch.inference_mode():
                wave = self._segment(frames.to(self.device), first)
            if not bool(torch.isfinite(wave).all()):
                at = first * hop / self.spec.sample_rate
                raise ModelError(
                    f"the model gave NaN or infinity after {at:.1f} s; verify the model", code="nonfinite"
                )
            start = (delivered[0] - first) * hop
            yield wave[start : start + (delivered[1] - delivered[0]) * hop].cpu()

    def speed(self, seconds: float = 0.5) -> float:
        """Time one evaluation of the network on silence."""
        n_frames = max(2, round(seconds * self.spec.sample_rate / self.spec.hop))
        cond, x_t = (x.to(self.device) for x in self.domain.zeros(n_frames))
        at = torch.tensor([self.model.config.start], device=self.device)
        times = []
        with torch.inference_mode():
            for _ in range(2):  # the first one prepares things
                started = time.perf_counter()
                self.model.net(x_t, at, self.model.net.encode(cond)).cpu()
                times.append(time.perf_counter() - started)
        return min(times) * self.preset.evaluations * self.spec.sample_rate / x_t.shape[1]

    def _segment(self, frames: Tensor, first: int) -> Tensor:
        """All samples [T] of the frames [M, N], of which the first has that absolute number."""
        model, n_samples = self.model, frames.shape[-1] * self.spec.hop
        tiles = self._tiles(frames)

        def evaluate(x_t: Tensor, t: Tensor) -> Tensor:
            return torch.cat([self._evaluate(tile, x_t, t) for tile in tiles], dim=-1)

        def noise(draw: int) -> Tensor:
            drawn = gaussian(self.seed, _NOISE_STREAM, draw, first * self.spec.hop, n_samples)
            return torch.from_numpy(drawn).to(self.device)[None]

        project = None
        if self.preset.project:
            onto_mel = projection(frames[None], self.spec)
            project = lambda x0_hat, _t: onto_mel(x0_hat)  # noqa: E731
        if model.prior is None:
            return sample(model, evaluate, self.preset, noise, project=project)[0]
        draw, run = self._shaped(model.prior, frames, noise, evaluate)
        return sample(model, run, self.preset, draw, project=project)[0]

    def _shaped(
        self, prior: Prior, frames: Tensor, noise: samplers.Noise[Tensor], net_fn: NetFn[Tensor]
    ) -> tuple[samplers.Noise[Tensor], NetFn[Tensor]]:
        """Noise and network as the prior has them."""
        shaping = shape(prior, frames[None], self.spec)

        def run(x_t: Tensor, t: Tensor) -> Tensor:
            return shaping.leave(net_fn(shaping.enter(x_t), t))

        return samplers.prior_noise(noise, shaping.scale), run

    def _tiles(self, frames: Tensor) -> list[_Tile]:
        """The tiles of a segment, with the condition encoded once for all steps."""
        n_frames, hop = frames.shape[-1], self.spec.hop
        halo = halo_samples(self.model.net, self.domain, 1) // hop
        core = max(1, round(self.tile_s * self.spec.sample_rate / hop))
        tiles = []
        for start in range(0, n_frames, core):
            stop = min(start + core, n_frames)
            read = (max(0, start - halo), min(n_frames, stop + halo))
            tiles.append(
                _Tile((start, stop), read, self.model.net.encode(frames[None, :, read[0] : read[1]]))
            )
        return tiles

    def _evaluate(self, tile: _Tile, x_t: Tensor, t: Tensor) -> Tensor:
        hop = self.spec.hop
        begin, end = tile.read
        out = self.model.net(x_t[:, begin * hop : end * hop], t, tile.features)
        start, stop = tile.core
        return out[:, (start - begin) * hop : (stop - begin) * hop]


def _segments(
    blocks: Iterable[Tensor], core: int, halo: int
) -> Iterator[tuple[Tensor, int, tuple[int, int]]]:
    """Frames of every segment, the number of the first, and which of them it delivers."""
    held: list[Tensor] = []
    begin = received = start = 0
    for block in blocks:
        held.append(block)
        received += block.shape[-1]
        while received >= start + core + halo:
            joined = torch.cat(held, dim=-1)
            yield joined[:, : start + core + halo - begin], begin, (start, start + core)
            start += core
            keep = max(0, start - halo)
            held, begin = [joined[:, keep - begin :]], keep
    while start < received:
        joined = torch.cat(held, dim=-1)
        stop = min(start + core, received)
        yield joined[:, : stop + halo - begin], begin, (start, stop)
        start = stop
        keep = max(0, start - halo)
        held, begin = [joined[:, keep - begin :]], keep
