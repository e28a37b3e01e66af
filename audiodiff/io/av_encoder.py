"""From blocks of samples to the packets of a codec, through PyAV."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from audiodiff.io import av_library
from audiodiff.io.av_codecs import Encoding


class Encoder:
    """One audio track on its way into a container.

    Args:
        start: Seconds at which it begins, on the container's clock.

    Attributes:
        stream: Its stream in the container.
        n_samples: Samples of one channel encoded so far.
    """

    def __init__(self, out: Any, rate: int, channels: int, encoding: Encoding, start: Fraction) -> None:
        self.rate = rate
        self.channels = channels
        self.n_samples = 0
        self._encoding = encoding
        self._start = round(start * rate)
        self.stream = out.add_stream(encoding.encoder, rate=rate, layout=encoding.layout)
        self.stream.format = encoding.sample_format
        self.stream.time_base = Fraction(1, rate)
        if encoding.bit_rate:
            self.stream.bit_rate = encoding.bit_rate
        self._last: list[Any] = []

    @property
    def seconds(self) -> Fraction:
        """Where the track has come to, on the container's clock."""
        return Fraction(self._start + self.n_samples, self.rate)

    def encode(self, block: npt.NDArray[np.floating]) -> tuple[list[Any], int]:
        """Encode samples.

        Args:
            block: [C, n], full scale 1, all finite.

        Returns:
            The packets that are ready, and how many values were clipped.
        """
        x, clipped = _samples(block, self._encoding)
        packed = not self._encoding.sample_format.endswith("p")
        # ffmpeg takes mono and planar samples as rows, others interleaved in one row.
        rows = np.ascontiguousarray(x.T).reshape(1, -1) if packed else np.ascontiguousarray(x)
        frame = av_library.module().AudioFrame.from_ndarray(
            rows, format=self._encoding.sample_format, layout=self._encoding.layout
        )
        frame.sample_rate = self.rate
        frame.time_base = Fraction(1, self.rate)
        frame.pts = self._start + self.n_samples
        self.n_samples += block.shape[1]
        return self._held(self.stream.encode(frame)), clipped

    def finish(self) -> list[Any]:
        """Get the last packets, with a note of what the decoder must drop behind the last sample."""
        packets = self._last + [packet for packet in self.stream.encode(None) if packet.size]
        self._last = []
        frame_size = self.stream.codec_context.frame_size or 0
        if packets and frame_size and not packets[-1].has_sidedata("skip_samples"):
            _drop_at_end(packets[-1], frame_size, self.rate)
        return packets

    def _held(self, packets: list[Any]) -> list[Any]:
        """All but the newest packet, which may turn out to be the last."""
        ready = self._last + [packet for packet in packets if packet.size]
        self._last = ready[-1:]
        return ready[:-1]


def _drop_at_end(packet: Any, frame_size: int, rate: int) -> None:
    module = av_library.module().packet
    used = round(packet.duration * packet.time_base * rate)
    if 0 < used < frame_size:
        note = module.PacketSideData(module.packet_sidedata_type_from_literal("skip_samples"), 10)
        note.update(struct.pack("<IIBB", 0, frame_size - used, 0, 0))
        packet.set_sidedata(note)


def _samples(block: npt.NDArray[np.floating], encoding: Encoding) -> tuple[npt.NDArray[Any], int]:
    """Samples in the encoder's own numbers, and how many values were clipped for that."""
    name = encoding.sample_format.removesuffix("p")
    if encoding.bits == 0:
        return block.astype(np.float64 if name == "dbl" else np.float32), 0
    clipped = int(np.count_nonzero(np.abs(block) > 1))
    full = 2.0 ** (encoding.bits - 1)
    codes: npt.NDArray[np.float64] = np.clip(np.rint(block.astype(np.float64) * full), -full, full - 1)
    match name:
        case "u8":
            return (codes + full).astype(np.uint8), clipped
        case "s16":
            return codes.astype(np.int16), clipped
    return (codes * 2.0 ** (32 - encoding.bits)).astype(np.int32), clipped
