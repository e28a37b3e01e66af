"""What ``audiodiff live`` does between its two ends: samples come, are cleaned, and go on."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from audiodiff.errors import AudiodiffError, ConfigError
from audiodiff.interrupts import Stop
from audiodiff.io.devices import Loudspeaker, Microphone
from audiodiff.io.formats import AudioInfo, output_format
from audiodiff.io.pcm_stream import PcmReader, pcm_bytes, wav_header
from audiodiff.io.writer import AtomicWriter
from audiodiff.signal.types import Samples

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.inference.live import LiveDenoiser

_PIECE_S = 0.02
"""Seconds that are taken from a pipe at once at most."""

_HELD_S = 10
"""Seconds that may wait for the model."""

_TICK_S = 0.1
"""How soon a Ctrl-C is seen."""

_RESERVE_S = 0.05
"""What a loudspeaker is ahead of the latency, beside the time that a block takes to compute."""


class Intake:
    """Samples on their way from a thread to the loop.

    Attributes:
        lost: Samples for which there was no room.
    """

    def __init__(self, most: int) -> None:
        self._queue: queue.Queue[Samples | BaseException | None] = queue.Queue(most)
        self.lost = 0

    def offer(self, block: Samples) -> None:
        """Take a block if there is room; never waits."""
        try:
            self._queue.put_nowait(block)
        except queue.Full:
            self.lost += block.shape[1]

    def fill(self, blocks: Iterator[Samples]) -> None:
        """Take all blocks, waiting for room; then whatever ended them."""
        end: BaseException | None = None
        try:
            for block in blocks:
                self._queue.put(block)
        except Exception as error:  # noqa: BLE001  raised again by the loop
            end = error
        self._queue.put(end)

    def take(self, timeout_s: float) -> Samples | None:
        """The next block.

        Raises:
            queue.Empty: None came in time.
        """
        found = self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
        if isinstance(found, BaseException):
            raise found
        return found


class Source(Protocol):
    """Where samples come from."""

    info: AudioInfo
    intake: Intake

    @property
    def gaps(self) -> int:
        """How often samples were lost before they came here."""
        ...

    @property
    def alive(self) -> bool:
        """Whether samples can still come."""
        ...

    def start(self) -> None:
        """Begin to fill the intake."""
        ...

    def close(self) -> None:
        """End it; may be called twice."""
        ...


class PipeSource:
    """Standard input; who writes into it waits while there is no room, so nothing is lost here."""

    gaps, alive = 0, True

    def __init__(self, bare: AudioInfo | None) -> None:
        self._reader = PcmReader(sys.stdin.fileno(), bare)
        self.info = self._reader.info
        self._piece = max(1, round(_PIECE_S * self.info.sample_rate))
        self.intake = Intake(round(_HELD_S / _PIECE_S))

    def start(self) -> None:
        """Begin to read."""
        # A copy: the thread can outlive a command that is refused after this, and must not read from whatever
        # gets the number of its descriptor next.
        self._reader.fd = os.dup(self._reader.fd)
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self) -> None:
        try:
            self.intake.fill(self._reader.blocks(self._piece))
        finally:
            os.close(self._reader.fd)

    def close(self) -> None:
        """The thread may be waiting for a byte, and ends with the process."""


class MicrophoneSource:
    """A microphone, which does not wait: what finds no room is lost, and counted."""

    def __init__(self, microphone: Microphone) -> None:
        self._microphone = microphone
        self.info = microphone.info
        self.intake = Intake(round(_HELD_S / _PIECE_S))

    @property
    def gaps(self) -> int:
        """How often the sound card lost samples."""
        return self._microphone.gaps

    @property
    def alive(self) -> bool:
        """Whether samples can still come."""
        return self._microphone.alive

    def start(self) -> None:
        """Begin to record."""
        self._microphone.start(self.intake.offer)

    def close(self) -> None:
        """End it."""
        self._microphone.close()


class PipeSink:
    """Standard output, as wav or bare samples."""

    def __init__(self, info: AudioInfo) -> None:
        self._subtype = info.subtype
        self._out = sys.stdout.buffer
        if info.container == "WAV":
            self._out.write(wav_header(info))

    def write(self, block: Samples) -> None:
        """Send [C, n] on at once."""
        self._out.write(pcm_bytes(block, self._subtype))
        self._out.flush()


@dataclass
class Session:
    """One run: what comes from the source is cleaned and goes on.

    Attributes:
        live: The denoiser.
        source: Where samples come from.
        sink: What gets every block that is clean.
        loudspeaker: Where it is one: it begins late enough never to wait again.
        reserve_s: Seconds by which it begins later than the latency asks.
        record: What gets every block first, and after a fault also what was still held back.
        n_in: Samples of one channel that were taken.
        n_out: Samples of one channel that were given.
    """

    live: LiveDenoiser
    source: Source
    sink: Callable[[Samples], None]
    loudspeaker: Loudspeaker | None = None
    reserve_s: float = 0.0
    record: Callable[[Samples], None] | None = None
    n_in: int = field(default=0, init=False)
    n_out: int = field(default=0, init=False)

    def run(self, stop: Stop) -> None:
        """Go on until the source ends or a signal comes; then give what is still held back.

        Raises:
            ConfigError: The microphone went away.
            BrokenPipeError: Nobody reads standard output any more.
        """
        try:
            for block in self._coming(stop):
                self.n_in += block.shape[1]
                self._send(self.live.push(block))
            self._send(self.live.flush())
        except BaseException:
            if self.record is not None:
                with contextlib.suppress(AudiodiffError):
                    self.record(self.live.flush())
            raise
        finally:
            self.source.close()

    def _coming(self, stop: Stop) -> Iterator[Samples]:
        """What comes until the end; after a signal, what is there already."""
        while True:
            stopped = stop.reason is not None
            if stopped:
                self.source.close()
            try:
                block = self.source.intake.take(0 if stopped else _TICK_S)
            except queue.Empty:
                if stopped:
                    return
                if not self.source.alive:
                    raise ConfigError("the microphone went away; connect it and start anew") from None
                continue
            if block is None:
                return
            yield block

    def _send(self, block: Samples) -> None:
        if not block.shape[1]:
            return
        if self.record is not None:
            self.record(block)
        if self.loudspeaker is not None and self.n_out == 0:
            reserve = round(self.reserve_s * self.live.sample_rate)
            self.loudspeaker.start(max(0, self.live.latency - self.n_in + reserve))
        self.n_out += block.shape[1]
        self.sink(block)


def reserve_of(load: float, block_s: float) -> float:
    """Seconds of silence before the first sound, so that a block that takes its time is no gap."""
    return _RESERVE_S + 1.5 * load * block_s


def play_out(loudspeaker: Loudspeaker) -> None:
    """Wait until all was heard; a Ctrl-C cuts it."""
    loudspeaker.end()
    while not loudspeaker.played(_TICK_S):
        pass


def load_of(denoiser: Denoiser, info: AudioInfo, block_s: float) -> float:
    """Seconds of computation that a second of sound takes here, measured now."""
    live = denoiser.live(info.sample_rate, info.channels, 1.0, block_s)
    n = live.latency + round(max(1.5 * block_s, 1.0) * info.sample_rate)
    noise = 0.1 * np.random.default_rng(0).standard_normal((info.channels, n)).astype(np.float32)
    live.push(noise[:, : live.latency])  # the first call prepares things
    started = time.perf_counter()
    n_out: int = live.push(noise[:, live.latency :]).shape[1]
    elapsed = time.perf_counter() - started
    return elapsed * info.sample_rate / n_out


class _NothingKept(Exception):
    """The recording ended before its first sample."""


@contextlib.contextmanager
def kept(path: Path, info: AudioInfo, overwrite: bool, line: str) -> Iterator[AtomicWriter]:
    """A file that gets its name however the session ends: what was heard live cannot be recorded again.

    Args:
        line: What processed it, for the tags of formats that have any.
    """
    container, subtype = output_format(info, path.suffix)
    writer = AtomicWriter(path, info.sample_rate, info.channels, container, subtype, overwrite)
    with contextlib.suppress(_NothingKept), writer:
        with contextlib.suppress(AudiodiffError):
            writer.describe({"software": line})
        try:
            yield writer
        except BaseException:
            if writer.n_samples:
                with contextlib.suppress(AudiodiffError):
                    writer.commit()
            raise
        if not writer.n_samples:
            raise _NothingKept
