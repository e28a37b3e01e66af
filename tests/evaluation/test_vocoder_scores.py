"""Promise: what compares vocoders is 0 (or 1) for a copy, follows closed forms, and says why it lacks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import librosa
import numpy as np
import pytest
import soundfile
from filelock import FileLock, Timeout

from audiodiff.evaluation.opinion import distill_mos
from audiodiff.evaluation.score import Unscored
from audiodiff.evaluation.spectral import log_mel_l1, multi_resolution_stft_distance
from audiodiff.evaluation.voicing import HOP, SAMPLE_RATE, Voicing, compare, import_pyin, pyin_lock, track
from audiodiff.signal.mel import PRESETS

pytestmark = pytest.mark.slow

SPEECH = Path(__file__).parents[2] / "samples" / "interview_clean.flac"
SPEC = PRESETS["bigvgan-24k"]


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n) * 0.1


def code(score: object) -> str:
    assert isinstance(score, Unscored)
    return score.code


def test_spectral_distances_of_a_copy_and_of_a_gain() -> None:
    x = noise(24000)
    assert multi_resolution_stft_distance(x, x) == 0
    assert log_mel_l1(x, x, SPEC) == 0
    # A gain g: convergence |1 - g|, log distance |ln g|, in every bin and band far from the floors.
    gain = 0.5
    assert multi_resolution_stft_distance(x, gain * x) == pytest.approx(1 - gain - np.log(gain), rel=1e-3)
    assert log_mel_l1(x, gain * x, SPEC) == pytest.approx(-np.log(gain), rel=1e-3)


def test_spectral_distances_of_nothing_and_silence() -> None:
    x = noise(4000)
    assert code(multi_resolution_stft_distance(x, x[:-2])) == "length"
    assert code(log_mel_l1(x, np.zeros(4000), SPEC)) == "silence"


def test_librosa_is_imported_by_one_process_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watch(ModuleType):
        def __getattr__(self, name: str) -> object:
            with pytest.raises(Timeout), FileLock(pyin_lock(), timeout=0, is_singleton=False):
                pass
            self.seen = True
            return getattr(librosa, name)

    watch = Watch("librosa")
    monkeypatch.setitem(sys.modules, "librosa", watch)
    assert import_pyin() is librosa.pyin
    assert watch.seen
    with FileLock(pyin_lock(), timeout=0):
        pass  # free again


def test_pitch_of_a_pulse_train() -> None:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    f0 = 140.0
    x = np.sum([0.1 * np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 20)], axis=0)
    x[:4000] = 0
    found = track(x, SAMPLE_RATE)
    voiced = np.isfinite(found.f0)
    edge = 4000 // HOP
    assert not voiced[: edge - 3].any()
    assert voiced[edge + 4 : -4].all()
    assert np.abs(1200 * np.log2(found.f0[edge + 4 : -4] / f0)).max() < 15
    assert found.periodicity[edge + 4 : -4].mean() > found.periodicity[: edge - 3].mean() + 0.5


def voicing(f0: list[float], periodicity: list[float]) -> Voicing:
    return Voicing(np.array(f0), np.array(periodicity))


def test_voicing_scores_by_hand() -> None:
    nan = float("nan")
    ref = voicing([100, 100, nan, nan], [1, 1, 0, 0])
    est = voicing([200, nan, 100, nan], [1, 0, 0.5, 0])
    scores = compare(ref, est)
    assert scores.f1 == pytest.approx(0.5)  # one hit, one miss, one false alarm
    assert scores.periodicity_rmse == pytest.approx(np.sqrt((1 + 0.25) / 4))
    assert scores.pitch_cents == pytest.approx(1200)
    same = compare(ref, ref)
    assert (same.f1, same.periodicity_rmse, same.pitch_cents) == (1, 0, 0)


def test_voicing_without_voice_or_frames() -> None:
    nan = float("nan")
    none = voicing([nan, nan], [0, 0])
    scores = compare(none, none)
    assert code(scores.f1) == "unvoiced"
    assert code(scores.pitch_cents) == "unvoiced"
    assert scores.periodicity_rmse == 0
    assert code(compare(none, voicing([nan] * 4, [0] * 4)).f1) == "length"


def test_opinion_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert code(distill_mos(noise(16000), 16000)) == "missing"


@pytest.mark.skipif(importlib.util.find_spec("distillmos") is None, reason="distillmos is not installed")
def test_opinion_of_speech_falls_with_noise() -> None:
    x, rate = soundfile.read(SPEECH, dtype="float32")
    clean = distill_mos(x[: 3 * rate], rate)
    bad = distill_mos(x[: 3 * rate] + noise(3 * rate), rate)
    assert isinstance(clean, float)
    assert isinstance(bad, float)
    assert 1 <= bad < clean - 1
    assert code(distill_mos(np.zeros(16000), 16000)) == "silence"
    # The stand-in for a torchaudio that does not load is gone again.
    assert "torchaudio" not in sys.modules or sys.modules["torchaudio"].__spec__ is not None
