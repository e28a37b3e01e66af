"""Clean the selection of a running Audacity into a new track beside it.

    python examples/audacity_denoise.py [--model podcast] [--strength 0.8]

In Audacity, once: Edit > Preferences > Modules, set mod-script-pipe to Enabled, and start Audacity again.
Then select a stretch of one audio track and run this. The track is not touched; "Voice" gets a neighbour
"Voice (denoised)" that begins where the selection begins; Undo takes it away again.

What goes through the pipe is one command a line. Traps that this program has met:

- An answer is over when "BatchCommand finished" comes, not at the first empty line: many begin with one.
- Without a project window, or with a dialog open, no answer comes at all: every wait has an end.
- Times in answers have six digits, too few for a sample in the second hour: Audacity keeps the selection
  (SelSave, SelRestore) and moves the new track there. So the selection may change while the model works.
- When Audacity searches for new plug-ins, as at its first start, a helper process of its own takes the pipes
  away. They still lie there, and nobody listens until Audacity is started again.

The export has the project's rate, the track's gain, and the encoding of wav files that was last chosen in
Audacity (at first 16 bits). Tested with Audacity 3.2 on Linux; the pipes of Windows follow its documentation.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import soundfile

from audiodiff import AudiodiffError, Denoiser

WINDOWS = sys.platform == "win32"
END_OF_LINE = "\r\n\0" if WINDOWS else "\n"
END_OF_ANSWER = "BatchCommand finished:"
HELLO_S = 10.0
BLOCK = 1 << 16
ENABLE = "enable mod-script-pipe in Edit > Preferences > Modules and start Audacity again"


class AudacityError(Exception):
    """One line: what is wrong and what to do."""


def pipe_paths() -> tuple[str, str]:
    """Where Audacity listens, and where it answers."""
    if WINDOWS:
        return r"\\.\pipe\ToSrvPipe", r"\\.\pipe\FromSrvPipe"
    return f"/tmp/audacity_script_pipe.to.{os.getuid()}", f"/tmp/audacity_script_pipe.from.{os.getuid()}"


class Audacity:
    """A running Audacity, by its script pipe.

    Args:
        to: Pipe for commands.
        answers: Pipe of the answers.
        timeout_s: How long one answer may take.

    Raises:
        AudacityError: Nobody listens.
    """

    def __init__(self, to: str, answers: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lines: queue.Queue[str | None] = queue.Queue()
        try:
            # Without O_NONBLOCK this would wait for a listener for ever; Windows does not wait.
            self._to = os.open(to, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise AudacityError(f"Audacity is not running, or has no pipe: start it; {ENABLE}") from None
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise AudacityError(f"{to}: {error.strerror}; is this Audacity another user's?") from None
            again = "start Audacity (again, if it has just searched for plug-ins)"
            raise AudacityError(f"nobody listens at Audacity's pipe: {again}") from None
        # Reading has no time limit on every system, but waiting for a thread that reads has.
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._to)

    def _listen(self, answers: str) -> None:
        try:
            with Path(answers).open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    self._lines.put(line.strip("\r\n\0"))
        except OSError:
            pass  # the same to us as an end
        self._lines.put(None)

    def do(self, command: str, at_most_s: float = math.inf) -> str:
        """Run one command.

        Args:
            command: As in Audacity's scripting reference, on one line.
            at_most_s: How long the whole answer may take, if that is less than the usual time.

        Returns:
            The answer without its last line.

        Raises:
            AudacityError: No answer in time, Audacity has ended, or it says that the command failed.
        """
        name = command.split(":")[0]
        limit = min(self._timeout_s, at_most_s)
        end = time.monotonic() + limit
        answer: list[str] = []
        try:
            os.write(self._to, (command + END_OF_LINE).encode())
            while (line := self._lines.get(timeout=max(0.0, end - time.monotonic()))) is not None:
                if line.startswith(END_OF_ANSWER):
                    if not line.endswith("OK"):
                        raise AudacityError(f"Audacity refuses {name}: {' '.join(answer).strip() or line}")
                    return "\n".join(answer)
                answer.append(line)
        except queue.Empty:
            late = f"no answer to {name} in {limit:g} s"
            raise AudacityError(f"{late}: is a project open in Audacity, and no dialog?") from None
        except OSError:
            pass  # the pipe is broken, or full of commands that nobody reads
        raise AudacityError(f"Audacity has ended or stopped listening at {name}; start it again")


def selected_track(audacity: Audacity) -> dict[str, Any]:
    """The audio track that is selected: `name`, `channels` and more.

    Raises:
        AudacityError: There is none, more than one, or it cannot be heard.
    """
    tracks = json.loads(audacity.do("GetInfo: Type=Tracks", HELLO_S))
    waves = [track for track in tracks if track["kind"] == "wave"]
    chosen = [track for track in waves if track["selected"]]
    if not chosen:
        raise AudacityError("nothing is selected: select a stretch of an audio track in Audacity")
    if len(chosen) > 1:
        raise AudacityError(f"{len(chosen)} tracks are selected: select a stretch of one of them")
    track = dict(chosen[0])
    if track["mute"] or (not track["solo"] and any(other["solo"] for other in waves)):
        raise AudacityError(f"the track {track['name']!r} is muted: Audacity exports only what is heard")
    return track


def blocks(path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """The samples of a file, [C, n] a time, so that an hour takes no more memory than a minute."""
    for block in soundfile.blocks(path, BLOCK, dtype="float32", always_2d=True):
        yield block.T


def clean(denoiser: Denoiser, source: Path, target: Path) -> float:
    """Denoise a wav file into one of floats.

    Args:
        denoiser: The model.
        source: What is read.
        target: What is written, as long as the source to the sample.

    Returns:
        Seconds of sound.

    Raises:
        AudacityError: The source holds no samples.
        AudiodiffError: It holds samples that are not finite.
    """
    info = soundfile.info(source)
    if info.frames == 0:
        raise AudacityError("the selection is empty: select a stretch of sound, not a point in time")
    gain = denoiser.gain(blocks(source), info.samplerate)
    with soundfile.SoundFile(target, "w", info.samplerate, info.channels, "FLOAT") as out:
        for block in denoiser.stream(blocks(source), info.samplerate, gain):
            out.write(block.T)
    return float(info.frames / info.samplerate)


def quoted(text: str) -> str:
    """A value for a command."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def denoise_selection(audacity: Audacity, denoiser: Denoiser) -> str:
    """Send the selection through a model into a new track.

    Args:
        audacity: Where the selection is.
        denoiser: The model.

    Returns:
        What was done, in one line.

    Raises:
        AudacityError: No stretch of one track is selected, or Audacity does not answer.
        AudiodiffError: The model refuses the sound.
    """
    track = selected_track(audacity)
    name = f"{track['name']} (denoised)"
    audacity.do("SelSave:")
    with tempfile.TemporaryDirectory(prefix="audacity-denoise-") as folder:
        noisy, cleaned = Path(folder, "selection.wav"), Path(folder, "denoised.wav")
        audacity.do(f"Export2: Filename={quoted(noisy.as_posix())} NumChannels={track['channels']}")
        if not noisy.exists():
            raise AudacityError(f"Audacity has written nothing to {folder}: full, or Audacity in a sandbox?")
        seconds = clean(denoiser, noisy, cleaned)
        audacity.do(f"Import2: Filename={quoted(cleaned.as_posix())}")
    # The new track is the selected one now, and alone is moved and named.
    audacity.do("SelRestore:")
    audacity.do("Align_StartToSelStart:")
    audacity.do(f"SetTrackStatus: Name={quoted(name)}")
    return f"{seconds:.2f} s of {track['name']!r} are in the new track {name!r}"


def main(arguments: list[str] | None = None) -> int:
    """Read the options, do it, and say in one line how it went."""
    parser = argparse.ArgumentParser(
        description="Clean the selection of a running Audacity into a new track."
    )
    parser.add_argument("--model", default="podcast", help="name or folder of a model (default: %(default)s)")
    parser.add_argument("--strength", type=float, default=1.0, help="0 to 1 (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds for an answer (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        with Audacity(*pipe_paths(), options.timeout) as audacity:
            print(denoise_selection(audacity, Denoiser(options.model, strength=options.strength)))
    except (AudacityError, AudiodiffError, OSError, soundfile.SoundFileError) as error:
        print(f"audacity_denoise: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
