"""Promise: a voice that was lost is flagged under any noise, and taking only the noise away is not."""

from __future__ import annotations

import dataclasses
import itertools
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from audiodiff.batch.flags import (
    CLIPPED_RUNS,
    MISSING_SHARE,
    NEARLY_SILENT_DB,
    clipped_input,
    half_missing,
    nearly_silent,
)
from audiodiff.report import ReportEntry, flags
from audiodiff.report.flags import Facts
from audiodiff.report.measure import survey

RATE = 16000
Wave = npt.NDArray[np.float64]

CALM = Facts(60.0, 60.0, -20.0, -21.0, -40.0, 30.0, 0.5, 0, 0.0)


def codes(facts: Facts, aligned: bool = True) -> list[str]:
    return [flag.code for flag in flags.judge(facts, aligned)]


def test_a_calm_recording_has_no_flag() -> None:
    assert codes(CALM) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"after_db": None}, ["nearly_silent"]),
        ({"after_db": -20.0 - NEARLY_SILENT_DB - 0.1, "removed_db": -20.0}, ["nearly_silent"]),
        ({"before_db": None, "after_db": None, "removed_db": None, "stands_out_s": 0.0}, []),
        ({"seconds": 60 * MISSING_SHARE - 0.1}, ["half_missing"]),
        ({"seconds": 60 * MISSING_SHARE}, []),
        ({"expected_s": 0.0}, []),
        ({"fall_db": flags.FELL_DB + 0.1}, ["level_fell"]),
        ({"fall_db": flags.FELL_DB}, []),
        ({"fall_db": -10.0}, []),
        ({"removed_db": -21.0 - flags.MUCH_REMOVED_DB}, ["much_removed"]),
        ({"removed_db": -21.0 - flags.MUCH_REMOVED_DB - 0.1}, []),
        ({"removed_db": 0.0}, ["much_removed"]),
        ({"stands_out_s": 60 * flags.NOISY_SHARE - 0.01}, ["too_noisy"]),
        ({"stands_out_s": 0.4, "fall_db": 20.0}, ["too_noisy"]),
        ({"clipped_runs": CLIPPED_RUNS}, ["clipped_input"]),
        ({"clipped_runs": CLIPPED_RUNS - 1}, []),
        ({"music_s": flags.MUSIC_S}, ["music"]),
        ({"music_s": flags.MUSIC_S - 0.1}, []),
        (
            {"after_db": None, "fall_db": 20.0, "clipped_runs": 9},
            ["nearly_silent", "level_fell", "clipped_input"],
        ),
    ],
)
def test_thresholds(changes: dict[str, float | None], found: list[str]) -> None:
    assert codes(dataclasses.replace(CALM, **changes)) == found  # type: ignore[arg-type]


def test_a_vocoder_is_judged_by_silence_and_length_alone() -> None:
    worst = Facts(1.0, 60.0, -20.0, None, -20.0, 0.0, 20.0, 99, 60.0)
    assert codes(worst, aligned=False) == ["nearly_silent", "half_missing"]


def test_every_flag_says_what_and_how_much() -> None:
    found = [
        nearly_silent(-20, None),
        nearly_silent(-20, -69),
        half_missing(1, 60),
        clipped_input(9),
        *flags.judge(dataclasses.replace(CALM, fall_db=9, removed_db=-3, music_s=30, stands_out_s=1)),
    ]
    for flag in found:
        assert flag is not None
        what, _, amount = flag.text.partition(": ")
        assert what
        assert amount


