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
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from audiodiff.errors import AudioFileError, ConfigError, ShapeError
from audiodiff.inference.chunks import Chunk
from audiodiff.inference.device import Precision, autocast_dtype, pick_device
from audiodiff.inference.engine import Engine, Samples
from audiodiff.inference.spectral_sampler import Cleaner, Mix
from audiodiff.io.formats import MAX_CHANNELS
from audiodiff.model.folder import load_model
from audiodiff.model.model import Model
from audiodiff.signal.level import LevelMeter
from audiodiff.signal.resample import StreamResampler

_BLOCK = 1 << 16

_MARGIN_S = 0.25
"""Seconds around a wanted stretch that are worked on too: more than the resamplers reach."""

Block: TypeAlias = npt.NDArray[np.floating[Any]]
"""Audio [C, n], float32 or float64."""

Quality: TypeAlias = Literal["fast", "balanced", "best"]
Channels: TypeAlias = Literal["each", "linked"]

B = TypeVar("B", bound=Block)

Audio = TypeVar("Audio", npt.NDArray[Any], Tensor)


class Denoiser:
    """Cleans speech recordings with a model.

    Args:
        model: Name of a shipped model, path of a model folder, or a loaded model.
        steps: Steps of the reverse process; None takes the model's ``balanced`` preset as it is.
        strength: 0 (the recording) to 1 (the clean estimate).
        seed: Seed of the noise; the same seed gives the same result.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads, None for torch's own choice.
        precision: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the hardware has it.

    Attributes:
        model: The loaded model.
        name: What it was asked for by.
        strength: 0 to 1.

    Raises:
        ModelError: The model is missing, damaged or refused.
        ConfigError: An argument is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "podcast",
        steps: int | None = None,
        strength: float = 1.0,
        seed: int = 0,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        check_options(steps, strength, seed, threads)
        where = pick_device(device)
        loaded = model if isinstance(model, Model) else load_model(model)
        loaded.net.to(where)
        preset = loaded.config.presets.balanced
        if steps is not None:
            preset = preset.model_copy(update={"steps": steps})
        self.model = loaded
        self.name = "a loaded model" if isinstance(model, Model) else os.fspath(model)
        self.strength = float(strength)
        self._steps = steps
        dtype = autocast_dtype(precision, where)
        self._cleaner = Cleaner(loaded, preset, seed, where, dtype, threads, Mix(self.strength))
        self._plan = self._cleaner.plan()

    @property
    def steps(self) -> int:
        """Steps of the reverse process."""
        return self._cleaner.preset.steps

    @property
    def seed(self) -> int:
        """Seed of the noise."""
        return self._cleaner.seed

    @property
    def decisions(self) -> dict[str, int | float | str | None]:
        """What was decided, by the names of `tuned` and of the command line."""
        mix = self._cleaner.mix
        return {
            "steps": self.steps,
            "strength": self.strength,
            "max_reduction_db": -20 * math.log10(mix.floor) if mix.floor > 0 else None,
            "channels": "linked" if mix.linked else "each",
        }

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self._cleaner.device

    def tuned(
        self,
        quality: Quality | None = None,
        strength: float | None = None,
        max_reduction_db: float | None = None,
        channels: Channels | None = None,
    ) -> Denoiser:
        """The same loaded model with other listening decisions; None leaves one as it is.

        Args:
            quality: Preset of the model; a number of steps that was asked for stays.
            strength: 0 (the recording) to 1 (the clean estimate).
            max_reduction_db: How far a bin of the output's spectrum may lie below the recording's at most, 0
                or more; infinity for no limit. Bins that would fall below are the recording turned down by
                so much, so that pauses keep the sound of the room.
            channels: ``each`` for itself, or ``linked``: one gain per bin for all, which keeps the image.

        Returns:
            A denoiser; this one stays as it is.

        Raises:
            ConfigError: A value is out of range.
        """
        mix, preset = self._cleaner.mix, self._cleaner.preset
        if strength is not None:
            check_options(self._steps, strength, self._cleaner.seed, self._cleaner.threads)
            mix = dataclasses.replace(mix, strength=float(strength))
        if max_reduction_db is not None:
            if not max_reduction_db >= 0:
                raise ConfigError(f"max_reduction_db {max_reduction_db} is out of range; use 0 or more")
            mix = dataclasses.replace(mix, floor=10 ** (-max_reduction_db / 20))
        if channels is not None:
            mix = dataclasses.replace(
                mix, linked=_one_of("channels", channels, ("each", "linked")) == "linked"
            )
        if quality is not None:
            name = _one_of("quality", quality, ("fast", "balanced", "best"))
            preset = getattr(self.model.config.presets, name)
            if self._steps is not None:
                preset = preset.model_copy(update={"steps": self._steps})
        other = copy.copy(self)
        other.strength = mix.strength
        other._cleaner = dataclasses.replace(self._cleaner, preset=preset, mix=mix)
        other._plan = other._cleaner.plan()
        return other

    def denoise(self, audio: Audio, sample_rate: int) -> Audio:
        """Clean a recording that lies in memory.

        Args:
            audio: Samples (T,) or (T, C) as soundfile gives them, floating point, full scale 1; C <= 32.
            sample_rate: Hz.

        Returns:
            The same type, shape and dtype.

        Raises:
            ShapeError: Another shape, no samples, or integers.
            AudioFileError: The samples hold NaN or infinity (code ``nonfinite``).
        """
        samples = audio.detach().cpu().numpy() if isinstance(audio, Tensor) else np.asarray(audio)
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
        if isinstance(audio, Tensor):
            return torch.from_numpy(cleaned).to(audio.device)
        return cleaned

    def gain(self, blocks: Iterable[Samples], sample_rate: int) -> float | None:
        """First pass: the factor that brings a recording to the level that the model expects.

        Args:
            blocks: float32 [C, n], all blocks of the recording in order.
            sample_rate: Hz.

        Returns:
            One factor for all channels and the whole recording; None for silence, which needs no model.

        Raises:
            AudioFileError: A sample is NaN or infinite.
        """
        meter = LevelMeter(sample_rate)
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
            ShapeError: Blocks of changing channels, or more than 32.
            AudioFileError: A sample is NaN or infinite.
        """
        if gain is None or self.strength == 0:
            yield from _checked(blocks)
            return
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
            removed = self._cleaner.removed(audio, chunk, gain, edge_hz)
            heard = audio[:, chunk.start - chunk.first_sample : chunk.stop - chunk.first_sample]
            return removed if edge_hz is None else np.concatenate([removed, heard])

        down = StreamResampler(sample_rate, self.model.sample_rate, channels)
        up = StreamResampler(self.model.sample_rate, sample_rate, n_rows)
        engine = Engine(self._plan, channels, work, n_rows)
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


def check_options(steps: int | None, strength: float, seed: int, threads: int | None) -> None:
    """Refuse options that are out of range.

    Args:
        steps: At least 1, or None.
        strength: 0 to 1.
        seed: 0 to 2^64 - 1.
        threads: At least 1, or None.

    Raises:
        ConfigError: The line names the option and its range.
    """
    checks = (
        ("steps", steps, steps is None or 1 <= steps <= 1000, "1 to 1000"),
        ("strength", strength, 0 <= strength <= 1, "0 to 1"),
        ("seed", seed, 0 <= seed < 1 << 64, "0 to 2^64 - 1"),
        ("threads", threads, threads is None or 1 <= threads <= 1024, "1 to 1024"),
    )
    for name, value, fits, allowed in checks:
        if not fits:
            raise ConfigError(f"{name} {value} is out of range; use {allowed}")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is unknown; use {', '.join(choices)}")
    return value


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
