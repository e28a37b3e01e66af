"""Why a training stops before its schedule ends: a signal, or the time is up."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from audiodiff.system import ending_signals


@dataclass
class Stop:
    """Asked after every step.

    Attributes:
        deadline: Value of ``time.monotonic()`` at which to stop, or None.
        signal_number: The signal that came, or None.
        early_end: What the training itself found to end it, or None.
    """

    deadline: float | None = None
    signal_number: int | None = None
    early_end: str | None = None

    @property
    def reason(self) -> str | None:
        """``SIGTERM``, ``SIGINT`` or ``SIGHUP``, ``time``, `early_end`, or None to go on."""
        if self.signal_number is not None:
            return signal.Signals(self.signal_number).name
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "time"
        return self.early_end


@contextmanager
def stop_requests(max_minutes: float | None) -> Iterator[Stop]:
    """Turn the first ending signal into a wish to stop after the step; a second one acts as usual.

    These are SIGINT and what `system.ending_signals` names. One that is ignored, as SIGHUP is under nohup,
    stays ignored.

    Args:
        max_minutes: Minutes from now after which to stop, or None.

    Yields:
        What to ask after every step. Outside the main thread, where Python allows no handlers, only time
        counts.
    """
    stop = Stop(None if max_minutes is None else time.monotonic() + 60 * max_minutes)
    is_main = threading.current_thread() is threading.main_thread()
    known = (signal.SIGINT, *ending_signals()) if is_main else ()
    before = {n: handler for n in known if (handler := signal.getsignal(n)) is not signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        stop.signal_number = number
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
