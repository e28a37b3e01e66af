"""Vocoding of arrays and of streams of frames: no files, no printing.

Three ways lead from a mel to a waveform: ``inversion`` needs no model, ``voice`` is a network of spectra that
refines the inversion, and a model of waveforms such as DiffWave starts from noise. All three keep the time
axis: sample 0 is the one at which the audio of the mel began, and N frames give ``MelSpec.span(N)`` samples.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from audiodiff.errors import MelError, ModelError, ShapeError
from audiodiff.inference.arguments import Quality, check_rate, check_shared, preset_of
from audiodiff.inference.denoiser import Denoiser
from audiodiff.inference.device import pick_device, working
from audiodiff.inference.mel_guard import Samples, Warn, refined
from audiodiff.inference.waveform_sampler import WaveSampler
from audiodiff.io.disk_buffer import DiskBuffer
from audiodiff.model.folder import open_model
from audiodiff.model.model import Model
from audiodiff.model.shipped import INVERSION, default_vocoder
from audiodiff.signal.level import mix_to_mono
from audiodiff.signal.mel import convert, difference
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_guess import looks_like, too_loud
from audiodiff.signal.mel_inversion import ITERATIONS, invert_long, transform_of
from audiodiff.signal.mel_presets import PRESETS, get_convention
from audiodiff.signal.mel_stream import mel_blocks
from audiodiff.signal.resample import StreamResampler

COPY_MEL = "bigvgan-24k"
"""Convention of copy synthesis where the model has none of its own: 24 kHz, 100 bands up to 12 kHz."""

Mel = TypeVar("Mel", npt.NDArray[Any], Tensor)
Convention: TypeAlias = MelSpec | str
"""A convention or its name in ``signal.mel_presets.PRESETS``."""


class Vocoder:
    """Makes speech from mel spectrograms.

    Args:
        model: ``inversion``, name of a shipped model, path of a model folder, or a loaded model; None takes
            the shipped one.
        quality: Preset.
        steps: Steps of the model, or iterations of the inversion, in place of the preset's; a model with
            schedules of its own has those of its presets only.
        seed: Seed of noise and phases; the same seed gives the same result.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; the inversion always runs on the CPU.
        threads: CPU threads, None for torch's own choice.

    Attributes:
        name: Name or path of the model.
        model: The loaded model, None for the inversion.

    Raises:
        ModelError: The model is missing, damaged, refused, or no vocoder.
        ConfigError: An argument is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model | None = None,
        *,
        quality: Quality = "balanced",
        steps: int | None = None,
        seed: int = 0,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        check_shared(quality, steps, seed, threads)
        wanted = default_vocoder() if model is None else model
        self.name = wanted.name if isinstance(wanted, Model) else os.fspath(wanted)
        self.model: Model | None = None
        self._seed, self._threads = seed, threads
        self._refiner: Denoiser | None = None
        self._sampler: WaveSampler | None = None
        self._iterations = ITERATIONS[quality] if steps is None else steps
        if self.name == INVERSION:
            return
        self.model = wanted if isinstance(wanted, Model) else open_model(wanted)
        if self.model.config.task != "vocode":
            raise ModelError(f"{self.name}: this model denoises; name a vocoder", code="refused")
        if self.model.config.inversion is not None:
            self._iterations = self.model.config.inversion  # of the start that it learned from
            self._refiner = Denoiser(
                self.model, quality=quality, steps=steps, seed=seed, device=device, threads=threads
            )
            return
        where = pick_device(device)
        self.model.net.to(where)
        self._sampler = WaveSampler(
            self.model, preset_of(self.model.config.presets, quality, steps), seed, where
        )

    @property
    def steps(self) -> int:
        """Steps of the model, or iterations of the inversion."""
        if self._sampler is not None:
            return self._sampler.preset.steps
        return self._iterations if self._refiner is None else self._refiner.steps

    @property
    def device(self) -> str:
        """Where the network computes; the CPU without one."""
        if self._refiner is not None:
            return self._refiner.device
        return "cpu" if self._sampler is None else str(self._sampler.device)

    @property
    def is_slow(self) -> bool:
        """Whether it works at the rate of samples, many times slower than at that of frames."""
        return self._sampler is not None

    @property
    def convention(self) -> MelSpec:
        """What copy synthesis goes through unless told otherwise: the model's own, else `COPY_MEL`."""
        return PRESETS[COPY_MEL] if self._sampler is None else self._sampler.spec

    def vocode(self, values: Mel, convention: Convention) -> Mel:
        """Make the waveform of one mel.

        Args:
            values: [M, N] in the convention's own numbers, floating point.
            convention: The convention, or its name.

        Returns:
            float32 (T,) at the convention's rate, of the same type, T = ``MelSpec.span(N)``. A warning
            (``UserWarning``) tells if a model's result was not taken, or if the mel looks like one of
            another scale, such as decibels.

        Raises:
            ShapeError: Another shape, or too few frames to span a sample.
            MelError: The values are not finite, of another scale (louder than any sound), cannot be
                inverted, or are not those that the model takes.
            ModelError: A model of waveforms gave NaN or infinity.
        """
        if isinstance(values, Tensor):
            plain = values.detach().cpu().float()
        else:
            plain = torch.from_numpy(np.array(values, dtype=np.float32))
        seems = looks_like(plain.numpy()) if plain.numel() else ""
        lines = [f"the mel was taken as it is, though {seems}"] if seems else []
        wave = np.concatenate(list(self.stream([plain], convention, lines.append)))
        for line in lines:
            warnings.warn(line, stacklevel=2)
        if isinstance(values, Tensor):
            return torch.from_numpy(wave).to(values.device)
        return wave

    def stream(
        self, blocks: Iterable[Tensor], convention: Convention, warn: Warn = lambda _line: None
    ) -> Iterator[Samples]:
        """Make the waveform of a mel of any length in flat memory.

        Frames are cut on an absolute grid, so the sizes of the blocks change nothing. ``voice`` gives nothing
        before it has all, see `inference.mel_guard.refined`; its way there lies in a temporary file.

        Args:
            blocks: Consecutive frames [M, n], in the convention's own numbers.
            convention: The convention, or its name.
            warn: Told in one line if a model's result was not taken.

        Yields:
            Consecutive samples, float32 [n], together ``MelSpec.span(N)``.

        Raises:
            ShapeError: A block is not [M, n], or there are too few frames to span a sample.
            MelError: As `vocode`.
            ModelError: A model of waveforms gave NaN or infinity.
        """
        spec = _spec(convention)
        # Threads are torch's own setting and the whole process's: it is changed only while we work.
        made = self._made(_checked(blocks, spec), spec, warn)
        while True:
            with working(self._threads, torch.device(self.device)):
                wave = next(made, None)
            if wave is None:
                return
            yield wave

    def accept(self, values: Tensor, spec: MelSpec) -> str:
        """Look whether a mel can be vocoded, before any work.

        Args:
            values: [M, N] in the convention's own numbers.
            spec: The convention.

        Returns:
            What will be done to the numbers, one line; empty if nothing.

        Raises:
            ShapeError: There are not M bands, or too few frames to span a sample.
            MelError: Not finite, not to be inverted, or not what the model takes; the line has the
                difference.
        """
        for _ in _checked([values], spec):
            pass
        if self._sampler is None:
            transform_of(spec)
            return ""
        return _fitted(values, spec, self._sampler.spec)[1]

    def resynthesise(
        self,
        blocks: Iterable[Samples],
        sample_rate: int,
        convention: Convention | None = None,
        warn: Warn = lambda _line: None,
    ) -> Iterator[Samples]:
        """Copy synthesis: recording to mel to waveform.

        Args:
            blocks: Consecutive samples [C, n] of a recording, float32; the mean of the channels is taken.
            sample_rate: Their rate in Hz.
            convention: What lies between; None takes `convention` of this vocoder.
            warn: As in `stream`.

        Yields:
            Samples [n] at the rate of the convention; together ceil(T rate / sample_rate).

        Raises:
            ConfigError: The rate is none.
            MelError: As `vocode`.
            ModelError: As `vocode`.
        """
        spec = self.convention if convention is None else _spec(convention)
        return self._resynthesised(_Recording(blocks, check_rate(sample_rate), spec), spec, warn)

    def _resynthesised(self, recording: _Recording, spec: MelSpec, warn: Warn) -> Iterator[Samples]:
        n_out = 0
        for wave in self.stream(mel_blocks(recording.samples(), spec), spec, warn):
            # The recording was filled up to whole frames: its end is cut off again.
            n_left = recording.n_samples - n_out
            yield wave[:n_left]
            n_out += min(len(wave), n_left)

    def speed(self) -> float:
        """Time this vocoder on made-up sound.

        Returns:
            Seconds of work for a second of sound; of a model of waveforms one evaluation is timed.
        """
        with working(self._threads, torch.device(self.device)):
            if self._sampler is not None:
                return self._sampler.speed()
        spec = self.convention
        noise = np.random.default_rng(0).standard_normal(2 * spec.sample_rate).astype(np.float32)
        with working(self._threads, torch.device(self.device)):
            values = next(mel_blocks([torch.from_numpy(0.1 * noise)], spec))
        self.vocode(values, spec)  # the first run prepares things
        started = time.perf_counter()
        self.vocode(values, spec)
        return (time.perf_counter() - started) / 2

    def _made(self, frames: Iterator[Tensor], spec: MelSpec, warn: Warn) -> Iterator[Samples]:
        if self._sampler is not None:
            yield from _sampled(self._sampler, frames, spec)
        elif self._refiner is None:
            yield from self._inverted(frames, spec)
        else:
            with DiskBuffer(spec.n_mels) as kept:
                start = self._inverted(_written(frames, kept), spec)
                yield from refined(start, kept, spec, self._refiner, warn)

    def _inverted(self, frames: Iterator[Tensor], spec: MelSpec) -> Iterator[Samples]:
        for wave in invert_long(frames, spec, self._iterations, self._seed):
            yield wave.numpy()


