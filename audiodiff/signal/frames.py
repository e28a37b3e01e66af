"""Power spectra of a recording by numpy alone, for reports and scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from audiodiff.signal.types import Samples

PIECE_FRAMES = 1024
"""Frames that `power_pieces` transforms together."""


def frame_power(x: Samples, n_fft: int, hop: int) -> Samples:
    """|X|^2 of all whole Hann-windowed frames, frame n from sample n hop on: [..., T] to [..., N, F]."""
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=-1)[..., ::hop, :]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    spectrum = np.fft.rfft(frames * window.astype(x.dtype), axis=-1)
    power: Samples = spectrum.real**2 + spectrum.imag**2
    return power


def power_pieces(x: Samples, n_fft: int, hop: int) -> Iterator[Samples]:
    """`frame_power` some frames at a time, [..., n, F]: all of an hour's would take gigabytes."""
    n_frames = 1 + (x.shape[-1] - n_fft) // hop
    for first in range(0, n_frames, PIECE_FRAMES):
        last = min(first + PIECE_FRAMES, n_frames) - 1
        yield frame_power(x[..., first * hop : last * hop + n_fft], n_fft, hop)
