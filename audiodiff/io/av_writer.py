"""Writing mp4, mov, Matroska and webm files: new audio, everything else of the source untouched and in sync.

Promises as of `output_writer.OutputWriter`: the name appears with a whole, verified file, or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from audiodiff import system
from audiodiff.io import av_library
from audiodiff.io.av_codecs import MUXERS
from audiodiff.io.av_encoder import Encoder
from audiodiff.io.av_plan import Plan
from audiodiff.io.av_remux import Copied, add_cover, add_tags, lost_tags
from audiodiff.io.output_checks import check_block, writing_failed
from audiodiff.io.output_writer import OutputWriter

_TOLERANCE_S = Fraction(1, 10)
"""Longer than a packet of any codec."""


class MediaWriter(OutputWriter):
    """Writes a media file that appears under its name whole and verified, or not at all (`OutputWriter`).

    Video, subtitles and attachments of the plan's source are copied packet by packet while the audio
    advances, so memory stays flat. What the container cannot hold is left out and told.

    Attributes:
        left_out: After entering: streams, tags and pictures of the source that the container cannot hold, one
            line each.
    """

    def __init__(self, path: Path, plan: Plan, overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        self.left_out: tuple[str, ...] = ()
        self._plan = plan
        self._stack = contextlib.ExitStack()
        self._tracks: list[Encoder] = []
        self._copied: Copied | None = None
        self._out: Any = None

    @property
    def n_samples(self) -> int:
        """Samples of one channel written to the first track so far."""
        return self._tracks[0].n_samples if self._tracks else 0

    def __enter__(self) -> Self:
        """As `OutputWriter`; code ``missing_extra`` without PyAV."""
        av_library.module()
        return super().__enter__()

    def _begin(self) -> None:
        try:
            self._open_tracks()
        except _write_errors() as error:
            line = f"cannot be written ({av_library.plain(error)}); choose another format"
            raise self._failure(line, "unsupported") from error

    def _open_tracks(self) -> None:
        plan, suffix = self._plan, self._path.suffix.lower()
        file = self._stack.enter_context(os.fdopen(os.dup(self._atomic.fd), "r+b"))
        self._out = _open(file, suffix, max(plan.rates))
        wanted = iter(zip(plan.rates, plan.channels, plan.encodings, plan.starts, strict=True))

        def add_audio() -> Any:
            self._tracks.append(Encoder(self._out, *next(wanted)))
            return self._tracks[-1].stream

        if plan.source is not None:
            self._copied = self._stack.enter_context(Copied(plan.source, self._out, suffix, add_audio))
            self.left_out = self._copied.left_out
        else:
            add_audio()
        self.left_out += lost_tags(plan.tags, suffix)
        cover = add_cover(self._out, plan.tags, suffix)
        add_tags(self._out, plan.tags, plan.line, suffix)
        self._out.start_encoding()
        if cover is not None:
            self._out.mux(cover)

    def write(self, block: npt.NDArray[np.floating], track: int = 0) -> None:
        """Append samples to a track. Feed the tracks in turn: packets wait until the slowest has come so far.

        Args:
            block: float32 or float64 [C, n], full scale 1; n may be 0.
        """
        encoder = self._tracks[track]
        check_block(self._path, block, encoder.channels, (encoder.n_samples, encoder.rate))
        if not block.shape[1]:
            return
        try:
            packets, clipped = encoder.encode(block)
            self.clipped += clipped
            self._mux(packets)
        except _write_errors() as error:
            raise writing_failed(self._path, av_library.plain(error)) from error

    def _mux(self, packets: Sequence[Any]) -> None:
        if self._copied is not None:
            self._copied.advance(min(track.seconds for track in self._tracks))
        self._out.mux(packets)

    def _complete(self) -> None:
        if not all(track.n_samples for track in self._tracks):
            raise self._failure("not written, there are no samples", "empty")
        for track in self._tracks:
            self._out.mux(track.finish())
        if self._copied is not None:
            self._copied.advance(None)
        self._out.close()
        self._stack.close()
        self._verify()

    def _verify(self) -> None:
        """Count what a reader will find: tracks, rates, channels, and the time that their packets span."""
        with (
            os.fdopen(os.dup(self._atomic.fd), "rb") as file,
            _rewound(file) as container,
        ):
            found = [
                (stream.codec_context.sample_rate, stream.codec_context.layout.nb_channels)
                for stream in container.streams.audio
            ]
            ends = dict.fromkeys((stream.index for stream in container.streams.audio), Fraction(0))
            for packet in container.demux(*container.streams.audio):
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    ends[packet.stream_index] = max(ends[packet.stream_index], end)
        wanted = [(track.rate, track.channels) for track in self._tracks]
        until = [track.seconds for track in self._tracks]
        short = [end < wish - _TOLERANCE_S for end, wish in zip(ends.values(), until, strict=False)]
        if found != wanted or any(short):
            spans = [[round(float(end), 3) for end in each] for each in (ends.values(), until)]
            line = f"not written, verifying found audio (Hz, channels) {found} up to {spans[0]} s and not"
            line = f"{line} {wanted} up to {spans[1]} s; choose another format or disk"
            raise self._failure(line, "unwritable")

    def _close(self) -> None:
        with self._stack:
            if self._out is not None:
                self._out.close()

    def _faults(self) -> tuple[type[BaseException], ...]:
        return _write_errors()

    def _reason(self, fault: BaseException) -> str:
        return av_library.plain(fault)


def _open(file: IO[bytes], suffix: str, rate: int) -> Any:
    """An output container over a file."""
    # Without it Matroska files get random numbers.
    options = {"fflags": "+bitexact"}
    muxer = MUXERS[suffix]
    if muxer in {"mp4", "mov"}:
        # Durations and starts are told in the movie's own unit: make it a sample, not a millisecond.
        options |= {"movflags": "+faststart", "movie_timescale": str(rate)}
        if suffix in {".m4a", ".m4b"}:
            options["brand"] = "M4A " if suffix == ".m4a" else "M4B "

    def reread(url: str, flags: int, options: dict[str, str]) -> Any:  # noqa: ARG001  PyAV's signature
        file.flush()
        return _Reread(file.fileno())

    return av_library.module().open(file, "w", format=muxer, container_options=options, io_open=reread)


def _rewound(file: IO[bytes]) -> Any:
    file.seek(0)
    return av_library.module().open(file, "r")


class _Reread:
    """Reads what has been written so far: ffmpeg moves the index of mp4 files to their start in the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = 0

    def read(self, n: int) -> bytes:
        data = system.read_at(self._fd, n, self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, os.fstat(self._fd).st_size)[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Nothing: the descriptor belongs to the writer."""


def _write_errors() -> tuple[type[BaseException], ...]:
    return (av_library.module().FFmpegError, OSError, ValueError)
