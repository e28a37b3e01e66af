"""What a model does with one chunk of a recording, and the part of the sound that goes away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiodiff.errors import ModelError
from audiodiff.inference.chunks import Chunk, Plan
from audiodiff.inference.engine import Samples
from audiodiff.inference.evaluator import Evaluator
from audiodiff.inference.sampling import sample
from audiodiff.model.config import SamplerPreset
from audiodiff.model.model import Model
from audiodiff.model.representation import Complex, Real

_TINY = np.finfo(np.float32).tiny

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

    def limit(self, z: Complex, removed: Complex) -> Complex:
        """What may go away of each bin.

        Args:
            z: The recording, complex [C, F, N], all channels if `linked`.
            removed: What the model would remove, complex [C, F, N].

        Returns:
            Complex [C, F, N].
        """
        if self.linked and len(z) > 1:
            there, left = _power(z).sum(axis=0), _power(z - removed).sum(axis=0)
            gain = np.sqrt(left / np.maximum(there, _TINY)).clip(max=1)
            removed = (1 - gain) * z
        if self.floor > 0 and self.strength > 0:
            low = np.abs(z - self.strength * removed) < self.floor * np.abs(z)
            removed = np.where(low, (1 - self.floor) / self.strength * z, removed)
        return removed


@dataclass(frozen=True)
class ChunkDenoiser:
    """A model with the way to run it.

    Attributes:
        model: The model.
        preset: Sampler and steps.
        seed: Seed of the noise, 0 <= seed < 2^64.
        evaluator: What runs its network.
        limits: Limits of what is removed.
    """

    model: Model
    preset: SamplerPreset
    seed: int
    evaluator: Evaluator
    limits: SuppressionLimits = SuppressionLimits()

    def plan(self, core_s: float = CORE_S) -> Plan:
        """The chunk plan that this model needs: chunks of so many seconds, with all that evaluations see."""
        stft = self.model.stft
        return Plan(
            hop=stft.hop,
            n_fft=stft.n_fft,
            core_frames=max(1, round(core_s * self.model.sample_rate / stft.hop)),
            reach=self.model.representation.context(self.model.config, self.preset.evaluations),
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
        with np.errstate(all="ignore"):  # what is not finite is told below
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

    def _bins(self, rows: Samples, chunk: Chunk, gain: float) -> tuple[Complex, Complex]:
        """The recording's bins and what the model would remove of them, at the recording's own level."""
        representation = self.model.representation
        scaled = rows * np.float32(gain)
        z: Complex = self.model.stft.frames(scaled, chunk.first_frame, chunk.n_frames, chunk.first_sample)
        x_0 = self._sample(representation.state(scaled, z), chunk)
        removed = z - representation.bins(x_0, chunk)
        back = np.complex64(1 / gain)
        return z * back, removed * back

    def _sample(self, y: Real, chunk: Chunk) -> Real:
        """Run the reverse process from the recording `y` to an estimate of x_0."""
        features = self.evaluator.encode(y)

        def evaluate(x_t: Real, t: Real) -> Real:
            return self.evaluator.step(x_t, t, features)

        def noise(draw: int) -> Real:
            return self.model.representation.noise(self.seed, draw, y, chunk)

        return sample(self.model, evaluate, self.preset, noise, y)

    def _samples(self, removed: Complex, chunk: Chunk) -> Samples:
        return self.model.stft.overlap_add(removed, chunk.first_frame, chunk.start, chunk.stop - chunk.start)

    def _loss(self, z: Complex, removed: Complex, chunk: Chunk, edge_hz: float) -> Samples:
        """Share of the amplitude that goes away just below `edge_hz`, a straight line from frame to frame."""
        stft = self.model.stft
        first, last = (int(share * edge_hz * stft.n_fft / self.model.sample_rate) for share in _STRIP)
        there, left = (_power(part[:, first : last + 1]).sum(axis=1) for part in (z, z - removed))
        share = (1 - np.sqrt(left / np.maximum(there, _TINY))).clip(0, 1) * (there > _TINY)
        at = np.arange(chunk.start, chunk.stop) / stft.hop
        frames = np.arange(chunk.first_frame, chunk.first_frame + chunk.n_frames)
        return np.stack([np.interp(at, frames, row) for row in share]).astype(np.float32)


def _joined(pairs: list[tuple[Complex, Complex]], channels: int) -> tuple[Complex, Complex]:
    """All channels in one pair; equal ones that went through the model as one are repeated."""
    z, rest = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    shape = (channels, *z.shape[1:])
    return np.broadcast_to(z, shape), np.broadcast_to(rest, shape)


def _power(z: Complex) -> Real:
    power: Real = z.real**2 + z.imag**2
    return power
