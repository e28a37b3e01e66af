"""PESQ (ITU-T P.862.1 and P.862.2) in a child process.

The C code behind the ``pesq`` package ends with a segmentation fault on long recordings and does not
always end at all, so it runs in a child that may die: recordings are cut into windows, and a crash or
a timeout becomes a reason.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from audiodiff.evaluation.score import SAMPLE_RATE, Score, Signal, Unscored, at_16_khz, check_pair

Band: TypeAlias = Literal["wb", "nb"]

WINDOW_S = 20.0
QUIET_DB = -40.0
"""A window this far below the loudest one holds a pause, not speech."""

_CHILD = Path(__file__).with_name("pesq_child.py")
_HEADER = struct.Struct("<2sI")


class Pesq:
    """One child process that scores any number of pairs; a context manager.

    The child starts with the first window and again after a crash. Not thread-safe: one object a thread.

    Args:
        timeout_s: Seconds that one window of at most 20 s may take.
    """

    def __init__(self, timeout_s: float = 60.0, child: Path = _CHILD) -> None:
        self._timeout_s = timeout_s
        self._child = child
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._buried()

    def score(
        self, ref: NDArray[np.floating], est: NDArray[np.floating], sample_rate: int, band: Band = "wb"
    ) -> Score:
        """Mean PESQ over windows of equal weight.

        Args:
            ref: Reference ``[T]``.
            est: Estimate ``[T]``.
            band: ``wb`` (P.862.2) or ``nb`` (P.862.1 on the 16 kHz signal).

        Returns:
            MOS-LQO, or the reason why there is none. One window of speech that cannot be scored leaves
            the whole recording without a score; windows without speech are left out.
        """
        return mean_of_windows(self.windows(ref, est, sample_rate, band))

    def windows(
        self, ref: NDArray[np.floating], est: NDArray[np.floating], sample_rate: int, band: Band = "wb"
    ) -> list[Score]:
        """The score of every window, or why it has none; arguments as in `score`."""
        pair = check_pair(ref, est)
        if isinstance(pair, Unscored):
            return [pair]
        r, e = (at_16_khz(x, sample_rate) for x in pair)
        n_windows = max(1, int(np.ceil(r.size / (WINDOW_S * SAMPLE_RATE))))
        parts = list(zip(np.array_split(r, n_windows), np.array_split(e, n_windows), strict=True))
        power = np.array([np.mean(part**2) for part, _ in parts])
        quiet = power <= power.max() * 10 ** (QUIET_DB / 10)
        return [
            Unscored("silence", f"window {i + 1} of {n_windows} holds no speech")
            if quiet[i]
            else self._window(*part, band, f"window {i + 1} of {n_windows}: ")
            for i, part in enumerate(parts)
        ]

    def _window(self, ref: Signal, est: Signal, band: Band, where: str) -> Score:
        if not np.any(est):
            # Left out like a pause, this window would reward an estimate that deletes speech.
            return Unscored("deleted", where + "the estimate is silent where the reference speaks")
        request = _HEADER.pack(band.encode(), ref.size) + b"".join(
            x.astype("<f4").tobytes() for x in (ref, est)
        )
        reply = self._ask(request)
        if isinstance(reply, Unscored):
            return Unscored(reply.code, where + reply.text)
        if "mos" in reply:
            return float(str(reply["mos"]))
        return Unscored(str(reply["code"]), where + str(reply["text"]))

    def _ask(self, request: bytes) -> dict[str, object] | Unscored:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._timeout_s, stop)
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        finally:
            timer.cancel()
        if line.endswith(b"\n") and not late.is_set():
            reply: dict[str, object] = json.loads(line)
            return reply
        status = self._buried()
        if late.is_set():
            return Unscored("timeout", f"PESQ did not end within {self._timeout_s:g} s")
        return Unscored("crash", f"the PESQ process ended with status {status}")

    def _buried(self) -> int:
        """Wait for a child that is dead or closed its output; its exit status."""
        process, self._process = self._process, None
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
        except OSError:
            pass  # a request was left unread by the dead child
        process.stdout.close()
        return process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # -P: the folder of the script would hide the package ``pesq`` behind this module.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(self._child)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


def mean_of_windows(windows: list[Score]) -> Score:
    """Mean of the windows that hold speech; the first other reason wins, then silence."""
    reasons = [w for w in windows if isinstance(w, Unscored)]
    values = [w for w in windows if not isinstance(w, Unscored)]
    broken = [r for r in reasons if r.code != "silence"]
    if broken:
        return broken[0]
    return float(np.mean(values)) if values else reasons[0]
