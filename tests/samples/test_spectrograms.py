"""Promise: the picture shows the decibels of the signal at its frequencies; its file fits into a README."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

SCRIPT = str(Path(__file__).parents[2] / "samples" / "spectrograms.py")
RATE = 48000


def draw(monkeypatch: pytest.MonkeyPatch, *arguments: Path | str) -> None:
    monkeypatch.setattr(sys, "argv", ["spectrograms.py", *map(str, arguments)])
    runpy.run_path(SCRIPT, run_name="__main__")


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    x = 0.1 * np.random.default_rng(0).standard_normal((4 * RATE, 2))
    soundfile.write(tmp_path / "noise.wav", x, RATE)
    return tmp_path / "noise.wav"


@pytest.mark.parametrize(("rate", "seconds"), [(48000, 0.5), (16000, 20.0)])
def test_a_sine_of_amplitude_one_is_zero_decibels_at_its_frequency(rate: int, seconds: float) -> None:
    functions: dict[str, Any] = runpy.run_path(SCRIPT)
    x = np.sin(2 * np.pi * 1000 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    grid = functions["spectrogram_db"](x, rate)
    assert grid.shape[1] <= functions["COLUMNS"]
    assert np.isfinite(grid).all()
    middle = grid[:, grid.shape[1] // 4 : -grid.shape[1] // 4]
    # 32 ms: bins are 31.25 Hz apart, 1000 Hz is bin 32
    assert (middle.argmax(axis=0) == 32).all()
    np.testing.assert_allclose(middle.max(axis=0), 0.0, atol=1e-4)


def test_even_a_picture_full_of_noise_is_small(monkeypatch: pytest.MonkeyPatch, noise: Path) -> None:
    out = noise.with_name("out.png")
    draw(monkeypatch, noise, noise, out, "--reference", noise)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size < 300_000


def test_silence_can_be_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros(8000), 8000)
    draw(monkeypatch, tmp_path / "s.wav", tmp_path / "s.wav", tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 0


def test_recordings_of_different_lengths_are_refused(
    monkeypatch: pytest.MonkeyPatch, noise: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(100), RATE)
    with pytest.raises(SystemExit, match=r"short\.wav: 100 samples at 48000 Hz"):
        draw(monkeypatch, noise, tmp_path / "short.wav", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