@cache
def voice(seconds: float = 12.0) -> Wave:
    """Harmonics of a pitch that moves, in words with pauses between them."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = (
        2
        * np.pi
        * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.7 * t) + 10 * np.sin(2 * np.pi * 2.3 * t))
        / RATE
    )
    tones = sum(np.sin(k * phase) / k**0.7 for k in range(1, 28))
    words = np.clip(3 * np.sin(2 * np.pi * 1.3 * t), 0, 1) * (np.sin(2 * np.pi * 0.21 * t) > -0.6)
    return np.asarray(0.05 * tones * words)


def noise(kind: str, n: int) -> Wave:
    """Noise of power 1: white, pink, rumble below 150 Hz, hum of 50 Hz, or bursts of white noise."""
    rng = np.random.default_rng(1)
    if kind == "hum":
        t = np.arange(n) / RATE
        x = np.sum([np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 12)], axis=0)
    else:
        spectrum = np.fft.rfft(rng.standard_normal(n))
        hz = np.fft.rfftfreq(n, 1 / RATE)
        shape = {"pink": 1 / np.sqrt(np.maximum(hz, 20)), "rumble": 1 / (1 + (hz / 60) ** 4)}
        x = np.fft.irfft(spectrum * shape.get(kind, 1.0), n)
        if kind == "bursts":
            x *= np.repeat(rng.uniform(size=-(-n // 4000)) < 0.06, 4000)[:n]
    return np.asarray(x / np.sqrt(np.mean(x**2)))


def found(folder: Path, before: Wave, after: Wave) -> list[str]:
    peak = max(1.0, float(np.abs(before).max()) / 0.9)
    soundfile.write(folder / "a.wav", before / peak, RATE, "FLOAT")
    soundfile.write(folder / "b.wav", after / peak, RATE, "FLOAT")
    return [flag.code for flag in survey(ReportEntry(folder / "a.wav", folder / "b.wav", "done")).flags]


MIXTURES = [
    *itertools.product(("white", "pink"), (20, 10, 5)),
    *itertools.product(("rumble", "hum"), (10, 0, -10)),
    ("rumble", -26),
    ("bursts", 10),
]


@pytest.mark.parametrize(("kind", "snr_db"), MIXTURES)
def test_taking_the_noise_away_lowers_no_speech_and_losing_the_voice_does(
    tmp_path: Path, kind: str, snr_db: float
) -> None:
    clean = voice()
    level = np.sqrt(np.mean(clean**2)) * 10 ** (-snr_db / 20)
    noisy = clean + level * noise(kind, len(clean))
    rest = 0.02 * (noisy - clean)  # a denoiser leaves a little
    assert not {"level_fell", "nearly_silent", "half_missing", "music"} & set(
        found(tmp_path, noisy, clean + rest)
    )
    half = clean * (np.arange(len(clean)) < len(clean) // 2)
    assert "level_fell" in found(tmp_path, noisy, half + rest)
    assert "level_fell" in found(tmp_path, noisy, 0.5 * clean + rest)
    lost = found(tmp_path, noisy, 1e-4 * noisy)
    assert {"nearly_silent", "level_fell"} <= set(lost)


def test_noise_that_buries_all_is_too_noisy_to_judge(tmp_path: Path) -> None:
    clean = voice()
    noisy = clean + 3 * np.sqrt(np.mean(clean**2)) * noise("pink", len(clean)) * 3
    assert "too_noisy" in found(tmp_path, noisy, 0.1 * noisy)


def test_half_a_file_and_a_clipped_one(tmp_path: Path) -> None:
    clean = voice()
    assert found(tmp_path, clean, clean[: len(clean) // 3]) == ["half_missing"]
    assert found(tmp_path, clean, clean) == []
    loud = (8 * clean).clip(-1, 1)
    soundfile.write(tmp_path / "c.wav", loud, RATE)
    entry = ReportEntry(tmp_path / "c.wav", tmp_path / "c.wav", "copied")
    assert "clipped_input" in [flag.code for flag in survey(entry).flags]


def test_a_stretch_is_not_half_missing(tmp_path: Path) -> None:
    clean = voice()
    soundfile.write(tmp_path / "a.wav", clean, RATE)
    soundfile.write(tmp_path / "b.wav", clean[2 * RATE : 4 * RATE], RATE)
    entry = ReportEntry(tmp_path / "a.wav", tmp_path / "b.wav", "done", start_s=2.0, end_s=4.0)
    assert survey(entry).flags == ()
    assert [flag.code for flag in survey(dataclasses.replace(entry, end_s=10.0)).flags] == ["half_missing"]
