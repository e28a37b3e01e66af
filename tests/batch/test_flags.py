"""Promise: a job flags what its own figures tell, in its result, its warnings and the sidecar, once each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.model.model import Model
from audiodiff.signal.types import Samples

pytestmark = pytest.mark.slow  # cleans recordings

RATE = 16000


class Deaf(Denoiser):
    """Takes the voice for noise."""

    gone = np.float32(1e-3)

    def stream(self, blocks, sample_rate, gain, only=(0.0, np.inf)):  # type: ignore[no-untyped-def]
        for block in super().stream(blocks, sample_rate, gain, only):
            yield self.gone * block


def sound(seconds: float = 2.0) -> Samples:
    return np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * RATE)).astype(np.float32)


def flags(folder: Path, samples: Samples, denoiser: Denoiser, options: Options) -> list[str]:
    """Codes of the flags, which warnings and sidecar say too."""
    soundfile.write(folder / "a.wav", samples, RATE, "PCM_16")
    result = denoise_file(folder / "a.wav", folder / "b.wav", denoiser, options)
    lines = [flag.line(folder / "a.wav") for flag in result.flags]
    assert [line for line in result.warnings if line in lines] == lines
    sidecar = read_sidecar(folder / "b.wav")
    assert sidecar is not None
    assert sidecar.warnings == tuple(line.removeprefix(f"{folder}/") for line in result.warnings)
    return [flag.code for flag in result.flags]


PLAIN = Options(overwrite=True, sidecar=True)


def test_a_voice_that_is_lost_is_flagged(tmp_path: Path, toy_model: Model) -> None:
    assert flags(tmp_path, sound(), Denoiser(toy_model, threads=1), PLAIN) == []
    assert flags(tmp_path, sound(), Deaf(toy_model, threads=1), PLAIN) == ["nearly_silent"]


def test_silence_is_not(tmp_path: Path, toy_model: Model) -> None:
    assert flags(tmp_path, np.zeros(RATE, dtype=np.float32), Deaf(toy_model, threads=1), PLAIN) == []


def test_a_clipped_input_is_flagged(tmp_path: Path, toy_model: Model) -> None:
    loud = (8 * sound()).clip(-1, 1)
    assert flags(tmp_path, loud, Denoiser(toy_model, threads=1), PLAIN) == ["clipped_input"]


@pytest.mark.parametrize(("kept", "found"), [(0.3, ["half_missing"]), (0.7, [])])
def test_half_a_file_is_flagged(tmp_path: Path, toy_model: Model, kept: float, found: list[str]) -> None:
    source = tmp_path / "a.flac"  # its header tells the whole length; that of a cut wav file is made good
    soundfile.write(source, sound(20.0), RATE, "PCM_16")
    whole = source.read_bytes()
    source.write_bytes(whole[: round(kept * len(whole))])
    result = denoise_file(source, tmp_path / "b.flac", Denoiser(toy_model, threads=1), PLAIN)
    assert [flag.code for flag in result.flags] == found


def test_a_stretch_is_neither_short_nor_silent(tmp_path: Path, toy_model: Model) -> None:
    part = Options(overwrite=True, sidecar=True, start_s=0.5, end_s=0.9)
    assert flags(tmp_path, sound(), Deaf(toy_model, threads=1), part) == []
