"""The processed copy of a recording: one writer for all formats, with everything that goes over to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from audiodiff.io.atomic import AtomicFile
from audiodiff.io.av_library import is_media, module
from audiodiff.io.av_plan import Plan, media_plan
from audiodiff.io.av_tracks import tracks
from audiodiff.io.av_writer import MediaWriter
from audiodiff.io.bit_rates import output_bit_rate
from audiodiff.io.channel_layout import read_layout
from audiodiff.io.formats import AudioInfo, display_path, is_media_target, output_format
from audiodiff.io.reader import AtomicWriter
from audiodiff.io.tag_copy import CopiedTags, collect_tags

B = TypeVar("B", bound=npt.NDArray[np.floating[Any]])


def check_format(info: AudioInfo, suffix: str, whole: bool = True, bit_rate: int = 0) -> None:
    """Refuse before any work a format that does not exist, or cannot hold the recording."""
    if is_media_target(info, suffix):
        module()
        media_plan(info, suffix, whole=whole, bit_rate=bit_rate)
    else:
        subtype = output_format(info, suffix)[1]
        if bit_rate:
            output_bit_rate(info, subtype, bit_rate)


class TaggedOutput:
    """A file that is written whole or not at all, whose tags follow once all samples are there.

    Args:
        target: Where it will be.
        writer: What writes it.
        tags: What to put into it; None where the writer does that itself.
    """

    def __init__(self, target: Path, writer: AtomicWriter | MediaWriter, tags: CopiedTags | None) -> None:
        self._target = target
        self._writer = writer
        self._copied_tags = tags
        self._finished = False

    @property
    def n_samples(self) -> int:
        """Samples of one channel written to the first track so far."""
        return self._writer.n_samples

    @property
    def clipped(self) -> int:
        """Sample values beyond full scale that were clipped."""
        return self._writer.clipped

    def __enter__(self) -> Self:
        """Create the unfinished file.

        Raises:
            AudioFileError: As the writers.
        """
        self._writer.__enter__()
        if self._copied_tags is not None:
            assert isinstance(self._writer, AtomicWriter)
            with self._closing_on_error():
                self._writer.describe(self._copied_tags.strings)
        return self

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._writer.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish or remove the file."""
        if kind is None:
            with self._closing_on_error():
                self.finish()
        self._writer.__exit__(kind, error, trace)

    def finish(self) -> AtomicFile:
        """Complete the file, tags included; see `AtomicWriter.finish`.

        Raises:
            AudioFileError: As the writers; code ``tags`` if the tags cannot be written.
        """
        file = self._writer.finish()
        if not self._finished and self._copied_tags is not None:
            self._before_tags(file.fd)
            self._copied_tags.write_to(self._target, file.fd)
        self._finished = True
        return file

    def _before_tags(self, fd: int) -> None:
        """What else goes into the finished file."""

    def commit(self) -> None:
        """Give the file its name; see `AtomicWriter.commit`."""
        self.finish()
        self._writer.commit()


class RecordingCopy(TaggedOutput):
    """Context manager that writes the processed copy of a recording, in any format, whole or not at all.

    What goes over beside the samples is decided, and read, when it is made; so is everything that can be
    refused. All audio tracks go into media files, the first one into others.

    Args:
        target: File to write; its suffix decides the format.
        overwrite: Whether it may be replaced.
        line: What processed it, for the tags; None to tell nothing.
        whole: Whether all samples will be at their places; otherwise the copy is the first track without
            picture, chapters, cue points and time codes.
        bit_rate: Bits a second of a lossy format; 0 for that of the recording, or the usual one.

    Attributes:
        infos: Headers of the tracks that are wanted, in order.
        notes: What cannot go over, one line each; complete after entering.

    Raises:
        AudioFileError: Code ``unsupported``: the format does not exist or cannot hold rate or channels;
            ``missing_extra``: it needs PyAV; or the recording cannot be read.
    """

    def __init__(
        self,
        info: AudioInfo,
        target: Path,
        overwrite: bool = False,
        line: str | None = None,
        whole: bool = True,
        bit_rate: int = 0,
    ) -> None:
        self.infos: tuple[AudioInfo, ...] = (info,)
        self.notes: tuple[str, ...] = ()
        copied: CopiedTags | None = None
        writer: AtomicWriter | MediaWriter
        self._layout = read_layout(info.path, info.channels)
        found = tracks(info.path) if is_media(info.path) else ()
        if is_media_target(info, target.suffix):
            plan: Plan = media_plan(info, target.suffix, line, whole, bit_rate)
            self.infos = tuple(track.info for track in found[: len(plan.rates)]) or (info,)
            self.notes = self._layout.lost(info.path, target.suffix)
            writer = MediaWriter(target, plan, overwrite)
        else:
            container, subtype = output_format(info, target.suffix)
            container = self._layout.container(container)
            copied = collect_tags(info, container, line, whole)
            self.notes = self._layout.lost(info.path, container) + copied.notes
            shape = (info.sample_rate, info.channels)
            source = found[0].bit_rate if found else 0
            bits = output_bit_rate(info, subtype, bit_rate, source)
            writer = AtomicWriter(target, *shape, container, subtype, overwrite, bits)
        if len(found) > len(self.infos):
            told = f"only the first of {len(found)} audio tracks was taken; {target.suffix} files hold one"
            self.notes += (f"{display_path(info.path)}: {told}",)
        super().__init__(target, writer, copied)

    def __enter__(self) -> Self:
        """Create the unfinished file.

        Raises:
            AudioFileError: As the writers.
        """
        super().__enter__()
        if isinstance(self._writer, MediaWriter):
            self.notes += tuple(f"{display_path(self._target)}: {line}" for line in self._writer.left_out)
        return self

    def _before_tags(self, fd: int) -> None:
        self._layout.write_to(fd)

    def write(self, block: npt.NDArray[np.floating], track: int = 0) -> None:
        """Append samples to a track.

        Args:
            block: float32 or float64 [C, n], full scale 1; n may be 0.
        """
        if isinstance(self._writer, MediaWriter):
            self._writer.write(block, track)
        else:
            self._writer.write(block)


def in_turn(streams: Sequence[Iterator[B]], rates: Sequence[int]) -> Iterator[tuple[int, B]]:
    """Take blocks from several streams so that all advance together in time.

    Args:
        streams: Blocks [C, n] of every track.

    Yields:
        (track, block): always the next block of the track that is furthest behind.
    """
    seconds = dict.fromkeys(range(len(streams)), 0.0)
    while seconds:
        track = min(seconds, key=lambda each: seconds[each])
        block = next(streams[track], None)
        if block is None:
            del seconds[track]
            continue
        seconds[track] += block.shape[1] / rates[track]
        yield track, block
