"""What the model does with one chunk: spectrum, reverse process, and the part of the sound that goes away."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiodiff.diffusion import samplers, time_grids
from audiodiff.diffusion.prediction import make_denoiser
from audiodiff.errors import ModelError
from audiodiff.inference.chunks import Chunk, Plan
from audiodiff.inference.device import torch_threads
from audiodiff.inference.engine import Samples
from audiodiff.model.config import SamplerPreset
from audiodiff.model.model import Model
from audiodiff.signal.counter_noise import gaussian
from audiodiff.signal.stft import to_complex, to_real

CORE_S = 8.0
"""Seconds that one chunk delivers: long enough that the halo costs little, short enough to stay small."""

_ROWS = 2
"""Channels in the network at once, so that memory does not grow with the channels of a file."""

_NOISE_STREAM = 0

_STRIP = (0.88, 0.97)
"""The strip below the edge of a band, as shares of it, that stands for what no resampler carries."""


@dataclass(frozen=True)
class Mix:
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
class Cleaner:
    """A model with the way to run it.

    Attributes:
        model: The model; its network lies on `device`.
        preset: Sampler and steps.
        seed: Seed of the noise, 0 <= seed < 2^64.
        device: Where to compute.
        dtype: Autocast format of the network, None for float32.
        threads: CPU threads of torch during the work, None to leave them.
        mix: Limits of what is removed.
    """

    model: Model
    preset: SamplerPreset
    seed: int
    device: torch.device
    dtype: torch.dtype | None = None
    threads: int | None = None
    mix: Mix = Mix()

    def plan(self, core_s: float = CORE_S) -> Plan:
        """The chunk plan that this model needs.

        Args:
            core_s: Seconds that one chunk delivers.

        Returns:
            A plan whose halo covers every evaluation of the network.
        """
        model = self.model
        return Plan(
            hop=model.stft.hop,
            n_fft=model.stft.n_fft,
            core_frames=max(1, round(core_s * model.sample_rate / model.stft.hop)),
            reach=model.net.reach_encode + self.preset.evaluations * model.net.reach_step,
        )

    def removed(self, audio: Samples, chunk: Chunk, gain: float, edge_hz: float | None = None) -> Samples:
        """What the model takes out of a chunk.

        Args:
            audio: float32 [C, n] at the model's rate, the samples that the chunk reads.
            chunk: The chunk.
            gain: Factor that brings the recording to the model's level.
            edge_hz: Where the recording's band ends, if that is below the model's.

        Returns:
            float32 [C, stop - start], recording minus clean estimate, at the recording's own level. With
            `edge_hz` [2 C, stop - start]: also the share, 0 to 1, of the amplitude that went away in the
            strip just below the edge.

        Raises:
            ModelError: The network gave NaN or infinity.
        """
        # Equal channels (dual mono) are one signal: the noise is shared, so the results are equal too.
        same = bool((audio == audio[:1]).all())
        rows = audio[:1] if same else audio
        with torch.inference_mode(), torch_threads(self.threads):
            spectra = [self._spectra(rows[i : i + _ROWS], chunk, gain) for i in range(0, len(rows), _ROWS)]
            if self.mix.linked:
                spectra = [self._joined(spectra, len(audio))]
            limited = [(z, self.mix.limit(z, rest)) for z, rest in spectra]
            parts = [self._samples(rest, chunk) for _, rest in limited]
            result = np.concatenate(parts)
            losses = [] if edge_hz is None else [self._loss(z, rest, chunk, edge_hz) for z, rest in limited]
        if not np.isfinite(result).all():
            at = chunk.start / self.model.sample_rate
            raise ModelError(
                f"the model gave NaN or infinity near {at:.1f} s; verify the model", code="nonfinite"
            )
        blocks = [result, np.concatenate(losses)] if losses else [result]
        repeats = len(audio) if len(result) < len(audio) else 1
        return np.concatenate([np.repeat(block, repeats, axis=0) for block in blocks])

    def _loss(self, z: Tensor, removed: Tensor, chunk: Chunk, edge_hz: float) -> Samples:
        """Share of the amplitude that goes away just below `edge_hz`, a straight line from frame to frame."""
        stft = self.model.stft
        last = int(_STRIP[1] * edge_hz * stft.n_fft / self.model.sample_rate)
        first = min(last, int(_STRIP[0] * edge_hz * stft.n_fft / self.model.sample_rate))
        strip = slice(first, last + 1)
        there, left = (part[:, strip].abs().square().sum(1) for part in (z, z - removed))
        tiny = torch.finfo(there.dtype).tiny
        share = (1 - (left / there.clamp_min(tiny)).sqrt()).clamp(0, 1) * (there > tiny)
        at = np.arange(chunk.start, chunk.stop) / stft.hop
        frames = np.arange(chunk.first_frame, chunk.first_frame + chunk.n_frames)
        return np.stack([np.interp(at, frames, row) for row in share.cpu().numpy()]).astype(np.float32)

    def _spectra(self, rows: Samples, chunk: Chunk, gain: float) -> tuple[Tensor, Tensor]:
        """The recording's bins and what the model would remove of them, at the recording's own level."""
        stft, compression = self.model.stft, self.model.compression
        scaled = torch.from_numpy(rows).to(self.device) * gain
        z = stft.frames(scaled, chunk.first_frame, chunk.n_frames, chunk.first_sample)
        x_0 = self._sample(to_real(compression.apply(z)), chunk.first_frame)
        return z / gain, (z - compression.invert(to_complex(x_0))) / gain

    def _joined(self, spectra: list[tuple[Tensor, Tensor]], channels: int) -> tuple[Tensor, Tensor]:
        """All channels in one pair; equal ones that went through the model as one are repeated."""
        z, rest = (torch.cat(parts) for parts in zip(*spectra, strict=True))
        return (
            (z, rest) if len(z) == channels else (z.expand(channels, -1, -1), rest.expand(channels, -1, -1))
        )

    def _samples(self, removed: Tensor, chunk: Chunk) -> Samples:
        stft = self.model.stft
        samples = stft.overlap_add(removed, chunk.first_frame, chunk.start, chunk.stop - chunk.start)
        return samples.cpu().numpy()

    def _sample(self, y: Tensor, first_frame: int) -> Tensor:
        """Run the reverse process from the recording `y` [B, F, N, 2] to an estimate of x_0."""
        model, preset = self.model, self.preset
        with self._autocast():
            h = model.net.encode(y)

        def net_fn(x_t: Tensor, t: Tensor) -> Tensor:
            with self._autocast():
                return model.net(x_t, t, h).float()

        def noise(step: int) -> Tensor:
            return _noise(self.seed, step, y, first_frame)

        process = model.process
        denoiser = make_denoiser(process, model.config.target, net_fn, y)
        grid = time_grids.default(process, preset.steps, model.config.start)
        # A bridge starts at y itself: its start noise has the factor 0 and need not be drawn.
        eps = noise(0) if process.coeffs(grid[0])[2] > 0 else torch.zeros_like(y)
        x = process.start(y, eps, grid[0])
        match preset.sampler:
            case "ddim":
                states = samplers.ddim(denoiser, process, x, grid, noise, y, preset.eta, preset.start_noise)
            case "dpmpp_2m":
                states = samplers.dpmpp_2m(denoiser, process, x, grid, noise, y, preset.start_noise)
            case "heun":
                states = samplers.heun(denoiser, process, x, grid, noise, y, preset.start_noise)
        return samplers.last(states)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def _noise(seed: int, step: int, like: Tensor, first_frame: int) -> Tensor:
    """Complex noise of total variance 1, shared by the items, addressed by the absolute frame.

    Args:
        seed: The user's seed.
        step: Which draw.
        like: [B, F, N, 2], for shape and device.
        first_frame: Absolute number of like's frame 0.

    Returns:
        [B, F, N, 2].
    """
    _, n_bins, n_frames, _ = like.shape
    a_frame = 2 * n_bins
    flat = gaussian(seed, _NOISE_STREAM, step, first_frame * a_frame, n_frames * a_frame)
    eps = torch.from_numpy(flat).to(like.device).view(n_frames, n_bins, 2).transpose(0, 1)
    return (eps * math.sqrt(0.5)).expand(like.shape)
