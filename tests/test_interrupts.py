"""Promise: an ending signal, a closed terminal too, lets a training finish its step and checkpoint."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from rich.progress import Progress

from audiodiff.interrupts import stop_requests
from audiodiff.training.log import Bar
from audiodiff.training.loop import StepRecord

NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_becomes_a_reason_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in NUMBERS]
    with stop_requests(None) as stop:
        assert stop.reason is None
        os.kill(os.getpid(), number)
        assert stop.reason == number.name
        assert [signal.getsignal(each) for each in NUMBERS] == before  # a second one acts as usual
    assert [signal.getsignal(each) for each in NUMBERS] == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests(None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.reason is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_time_is_up() -> None:
    with stop_requests(0) as stop:
        assert stop.reason == "time"


def test_a_bar_without_its_terminal_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Bar(3) as bar:
        monkeypatch.setattr(Progress, "update", gone)
        bar.show(StepRecord(1, 0.5, {}, None, 1e-3, 1.0, 2.0, 0.1, 0.5, 0.1))
        stop = Progress.stop

        def stop_and_fail(progress: Progress) -> None:
            stop(progress)
            gone()

        monkeypatch.setattr(Progress, "stop", stop_and_fail)
