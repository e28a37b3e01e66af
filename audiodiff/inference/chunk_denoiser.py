"""What a model does with one chunk of a recording, and the part of the sound that goes away."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiodiff.errors import ModelError
from audiodiff.inference.chunks import Chunk, Plan
from audiodiff.inference.device import working
from audiodiff.inference.engine import Samples
from audiodiff.inference.sampling import sample
from audiodiff.model.config import SamplerPreset
from audiodiff.model.model import Model

CORE_S = 8.0
"""Seconds that one chunk delivers: long enough that the halo costs little, short enough to stay small."""

_ROWS = 2
"""Channels in the network at once, so that memory does not grow with the channels of a file."""

_STRIP = (0.88, 0.97)
"""The strip below the edge of a band, as shares of it, that stands for what no resampler carries."""


@dataclass(frozen=True)
class SuppressionLimits:
    """How much of what the model would take out is taken out, bin by bin.

    With z the recording, r what the model would remove and s the strength, a bin of the output is z - s r.
    The limits replace r, so that output and removed part still sum to the recording.

    Attributes:
        strength: s, 0 to 1; the caller multiplies by it, here it only decides where the floor acts.
        floor: Least magnitude of an output bin as a share of the recording's, 0 for no floor. A bin that
            would fall below becomes floor * z: the recording itself, turned down, and no new sound.
        linked: All channels get one real gain per bin, at most 1: the root of the energy that the model
            leaves over the energy that was there, both summed over the channels. Levels and phases between
            the channels stay, so the stereo image does.
    """

    strength: float = 1.0
    floor: float = 0.0
    linked: bool = False

    def limit(self, z: Tensor, removed: Tensor) -> Tensor:
        """What may go away of each bin.

        Args:
            z: The recording, complex [C, F, N], all channels if `linked`.
            removed: What the model would remove, complex [C, F, N].

        Returns:
            Complex [C, F, N].
        """
        if self.linked and len(z) > 1:
            there, left = z.abs().square().sum(0), (z - removed).abs().square().sum(0)
            gain = (left / there.clamp_min(torch.finfo(there.dtype).tiny)).sqrt().clamp_max(1)
            removed = (1 - gain) * z
        if self.floor > 0 and self.strength > 0:
            low = (z - self.strength * removed).abs() < self.floor * z.abs()
            removed = torch.where(low, (1 - self.floor) / self.strength * z, removed)
        return removed


@dataclass(frozen=True)
class ChunkDenoiser:
    """A model with the way to run it.

    Attributes:
        model: The model; its network lies on `device`.
        preset: Sampler and steps.
        seed: Seed of the noise, 0 <= seed < 2^64.
        device: Where to compute.
        dtype: Autocast format of the network, None for float32.
        threads: CPU threads of torch during the work, None to leave them.
        limits: Limits of what is removed.
    """

    model: Model
    preset: SamplerPreset
    seed: int
    device: torch.device
    dtype: torch.dtype | None = None
    threads: int | None = None
    limits: SuppressionLimits = SuppressionLimits()

    def plan(self, core_s: float = CORE_S) -> Plan:
        """The chunk plan that this model needs: chunks of so many seconds, with all that evaluations see."""
        stft = self.model.stft
        return Plan(
            hop=stft.hop,
            n_fft=stft.n_fft,
            core_frames=max(1, round(core_s * self.model.sample_rate / stft.hop)),
            reach=self.model.representation.context(self.model.net, self.preset.evaluations),
        )

    def residual(self, audio: Samples, chunk: Chunk, gain: float, edge_hz: float | None = None) -> Samples:
        """What the model takes out of a chunk.

        Args:
            audio: float32 [C, n] at the model's rate, the samples that the chunk reads.
            chunk: The chunk.
            gain: Factor that brings the recording to the model's level.
            edge_hz: Where the recording's band ends, if that is below the model's.

        Returns:
            float32 [C, stop - start], recording minus clean estimate, at the recording's own level. With
            `edge_hz` [2 C, stop - start]: also the share, 0 to 1, of the amplitude that went away in the
            strip just below the edge. Where a channel is digital silence throughout, nothing goes away.
        """
        sounding = audio.any(axis=1)
        if not sounding.all():
            n = chunk.stop - chunk.start
            kinds = np.zeros((1 if edge_hz is None else 2, len(audio), n), dtype=np.float32)
            if sounding.any():
                rest = self.residual(audio[sounding], chunk, gain, edge_hz)
                kinds[:, sounding] = rest.reshape(len(kinds), -1, n)
            return kinds.reshape(-1, n)
        # Equal channels (dual mono) are one signal: the noise is shared, so the results are equal too.
        same = bool((audio == audio[:1]).all())
        rows = audio[:1] if same else audio
        with working(self.threads, self.device):
            pairs = [self._bins(rows[i : i + _ROWS], chunk, gain) for i in range(0, len(rows), _ROWS)]
            if self.limits.linked:
                pairs = [_joined(pairs, len(audio))]
            limited = [(z, self.limits.limit(z, removed)) for z, removed in pairs]
            result = np.concatenate([self._samples(removed, chunk) for _, removed in limited])
            losses = [] if edge_hz is None else [self._loss(z, r, chunk, edge_hz) for z, r in limited]
        if not np.isfinite(result).all():
            at = chunk.start / self.model.sample_rate
            raise ModelError(
                f"the model gave NaN or infinity near {at:.1f} s; verify the model", code="nonfinite"
            )
        blocks = [result, np.concatenate(losses)] if losses else [result]
        repeats = len(audio) if len(result) < len(audio) else 1
        return np.concatenate([np.repeat(block, repeats, axis=0) for block in blocks])

    def _bins(self, rows: Samples, chunk: Chunk, gain: float) -> tuple[Tensor, Tensor]:
        """The recording's bins and what the model would remove of them, at the recording's own level."""
        representation = self.model.representation
        scaled = torch.from_numpy(rows).to(self.device) * gain
        z = self.model.stft.frames(scaled, chunk.first_frame, chunk.n_frames, chunk.first_sample)
        x_0 = self._sample(representation.state(scaled, z), chunk)
        return z / gain, (z - representation.bins(x_0, chunk)) / gain

    def _sample(self, y: Tensor, chunk: Chunk) -> Tensor:
        """Run the reverse process from the recording `y` to an estimate of x_0."""
        model = self.model
        with self._autocast():
            h = model.net.encode(y)

        def evaluate(x_t: Tensor, t: Tensor) -> Tensor:
            with self._autocast():
                return model.net(x_t, t, h).float()

        def noise(draw: int) -> Tensor:
            return model.representation.noise(self.seed, draw, y, chunk)

        return sample(model, evaluate, self.preset, noise, y)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)

    def _samples(self, removed: Tensor, chunk: Chunk) -> Samples:
        stft = self.model.stft
        samples = stft.overlap_add(removed, chunk.first_frame, chunk.start, chunk.stop - chunk.start)
        return samples.cpu().numpy()

    def _loss(self, z: Tensor, removed: Tensor, chunk: Chunk, edge_hz: float) -> Samples:
        """Share of the amplitude that goes away just below `edge_hz`, a straight line from frame to frame."""
        stft = self.model.stft
        first, last = (int(share * edge_hz * stft.n_fft / self.model.sample_rate) for share in _STRIP)
        there, left = (part[:, first : last + 1].abs().square().sum(1) for part in (z, z - removed))
        tiny = torch.finfo(there.dtype).tiny
        share = (1 - (left / there.clamp_min(tiny)).sqrt()).clamp(0, 1) * (there > tiny)
        at = np.arange(chunk.start, chunk.stop) / stft.hop
        frames = np.arange(chunk.first_frame, chunk.first_frame + chunk.n_frames)
        return np.stack([np.interp(at, frames, row) for row in share.cpu().numpy()]).astype(np.float32)


def _joined(pairs: list[tuple[Tensor, Tensor]], channels: int) -> tuple[Tensor, Tensor]:
    """All channels in one pair; equal ones that went through the model as one are repeated."""
    z, rest = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return z.expand(channels, -1, -1), rest.expand(channels, -1, -1)
