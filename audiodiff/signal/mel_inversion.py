"""Mel spectrogram to waveform without a model.

Magnitudes by a multiplicative inverse of the filter bank, a start of the phase by its gradient, then fast
Griffin-Lim whose magnitude is free except that it has the wanted mel ("melGL"). A stated fallback without
numba: the phase starts at random and `EXTRA_ITERATIONS` more follow.

Letters in shapes: T samples, F = n_fft/2 + 1 frequency bins, M mel bands, N frames; ``...`` leading axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from audiodiff.errors import ConfigError, MelError, ShapeError
from audiodiff.signal.framed_stft import FramedSTFT
from audiodiff.signal.griffin_lim import accelerated
from audiodiff.signal.mel import MelSpec, analysis_window, filterbank, from_linear_mel, to_linear_mel
from audiodiff.signal.phase_gradient import available, gradient_phase, random_phase

Preset = Literal["fast", "balanced", "best"]

ITERATIONS: dict[str, int] = {"fast": 4, "balanced": 20, "best": 60}
"""Iterations of the presets."""

EXTRA_ITERATIONS = 8
"""More iterations when the phase starts at random because numba is missing."""

MAGNITUDE_ITERATIONS = 20
CORRECTIONS = 2
"""Multiplicative corrections of the magnitude towards the mel in every iteration."""

SEGMENT_S = 10.0
"""New frames in a segment of `invert_long`, in seconds."""

OVERLAP_S = 0.35
"""What a segment of `invert_long` sees before and after its new frames, in seconds."""

_TINY = 1e-12


def transform_of(spec: MelSpec) -> FramedSTFT:
    """The transform that a mel convention analyses with, without its padding.

    Returns:
        The transform; its sample 0 lies `leading_samples(spec)` samples before the audio's.

    Raises:
        MelError: If the windows overlap by less than half, so that a mel cannot be inverted.
    """
    if 2 * spec.hop > spec.win:
        raise MelError(
            f"this mel cannot be inverted: windows of {spec.win} samples every {spec.hop} overlap by less "
            "than half"
        )
    left = (spec.n_fft - spec.win) // 2
    return FramedSTFT(analysis_window(spec)[left : left + spec.win], spec.n_fft, spec.hop)


def leading_samples(spec: MelSpec) -> int:
    """Samples by which the first window begins before sample 0 of the audio."""
    return spec.n_fft // 2 - (spec.n_fft - spec.win) // 2 - spec.first_centre


def length(spec: MelSpec, n_frames: int) -> int:
    """Samples that n_frames frames span: hop (N - 1) with centre framing, hop N with edge framing."""
    return spec.hop * (n_frames - 1) + 2 * spec.first_centre


@dataclass(frozen=True, eq=False)
class _Match:
    """The multiplicative fit of a spectrum s >= 0, what the filter bank weighs, to wanted bands.

    Every bin is multiplied by the mean of wanted over present band, weighted by what the bands have of the
    bin. Frames come first here, [..., N, F], as they lie in memory.

    Attributes:
        target: Wanted bands [..., N, M].
        analysis: Filter bank, transposed [F, M].
        share: Filter bank with columns of sum 1 [M, F]; 0 where no band covers a bin.
        covered: Bins that a band covers [F].
    """

    target: Tensor
    analysis: Tensor
    share: Tensor
    covered: Tensor

    @classmethod
    def of(cls, target: Tensor, spec: MelSpec) -> _Match:
        """The fit to bands [..., M, N]."""
        bank = filterbank(spec).to(target)
        cover = bank.sum(0)
        rows = target.transpose(-1, -2).contiguous()
        return cls(rows, bank.T.contiguous(), bank / cover.clamp_min(_TINY), cover > 0)

    def first(self) -> Tensor:
        """Spectrum that is flat within every band."""
        return (self.target / self.analysis.sum(0).clamp_min(_TINY)) @ self.share

    def improved(self, spectrum: Tensor, times: int) -> Tensor:
        """Spectrum after some corrections, 0 in bins that no band covers."""
        for _ in range(times):
            ratio = self.target / (spectrum @ self.analysis).clamp_min_(_TINY)
            spectrum = (ratio @ self.share).mul_(spectrum)
        return spectrum

    def wanted(self, z: Tensor, spec: MelSpec) -> Tensor:
        """Magnitudes [..., F, N] next to those of z that have the bands; z's own where no band lies."""
        present = z.abs().transpose(-1, -2)
        corrected = self.improved(_to_spectrum(present, spec), CORRECTIONS)
        return torch.where(self.covered, _to_magnitude(corrected, spec), present).transpose(-1, -2)


