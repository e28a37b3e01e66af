"""Power spectra of a stream, and their bands."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from audiodiff.signal.frames import frame_power
from audiodiff.signal.mel_bands import mel_filters
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.types import Samples

Grid = npt.NDArray[np.float32]

SILENCE_DB = -120.0
N_BANDS = 32
_WINDOW_S = 0.04
_HOP_S = 0.02
_TOP_HZ = 8000.0


def decibels(power: Samples) -> Grid:
    """Power of any shape to dB, no lower than `SILENCE_DB`."""
    floored: Grid = np.maximum(power, 10 ** (SILENCE_DB / 10)).astype(np.float32)
    return np.asarray(10 * np.log10(floored), dtype=np.float32)


class Framer:
    """Cuts a stream into windows and gives their band powers; block sizes do not matter.

    Frame n is the Hann window of 40 ms that starts at sample n * hop, hop = 20 ms. Powers of the channels are
    averaged, so nothing cancels. A full-scale sine has the power 0 dB in all bands together.

    Args:
        sample_rate: Hz.

    Attributes:
        hop_s: Distance of two frames in seconds, exactly.
        first_s: Centre of frame 0 in seconds.
        bin_hz: Distance of two bins of `spectra`.
        centres_hz: Where each band is highest, [`N_BANDS`].
    """

    def __init__(self, sample_rate: int) -> None:
        self._hop = max(1, round(_HOP_S * sample_rate))
        self._n_fft = 2 * math.ceil(_WINDOW_S * sample_rate / 2)
        self._bank = _bank(sample_rate, self._n_fft, self._hop)
        self._rest: Samples | None = None
        self.hop_s = self._hop / sample_rate
        self.first_s = self._n_fft / 2 / sample_rate
        self.bin_hz = sample_rate / self._n_fft
        self.centres_hz = self._bank.argmax(axis=1) * self.bin_hz

    def push(self, block: Samples) -> Grid:
        """Band powers of the frames that are complete with this block."""
        return self.bands(self.spectra(block))

    def bands(self, power: Grid) -> Grid:
        """Spectra [n, F] to band powers [n, `N_BANDS`]."""
        return np.asarray(power @ self._bank.T, dtype=np.float32)

    def spectra(self, block: Samples) -> Grid:
        """Powers [n, F] of the frames that are complete with this block."""
        x = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        n_frames = max(0, (x.shape[1] - self._n_fft) // self._hop + 1)
        self._rest = x[:, n_frames * self._hop :].copy()
        if n_frames == 0:
            return np.zeros((0, self._bank.shape[1]), dtype=np.float32)
        power = np.mean([frame_power(channel, self._n_fft, self._hop) for channel in x], axis=0)
        # by Parseval: a sine of amplitude 1 spreads n_fft^2 * 3 / 32 over its bins
        scale = 32 / (3 * self._n_fft**2)
        return np.asarray(scale * power, dtype=np.float32)

    def flush(self) -> Grid:
        """The frames of the last samples, with zeros after the end."""
        if self._rest is None or self._rest.shape[1] == 0:
            return np.zeros((0, N_BANDS), dtype=np.float32)
        return self.push(np.zeros((self._rest.shape[0], self._n_fft), dtype=np.float32))


@lru_cache(maxsize=8)
def _bank(sample_rate: int, n_fft: int, hop: int) -> Grid:
    """Triangles of unit height, [`N_BANDS`, F], up to 8 kHz: where speech is."""
    spec = MelSpec(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop=hop,
        win=n_fft,
        f_min=60.0,
        f_max=min(_TOP_HZ, sample_rate / 2),
        n_mels=N_BANDS,
        norm="none",
    )
    return mel_filters(spec).astype(np.float32)
