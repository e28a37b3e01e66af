"""What a vocoder's speech is compared with: the input as one channel of sound at the output's rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audiodiff.io.reader import AtomicWriter, read_blocks
from audiodiff.signal.level import mono_mix
from audiodiff.signal.resample import StreamResampler
from audiodiff.signal.types import Samples

if TYPE_CHECKING:
    from audiodiff.io.mel_file import Axes

ITERATIONS = 4
"""Of the plain inversion that stands for a mel: enough to be understood."""


def write_recording(source: Path, target: Path, sample_rate: int) -> str:
    """Write a recording as a copy synthesis hears it: its channels mixed to one, at the rate of the mel."""

    def mixed() -> Iterator[Samples]:
        with read_blocks(source) as reader:
            mix = mono_mix(reader)
        with read_blocks(source) as reader:
            resampler = StreamResampler(reader.info.sample_rate, sample_rate, 1)
            for block in reader:
                yield resampler.push(mix.apply(block))
            yield resampler.flush()

    _write(mixed(), target, sample_rate)
    return f"Before is the recording, mixed to one channel at {sample_rate / 1000:g} kHz."


def write_mel(source: Path, target: Path, preset: str | None, axes: Axes | None) -> str:
    """Write the plain inversion of a mel file."""
    import torch

    from audiodiff.io.mel_file import read_mel
    from audiodiff.signal.mel_inversion import invert_long

    found = read_mel(source, preset, axes)
    waves = invert_long([torch.from_numpy(found.values)], found.spec, ITERATIONS)
    _write((wave.numpy()[np.newaxis] for wave in waves), target, found.spec.sample_rate)
    return f"Before is a plain inversion of the mel ({ITERATIONS} iterations); a mel itself has no sound."


def _write(blocks: Iterable[Samples], target: Path, sample_rate: int) -> None:
    with AtomicWriter(target, sample_rate, 1, "FLAC", "PCM_16", False) as writer:
        for block in blocks:
            writer.write(block)
