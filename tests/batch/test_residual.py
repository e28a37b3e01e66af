"""Promise: the output and what was removed sum to the recording, to the bit where the format can."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import residual_path
from audiodiff.inference.engine import Samples
from audiodiff.io.reader import read
from audiodiff.model.model import Model

Recording = Callable[..., Samples]


@pytest.fixture(scope="module")
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model, steps=1)


def removed(
    source: Path, denoiser: Denoiser, suffix: str, start_s: float = 0.0, end_s: float = math.inf
) -> Path:
    options = Options(residual=True, start_s=start_s, end_s=end_s)
    target = source.with_name(f"out{suffix}")
    result = denoise_file(source, target, denoiser, options)
    assert result.residual == residual_path(target)
    assert result.warnings == ()
    return result.residual


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [(".wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")]
    + [(".flac", "PCM_16"), (".flac", "PCM_24"), (".aiff", "PCM_S8"), (".caf", "ALAC_24")],
)
def test_integers_sum_to_the_bit(
    tmp_path: Path, denoiser: Denoiser, recording: Recording, suffix: str, subtype: str
) -> None:
    source = tmp_path / f"in{suffix}"
    soundfile.write(source, recording(1.1, 44100, 2).T, 44100, subtype)
    residual = removed(source, denoiser, suffix)
    stereo = {"ALAC_24": "PCM_24"}  # libsndfile writes ALAC safely in mono alone
    assert soundfile.info(residual).subtype == stereo.get(subtype, subtype)
    parts = [
        soundfile.read(path, dtype="int32")[0].astype(np.int64)
        for path in (tmp_path / f"out{suffix}", residual)
    ]
    np.testing.assert_array_equal(parts[0] + parts[1], soundfile.read(source, dtype="int32")[0])
    assert np.abs(parts[1]).max() > 0


@pytest.mark.parametrize(
    ("name", "subtype", "suffix", "epsilon"),
    [
        ("in.wav", "FLOAT", ".wav", 2.0**-24),
        ("in.wav", "DOUBLE", ".wav", 2.0**-52),
        ("in.wav", "ULAW", ".wav", 0.0),
        ("in.mp3", None, ".mp3", 2.0**-24),
        ("in.ogg", None, ".ogg", 2.0**-24),
    ],
)
def test_floats_sum_to_their_own_rounding(
    tmp_path: Path,
    denoiser: Denoiser,
    recording: Recording,
    name: str,
    subtype: str | None,
    suffix: str,
    epsilon: float,
) -> None:
    source = tmp_path / name
    soundfile.write(
        source, 4 * recording(1.1, 16000).T if subtype == "FLOAT" else recording(1.1, 16000).T, 16000, subtype
    )
    residual = removed(source, denoiser, suffix)
    assert residual.suffix == ".wav"
    x, y, r = (
        read(path, "float64" if subtype == "DOUBLE" else "float32")[0].astype(np.float64)
        for path in (source, tmp_path / f"out{suffix}", residual)
    )
    assert np.all(np.abs(y + r - x) <= epsilon * np.abs(r))
    assert np.abs(r).max() > 0.01


def test_of_an_excerpt(tmp_path: Path, denoiser: Denoiser, recording: Recording) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, recording(9.0, 16000).T, 16000)
    residual = removed(source, denoiser, ".wav", 4.5, 8.25)
    x, y, r = (soundfile.read(path, dtype="int16")[0] for path in (source, tmp_path / "out.wav", residual))
    np.testing.assert_array_equal(y.astype(int) + r, x[72000:132000])


def test_differences_beyond_full_scale_are_told(tmp_path: Path, toy_model: Model) -> None:
    # full-scale steps, of which the toy model makes something else
    x = np.sign(np.sin(2 * np.pi * 200 * np.arange(16000) / 16000 + 0.1))
    source = tmp_path / "in.wav"
    soundfile.write(source, x, 16000)
    result = denoise_file(source, tmp_path / "out.wav", Denoiser(toy_model), Options(residual=True))
    y, r = (
        soundfile.read(tmp_path / name, dtype="int16")[0].astype(int)
        for name in ("out.wav", "out.residual.wav")
    )
    truth = soundfile.read(source, dtype="int16")[0] - y
    beyond = int(np.count_nonzero(np.abs(truth / 32768) > 1))
    told = [line for line in result.warnings if "out.residual.wav" in line]
    assert len(told) == (beyond > 0)
    np.testing.assert_array_equal(r, np.clip(truth, -32768, 32767))
