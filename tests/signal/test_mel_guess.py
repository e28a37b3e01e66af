"""Promise: the convention of a bare mel is told apart by its numbers wherever the numbers can tell."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.errors import ShapeError
from audiodiff.signal.mel import PRESETS, mel
from audiodiff.signal.mel_guess import guess
from benchmarks.mel_presets import clip
from tests.errors import refused

ALIKE = [
    {"hifigan", "tacotron2", "bigvgan-22k-full", "apnet2", "nemo-hifigan", "speechbrain-16k"},
    {"vocos", "vocos-same"},
    {"bigvgan-24k", "bridgevoc-24k"},
    {"wavegrad", "wavegrad-24k"},
    {"bigvgan-44k", "bigvgan-44k-512x"},
    {
        "espnet-16k",
        "espnet-22k",
        "espnet-24k",
        "parallel-wavegan-22k",
        "parallel-wavegan-24k",
        "speecht5",
        "fastdiff",
    },
]
"""Conventions that differ in rate, framing, window or band edges, which no value shows."""

DISTINCT = {spec.fingerprint: name for name, spec in reversed(PRESETS.items())}


@cache
def values(name: str) -> npt.NDArray[np.float32]:
    spec = PRESETS[name]
    array: npt.NDArray[np.float32] = mel(
        torch.tensor(clip(spec.sample_rate, 1.5), dtype=torch.float32), spec
    ).numpy()
    return array


@pytest.mark.parametrize("name", DISTINCT.values())
@pytest.mark.parametrize("orientation", ["bands_first", "frames_first"])
def test_the_convention_is_found(name: str, orientation: str) -> None:
    array = values(name)
    best = guess(array if orientation == "bands_first" else array.T)[0]
    alike = next((group for group in ALIKE if name in group), {name})
    assert best.preset in alike
    assert best.orientation == orientation
    assert f"{array.shape[0]} bands" in best.why


def test_conventions_that_look_alike_share_the_confidence() -> None:
    ranked = guess(values("tacotron2"))
    assert sum(g.confidence for g in ranked) == pytest.approx(1)
    assert ranked == sorted(ranked, key=lambda g: -g.confidence)
    first, second = ranked[:2]
    assert {first.preset, second.preset} <= ALIKE[0]
    assert first.confidence < 0.5
    assert sum(g.confidence for g in ranked if g.preset in ALIKE[0]) > 0.9


def test_a_square_array_is_turned_by_the_tilt_of_speech() -> None:
    array = values("vocos")[:, 10:110]
    assert array.shape == (100, 100)
    assert guess(array)[0].orientation == "bands_first"
    assert guess(array.T)[0].orientation == "frames_first"


@pytest.mark.parametrize(
    "array",
    [
        np.full((80, 50), 30.0),  # louder than anything
        np.zeros((81, 50)),  # no such number of bands
        np.abs(np.random.default_rng(0).standard_normal((100, 70))) * 100,  # not a logarithm
    ],
)
def test_what_is_no_mel_gets_no_guess(array: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    assert guess(array) == []


@given(st.integers(1, 200), st.integers(1, 200), st.floats(-1e4, 1e4), st.floats(0, 1e3))
def test_any_array_is_judged(rows: int, columns: int, mean: float, spread: float) -> None:
    array = mean + spread * np.random.default_rng(0).standard_normal((rows, columns))
    for item in guess(array):
        assert 0 <= item.confidence <= 1
        assert PRESETS[item.preset].n_mels in (rows, columns)


def test_wrong_axes_are_refused() -> None:
    with refused(ShapeError, "shape", [1, 80, 10]):
        guess(np.zeros((1, 80, 10)))