class _Recording:
    """A recording on its way to a mel: mixed to one channel, at the mel's rate, filled up to whole frames.

    Args:
        blocks: Samples [C, n].
        sample_rate: Hz.
        spec: Convention of the mel.

    Attributes:
        n_samples: Samples so far at the mel's rate, without those that filled up.
    """

    def __init__(self, blocks: Iterable[Samples], sample_rate: int, spec: MelSpec) -> None:
        self.n_samples = 0
        self._blocks = blocks
        self._resampler = StreamResampler(sample_rate, spec.sample_rate, 1)
        self._hop = spec.hop

    def samples(self) -> Iterator[Tensor]:
        """The samples [n], block by block."""
        for block in self._blocks:
            yield self._counted(self._resampler.push(mix_to_mono(block)))
        yield self._counted(self._resampler.flush())
        yield torch.zeros(-self.n_samples % self._hop)

    def _counted(self, samples: Samples) -> Tensor:
        self.n_samples += samples.shape[1]
        return torch.from_numpy(samples[0])


def _spec(convention: Convention) -> MelSpec:
    return get_convention(convention) if isinstance(convention, str) else convention


def _checked(blocks: Iterable[Tensor], spec: MelSpec) -> Iterator[Tensor]:
    """The frames, if they are a mel of that convention that spans at least one sample."""
    n_frames = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[0] != spec.n_mels:
            found = list(block.shape)
            raise ShapeError(f"expected a mel [{spec.n_mels} bands, frames], got shape {found}; transpose?")
        if not bool(torch.isfinite(block).all()):
            raise MelError("the mel holds NaN or infinite values; compute it again")
        if block.numel() and too_loud(block, spec):
            low, high = float(block.min()), float(block.max())
            seems = looks_like(block.numpy()) or "bring it into the numbers of its convention"
            raise MelError(
                f"with values from {low:.4g} to {high:.4g} this is no mel of its convention; {seems}"
            )
        n_frames += block.shape[1]
        yield block
    if spec.span(n_frames) < 1:
        raise ShapeError(f"a mel of {n_frames} frames spans no sample; give more of it")


