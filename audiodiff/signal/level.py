"""Gated active-speech level, gains, and mixing to one channel."""

from __future__ import annotations

import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiodiff.errors import ShapeError
from audiodiff.signal.types import Audio, Samples

BLOCK_S = 0.04
ABSOLUTE_GATE_DB = -70.0
RELATIVE_GATE_DB = -10.0
_PIECE = 1 << 18
CANCELLED_DB = -10.0
"""Below this, beside the loudest channel, the mean of channels is not taken for the recording."""


class LevelMeter:
    """Measures how loud the speech of a recording is, without its pauses.

    The recording is cut into blocks of 40 ms from sample 0 on. P is the power of a block: its variance
    (so an offset is no sound), averaged over the channels, without those that are digital silence from
    beginning to end: a dead channel changes nothing. Blocks with 10 log10 P <= -70 dBFS are dropped;
    then those more than 10 dB below the mean power of the rest, again until nothing changes. The level is
    10 log10 of the mean P of what stays. These are the two gates of ITU-R BS.1770-4, annex 1, eq. 5 to 7,
    without its frequency weighting; repeating the second makes it the self-consistent threshold of
    ITU-T P.56, method B, so that a gain moves the level by exactly that gain while speech stays above
    -60 dBFS.
    0 dBFS is the power of a square wave of amplitude 1. The sizes of the pushed blocks do not matter.
    """

    def __init__(self, sample_rate: int) -> None:
        self._length = max(1, round(BLOCK_S * sample_rate))
        self._rest: npt.NDArray[np.float32] | None = None
        self._powers = array.array("d")  # summed over the channels
        self._sounding: npt.NDArray[np.bool_] | None = None

    def push(self, block: npt.NDArray[np.float32]) -> None:
        """Take the next samples.

        Args:
            block: float32 [C, n], full scale 1; n may be 0.

        Raises:
            ShapeError: If block is not [C, n], or C changes.
        """
        if block.ndim != 2 or (self._rest is not None and block.shape[0] != self._rest.shape[0]):
            raise ShapeError(
                f"expected the next block [C, n] of one recording, got shape {list(block.shape)}"
            )
        sounding: npt.NDArray[np.bool_] = np.asarray(block.any(axis=1))
        self._sounding = sounding if self._sounding is None else np.logical_or(self._sounding, sounding)
        x = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        whole = x.shape[1] - x.shape[1] % self._length
        cut = x[:, :whole].astype(np.float64).reshape(x.shape[0], -1, self._length)
        self._powers.extend(_power(cut))
        self._rest = x[:, whole:].copy()

    def active_db(self) -> float | None:
        """Level of what was pushed so far in dBFS, or None if nothing is above the absolute gate."""
        if self._sounding is None or not self._sounding.any():
            return None
        powers = np.array(self._powers)
        weights = np.ones(powers.size)
        if self._rest is not None and self._rest.shape[1]:
            powers = np.append(powers, _power(self._rest.astype(np.float64)[:, np.newaxis]))
            weights = np.append(weights, self._rest.shape[1] / self._length)
        powers /= np.count_nonzero(self._sounding)
        keep = powers > 10 ** (ABSOLUTE_GATE_DB / 10)
        if not keep.any():
            return None
        while True:
            mean = float(np.average(powers[keep], weights=weights[keep]))
            above = keep & (powers >= mean * 10 ** (RELATIVE_GATE_DB / 10))
            if above.sum() == keep.sum():
                return float(10 * np.log10(mean))
            keep = above


def active_db(x: Samples, sample_rate: int) -> float | None:
    """Level in dBFS of samples [C, T] or [T] while something sounds (see `LevelMeter`), None for silence."""
    meter = LevelMeter(sample_rate)
    meter.push(np.atleast_2d(x).astype(np.float32, copy=False))
    return meter.active_db()


def gain_of(db: float) -> np.float32:
    """Factor of a gain in decibels."""
    return np.float32(10 ** (db / 20))


def mix_to_mono(x: Samples) -> Audio:
    """Mean of the channels: [C, T] to float32 [1, T]."""
    mono: Audio = x.mean(axis=0, keepdims=True, dtype=np.float32)
    return mono


@dataclass(frozen=True)
class MonoMix:
    """How the channels of a recording become one.

    Attributes:
        n_channels: How many there are; 0 if nothing was measured.
        channel: The one that stands for all, from 0; None for their mean.
    """

    n_channels: int = 0
    channel: int | None = None

    @property
    def note(self) -> str:
        """What the user must know, without the name of the recording; empty for the mean."""
        if self.channel is None:
            return ""
        return (
            f"the mean of its {self.n_channels} channels is more than {-CANCELLED_DB:g} dB below channel "
            f"{self.channel + 1}, which was used alone"
        )

    def apply(self, x: Samples) -> Samples:
        """One channel of them: [C, T] to [1, T]."""
        if self.channel is not None:
            return x[self.channel : self.channel + 1]
        mono: Samples = x.mean(axis=0, keepdims=True, dtype=x.dtype)
        return mono


def mono_mix(blocks: Iterable[Samples]) -> MonoMix:
    """Decide how the channels of a whole recording become one.

    That is their mean, but where they cancel each other, as one of them is inverted: if the energy of the
    mean is more than 10 dB below that of the loudest channel, that channel stands for all.

    Args:
        blocks: [C, n], all blocks of the recording in order; those of one channel are not read on.
    """
    energies = np.zeros(0)
    mean = 0.0
    for block in blocks:
        if len(block) == 1:
            return MonoMix(1)
        for start in range(0, block.shape[1], _PIECE):
            x = block[:, start : start + _PIECE].astype(np.float64)
            energy = np.square(x).sum(axis=1)
            energies = energies + energy if energies.size else energy
            mean += float(np.square(x.mean(axis=0)).sum())
    if not energies.size or mean >= 10 ** (CANCELLED_DB / 10) * energies.max():
        return MonoMix(energies.size)
    return MonoMix(energies.size, int(energies.argmax()))


def _power(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Variance of each block [C, blocks, n], summed over the channels: [blocks]."""
    power: npt.NDArray[np.float64] = blocks.var(axis=2).sum(axis=0)
    return power
