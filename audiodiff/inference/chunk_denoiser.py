"""What a model does with one chunk of a recording, and the part of the sound that goes away."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from audiodiff.errors import ModelError
from audiodiff.inference.chunks import Chunk, Plan
from audiodiff.inference.crew import AHEAD, Crew, Pair
from audiodiff.inference.engine import Later, Samples
from audiodiff.inference.evaluator import Evaluator
from audiodiff.inference.hearing import Hearing, Piece
from audiodiff.inference.sampling import sample
from audiodiff.model.config import SamplerPreset
from audiodiff.model.model import Model
from audiodiff.model.representation import Complex, Real

_TINY = np.finfo(np.float32).tiny

CORE_S = 8.0
"""Seconds that one chunk delivers: long enough that the halo costs little, short enough to stay small."""

HEARD_CORE_S = 2.0
"""The same where every frame is heard once: what a chunk works on stays in the processor's cache."""

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

    def plan(self, core_s: float | None = None) -> Plan:
        """The chunk plan that this model needs: chunks of so many seconds, with all that evaluations see."""
        stft = self.model.stft
        return Plan(
            hop=stft.hop,
            n_fft=stft.n_fft,
            core_frames=max(1, round((core_s or self.core_s) * self.model.sample_rate / stft.hop)),
            reach=self.model.representation.context(self.model.config, self.preset.evaluations),
        )

    @property
    def core_s(self) -> float:
        """Seconds that one chunk of a file delivers."""
        return HEARD_CORE_S if self.evaluator.listener else CORE_S

    def crew(self, channels: int, ahead: int = AHEAD) -> Crew:
        """Who works on a recording of so many channels.

        Args:
            channels: C.
            ahead: Chunks that may be in work beside the one that is waited for; they come out later.
        """
        workers = min(self.evaluator.workers, 2 * channels)
        return Crew(workers, ahead if workers > 1 else 0)

    def residual(self, audio: Samples, chunk: Chunk, gain: float, edge_hz: float | None = None) -> Samples:
        """What the model takes out of a chunk that stands alone, see `begin`."""
        return self.begin(audio, chunk, gain, edge_hz, Crew(1, 0))()

    def begin(self, audio: Samples, chunk: Chunk, gain: float, edge_hz: float | None, crew: Crew) -> Later:
        """Begin to find what the model takes out of a chunk.

        Args:
            audio: float32 [C, n] at the model's rate, the samples that the chunk reads.
            chunk: The chunk.
            gain: Factor that brings the recording to the model's level.
            edge_hz: Where the recording's band ends, if that is below the model's.
            crew: Who works on this recording.

        Returns:
            What gives, when all is done, float32 [C, stop - start]: recording minus clean estimate, at the
            recording's own level. With `edge_hz` [2 C, stop - start]: also the share, 0 to 1, of the
            amplitude that went away in the strip just below the edge. Where a channel is digital silence
            throughout, nothing goes away.
        """
        sounding = np.flatnonzero(audio.any(axis=1))
        heard = audio if len(sounding) == len(audio) else audio[sounding]
        # Equal channels (dual mono) are one signal: the noise is shared, so the results are equal too.
        same = bool((heard == heard[:1]).all())
        scaled = (heard[:1] if same else heard) * np.float32(gain)
        inner, waited = self._begun(scaled, sounding, chunk, gain, crew)

        def end() -> Samples:
            kinds = np.zeros(
                (1 if edge_hz is None else 2, *audio.shape[:1], chunk.stop - chunk.start), np.float32
            )
            back = np.complex64(1 / gain)
            with np.errstate(all="ignore"):  # what is not finite is told below
                pairs = [(z * back, removed * back) for z, removed in (each.result() for each in waited)]
                if self.limits.linked and pairs:
                    pairs = [_joined(pairs, len(sounding))]
                limited = [(z, self.limits.limit(z, removed)) for z, removed in pairs]
                if limited:
                    kinds[0, sounding] = np.concatenate([self._samples(r, inner) for _, r in limited])
                if limited and edge_hz is not None:
                    losses = [self._loss(z, r, inner, edge_hz) for z, r in limited]
                    kinds[1, sounding] = np.concatenate(losses)
            if not np.isfinite(kinds).all():
                at = chunk.start / self.model.sample_rate
                raise ModelError(
                    f"the model gave NaN or infinity near {at:.1f} s; verify the model", code="nonfinite"
                )
            return kinds.reshape(-1, kinds.shape[-1])

        return end

    def _begun(
        self, scaled: Samples, names: npt.NDArray[np.intp], chunk: Chunk, gain: float, crew: Crew
    ) -> tuple[Chunk, list[Future[Pair]]]:
        """The chunk whose bins will come, and the bins and what the model would remove of them."""
        # nothing comes after a recording of one chunk, and hearing it to its end would take a reach more
        is_all = chunk.start == 0 and chunk.stop == chunk.stop_sample
        listener = self.evaluator.listener
        if is_all or listener is None:
            parts = [scaled[i : i + _ROWS] for i in range(0, len(scaled), _ROWS)]
            return chunk, [crew.run(partial(self._bins, rows, chunk)) for rows in parts]
        plan, reach = self.plan(), self.preset.evaluations * self.model.config.reach_step
        inner, keep = plan.inner(chunk, reach), plan.first_frame(chunk.stop, reach)
        waited = []
        for name, row in zip(names.tolist(), scaled, strict=False):  # equal channels: the first of them
            hearing, before = crew.hearings.get(name, (None, ()))
            if hearing is None or not hearing.leads_to(chunk, gain):
                hearing, before = Hearing(self.model, listener(), chunk, gain), ()
            hear = partial(hearing.hear, row[None], chunk, *hearing.reserve(chunk, inner))
            piece = crew.run(hear, before[:1])
            pair = crew.run(partial(self._heard_bins, hearing, piece, inner, keep), before[1:])
            crew.hearings[name] = hearing, (piece, pair)
            waited.append(pair)
        return inner, waited

    def _heard_bins(self, hearing: Hearing, piece: Future[Piece], inner: Chunk, keep: int) -> Pair:
        """`_bins` of the inner part of a chunk that was heard."""
        x = hearing.heard(piece.result(), inner, keep)
        return x.bins, x.bins - self._sample(x.state, x.features, inner)

    def _bins(self, scaled: Samples, chunk: Chunk) -> Pair:
        """The recording's bins and what the model would remove of them."""
        z: Complex = self.model.stft.frames(scaled, chunk.first_frame, chunk.n_frames, chunk.first_sample)
        y = self.model.representation.state(scaled, z)
        return z, z - self._sample(y, self.evaluator.encode(y), chunk)

    def _sample(self, y: Real, features: Sequence[object], chunk: Chunk) -> Complex:
        """Bins of an estimate of x_0, to which the reverse process leads from the recording `y`."""

        def evaluate(x_t: Real, t: Real) -> Real:
            return self.evaluator.step(x_t, t, features)

        def noise(draw: int) -> Real:
            return self.model.representation.noise(self.seed, draw, y, chunk)

        x_0 = sample(self.model, evaluate, self.preset, noise, y)
        return self.model.representation.bins(x_0, chunk)

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
