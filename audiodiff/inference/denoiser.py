"""Denoising of arrays and of streams of blocks: no files, no printing.

    output = recording - strength * (recording - clean estimate)

The difference is made at the model's rate and brought back to the recording's, so the length is kept to the
sample, strength 0 changes nothing, and what lies above the model's band passes unchanged.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from audiodiff.errors import AudioFileError, ConfigError, ModelError, ShapeError
from audiodiff.inference.arguments import (
    Channels,
    Quality,
    check_choice,
    check_range,
    check_rate,
    check_shared,
    preset_of,
)
from audiodiff.inference.chunk_denoiser import ChunkDenoiser, SuppressionLimits
from audiodiff.inference.chunks import Chunk
from audiodiff.inference.engine import Engine, Samples
from audiodiff.inference.evaluator import Runtime, evaluator_of
from audiodiff.io.formats import MAX_CHANNELS
from audiodiff.model.config import SamplerPreset
from audiodiff.model.folder import open_model
from audiodiff.model.model import Model
from audiodiff.signal.level import LevelMeter
from audiodiff.signal.resample import StreamResampler

if TYPE_CHECKING:
    from torch import Tensor

    from audiodiff.inference.device import Precision

_BLOCK = 1 << 16

_MARGIN_S = 0.25
"""Seconds around a wanted stretch that are worked on too: more than the resamplers reach."""

Block: TypeAlias = npt.NDArray[np.floating[Any]]
"""Audio [C, n], float32 or float64."""

B = TypeVar("B", bound=Block)

Audio = TypeVar("Audio", npt.NDArray[Any], "Tensor")


class Denoiser:
    """Cleans speech recordings with a model.

    Args:
        model: Name of a shipped model, path of a model folder, or a loaded model, which is shared.
        quality: Preset of the model.
        steps: Steps of the reverse process in place of the preset's.
        strength: 0 (the recording) to 1 (the clean estimate).
        max_reduction_db: How far a bin of the output's spectrum may lie below the recording's at most, 0 or
            more; infinity for no limit. Bins that would fall below are the recording turned down by so much,
            so that pauses keep the sound of the room.
        channels: ``each`` for itself, or ``linked``: one gain per bin for all, which keeps the stereo image.
        seed: Seed of the noise; the same seed gives the same result.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: CPU threads, None for as many as there are cores.
        precision: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the hardware has it.
        runtime: ``onnx`` runs the network in ONNX Runtime (float32, CPU), ``torch`` in torch; ``auto`` takes
            the first where the model folder has graphs and no GPU is there.

    Attributes:
        model: The loaded model.
        strength: 0 to 1.
        seed: Seed of the noise.

    Raises:
        ModelError: The model is missing, damaged or refused.
        ConfigError: An argument is out of range.
    """

    def __init__(  # noqa: PLR0913  options by name, each with its default
        self,
        model: str | os.PathLike[str] | Model = "podcast",
        *,
        quality: Quality = "balanced",
        steps: int | None = None,
        strength: float = 1.0,
        max_reduction_db: float = math.inf,
        channels: Channels = "each",
        seed: int = 0,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "float32",
        runtime: Runtime = "auto",
    ) -> None:
        check_shared(quality, steps, seed, threads)
        check_range("strength", strength, 0, 1)
        check_range("max_reduction_db", max_reduction_db, 0, math.inf)
        check_choice("channels", channels, get_args(Channels))
        self.model = model if isinstance(model, Model) else open_model(model)
        if self.model.mel is not None:
            raise ModelError(
                f"{self.name}: this model makes speech from mels; use it to vocode", code="refused"
            )
        evaluator = evaluator_of(self.model, runtime, device, threads, precision)
        self.strength, self.seed = float(strength), seed
        limits = SuppressionLimits(self.strength, 10 ** (-max_reduction_db / 20), channels == "linked")
        preset = preset_of(self.model.config.presets, quality, steps)
        self._worker = ChunkDenoiser(self.model, preset, seed, evaluator, limits)

    def with_preset(self, preset: SamplerPreset) -> Denoiser:
        """The same denoiser with another way to run its model; the loaded network is shared.

        Args:
            preset: Sampler, steps and grid of times.

        Raises:
            ConfigError: The preset's times begin elsewhere than the model's start.
        """
        start = self.model.config.start
        if preset.times is not None and preset.times[0] != start:
            raise ConfigError(f"times must begin at the model's start {start:g}, found {preset.times[0]:g}")
        other = copy.copy(self)
        other._worker = dataclasses.replace(self._worker, preset=preset)
        return other

    @property
    def name(self) -> str:
        """Name or path of the model."""
        return self.model.name

    @property
    def steps(self) -> int:
        """Steps of the reverse process."""
        return self._worker.preset.steps

    @property
    def decisions(self) -> dict[str, int | float | str | None]:
        """What decides the result beside model and seed, by the names of the command line."""
        limits = self._worker.limits
        return {
            "steps": self.steps,
            "strength": self.strength,
            "max_reduction_db": -20 * math.log10(limits.floor) if limits.floor > 0 else None,
            "channels": "linked" if limits.linked else "each",
            "runtime": self.runtime,
        }

    @property
    def device(self) -> str:
        """Where the network computes: ``cpu``, ``cuda:0``."""
        return self._worker.evaluator.place

    @property
    def runtime(self) -> str:
        """What runs the network: ``onnx`` or ``torch``."""
        return self._worker.evaluator.runtime

    def denoise(self, audio: Audio, sample_rate: int) -> Audio:
        """Clean a recording that lies in memory.

        Args:
            audio: Samples (T,) or (T, C) as soundfile gives them, floating point, full scale 1; C <= 32.
            sample_rate: Hz.

        Returns:
            The same type, shape and dtype.

        Raises:
            ShapeError: Another shape, no samples, or integers.
            ConfigError: The rate is none.
            AudioFileError: The samples hold NaN or infinity (code ``nonfinite``).
        """
        sample_rate = check_rate(sample_rate)
        samples = np.asarray(audio) if isinstance(audio, np.ndarray) else _array_of(audio)
        _check_array(samples)
        rows = samples.reshape(len(samples), -1).T
        narrow = np.ascontiguousarray(rows, dtype=np.float32)
        blocks = [narrow[:, i : i + _BLOCK] for i in range(0, narrow.shape[1], _BLOCK)]
        gain = self.gain(blocks, sample_rate)
        cleaned = samples.copy()
        if gain is not None and self.strength > 0:
            removed = np.concatenate(list(self._removed(blocks, sample_rate, gain)), axis=1)
            # in the recording's own dtype, so that a float64 recording keeps what float32 would round away
            cleaned = (rows - self.strength * removed).T.reshape(samples.shape).astype(samples.dtype)
        if isinstance(audio, np.ndarray):
            return cleaned
        import torch

        return torch.from_numpy(cleaned).to(audio.device)

    def gain(self, blocks: Iterable[Samples], sample_rate: int) -> float | None:
        """First pass: the factor that brings a recording to the level that the model expects.

        Args:
            blocks: float32 [C, n], all blocks of the recording in order.
            sample_rate: Hz.

        Returns:
            One factor for all channels and the whole recording; None for silence, which needs no model.

        Raises:
            ConfigError: The rate is none.
            AudioFileError: A sample is NaN or infinite.
        """
        meter = LevelMeter(check_rate(sample_rate))
        for block in _checked(blocks):
            meter.push(block)
        level_db = meter.active_db()
        return None if level_db is None else float(10 ** ((self.model.level_db - level_db) / 20))

    def stream(
        self,
        blocks: Iterable[Block],
        sample_rate: int,
        gain: float | None,
        only: tuple[float, float] = (0.0, math.inf),
    ) -> Iterator[Block]:
        """Second pass: clean a recording block by block, in memory that does not grow with its length.

        Args:
            blocks: [C, n] in order, float32 or float64; n may differ from block to block without changing the
                result.
            sample_rate: Hz.
            gain: What `gain` measured, or a factor of your own in real-time use; None passes blocks through.
            only: Samples [start, stop) that are wanted: there the result is the same, elsewhere the model is
                spared and the recording may pass unchanged.

        Yields:
            [C, m] in the dtype of the input; together exactly as long as it.

        Raises:
            ConfigError: The rate is none, or the gain no factor; before the first block is asked for.
            ShapeError: Blocks of changing channels, or more than 32.
            AudioFileError: A sample is NaN or infinite.
        """
        sample_rate = check_rate(sample_rate)
        if gain is not None and not 0 < gain < math.inf:
            raise ConfigError(f"gain {gain} is no factor; take what gain() measured, or None")
        if gain is None or self.strength == 0:
            return _checked(blocks)
        return self._cleaned(blocks, sample_rate, gain, only)

    def _cleaned(
        self, blocks: Iterable[Block], sample_rate: int, gain: float, only: tuple[float, float]
    ) -> Iterator[Block]:
        waiting: deque[Block] = deque()

        def tapped() -> Iterator[Samples]:
            for block in _checked(blocks):
                waiting.append(block)
                yield block.astype(np.float32, copy=False)

        for removed in self._removed(tapped(), sample_rate, gain, only):
            yield _take(waiting, removed.shape[1]) - np.float32(self.strength) * removed

    def _removed(
        self,
        blocks: Iterable[Samples],
        sample_rate: int,
        gain: float,
        only: tuple[float, float] = (0.0, math.inf),
    ) -> Iterator[Samples]:
        """What goes away, at the recording's rate and aligned with it; together as long as the recording."""
        if sample_rate >= self.model.sample_rate:
            yield from self._carried(blocks, sample_rate, gain, only, None)
            return
        waiting: deque[Samples] = deque()

        def tapped() -> Iterator[Samples]:
            for block in blocks:
                waiting.append(block)
                yield block

        for rows in self._carried(tapped(), sample_rate, gain, only, sample_rate / 2):
            removed, loss, heard = np.split(rows, 3)
            # what resampling there and back does not carry loses as much as the strip below it
            yield removed + loss * (_take(waiting, rows.shape[1]) - heard)

    def _carried(
        self,
        blocks: Iterable[Samples],
        sample_rate: int,
        gain: float,
        only: tuple[float, float],
        edge_hz: float | None,
    ) -> Iterator[Samples]:
        """The part of `_removed` that resampling carries [C, m]; with `edge_hz` [3 C, m].

        The other rows are the share that went away just below the edge, and the recording as it comes back.
        """
        iterator = iter(blocks)
        first = next(iterator, None)
        if first is None:
            return
        channels = first.shape[0]
        n_rows = channels if edge_hz is None else 3 * channels
        scale, margin = self.model.sample_rate / sample_rate, _MARGIN_S * self.model.sample_rate
        begin, end = only[0] * scale - margin, only[1] * scale + margin

        def work(audio: Samples, chunk: Chunk) -> Samples:
            if chunk.stop <= begin or chunk.start >= end:
                return np.zeros((n_rows, chunk.stop - chunk.start), dtype=np.float32)
            removed = self._worker.residual(audio, chunk, gain, edge_hz)
            heard = audio[:, chunk.start - chunk.first_sample : chunk.stop - chunk.first_sample]
            return removed if edge_hz is None else np.concatenate([removed, heard])

        down = StreamResampler(sample_rate, self.model.sample_rate, channels)
        up = StreamResampler(self.model.sample_rate, sample_rate, n_rows)
        engine = Engine(self._worker.plan(), channels, work, n_rows)
        n_in = n_out = 0
        block: Samples | None = first
        while block is not None:
            n_in += block.shape[1]
            ready = up.push(engine.push(down.push(block)))
            n_out += ready.shape[1]
            if ready.shape[1]:
                yield ready
            block = next(iterator, None)
        rest = (engine.push(down.flush()), engine.flush())
        tail = [*(up.push(part) for part in rest), up.flush()]
        # Two roundings up can leave samples beyond the end.
        if n_in > n_out:
            yield np.concatenate(tail, axis=1)[:, : n_in - n_out]