def _written(frames: Iterator[Tensor], kept: DiskBuffer) -> Iterator[Tensor]:
    for block in frames:
        kept.write(block.T.contiguous().numpy())
        yield block


def _sampled(sampler: WaveSampler, frames: Iterator[Tensor], spec: MelSpec) -> Iterator[Samples]:
    """What a model of waveforms makes, without what lies beyond the last centre of centred frames."""
    n_frames = 0

    def fitted() -> Iterator[Tensor]:
        nonlocal n_frames
        for block in frames:
            n_frames += block.shape[1]
            yield _fitted(block, spec, sampler.spec)[0]

    n_out = 0
    for wave in sampler.stream(fitted()):
        n_left = spec.span(n_frames) - n_out
        yield wave.numpy()[:n_left]
        n_out += min(len(wave), n_left)


def _fitted(values: Tensor, spec: MelSpec, wanted: MelSpec) -> tuple[Tensor, str]:
    """The values in the numbers of the wanted convention, and what was done; only if that is exact."""
    if spec.fingerprint == wanted.fingerprint:
        return values, ""
    remedy = "compute that mel, or take --model inversion"
    lines = ", ".join(difference(spec, wanted))
    try:
        fitted, is_exact, note = convert(values, spec, wanted)
    except MelError as error:
        raise MelError(f"not the mel of this model: {lines}; {remedy}", code=error.code) from error
    if not is_exact:
        raise MelError(f"not the mel of this model: {lines} ({note}); {remedy}", code="convention")
    return fitted, note
