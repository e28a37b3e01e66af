"""Promise: runs at full scale are counted once each, whatever the blocks; loud but whole sound has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.errors import ShapeError
from audiodiff.signal.clipping import RUN_SAMPLES, ClipMeter
from audiodiff.signal.types import Samples


def runs(x: Samples, size: int = 1 << 20) -> int:
    meter = ClipMeter()
    for start in range(0, x.shape[1], size):
        meter.push(x[:, start : start + size])
    return meter.runs


@given(
    full=st.lists(st.booleans(), max_size=60),
    size=st.integers(1, 9),
    level=st.sampled_from([1.0, -1.0, 32767 / 32768]),
)
def test_runs_are_counted_whatever_the_blocks(full: list[bool], size: int, level: float) -> None:
    x = np.where(full, level, 0.2).astype(np.float32)[np.newaxis]
    words = "".join("x" if each else " " for each in full).split()
    assert runs(x, size) == sum(len(word) >= RUN_SAMPLES for word in words)


def test_channels_count_each_for_itself() -> None:
    x = np.zeros((2, 9), dtype=np.float32)
    x[0, 2:5] = x[1, 4:8] = 1
    x[0, 7:9] = -1
    assert runs(x) == 2


@pytest.mark.parametrize("gain", [0.98, 1.3, 30.0])
def test_loud_sound_that_is_whole_is_not_clipped(gain: float) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 48000))
    assert runs((gain * noise).astype(np.float32)) == 0


def test_sound_that_was_cut_off_is() -> None:
    voice = np.sin(2 * np.pi * 200 * np.arange(16000) / 16000)[np.newaxis]
    # 200 periods, cut off at either end
    assert runs((1.5 * voice).clip(-1, 1).astype(np.float32)) == 400


def test_channels_that_change_are_refused() -> None:
    meter = ClipMeter()
    meter.push(np.zeros((1, 5), dtype=np.float32))
    with pytest.raises(ShapeError):
        meter.push(np.zeros((2, 5), dtype=np.float32))
