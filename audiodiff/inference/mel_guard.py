"""The vocoder `voice`: a rough inversion of a mel, refined by a network of spectra.

    output = start + resample(network(start) - start)

The network sees the start alone, at its own rate, so it serves every mel convention that can be inverted;
what lies above its band comes from the start. The arithmetic is the denoiser's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from audiodiff.errors import ModelError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.io.disk_buffer import DiskBuffer
from audiodiff.signal.mel import to_linear_mel
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_stream import mel_blocks

Samples = npt.NDArray[np.float32]

Warn = Callable[[str], None]
"""Told in one line what a user should know of the result."""

TOLERANCE = 3.0
"""A result whose mel is so many times farther from the wanted one than the start's is not taken."""

NEAR = 0.8
"""Distances up to this are taken whatever the start's. A start meets even a damaged mel (0.03 to 0.07), while
the speech that was damaged does not: a mel blurred over 3 x 3 cells lies 0.5 to 0.65 from its own recording
(dev pairs), so a smaller limit would refuse the truth. Silence lies at 1."""


def refined(
    start: Iterable[Samples], frames: DiskBuffer, spec: MelSpec, denoiser: Denoiser, warn: Warn
) -> Iterator[Samples]:
    """Refine an inversion.

    The network's level is that of the whole start, and the guard judges the whole result, so nothing comes
    out before all went in.

    Args:
        start: Samples [n] of the inversion, in order, at spec.sample_rate.
        frames: The mel; when `start` has ended, all its frames [N, M] in the convention's own numbers.
        spec: Its convention.
        denoiser: The network, at full strength.
        warn: Told if the guard gives the start back, because the result is not finite or its mel is more
            than `TOLERANCE` times farther from the wanted one than the start's, and than `NEAR`.

    Yields:
        Samples [n], together as many as the start's.
    """
    with DiskBuffer() as rough, DiskBuffer() as result:
        gain = denoiser.gain(_kept(start, rough), spec.sample_rate)
        taken = rough
        if gain is not None:
            fault = _refine(rough, result, spec, denoiser, gain) or _far(rough, result, frames, spec)
            taken = rough if fault else result
            if fault:
                warn(f"{fault}; the inversion was taken")
        for block in taken.blocks():
            yield block[:, 0]


def _kept(start: Iterable[Samples], rough: DiskBuffer) -> Iterator[Samples]:
    """The start as blocks [1, n], written down as it passes."""
    for block in start:
        rough.write(block)
        yield block[np.newaxis]


def _refine(rough: DiskBuffer, result: DiskBuffer, spec: MelSpec, denoiser: Denoiser, gain: float) -> str:
    """Write the result; says what failed, if anything did."""
    blocks = (np.ascontiguousarray(block.T) for block in rough.blocks())
    try:
        for refined_block in denoiser.stream(blocks, spec.sample_rate, gain):
            result.write(refined_block[0].astype(np.float32, copy=False))
    except ModelError as error:
        if error.code != "nonfinite":
            raise
        return str(error)
    return ""


def _far(rough: DiskBuffer, result: DiskBuffer, frames: DiskBuffer, spec: MelSpec) -> str:
    """Says that the result's mel is too far from the wanted one, if it is."""
    start_distance, distance = (mel_distance(wave, frames, spec) for wave in (rough, result))
    if distance <= max(TOLERANCE * start_distance, NEAR):
        return ""
    return f"the model left the mel ({distance:.3g} away from it, the inversion {start_distance:.3g})"


def mel_distance(wave: DiskBuffer, frames: DiskBuffer, spec: MelSpec) -> float:
    """How far the mel of a waveform is from a given one: sum of |b - b_wanted| over sum of b_wanted.

    b are linear magnitudes of the bands (the root of powers), so that neither the recording's level nor
    cells at the convention's floor count.

    Args:
        wave: Samples at spec.sample_rate.
        frames: Frames [N, M] in the convention's own numbers, no more than the waveform has.
        spec: The convention.
    """
    first, apart, total = 0, 0.0, 0.0
    samples = (torch.from_numpy(block[:, 0]) for block in wave.blocks())
    for values in mel_blocks(samples, spec):
        wanted = torch.from_numpy(frames.read(first, values.shape[-1]).T.copy())
        first += values.shape[-1]
        there, given = (
            to_linear_mel(x.double(), spec) ** (1 / spec.power)
            for x in (values[:, : wanted.shape[-1]], wanted)
        )
        apart += float((there - given).abs().sum())
        total += float(given.sum())
    return apart / total if total else float("inf") if apart else 0.0