@dataclass(frozen=True)
class _Inverter:
    """How the frames of one segment become samples."""

    spec: MelSpec
    stft: FramedSTFT
    iterations: int
    seed: int

    @property
    def overlap(self) -> int:
        """Frames that a segment sees before and after its own."""
        return max(2 * self.stft.overlap, round(OVERLAP_S * self.spec.sample_rate / self.spec.hop))

    def run(self, values: Tensor, first: int, known: Tensor | None) -> Tensor:
        """All samples under the windows.

        Args:
            values: [..., M, N] in the convention's own numbers.
            known: Samples [..., T] from the beginning of the first window on; the first `overlap` hops of
                them stand, and the window after that fades into new ones.

        Returns:
            float32 [..., T].
        """
        match = _Match.of(_heard(to_linear_mel(_checked(values, self.spec), self.spec), self.spec), self.spec)
        magnitude = _to_magnitude(match.improved(match.first(), MAGNITUDE_ITERATIONS), self.spec)
        phase = self._start(magnitude.transpose(-1, -2), first, known)
        n_samples = self.stft.n_samples(values.shape[-1])

        def signal(z: Tensor) -> Tensor:
            wave = self.stft.inverse(z, n_samples)
            return wave if known is None else self._joined(wave, known)

        z = accelerated(
            torch.polar(magnitude.transpose(-1, -2), phase),
            lambda z: self.stft.forward(signal(z)),
            lambda z: match.wanted(z, self.spec),
            self.iterations if available() else self.iterations + EXTRA_ITERATIONS,
        )
        return signal(z)

    def _start(self, magnitude: Tensor, first: int, known: Tensor | None) -> Tensor:
        """Phases [..., F, N] to begin with."""
        drawn = random_phase(self.seed, first, *magnitude.shape[-2:])
        phase = drawn.to(magnitude).expand(magnitude.shape)
        n_known = 0
        if known is not None:
            standing = self.stft.forward(known[..., : self.overlap * self.stft.hop]).angle()
            n_known = standing.shape[-1]
            phase = torch.cat([standing, phase[..., n_known:]], dim=-1)
        return gradient_phase(magnitude, phase, self.stft, n_known) if available() else phase

    def _joined(self, wave: Tensor, known: Tensor) -> Tensor:
        """The wave, in place, with the known samples put back at its beginning."""
        standing = self.overlap * self.stft.hop
        weight = wave.new_ones(standing + self.stft.win)
        weight[standing:] = torch.linspace(1, 0, self.stft.win, device=wave.device)
        part = wave[..., : weight.shape[0]]
        part += weight * (known[..., : weight.shape[0]] - part)
        return wave


def invert_magnitude(bands: Tensor, spec: MelSpec, iterations: int = MAGNITUDE_ITERATIONS) -> Tensor:
    """Magnitude of the convention's transform that has the given mel.

    Starts flat within every band; then x <- x W^T(mel / (B x)) with the filter bank B and W its columns
    normalised to sum 1. Not negative, no matrix is inverted, every frame stands alone. Band values that
    silence gives too count as 0.

    Args:
        bands: Linear band values [..., M, N], as of `audiodiff.signal.mel.bands`.
        iterations: How many corrections, at least 0.

    Returns:
        float32 [..., F, N]; 0 where no band covers a bin.

    Raises:
        ShapeError: If there are not M bands on the second last axis, or no frames.
        MelError: If a value is negative or not finite.
    """
    checked = _checked(bands, spec)
    if bool((checked < 0).any()):
        raise MelError("band values must not be negative; undo the convention's logarithm first")
    match = _Match.of(_heard(checked, spec), spec)
    return _to_magnitude(match.improved(match.first(), iterations), spec).transpose(-1, -2)


def projection(values: Tensor, spec: MelSpec) -> Callable[[Tensor], Tensor]:
    """What brings signals next to a mel: one iteration of `invert`, phases kept (GLA-Grad, Liu et al. 2024).

    A sample depends on the signal and the mel within a window.

    Args:
        values: ``[..., M, N]`` in the convention's own numbers.

    Returns:
        Maps signals ``[..., N hop]``, in which frame n belongs to the samples from n hop on, to the same
        shape.

    Raises:
        ShapeError: If there are not M bands on the second last axis, or no frames.
        MelError: If a value is not finite, or the convention cannot be inverted.
    """
    stft, before = transform_of(spec), leading_samples(spec)
    match = _Match.of(_heard(to_linear_mel(_checked(values, spec), spec), spec), spec)
    n_samples = stft.n_samples(values.shape[-1])

    def project(wave: Tensor) -> Tensor:
        size = wave.shape[-1]
        z = stft.forward(functional.pad(wave, (before, max(0, n_samples - before - size))))
        nearest = stft.inverse(torch.polar(match.wanted(z, spec), z.angle()), n_samples)
        return functional.pad(nearest[..., before : before + size], (0, max(0, size + before - n_samples)))

    return project


def invert(values: Tensor, spec: MelSpec, preset: Preset | int = "balanced", seed: int = 0) -> Tensor:
    """Waveform that has the given mel, sample 0 where the audio of the mel began.

    All at once: memory grows with N; `invert_long` is for recordings.

    Args:
        values: [M, N] or [B, M, N] in the convention's own numbers.
        preset: Name or number of iterations, at least 0.
        seed: Draws the phases that the mel leaves open; 0 <= seed < 2^64.

    Returns:
        float32 [T] or [B, T] with T = `length(spec, N)`, which is 0 for one frame of centre framing.

    Raises:
        ShapeError: If there are not M bands on the second last axis, or no frames.
        MelError: If a value is not finite or the convention cannot be inverted.
        ConfigError: If the preset or the seed is unknown or out of range.
    """
    wave = _Inverter(spec, transform_of(spec), iterations_of(preset), seed).run(values, 0, None)
    start = leading_samples(spec)
    return wave[..., start : start + length(spec, values.shape[-1])].contiguous()


