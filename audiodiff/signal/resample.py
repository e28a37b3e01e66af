"""Streaming resampling with an exact length and no lag.

The filter is libsoxr's "HQ" (linear phase, 20 bit) with its steep flank: level up to 0.98 of the lower
Nyquist frequency, where the plain one ends at 0.91. What a resampler cannot carry, a denoiser cannot clean.
Whatever the sizes of the pushed blocks, the output is the same bit for bit, so a whole file and a stream of
it agree.
"""

from __future__ import annotations

import functools

import numpy as np
from soxr import soxr_ext

from audiodiff.errors import ShapeError
from audiodiff.signal.types import Audio

_SLICE = 1 << 16
# soxr.h's SOXR_STEEP_FILTER, which the Python class does not offer; the tests hold the flank it promises.
_STEEP = 0x40
_TRIAL, _TRIAL_PIECE = 1 << 18, 128
"""Samples by which `held_back` finds what is held back, and how many are pushed at once."""


def resampled_length(n_samples: int, rate_in: int, rate_out: int) -> int:
    """ceil(n_samples * rate_out / rate_in), the length of n_samples samples at the other rate.

    Going there and back gives at least n_samples, so a way back only ever has to be cut.
    """
    return -(-n_samples * rate_out // rate_in)


def fit_length(x: Audio, n_samples: int) -> Audio:
    """Cut [..., T] to n_samples samples at its end, or fill it up with zeros."""
    missing = n_samples - x.shape[-1]
    if missing <= 0:
        return x[..., :n_samples]
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])


class StreamResampler:
    """Changes the sample rate of a stream of blocks.

    Output sample i lies at the time of input sample i * rate_in / rate_out, and the blocks of all `push`
    calls and of `flush` together are resampled_length(T) long.

    Args:
        rate_in: Sample rate of the input in Hz.
        rate_out: Sample rate of the output in Hz.
        channels: C, the number of channels.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._rate_in = rate_in
        self._rate_out = rate_out
        self._channels = channels
        self._n_in = 0
        self._n_out = 0
        self._soxr = None
        if rate_in != rate_out:
            kind, quality = soxr_ext.SOXR_FLOAT32_I, soxr_ext.HQ | _STEEP
            self._soxr = soxr_ext.CSoxr(rate_in, rate_out, channels, kind, quality, False)

    def push(self, block: Audio) -> Audio:
        """Take the next samples, give those that are ready.

        Args:
            block: float32 [C, n], finite (soxr spreads one NaN over everything); n may be 0.

        Returns:
            float32 [C, m]; m may be 0.

        Raises:
            ShapeError: If block has not C channels.
        """
        if block.ndim != 2 or block.shape[0] != self._channels:
            raise ShapeError(f"expected a block [{self._channels}, n], got shape {list(block.shape)}")
        self._n_in += block.shape[1]
        return self._run(np.asarray(block, dtype=np.float32), last=False)

    def flush(self) -> Audio:
        """End the stream.

        Returns:
            float32 [C, m], what is missing to the promised length.
        """
        wanted = resampled_length(self._n_in, self._rate_in, self._rate_out) - self._n_out
        # soxr rounds the total length, and down to 0 for one sample: zeros after the end make it give enough.
        zeros = np.zeros((self._channels, 2 + 2 * self._rate_in // self._rate_out), dtype=np.float32)
        if self._soxr is None or self._n_in == 0:
            return zeros[:, :0]
        return fit_length(self._run(zeros, last=True), wanted)

    def _run(self, block: Audio, last: bool) -> Audio:
        if self._soxr is None:
            return block
        pieces = [
            self._soxr.process_float32(
                np.ascontiguousarray(block[:, i : i + _SLICE].T), last and i + _SLICE >= block.shape[1]
            )
            for i in range(0, block.shape[1], _SLICE)
        ]
        if not pieces:
            return block
        out = np.ascontiguousarray(np.concatenate(pieces).T)
        self._n_out += out.shape[1]
        return out


@functools.lru_cache
def held_back(rate_in: int, rate_out: int) -> int:
    """How many input samples a `StreamResampler` holds back at most, found by trying.

    libsoxr works in pieces of its own; what it tells of its delay is that of the moment. Small pushes show
    the most.
    """
    if rate_in == rate_out:
        return 0
    stream = StreamResampler(rate_in, rate_out, 1)
    piece = np.zeros((1, _TRIAL_PIECE), dtype=np.float32)
    most = n_in = n_out = 0
    while n_in < _TRIAL:
        n_in += _TRIAL_PIECE
        n_out += stream.push(piece).shape[1]
        most = max(most, n_in - n_out * rate_in // rate_out)
    return most + _TRIAL_PIECE


def resample(x: Audio, rate_in: int, rate_out: int, n_out: int | None = None) -> Audio:
    """Change the sample rate of a whole recording; bit-equal to `StreamResampler`.

    Args:
        x: float32 [C, T], finite.
        rate_in: Sample rate of x in Hz.
        rate_out: Wanted sample rate in Hz.
        n_out: Cut or fill up with zeros to this length; by default resampled_length(T).

    Returns:
        float32 [C, T'].

    Raises:
        ShapeError: If x is not [C, T].
    """
    if x.ndim != 2:
        raise ShapeError(f"expected audio [C, T], got shape {list(x.shape)}")
    stream = StreamResampler(rate_in, rate_out, x.shape[0])
    y = np.concatenate([stream.push(x), stream.flush()], axis=1)
    return y if n_out is None else fit_length(y, n_out)
