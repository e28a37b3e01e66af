"""Spectrograms as small PNG pictures with a palette: a window, a transform and zlib, no plotting library."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

from audiodiff.report.spectra import Grid, decibels
from audiodiff.signal.frames import power_pieces
from audiodiff.signal.mel_scale import hz_to_mel, mel_to_hz
from audiodiff.signal.types import Samples

ROWS, COLUMNS = 128, 760
RANGE_DB = 70.0
LEVELS = 96
"""Colours of a picture: 0.7 dB each, less than an eye tells apart and a third smaller than 256."""

_ANCHORS = ("0b0d16", "222a58", "33618a", "56988f", "c9b679", "fdf6e3")
"""From nothing to the loudest, lighter at every step, so that it also reads in grey."""

_WINDOW_S, _MOST_WINDOWS = 0.032, 6000
_TOP_PERCENTILE = 99.8

Bytes = npt.NDArray[np.uint8]


def spectrogram(samples: Samples, sample_rate: int) -> Grid:
    """Power on a mel axis from 0 Hz to Nyquist."""
    n_fft = 2 * round(_WINDOW_S * sample_rate / 2)
    hop = max(n_fft // 4, -(-samples.shape[1] // _MOST_WINDOWS))
    padded = np.pad(samples.astype(np.float32), ((0, 0), (n_fft // 2, n_fft // 2)))
    rows = _row_weights(row_edges_hz(sample_rate) / sample_rate * n_fft, n_fft // 2 + 1)
    full_scale = (n_fft / 4) ** 2  # of a sine in its bin: half the sum of the window, squared
    power = np.concatenate([x.mean(axis=0) @ rows.T for x in power_pieces(padded, n_fft, hop)]) / full_scale
    n_columns = min(COLUMNS, len(power))
    bounds = np.arange(n_columns + 1) * len(power) // n_columns
    sums = np.add.reduceat(power, bounds[:-1], axis=0)
    return decibels(sums.T / np.diff(bounds))


def row_edges_hz(sample_rate: int) -> npt.NDArray[np.float64]:
    """Limits of the rows in Hz, [`ROWS` + 1], evenly spaced on the mel scale of O'Shaughnessy (1987)."""
    return mel_to_hz(np.linspace(0, hz_to_mel(sample_rate / 2), ROWS + 1))


def scale_top_db(before: Grid) -> float:
    """The level that gets the brightest colour in all pictures of a recording: one spot in 500 exceeds it."""
    return float(np.percentile(before, _TOP_PERCENTILE))


def picture(levels: Grid, top_db: float) -> bytes:
    """A PNG of a spectrogram."""
    share = ((levels - top_db) / RANGE_DB + 1).clip(0, 1)
    return png((share[::-1] * (LEVELS - 1)).round().astype(np.uint8))


def ramp() -> bytes:
    """A PNG of all colours, dark to bright, one pixel high."""
    return png(np.arange(LEVELS, dtype=np.uint8)[None])


def png(indices: Bytes) -> bytes:
    """A picture in the palette's colours (PNG specification, third edition, sections 5 and 11)."""
    height, width = indices.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    # every row starts with the number of its filter: 0 for none
    rows = np.pad(indices, ((0, 0), (1, 0))).tobytes()
    parts = [
        (b"IHDR", header),
        (b"PLTE", _palette().tobytes()),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _row_weights(edges: npt.NDArray[np.float64], n_bins: int) -> Grid:
    """[`ROWS`, F]: mean power density between edges (in bins), if it is constant within each bin."""
    # bin k reaches from k - 1/2 to k + 1/2
    bins = np.arange(n_bins) - 0.5
    low, high = edges[:-1, None], edges[1:, None]
    shared = (np.minimum(high, bins + 1) - np.maximum(low, bins)).clip(0)
    return np.asarray(shared / (high - low), dtype=np.float32)


def _palette() -> Bytes:
    """[`LEVELS`, 3], straight lines between the anchors."""
    anchors = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in _ANCHORS])
    at = np.linspace(0, len(anchors) - 1, LEVELS)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
