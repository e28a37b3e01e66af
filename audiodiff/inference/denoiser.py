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
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from audiodiff.errors import ConfigError, ModelError, ShapeError
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
from audiodiff.inference.engine import Samples
from audiodiff.inference.evaluator import Runtime, evaluator_of
from audiodiff.inference.live import (
    LIVE_BLOCK_S,
    Block,
    LiveDenoiser,
    ResidualStream,
    check_block,
    gain_for,
)
from audiodiff.io.formats import MAX_CHANNELS
from audiodiff.model.config import SamplerPreset
from audiodiff.model.folder import open_model
from audiodiff.model.model import Model
from audiodiff.signal.level import LevelMeter

if TYPE_CHECKING:
    from torch import Tensor

    from audiodiff.inference.device import Precision

_BLOCK = 1 << 16

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
        precision: ``float32``; ``int8`` for integers of 8 bits, in ONNX Runtime alone, where the model has
            such graphs; in torch ``bfloat16``, or ``auto`` for that where the hardware has it.
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
        self.strength, self.seed, self._is_int8 = float(strength), seed, precision == "int8"
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
            **({"precision": "int8"} if self._is_int8 else {}),
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
            removed = self._whole_residual(blocks, sample_rate, gain)
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
        return gain_for(self.model, meter.active_db())

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
        _check_gain(gain)
        if gain is None or self.strength == 0:
            return _checked(blocks)
        return self._cleaned(blocks, sample_rate, gain, only)

    def live(
        self,
        sample_rate: int,
        channels: int = 1,
        gain: float | None = None,
        block_s: float = LIVE_BLOCK_S,
    ) -> LiveDenoiser:
        """Clean a signal that is still going on: push blocks of any size, get what became final.

        With equal gain and blocks as long as the chunks of files, 2 seconds (8 where the network runs in
        torch), the result is that of `stream` bit for bit; other lengths change it by rounding errors only.

        Args:
            sample_rate: Hz.
            channels: C of the blocks, 1 to 32.
            gain: What `gain` measured of a trial, or a factor of your own. None to measure it as the signal
                comes, over everything that was heard so far.
            block_s: Seconds that come out at once, rounded to whole frames of the model, 0.01 to 60. Shorter
                ones come earlier and cost more, in torch and without a gain many times more, since there the
                model's surroundings of each are computed too; its `latency` tells.

        Raises:
            ConfigError: An argument is out of range.
        """
        sample_rate = check_rate(sample_rate)
        check_range("channels", channels, 1, MAX_CHANNELS)
        check_range("block_s", block_s, 0.01, 60)
        _check_gain(gain)
        crew = self._worker.crew(channels, ahead=0)
        removed = ResidualStream(self._worker, crew, sample_rate, channels, gain, block_s)
        return LiveDenoiser(removed, self.strength)

    def _whole_residual(self, blocks: Sequence[Samples], sample_rate: int, gain: float) -> Samples:
        residual = self._residual(sample_rate, len(blocks[0]), gain)
        return np.concatenate([*map(residual.push, blocks), residual.flush()], axis=1)

    def _cleaned(
        self, blocks: Iterable[Block], sample_rate: int, gain: float, only: tuple[float, float]
    ) -> Iterator[Block]:
        live: LiveDenoiser | None = None
        for block in _checked(blocks):
            if live is None:
                live = LiveDenoiser(self._residual(sample_rate, len(block), gain, only), self.strength)
            yield from _some(live.push(block))
        if live is not None:
            yield from _some(live.flush())

    def _residual(
        self,
        sample_rate: int,
        channels: int,
        gain: float | None,
        only: tuple[float, float] = (0.0, math.inf),
    ) -> ResidualStream:
        crew = self._worker.crew(channels)
        return ResidualStream(self._worker, crew, sample_rate, channels, gain, self._worker.core_s, only)


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


def _check_gain(gain: float | None) -> None:
    if gain is not None and not 0 < gain < math.inf:
        raise ConfigError(f"gain {gain} is no factor; take what gain() measured, or None")


def _checked(blocks: Iterable[B]) -> Iterator[B]:
    position = 0
    for block in blocks:
        check_block(block, position)
        position += block.shape[1]
        yield block


def _some(block: B) -> Iterator[B]:
    """The block, unless it is empty."""
    if block.shape[1]:
        yield block