def _array_of(audio: Tensor) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = audio.detach().cpu().numpy()
    except TypeError:  # bfloat16, sparse tensors
        raise ShapeError(f"expected float32 or float64 samples, found {audio.dtype}; convert them") from None
    return array


def _check_array(samples: npt.NDArray[Any]) -> None:
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise ShapeError(
            f"expected samples (T,) or (T, C), found shape {samples.shape}; give at least one sample"
        )
    if samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS:
        raise ShapeError(
            f"shape {samples.shape} means {samples.shape[1]} channels, at most {MAX_CHANNELS}; transpose?"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        raise ShapeError(
            f"expected floating point samples of full scale 1, found {samples.dtype}; convert them"
        )


def _checked(blocks: Iterable[B]) -> Iterator[B]:
    position = 0
    for block in blocks:
        if block.ndim != 2 or not 1 <= block.shape[0] <= MAX_CHANNELS:
            raise ShapeError(
                f"expected blocks [C, n] with C from 1 to {MAX_CHANNELS}, found {block.shape}; transpose?"
            )
        if not np.isfinite(block).all():
            at = position + int(np.argmin(np.isfinite(block).all(axis=0)))
            line = f"sample {at} is NaN or infinite; repair the recording first"
            raise AudioFileError(line, code="nonfinite")
        position += block.shape[1]
        yield block


def _take(waiting: deque[Block], count: int) -> Block:
    """Remove the next `count` samples from a queue of blocks."""
    parts: list[Block] = []
    while count > 0:
        block = waiting.popleft()
        parts.append(block[:, :count])
        if block.shape[1] > count:
            waiting.appendleft(block[:, count:])
        count -= parts[-1].shape[1]
    return np.concatenate(parts, axis=1)
