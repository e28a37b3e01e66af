"""Promise: PESQ equals the package's value on short clips; no crash, hang or silence ends us."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pesq import pesq as pesq_in_process

from audiodiff.evaluation.pesq import Band, Pesq, mean_of_windows
from audiodiff.evaluation.score import Unscored

RATE = 16000
Wave = NDArray[np.float32]


@pytest.fixture(scope="module")
def pesq() -> Iterator[Pesq]:
    with Pesq() as child:
        yield child


COUNT_SAMPLES = """
import json, struct, sys
while header := sys.stdin.buffer.read(6):
    n = struct.unpack("<2sI", header)[1]
    sys.stdin.buffer.read(8 * n)
    print(json.dumps({"mos": n}), flush=True)
"""


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Pesq]:
    """A child whose score is the number of samples of the window."""
    script = tmp_path / "count.py"
    script.write_text(COUNT_SAMPLES)
    with Pesq(child=script) as child:
        yield child


@pytest.mark.parametrize("band", ["wb", "nb"])
def test_the_child_gives_the_value_of_the_package(pesq: Pesq, speech: Wave, noisy: Wave, band: Band) -> None:
    assert pesq.score(speech, noisy, RATE, band) == pesq_in_process(RATE, speech, noisy, band)


def test_identical_signals_get_the_highest_score(pesq: Pesq, speech: Wave) -> None:
    assert pesq.score(speech, speech, RATE) == pytest.approx(4.644, abs=1e-3)


def test_windows_weigh_the_same_and_are_at_most_20_s(counting: Pesq) -> None:
    tone = np.sin(np.arange(50 * RATE), dtype=np.float32)
    windows = counting.windows(tone, tone, RATE)
    assert windows == [800000 // 3 + 1, 800000 // 3 + 1, 800000 // 3]
    assert counting.score(tone, tone, RATE) == pytest.approx(800000 / 3)
    assert counting.windows(tone[: 20 * RATE], tone[: 20 * RATE], RATE) == [20 * RATE]


def test_a_window_without_speech_is_left_out_with_a_reason(counting: Pesq) -> None:
    tone = np.sin(np.arange(30 * RATE), dtype=np.float32)
    tone[: 15 * RATE] *= 1e-3
    windows = counting.windows(tone, tone, RATE)
    assert windows == [Unscored("silence", "window 1 of 2 holds no speech"), 15 * RATE]
    assert counting.score(tone, tone, RATE) == 15 * RATE


def test_deleted_speech_costs_the_score_of_the_whole_file(counting: Pesq) -> None:
    tone = np.sin(np.arange(30 * RATE), dtype=np.float32)
    gated = tone.copy()
    gated[: 15 * RATE] = 0
    score = counting.score(tone, gated, RATE)
    assert isinstance(score, Unscored)
    assert score.code == "deleted"


def test_what_pesq_refuses_has_a_reason_and_the_child_lives_on(pesq: Pesq, speech: Wave, noisy: Wave) -> None:
    short = pesq.score(speech[4000:6000], noisy[4000:6000], RATE)
    assert isinstance(short, Unscored)
    assert short.code == "short"
    silent = pesq.score(np.zeros(RATE, np.float32), noisy[:RATE], RATE)
    assert isinstance(silent, Unscored)
    assert silent.code == "silence"
    assert isinstance(pesq.score(speech, noisy, RATE), float)


def test_other_rates_are_resampled(pesq: Pesq, speech: Wave) -> None:
    from audiodiff.signal.resample import resample

    at_48_khz = resample(speech[None], RATE, 3 * RATE)[0]
    assert pesq.score(at_48_khz, at_48_khz, 3 * RATE) == pytest.approx(4.644, abs=1e-3)


@pytest.mark.parametrize(
    "script",
    ["import os; os.abort()", "import sys; sys.stdin.buffer.read(1000); sys.exit(3)", "print('{', end='')"],
    ids=["at start", "while reading", "while answering"],
)
def test_a_crash_is_a_reason(tmp_path: Path, speech: Wave, noisy: Wave, script: str) -> None:
    child = tmp_path / "child.py"
    child.write_text(script)
    with Pesq(child=child) as crashing:
        for _ in range(2):
            score = crashing.score(speech, noisy, RATE)
            assert isinstance(score, Unscored)
            assert score.code == "crash"


def test_a_hang_is_a_reason(tmp_path: Path, speech: Wave, noisy: Wave) -> None:
    child = tmp_path / "child.py"
    child.write_text("import sys\nwhile sys.stdin.buffer.read(1 << 16): pass\n")
    with Pesq(timeout_s=0.5, child=child) as hanging:
        score = hanging.score(speech, noisy, RATE)
    assert score == Unscored("timeout", "window 1 of 1: PESQ did not end within 0.5 s")


def test_the_mean_prefers_a_fault_to_silence() -> None:
    silence, fault = Unscored("silence", "a"), Unscored("crash", "b")
    assert mean_of_windows([silence, 2.0, 3.0]) == 2.5
    assert mean_of_windows([silence, 2.0, fault]) == fault
    assert mean_of_windows([silence]) == silence
