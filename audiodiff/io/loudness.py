"""Loudness after ITU-R BS.1770-4, measured as a stream: integrated (gated) loudness, and the true peak.

Loudness comes from ffmpeg's filter ``ebur128`` through PyAV, at the recording's own rate. The true peak comes
from soxr: the filter tells its own to three decimals only, which is too coarse for quiet recordings, and
lowers rates above 192 kHz.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from audiodiff.errors import AudioFileError, ConfigError, ShapeError
from audiodiff.extras import install_hint
from audiodiff.io import av_library
from audiodiff.signal.resample import StreamResampler

_LAYOUTS = {1: "mono", 2: "stereo", 5: "5.0", 6: "5.1", 8: "7.1"}
"""What a number of channels means; in others all channels weigh the same."""

_GATE_LUFS = -70.0
"""What the filter tells where nothing passes the absolute gate of BS.1770-4."""

_TRUE_PEAK_RATE = 192_000
"""BS.1770-4, annex 2: at least four times 48 kHz."""


@dataclass(frozen=True)
class Target:
    """How loud a recording shall be.

    Attributes:
        lufs: Integrated loudness in LUFS.
        true_peak_db: What the true peak shall not pass, in dB over full scale (dBTP).
    """

    lufs: float
    true_peak_db: float = -1.0


@dataclass(frozen=True)
class Loudness:
    """What was measured.

    Attributes:
        lufs: Integrated loudness; None if nothing could be measured: no 400 ms, or all below -70 LUFS.
        true_peak: Linear, full scale 1.
    """

    lufs: float | None
    true_peak: float

    @property
    def true_peak_db(self) -> float:
        """The true peak in dBTP; minus infinity for digital silence."""
        return 20 * math.log10(self.true_peak) if self.true_peak > 0 else -math.inf

    def gain_db(self, target: Target) -> float | None:
        """The gain in dB that brings a recording to its target, or as near as its true peak allows."""
        if self.lufs is None:
            return None
        return min(target.lufs - self.lufs, target.true_peak_db - self.true_peak_db)


def require() -> None:
    """Refuse to measure where that is not possible."""
    try:
        av_library.module()
    except AudioFileError as error:
        raise ConfigError(f"loudness is measured by PyAV; {install_hint('media')}", code=error.code) from None


class Meter:
    """Measures one stream; its memory does not grow.

    One channel is measured as one channel (a mono file is 3 LU quieter than a stereo file of it twice).
    Files of 5, 6 and 8 channels are taken for 5.0, 5.1 and 7.1 in their usual order.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        require()
        av = av_library.module()
        self._av: Any = av
        self._rate, self._channels = sample_rate, channels
        self._layout = _LAYOUTS.get(channels, f"{channels}C")
        factor = -(-_TRUE_PEAK_RATE // sample_rate)
        self._finer = StreamResampler(sample_rate, factor * sample_rate, channels)
        self._true_peak = 0.0
        self._lufs = _GATE_LUFS
        self._n = 0
        self._graph = av.filter.Graph()
        self._in = self._graph.add_abuffer(
            sample_rate=sample_rate, format="dbl", layout=self._layout, time_base=Fraction(1, sample_rate)
        )
        meter = self._graph.add("ebur128", "metadata=1:framelog=quiet")
        self._out = self._graph.add("abuffersink")
        self._in.link_to(meter)
        meter.link_to(self._out)
        self._graph.configure()

    def push(self, block: npt.NDArray[np.floating[Any]]) -> None:
        """Take the next samples.

        Args:
            block: [C, n], full scale 1; n may be 0.
        """
        if block.ndim != 2 or block.shape[0] != self._channels:
            raise ShapeError(f"expected a block [{self._channels}, n], got shape {list(block.shape)}")
        if not block.shape[1]:
            return
        self._see(block)
        self._see(self._finer.push(block.astype(np.float32, copy=False)))
        # Packed: PyAV takes no more than 8 planes.
        samples = np.ascontiguousarray(block.T, dtype=np.float64).reshape(1, -1)
        frame = self._av.AudioFrame.from_ndarray(samples, format="dbl", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._n, Fraction(1, self._rate)
        self._n += block.shape[1]
        self._in.push(frame)
        self._drain()

    def finish(self) -> Loudness:
        """What was measured; ends the stream."""
        self._see(self._finer.flush())
        self._in.push(None)
        self._drain()
        return Loudness(self._lufs if self._lufs > _GATE_LUFS else None, self._true_peak)

    def _see(self, block: npt.NDArray[np.floating[Any]]) -> None:
        self._true_peak = max(self._true_peak, float(np.abs(block).max(initial=0.0)))

    def _drain(self) -> None:
        while True:
            try:
                told = self._out.pull().metadata
            except (self._av.error.BlockingIOError, self._av.error.EOFError):
                return
            self._lufs = float(told.get("lavfi.r128.I", self._lufs))
