"""A small store of synthetic speakers, noises and rooms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audiodiff.data.manifest import Clip, Kind, Split
from audiodiff.data.packing import PackSettings, pack
from audiodiff.data.store import Store

RATE = 16_000
Audio = NDArray[np.float32]


def voice(seconds: float, pitch_hz: float, seed: int, rate: int = RATE) -> Audio:
    """Syllables of a harmonic tone up to 7 kHz with short pauses."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = sum(
        np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, int(min(7000, rate / 2) / pitch_hz))
    )
    syllables = np.maximum(0, np.sin(2 * np.pi * 3 * time + rng.uniform(0, 6)))
    return np.asarray(0.2 * tone * syllables + 1e-4 * rng.standard_normal(time.size), dtype=np.float32)


def _clip(path: Path, kind: Kind, speaker: str, category: str, split: Split, bandwidth_hz: int) -> Clip:
    return Clip(path, kind, "test", speaker, "xx", bandwidth_hz, category, "CC0", split)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Five training and four dev speakers of two classes, four noises, two measured rooms."""
    folder = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    result: list[Clip] = []
    splits: tuple[Split, ...] = ("train",) * 5 + ("dev",) * 4
    for number, split in enumerate(splits):
        for take, seconds in enumerate((0.4, 0.7, 3.0)):
            path = folder / f"s{number}-{take}.flac"
            soundfile.write(path, voice(seconds, 90 + 25 * number, 10 * number + take), RATE)
            wide = number % 2 == 0
            band = 20_000 if wide else 7_000
            result.append(_clip(path, "speech", f"speaker{number}", "A" if wide else "a", split, band))
    noise_splits: tuple[Split, ...] = ("train", "train", "dev", "dev")
    for number, split in enumerate(noise_splits):
        path = folder / f"n{number}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(RATE * (1 + 2 * (number % 2))), RATE, subtype="FLOAT")
        result.append(_clip(path, "noise", f"n{number}.wav", f"noise{number}", split, 8000))
    room_splits: tuple[Split, ...] = ("train", "dev")
    for number, split in enumerate(room_splits):
        path = folder / f"r{number}.wav"
        response = 0.1 * rng.standard_normal(4000) * np.exp(-np.arange(4000) / 500)
        response[40] = 1.0
        soundfile.write(path, response, RATE, subtype="FLOAT")
        result.append(_clip(path, "room", f"r{number}.wav", "", split, 8000))
    return result


@pytest.fixture(scope="session")
def store(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All of `clips` at 16 kHz, no simulated rooms."""
    target = tmp_path_factory.mktemp("packed") / "store"
    pack(clips, target, PackSettings(sample_rate=RATE, n_rooms=0))
    return Store(target)
