"""An imitation of sounddevice's module: a sound card whose time the tests make."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from audiodiff.inference.engine import Samples

Cells = npt.NDArray[np.float32]


class PortAudioError(Exception):
    """What the real one raises."""


class CallbackStop(Exception):
    """What a callback raises when it has played all."""


class Status:
    """Flags of one call."""

    input_overflow = False


class Stream:
    """Both kinds of streams: `start` begins a thread that calls back."""

    def __init__(self, body: Callable[[Stream], None], settings: dict[str, Any]) -> None:
        self._body = body
        self.channels: int = settings["channels"]
        self.blocksize: int = settings["blocksize"]
        self.callback: Callable[..., None] = settings["callback"]
        self.finished: Callable[[], object] | None = settings["finished_callback"]
        self.running = False
        self.asked = threading.Event()
        self.heard: list[Cells] = []
        self._thread = threading.Thread(target=self._run)

    @property
    def active(self) -> bool:
        """Whether it runs; that somebody wants to know is noted."""
        self.asked.set()
        return self.running

    def start(self) -> None:
        self.running = True
        self._thread.start()

    def _run(self) -> None:
        self._body(self)
        if self.finished is not None:
            self.finished()

    def close(self) -> None:
        self.running = False
        self.asked.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def call(self, frames: int) -> Cells:
        """Play so many samples; what is heard [n, C]."""
        cells = np.full((frames, self.channels), 9.0, dtype=np.float32)
        self.callback(cells, frames, None, Status())
        self.heard.append(cells)
        return cells


class Card:
    """A microphone and a loudspeaker.

    Attributes:
        sound: What the microphone hears, [C, n]; then Ctrl-C is pressed.
        breaks: Whether it is unplugged instead.
        exists: Whether there is one.
        silent: Whether the loudspeaker plays only when a test calls `Stream.call`.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.sound: Samples = np.zeros((1, 0), dtype=np.float32)
        self.breaks = self.silent = False
        self.exists = True
        self.input: Stream | None = None
        self.output: Stream | None = None

    def module(self) -> ModuleType:
        """What ``import sounddevice`` gives."""
        module: Any = ModuleType("sounddevice")
        module.PortAudioError, module.CallbackStop = PortAudioError, CallbackStop
        module.query_devices = self._query
        module.InputStream = self._input
        module.OutputStream = self._output
        return module  # type: ignore[no-any-return]

    def played(self) -> Samples:
        """All that was heard, [C, n]."""
        assert self.output is not None
        return np.concatenate(self.output.heard).T

    def _query(self, device: object = None, kind: str | None = None) -> Any:
        if kind is None:
            return "  0 imitation, 1 in, 2 out" if self.exists else ""
        if not self.exists:
            raise PortAudioError("Error querying device -1")
        if device not in (None, 0, "imitation"):
            raise ValueError(f"No {kind} device matching {device!r}")
        return {"default_samplerate": float(self.sample_rate), "max_output_channels": 2}

    def _input(self, **settings: Any) -> Stream:
        self.input = Stream(self._speak, settings)
        return self.input

    def _output(self, **settings: Any) -> Stream:
        self.output = Stream(self._listen, settings)
        return self.output

    def _speak(self, stream: Stream) -> None:
        buffer = np.empty((stream.blocksize, stream.channels), dtype=np.float32)
        for start in range(0, self.sound.shape[1], stream.blocksize):
            part = self.sound[:, start : start + stream.blocksize].T
            buffer[: len(part)] = part  # one buffer for all calls, as the real one has
            stream.callback(buffer[: len(part)], len(part), None, Status())
        if self.breaks:
            stream.running = False
        else:
            os.kill(os.getpid(), signal.SIGINT)

    def _listen(self, stream: Stream) -> None:
        """Plays once its end is waited for, so that no sound of the test comes too late."""
        if self.silent:
            return
        stream.asked.wait()
        try:
            while stream.running:
                cells = np.zeros((16, stream.channels), dtype=np.float32)
                stream.callback(cells, 16, None, Status())
                stream.heard.append(cells)
        except CallbackStop:
            stream.heard.append(cells)
        stream.running = False
