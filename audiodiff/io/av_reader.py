"""Reading the audio of mp4, mov, Matroska and aac files block by block, through PyAV.

The same promises as `files`: flat memory, exact length, faults told in one line. A codec's priming samples
are cut where the container tells of them (all but raw aac), trailing ones at the duration that mp4 and mov
state.
A gap in the time stamps, or a packet that cannot be decoded, becomes silence, so that what follows stays in
sync with the picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from audiodiff.errors import AudioFileError
from audiodiff.io import av_library
from audiodiff.io.av_ends import missing
from audiodiff.io.av_tracks import Track, only, tells_end, track_of
from audiodiff.io.block_reader import BlockReader
from audiodiff.io.formats import Damaged, Dtype, Truncated, display_path
from audiodiff.signal.types import Samples

_JITTER_S = 0.02
"""Matroska rounds times to milliseconds, and some writers are worse; smaller gaps are none."""
_MAX_SILENCE_S = 3600
_CUT_SHORT_S = 0.1
_FULL_SCALE = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31}


class MediaReader(BlockReader):
    """Blocks of an audio stream of a media file.

    Args:
        dtype: ``float32``, or `AudioInfo.exact_dtype` to get the samples without rounding.
    """

    def __init__(self, path: Path, block: int = 1 << 16, dtype: Dtype = "float32", number: int = 0) -> None:
        self._stack = contextlib.ExitStack()
        track = track_of(path, number)
        container = self._stack.enter_context(av_library.opened(path))
        super().__init__(track.info, block)
        self._samples = _Samples(container, track, dtype)
        self._pieces = iter(self._samples)
        self._rest = np.empty((track.info.channels, 0), dtype=dtype)

    def _fill(self) -> Samples:
        parts, n = [self._rest], self._rest.shape[1]
        while n < self._block:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            n += piece.shape[1]
        joined = np.concatenate(parts, axis=1)
        self._rest = joined[:, self._block :]
        return np.ascontiguousarray(joined[:, : self._block])

    def _damage(self) -> str:
        return self._samples.damage

    def _shortfall(self) -> Truncated | None:
        path, announced = self.info.path, self.info.n_samples
        if lacking := missing(path):
            return Truncated(path, self._n_read, lacking)
        if self._samples.exact_end and self._n_read < announced - _CUT_SHORT_S * self.info.sample_rate:
            return Truncated(path, self._n_read, f"{announced} samples announced")
        if self._samples.n_bad:
            lost = f"{self._samples.n_bad} packets of its audio could not be decoded"
            return Damaged(path, self._n_read, lost)
        return None

    def _close(self) -> None:
        self._stack.close()


class _Samples:
    """The decoded samples of one stream, put on a time line without holes."""

    def __init__(self, container: Any, track: Track, dtype: Dtype) -> None:
        self.damage = ""
        self.n_bad = 0
        self.exact_end = tells_end(container)
        self._container = container
        self._track = track
        self._dtype = dtype
        self._n = 0

    def __iter__(self) -> Iterator[Samples]:
        """Yield arrays [C, n]."""
        end = self._track.info.n_samples if self.exact_end else 0
        for frame in self._frames():
            x = self._array(frame)
            gap = self._gap(frame)
            if gap > 0:
                yield from self._silence(gap)
            if end and self._n + x.shape[1] >= end:
                x = x[:, : max(0, end - self._n)]
                self._n += x.shape[1]
                yield x
                return
            self._n += x.shape[1]
            yield x

    def _frames(self) -> Iterator[Any]:
        damages = av_library.damages()
        stream = self._container.streams.audio[self._track.number]
        only(self._container, stream)
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except damages as error:
                self.damage = av_library.plain(error)
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except damages:
                self.n_bad += 1

    def _array(self, frame: Any) -> Samples:
        info = self._track.info
        if (frame.sample_rate, frame.layout.nb_channels) != (info.sample_rate, info.channels):
            raise AudioFileError(
                f"{display_path(info.path)}: the audio changes to {frame.sample_rate} Hz and "
                f"{frame.layout.nb_channels} channels in the middle; split the file there",
                code="unsupported",
            )
        x = frame.to_ndarray()
        if not frame.format.is_planar:
            x = x.reshape(-1, info.channels).T
        full = _FULL_SCALE.get(frame.format.name.removesuffix("p"))
        if full is None:
            return np.asarray(x, dtype=self._dtype)
        zero = full if frame.format.name.startswith("u8") else 0
        return np.asarray((x.astype(np.float64) - zero) / full, dtype=self._dtype)

    def _gap(self, frame: Any) -> int:
        """Samples that are missing before a frame, by its time stamp."""
        if frame.pts is None or frame.time_base is None:
            return 0
        rate = self._track.info.sample_rate
        place = round((frame.pts * frame.time_base - self._track.start) * rate)
        gap = place - self._n
        return gap if gap > _JITTER_S * rate else 0

    def _silence(self, n: int) -> Iterator[Samples]:
        info = self._track.info
        if n > _MAX_SILENCE_S * info.sample_rate:
            seconds = self._n / info.sample_rate
            raise AudioFileError(
                f"{display_path(info.path)}: a gap of {n / info.sample_rate:.0f} s in the audio at "
                f"{seconds:.3f} s; "
                "split the file there",
                code="unsupported",
            )
        self._n += n
        while n > 0:
            piece = min(n, 1 << 16)
            yield np.zeros((info.channels, piece), dtype=self._dtype)
            n -= piece