def invert_long(
    blocks: Iterable[Tensor], spec: MelSpec, preset: Preset | int = "balanced", seed: int = 0
) -> Iterator[Tensor]:
    """`invert` for any length in flat memory.

    The frames are cut at multiples of `SEGMENT_S`, counted from frame 0, so the result does not depend on
    how they come in; as long as there is one segment it is that of `invert`. Every segment also sees
    `OVERLAP_S` of frames after its own and continues the waveform before it: samples that stand are put back
    in every iteration, faded out over one window, and the integration of the phase starts from theirs.

    Args:
        blocks: Consecutive frames [M, n] or [B, M, n], any n >= 0, in the convention's own numbers.
        preset: Name or number of iterations, at least 0.

    Yields:
        Consecutive samples, float32 [n] or [B, n]; together T = `length(spec, N)`, nothing without frames.

    Raises:
        ShapeError: If a block does not have M bands on its second last axis.
        MelError: If a value is not finite or the convention cannot be inverted.
        ConfigError: If the preset or the seed is unknown or out of range.
    """
    inverter = _Inverter(spec, transform_of(spec), iterations_of(preset), seed)
    hop, overlap = spec.hop, inverter.overlap
    size = max(2 * overlap, round(SEGMENT_S * spec.sample_rate / hop))
    known: Tensor | None = None
    first = 0
    for frames, last in _windows(blocks, size, overlap):
        n_frames = frames.shape[-1]
        wave = inverter.run(frames, first, known)
        position = first * hop - leading_samples(spec)  # of wave[..., 0] in the audio
        begin = 0 if known is None else overlap * hop
        end = wave.shape[-1] if last else (n_frames - overlap) * hop
        stop = min(end, length(spec, first + n_frames) - position)
        yield wave[..., max(begin, -position) : stop].clone()
        known = wave[..., end - overlap * hop :]
        first += n_frames - 2 * overlap


def _windows(blocks: Iterable[Tensor], size: int, overlap: int) -> Iterator[tuple[Tensor, bool]]:
    """Frames of every segment: its own `size`, and `overlap` before and after; whether it is the last."""
    held: list[Tensor] = []
    count, wanted = 0, size + overlap
    for block in blocks:
        held.append(block)
        count += block.shape[-1]
        while count > wanted:
            joined = torch.cat(held, dim=-1)
            yield joined[..., :wanted], False
            held = [joined[..., wanted - 2 * overlap :]]
            count, wanted = held[0].shape[-1], size + 2 * overlap
    if count:
        yield torch.cat(held, dim=-1), True


def iterations_of(preset: Preset | int) -> int:
    """Iterations of a preset, or the number itself.

    Raises:
        ConfigError: If there is no such preset, or the number is negative.
    """
    if isinstance(preset, str):
        if preset not in ITERATIONS:
            raise ConfigError(f"no inversion preset {preset!r}; there are {', '.join(ITERATIONS)}")
        return ITERATIONS[preset]
    if preset < 0:
        raise ConfigError(f"the number of iterations must be at least 0, got {preset}")
    return preset


def _checked(values: Tensor, spec: MelSpec) -> Tensor:
    """The values as float32, if they are a mel."""
    if values.ndim < 2 or values.shape[-2] != spec.n_mels or values.shape[-1] == 0:
        raise ShapeError(
            f"expected a mel [..., {spec.n_mels} bands, frames], got shape {list(values.shape)}; transpose?"
        )
    if not bool(torch.isfinite(values).all()):
        raise MelError("the mel holds NaN or infinite values; compute it again")
    return values.float()


def _heard(target: Tensor, spec: MelSpec) -> Tensor:
    """Bands [..., M, N] with 0 where silence would give the same number."""
    silence = _to_spectrum(torch.zeros(spec.n_bins, 1), spec)
    limit = to_linear_mel(from_linear_mel(filterbank(spec) @ silence, spec), spec).to(target)
    # A hundredth above the limit: mels of half precision lie that much beside it.
    return torch.where(target > 1.01 * limit + 0.01 * spec.floor, target, 0.0)


def _to_spectrum(magnitude: Tensor, spec: MelSpec) -> Tensor:
    """What the filter bank weighs, for magnitudes."""
    if spec.power == 1 and not (spec.epsilon or spec.power_floor):
        return magnitude
    power = magnitude.square().clamp_min_(spec.power_floor).add_(spec.epsilon)
    return power.sqrt_() if spec.power == 1 else power


def _to_magnitude(spectrum: Tensor, spec: MelSpec) -> Tensor:
    """Undo `_to_spectrum` above the power floor."""
    if spec.power == 2:
        return (spectrum - spec.epsilon).clamp_min_(0).sqrt_()
    if not spec.epsilon:
        return spectrum
    return spectrum.square().sub_(spec.epsilon).clamp_min_(0).sqrt_()
