"""Microphones and loudspeakers, by sounddevice (PortAudio): the seam that knows that library."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from audiodiff.errors import ConfigError
from audiodiff.extras import NO_PORTAUDIO
from audiodiff.io.formats import AudioInfo
from audiodiff.signal.types import Samples

Kind = Literal["input", "output"]
Cells = npt.NDArray[np.float32]

_WORDS = {"input": "microphone", "output": "loudspeaker"}
_CALLS_A_SECOND = 50


def device_table() -> str:
    """All devices, one a line with its number, as sounddevice lists them.

    Raises:
        ConfigError: There is none, or no PortAudio.
        ModuleNotFoundError: sounddevice is not installed.
    """
    found = str(_library().query_devices())
    if not found:
        raise ConfigError("no sound device was found; connect one, or use - for a pipe")
    return found


class Microphone:
    """A device whose samples are handed over in a thread of its own from `start` to `close`.

    Args:
        name: Number or part of the name of a device; None for the default one.
        sample_rate: Hz; None for the device's own.
        channels: How many.

    Attributes:
        info: What comes.
        gaps: How often the sound card itself lost samples.

    Raises:
        ConfigError: There is no such device.
    """

    def __init__(self, name: str | None, sample_rate: int | None, channels: int) -> None:
        self._name = name
        facts = _facts(name, "input")
        rate = sample_rate or round(facts["default_samplerate"])
        self.info = AudioInfo(Path("-"), rate, channels, 0, "WAV", "PCM_24")
        self.gaps = 0
        self._stream: Any = None

    def start(self, offer: Callable[[Samples], None]) -> None:
        """Begin; `offer` gets float32 [C, n] of its own and must not wait.

        Raises:
            ConfigError: The device refuses the rate or the channels, or is in use.
        """

        def call(cells: Cells, _frames: int, _time: Any, status: Any) -> None:
            self.gaps += bool(status.input_overflow)
            offer(cells.T.copy())

        self._stream = _opened("input", self._name, self.info.sample_rate, self.info.channels, call, None)

    @property
    def alive(self) -> bool:
        """Whether samples can still come."""
        return bool(self._stream.active)

    def close(self) -> None:
        """End it; may be called twice."""
        if self._stream is not None:
            self._stream.close()


class Loudspeaker:
    """A device that plays what is written; where that comes too late, silence, which is counted.

    Args:
        name: As for `Microphone`.
        info: What will be written; one channel is played by two.

    Attributes:
        missed: Samples of silence that were played in place of some that came too late.
    """

    def __init__(self, name: str | None, info: AudioInfo) -> None:
        self._name = name
        self._info = info
        most = int(_facts(name, "output")["max_output_channels"])
        self._channels = min(2, most) if info.channels == 1 else info.channels
        self.missed = 0
        self._waiting: queue.SimpleQueue[Cells] = queue.SimpleQueue()
        self._rest: Cells = np.zeros((0, info.channels), dtype=np.float32)
        self._ended = threading.Event()
        self._played = threading.Event()
        self._stream: Any = None

    def start(self, silence: int) -> None:
        """Begin with so many samples of silence.

        Raises:
            ConfigError: The device refuses the rate or the channels, or is in use.
        """
        self._waiting.put(np.zeros((silence, self._info.channels), dtype=np.float32))
        self._stream = _opened(
            "output", self._name, self._info.sample_rate, self._channels, self._call, self._played.set
        )

    def write(self, block: Samples) -> None:
        """Play [C, n] next; never waits."""
        self._waiting.put(np.ascontiguousarray(block.T, dtype=np.float32))

    def end(self) -> None:
        """Nothing more will be written."""
        self._ended.set()

    def played(self, timeout_s: float) -> bool:
        """Wait so long for the end of what was written; whether it is over, or never began."""
        return self._stream is None or self._played.wait(timeout_s) or not self._stream.active

    def close(self) -> None:
        """Close the device, also before all was played; may be called twice."""
        if self._stream is not None:
            self._stream.close()

    def _call(self, cells: Cells, frames: int, _time: Any, _status: Any) -> None:
        done = 0
        while done < frames:
            if not len(self._rest):
                try:
                    self._rest = self._waiting.get_nowait()
                except queue.Empty:
                    break
            n = min(frames - done, len(self._rest))
            cells[done : done + n] = self._rest[:n]
            self._rest = self._rest[n:]
            done += n
        cells[done:] = 0
        if done < frames:
            if self._ended.is_set():
                raise _library().CallbackStop
            self.missed += frames - done


def _library() -> Any:
    try:
        import sounddevice
    except OSError as error:  # its way to say that the library it is made for is not there
        raise ConfigError(NO_PORTAUDIO) from error
    return sounddevice


def _device(name: str | None) -> int | str | None:
    """What sounddevice takes for a device."""
    return int(name) if name is not None and name.isdecimal() else name


def _facts(name: str | None, kind: Kind) -> dict[str, Any]:
    sounddevice = _library()
    try:
        found: dict[str, Any] = sounddevice.query_devices(_device(name), kind)
    except (ValueError, sounddevice.PortAudioError) as error:
        which = f"no {_WORDS[kind]} was found" if name is None else f"{_WORDS[kind]} {name!r} was not found"
        line = f"{which} ({_first_line(error)}); see audiodiff live --devices, or use - for a pipe"
        raise ConfigError(line) from error
    return found


def _opened(
    kind: Kind,
    name: str | None,
    sample_rate: int,
    channels: int,
    callback: Callable[[Cells, int, Any, Any], None],
    finished: Callable[[], object] | None,
) -> Any:
    """A stream that runs."""
    sounddevice = _library()
    make = sounddevice.InputStream if kind == "input" else sounddevice.OutputStream
    try:
        stream = make(
            device=_device(name),
            samplerate=sample_rate,
            channels=channels,
            dtype="float32",
            blocksize=sample_rate // _CALLS_A_SECOND,
            callback=callback,
            finished_callback=finished,
        )
        stream.start()
    except (ValueError, sounddevice.PortAudioError) as error:
        what = f"{channels} channel{'s' * (channels > 1)} at {sample_rate} Hz"
        line = (
            f"the {_WORDS[kind]} does not open with {what} ({_first_line(error)}); try --rate or --channels"
        )
        raise ConfigError(line) from error
    return stream


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
