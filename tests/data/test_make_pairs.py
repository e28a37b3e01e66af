"""Promise: starts are aligned inversions, targets have the truth's magnitude next to the start's phase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.cli import run
from audiodiff.data.make_pairs import (
    DEV_DEGRADATIONS,
    TARGET_STFT,
    How,
    PairSettings,
    degrade,
    draw_how,
    make_start,
    make_target,
    prepare_pairs,
)
from audiodiff.data.pairs import Degradation, PairStore
from audiodiff.data.store import Store
from audiodiff.evaluation.waveform import si_sdr
from tests.data.conftest import voice

pytestmark = pytest.mark.slow

RATE = 24_000
SETTINGS = PairSettings(segment_s=0.5, target_iterations=6, iterations=(1, 2))


def test_noise_and_offsets_have_their_deviation_and_blur_is_a_mean() -> None:
    flat = np.zeros((80, 500), dtype=np.float32)
    assert np.std(degrade(flat, Degradation(noise=0.2), 1)) == pytest.approx(0.2, rel=0.02)
    offsets = degrade(flat, Degradation(offset=0.3), 1)
    assert np.ptp(offsets, axis=1).max() == 0.0
    assert np.std(offsets[:, 0]) == pytest.approx(0.3, rel=0.3)
    flat[40, 200] = 9.0
    blurred = degrade(flat, Degradation(blur_frames=3, blur_bands=3), 1)
    assert blurred[39:42, 199:202] == pytest.approx(np.ones((3, 3)), abs=1e-5)
    assert blurred.sum() == pytest.approx(9.0, rel=1e-5)


@given(seed=st.integers(0, 1000))
def test_degradation_follows_from_its_seed(seed: int) -> None:
    mel = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)
    how = draw_how(PairSettings(p_degraded=1.0), np.random.default_rng(seed))
    assert how.degradation.part != "clean"
    assert np.array_equal(degrade(mel, how.degradation, how.seed), degrade(mel, how.degradation, how.seed))


@pytest.mark.parametrize("preset", ["bigvgan-24k", "hifigan", "vocos"])
def test_a_start_lies_where_the_recording_lies(preset: str) -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(RATE, dtype=np.float32)
    for centre in (6000, 13000, 17000):
        truth[centre - 600 : centre + 600] = 0.1 * np.hanning(1200) * rng.standard_normal(1200)
    start = make_start(truth, RATE, How(preset, Degradation(), 8, 0))
    assert start.shape == truth.shape
    smooth = np.hanning(400)
    envelopes = [np.convolve(wave**2, smooth, "same") for wave in (truth, start)]
    lags = np.correlate(envelopes[1] - envelopes[1].mean(), envelopes[0] - envelopes[0].mean(), "same")
    assert abs(int(np.argmax(lags)) - RATE // 2) <= 48  # 2 ms; a frame is 10.7 ms


def test_the_target_has_the_truths_magnitude_and_stays_beside_the_start() -> None:
    import torch

    truth = voice(1.0, 120.0, 0, RATE)
    start = make_start(truth, RATE, How("bigvgan-24k", Degradation(noise=0.2), 8, 3))
    target = make_target(truth, start, 28)
    magnitudes = [TARGET_STFT.forward(torch.from_numpy(wave)).abs() for wave in (truth, start, target)]
    errors = [float((m - magnitudes[0]).norm() / magnitudes[0].norm()) for m in magnitudes[1:]]
    assert errors[1] < 0.5 * errors[0]
    near, far = si_sdr(start, target), si_sdr(start, truth)
    assert isinstance(near, float)
    assert isinstance(far, float)
    assert near > far + 3.0


def test_a_preparation_that_was_stopped_goes_on_and_grows(store: Store, tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert prepare_pairs(store, straight, SETTINGS, (2, 1)) == 3

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        prepare_pairs(store, stopped, SETTINGS, (1, 1), kill)
    assert prepare_pairs(store, stopped, SETTINGS, (2, 1)) == 1
    for name in ("dev-00000", "train-00000", "train-00001"):
        for suffix in (".npy", ".json"):
            path = name + suffix
            assert (straight / path).read_bytes() == (stopped / path).read_bytes()
    dev = PairStore(straight, "dev").pairs
    assert [pair.degradation for pair in dev[:3]] == list(DEV_DEGRADATIONS)
    speakers = {pair.speaker for pair in PairStore(straight, "train").pairs}
    assert speakers.isdisjoint(pair.speaker for pair in dev)


def test_the_command_makes_a_store(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "pairs"
    words = ["pairs", str(store.folder), str(target), "--hours", "0.001", "--segment-s", "0.5"]
    assert run([*words, "--dev-segments", "1"]) == 0
    assert "made now" in capsys.readouterr().out
    assert PairStore(target, "train").seconds == 7.5
    assert run(["pairs", str(tmp_path / "nowhere"), str(target)]) == 2
