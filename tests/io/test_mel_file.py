"""Promise: a mel file keeps values and convention exactly; nothing is guessed or turned without a word."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from audiodiff.errors import AudioFileError, MelError
from audiodiff.io.mel_file import SUFFIXES, Axes, read_mel, write_mel
from audiodiff.signal.mel import PRESETS, mel
from benchmarks.mel_presets import clip
from tests.errors import refused

Values = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def values() -> Values:
    spec = PRESETS["rfwave"]
    array: Values = mel(torch.from_numpy(clip(spec.sample_rate)).float(), spec).numpy()
    return array


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_values_and_convention_come_back(tmp_path: Path, values: Values, suffix: str) -> None:
    path = tmp_path / f"talk{suffix}"
    write_mel(path, values, PRESETS["rfwave"])
    found = read_mel(path)
    assert np.array_equal(found.values, values)
    assert found.values.dtype == np.float32
    assert (found.spec, found.stored, found.guesses, found.note) == (PRESETS["rfwave"], True, (), "")
    assert read_mel(path, "rfwave").spec == found.spec
    with refused(MelError, "mel", path, "log: log10 against ln"):
        read_mel(path, "vocos")


def test_safetensors_carry_the_fingerprint(tmp_path: Path, values: Values) -> None:
    path = tmp_path / "talk.safetensors"
    write_mel(path, values, PRESETS["rfwave"])
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["fingerprint"] == PRESETS["rfwave"].fingerprint
    assert metadata["preset"] == "rfwave"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_mels_give_equal_bytes(tmp_path: Path, values: Values, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        write_mel(path, values, PRESETS["rfwave"])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in paths)


def test_a_bare_array_is_guessed_aloud(tmp_path: Path, values: Values) -> None:
    path = tmp_path / "bare.npy"
    np.save(path, values.T.astype(np.float16)[None])
    found = read_mel(path)
    assert found.spec == PRESETS["rfwave"]
    assert not found.stored
    assert np.abs(found.values - values).max() < 4e-3
    assert "taken as" in found.note
    assert "guessed: rfwave [frames, bands], transposed" in found.note
    assert "runner-up" in found.note
    assert found.guesses[0].preset == "rfwave"


def test_a_bare_array_with_a_name_is_turned_aloud(tmp_path: Path, values: Values) -> None:
    path = tmp_path / "bare.npz"
    np.savez(path, anything=values.T)
    found = read_mel(path, "rfwave")
    assert np.array_equal(found.values, values)
    assert found.note == "was [frames, bands], transposed"
    with refused(MelError, "mel", path, 80):
        read_mel(path, "hifigan")


def test_what_fits_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.npy"
    np.save(path, np.full((80, 9), 1000.0))
    with refused(MelError, "mel", path, "1000 to 1000"):
        read_mel(path)


def damaged(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x93NUMPY\x01\x00", b"\xff" * 200])
def test_damaged_files_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    path = damaged(tmp_path, name, content)
    with refused(AudioFileError, "unreadable", name):
        read_mel(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".npy"])
def test_cut_files_are_told(tmp_path: Path, values: Values, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_mel(path, values, PRESETS["rfwave"])
    for size in (10, 100, path.stat().st_size - 40):
        cut = damaged(tmp_path, f"cut{suffix}", path.read_bytes()[:size])
        with refused(AudioFileError, "unreadable", cut):
            read_mel(cut)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with refused(AudioFileError, "unreadable", path):
        read_mel(path)
    with refused(AudioFileError, "unreadable", "a.pt", "pickles"):
        read_mel(damaged(tmp_path, "a.pt", b""))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 80, 5)), "[2, 80, 5]"),
        (np.zeros(80), "[80]"),
        (np.zeros((80, 0)), "[80, 0]"),
        (np.zeros((80, 5), dtype=complex), "complex128"),
        (np.full((80, 5), np.nan), "NaN"),
        (np.full((80, 5), 1e300), "infinity"),
    ],
)
def test_arrays_that_are_no_mel_are_told(tmp_path: Path, array: npt.NDArray[np.float64], words: str) -> None:
    path = tmp_path / "a.npy"
    np.save(path, array)
    with refused(AudioFileError, "unreadable", path, words):
        read_mel(path)


def test_files_with_several_arrays_or_a_broken_convention_are_told(tmp_path: Path, values: Values) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, one=values, two=values)
    with refused(AudioFileError, "unreadable", path, "found one, two"):
        read_mel(path)
    for text in ("{", "[]", json.dumps({"hop": 256}), "x" * 20_000):
        np.savez(path, values=values, mel_spec=np.array(text))
        with refused(MelError, "mel", path):
            read_mel(path)
    np.savez(path, values=values.T, mel_spec=np.array(json.dumps(PRESETS["rfwave"].as_dict())))
    with refused(AudioFileError, "unreadable", path, 100):
        read_mel(path)


def test_targets_are_refused_and_nothing_is_left(tmp_path: Path, values: Values) -> None:
    spec = PRESETS["rfwave"]
    path = tmp_path / "a.npz"
    write_mel(path, values, spec)
    before = path.read_bytes()
    with refused(AudioFileError, "exists", path):
        write_mel(path, values * 0, spec)
    with refused(MelError, "mel", path):
        write_mel(path, values * np.nan, spec, overwrite=True)
    with refused(MelError, "mel", path, "[100, frames]"):
        write_mel(path, values.T, spec, overwrite=True)
    with refused(AudioFileError, "format", "a.wav", ".npz"):
        write_mel(tmp_path / "a.wav", values, spec)
    with refused(AudioFileError, "unwritable", tmp_path / "none"):
        write_mel(tmp_path / "none" / "a.npz", values, spec)
    assert path.read_bytes() == before
    write_mel(path, values * 0, spec, overwrite=True)
    assert not read_mel(path).values.any()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_pipe_without_a_writer_does_not_block(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"mel{suffix}")
    with refused(AudioFileError, "unreadable", f"mel{suffix}"):
        read_mel(tmp_path / f"mel{suffix}")


def test_bfloat16_is_read(tmp_path: Path, values: Values) -> None:
    rounded = torch.from_numpy(values).bfloat16()
    safetensors.torch.save_file({"mel": rounded}, str(tmp_path / "a.safetensors"))
    found = read_mel(tmp_path / "a.safetensors", "rfwave")
    assert found.values.dtype == np.float32
    assert np.array_equal(found.values, rounded.float().numpy())


@pytest.mark.parametrize("preset", [None, "hifigan"])
def test_a_square_array_is_asked_about(tmp_path: Path, preset: str | None) -> None:
    spec = PRESETS["hifigan"]
    square = mel(torch.from_numpy(clip(spec.sample_rate, 1.5)).float(), spec).numpy()[:, 20:100]
    assert square.shape == (80, 80)
    path = tmp_path / "square.npy"
    np.save(path, square)
    with pytest.raises(MelError) as asked:
        read_mel(path, preset)
    assert asked.value.code == "axes"
    answers: tuple[tuple[Axes, Values], ...] = (("bands-first", square), ("frames-first", square.T))
    for axes, expected in answers:
        assert axes in str(asked.value)
        found = read_mel(path, preset, axes)
        assert np.array_equal(found.values, expected)
        assert all(guess.orientation == "bands_first" for guess in found.guesses)
    write_mel(tmp_path / "told.npz", square, spec)  # a convention that is stored is no question
    assert np.array_equal(read_mel(tmp_path / "told.npz").values, square)


def test_axes_that_cannot_be_are_refused_and_others_taken(tmp_path: Path) -> None:
    spec = PRESETS["hifigan"]
    long = mel(torch.from_numpy(clip(spec.sample_rate)).float(), spec).numpy()
    cases: tuple[tuple[Values, Axes, Axes], ...] = (
        (long, "bands-first", "frames-first"),
        (long.T, "frames-first", "bands-first"),
    )
    for array, right, wrong in cases:
        np.save(tmp_path / "a.npy", array)
        for preset in (None, "hifigan"):
            assert np.array_equal(read_mel(tmp_path / "a.npy", preset, right).values, long)
            with pytest.raises(MelError) as caught:
                read_mel(tmp_path / "a.npy", preset, wrong)
            assert caught.value.code == "axes"


def _speech_in_decibels() -> Values:
    spec = PRESETS["hifigan"]
    ln = mel(torch.from_numpy(clip(spec.sample_rate)).float(), spec).numpy()
    db: Values = np.maximum(20 / np.log(10) * (ln - ln.max()), -80).astype(np.float32)
    return db


def test_an_array_of_another_scale_is_described_and_told_what_to_do(tmp_path: Path) -> None:
    db = _speech_in_decibels()
    for array, seems in (
        (db, "decibels below the loudest cell; the ln of magnitude is decibels * ln(10) / 20"),
        (db + 80.5, "decibels counted upwards"),
        (np.round((db + 80) / 80 * 255), "an 8-bit picture of a mel; compute the mel itself"),
    ):
        np.save(tmp_path / "talk.npy", array.astype(np.float32))
        with pytest.raises(MelError) as caught:
            read_mel(tmp_path / "talk.npy")
        assert f"fits no known mel convention; it looks like {seems}" in str(caught.value)
        assert "with as many bands (diffwave, bigvgan-22k-full, hifigan, " in str(caught.value)
    np.save(tmp_path / "odd.npy", np.zeros((77, 50), np.float32))
    with refused(MelError, "mel", "odd.npy", "80, "):
        read_mel(tmp_path / "odd.npy")


def test_another_scale_under_a_name_is_refused_or_told(tmp_path: Path) -> None:
    db = _speech_in_decibels()
    np.save(tmp_path / "talk.npy", db + 80.5)
    with refused(MelError, "mel", "talk.npy", "hifigan", "decibels counted upwards"):
        read_mel(tmp_path / "talk.npy", "hifigan")
    np.save(tmp_path / "talk.npy", db)
    assert (
        "though it looks like decibels below the loudest cell"
        in read_mel(tmp_path / "talk.npy", "hifigan").note
    )
    np.save(tmp_path / "talk.npy", (db - db.mean()) / db.std())
    assert "it looks standardised" in read_mel(tmp_path / "talk.npy", "hifigan").note


def test_true_mels_of_every_convention_look_like_nothing_else(tmp_path: Path) -> None:
    for name, spec in PRESETS.items():
        values = mel(torch.from_numpy(clip(spec.sample_rate)).float(), spec).numpy()
        np.save(tmp_path / "talk.npy", values)
        assert "looks" not in read_mel(tmp_path / "talk.npy", name).note, name
