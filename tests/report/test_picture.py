"""Promise: spectrograms show the right frequency at the right height and level, in a valid PNG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from audiodiff.report import picture


@pytest.mark.parametrize("hz", [300.0, 1000.0, 5000.0])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_sine_lies_in_its_row(hz: float, rate: int) -> None:
    x = np.sin(2 * np.pi * hz * np.arange(rate) / rate)[None].astype(np.float32)
    grid = picture.spectrogram(x, rate)
    assert grid.shape[0] == picture.ROWS
    assert grid.shape[1] <= picture.COLUMNS
    edges = picture.row_edges_hz(rate)
    row = int(grid[:, grid.shape[1] // 2].argmax())
    resolution = 2 / 0.032  # half of the main lobe of a Hann window of 32 ms
    assert edges[row] - resolution < hz < edges[row + 1] + resolution
    assert grid.max() < 0.1


def test_rows_keep_the_mean_power() -> None:
    x = np.random.default_rng(0).standard_normal((2, 32000)).astype(np.float32)
    grid = picture.spectrogram(x, 16000)
    widths = np.diff(picture.row_edges_hz(16000))
    mean = np.average((10 ** (grid / 10)).mean(axis=1), weights=widths)
    # white noise of variance 1: each bin holds sum(w^2) / (sum(w) / 2)^2 = 1.5 / n_fft * 4, n_fft = 512
    assert 10 * np.log10(mean) == pytest.approx(10 * np.log10(1.5 / 512 * 4), abs=0.5)


def test_the_png_is_what_was_put_in() -> None:
    levels = np.linspace(-90, 0, 12).reshape(3, 4).astype(np.float32)
    pixels = imread(io.BytesIO(picture.picture(levels, -10.0)), format="png")
    ramp = imread(io.BytesIO(picture.ramp()), format="png")[0]
    assert pixels.shape[:2] == (3, 4)
    share = ((levels + 80) / 70).clip(0, 1)
    np.testing.assert_array_equal(pixels[::-1], ramp[(share * (picture.LEVELS - 1)).round().astype(int)])


def test_louder_is_lighter() -> None:
    ramp = imread(io.BytesIO(picture.ramp()), format="png")[0][:, :3]
    assert (np.diff(ramp @ [0.2126, 0.7152, 0.0722]) > 0).all()
