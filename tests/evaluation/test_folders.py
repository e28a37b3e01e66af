"""Promise: folders pair by name, what cannot be scored is listed with a reason, jobs change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audiodiff.errors import ConfigError
from audiodiff.evaluation.folders import evaluate_folders
from audiodiff.evaluation.metrics import METRICS
from audiodiff.signal.resample import resample

pytestmark = pytest.mark.slow

RATE = 16000
Wave = NDArray[np.float32]


def write(path: Path, x: Wave, sample_rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, sample_rate)


@pytest.fixture
def folders(tmp_path: Path, speech: Wave, noisy: Wave) -> tuple[Path, Path]:
    ref, est = tmp_path / "ref", tmp_path / "est"
    write(ref / "sub/good.wav", speech)
    write(est / "sub/good.flac", noisy)
    write(ref / "stereo.wav", np.stack([speech, speech], 1))
    write(est / "stereo.wav", np.stack([noisy, noisy], 1))
    return ref, est


def test_suffixes_do_not_matter_and_channels_are_averaged(folders: tuple[Path, Path]) -> None:
    report = evaluate_folders(*folders)
    assert [file.name for file in report.files] == ["stereo", "sub/good"]
    assert report.unscored() == []
    stereo, good = (file.scores for file in report.files)
    for metric in METRICS:
        assert stereo[metric] == pytest.approx(good[metric], abs=1e-3)


def test_an_inverted_channel_is_no_silence(folders: tuple[Path, Path], speech: Wave, noisy: Wave) -> None:
    ref, est = folders
    write(ref / "stereo.wav", np.stack([-0.9 * speech, speech], 1))
    write(est / "stereo.wav", np.stack([-0.9 * noisy, noisy], 1))
    report = evaluate_folders(ref, est)
    assert report.unscored() == []
    stereo, good = report.files
    for metric in METRICS:
        assert stereo.scores[metric] == pytest.approx(good.scores[metric], abs=1e-3)
    assert [len(file.notes) for file in report.files] == [1, 0]


def test_jobs_and_the_noisy_folder_change_no_score(folders: tuple[Path, Path]) -> None:
    ref, est = folders
    calls: list[tuple[int, int]] = []
    one = evaluate_folders(ref, est, jobs=1)
    two = evaluate_folders(ref, est, noisy_dir=est, jobs=2, on_progress=lambda *done: calls.append(done))
    assert two.files == one.files == two.noisy
    assert two.gain("pesq_wb").mean == 0
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_cannot_be_scored_is_listed_and_has_no_number(
    folders: tuple[Path, Path], speech: Wave, noisy: Wave
) -> None:
    ref, est = folders
    for name in ("empty", "length", "mono", "rate", "silent", "text", "twice", "no_estimate"):
        write(ref / f"{name}.wav", speech)
    (est / "empty.wav").touch()
    write(est / "length.wav", noisy[:-2])
    write(est / "mono.wav", np.stack([noisy, noisy], 1))
    write(est / "rate.wav", noisy, 2 * RATE)
    write(est / "silent.wav", np.zeros_like(noisy))
    (est / "text.wav").write_text("not audio")
    write(est / "twice.wav", noisy)
    write(est / "twice.flac", noisy)
    write(est / "no_reference.wav", noisy)
    report = evaluate_folders(ref, est)
    codes = {name: (metric, reason.code) for name, metric, reason in report.unscored()}
    assert set(codes) == {file.name for file in report.files} - {"stereo", "sub/good"}
    assert {metric for metric, _ in codes.values()} == {"all"}
    expected = {"length": "length", "mono": "channels", "rate": "length", "silent": "silence"}
    expected |= {"twice": "ambiguous", "no_estimate": "unpaired", "no_reference": "unpaired"}
    assert {name: code for name, (_, code) in codes.items() if name not in ("empty", "text")} == expected
    assert report.summary()["pesq_wb"].count == 2


def test_what_is_missing_is_called_by_what_it_is(
    folders: tuple[Path, Path], tmp_path: Path, speech: Wave
) -> None:
    ref, est = folders
    write(ref / "lost.wav", speech)
    (tmp_path / "noisy").mkdir()
    report = evaluate_folders(ref, est, noisy_dir=tmp_path / "noisy")
    texts = {name: reason.text for name, _, reason in report.unscored()}
    assert texts["lost"] == "there is no estimate of this name"
    texts = {name: reason.text for name, _, reason in report.noisy_unscored()}
    assert texts["lost"] == "there is no noisy original of this name"


def test_one_sample_more_is_still_scored(folders: tuple[Path, Path], speech: Wave, noisy: Wave) -> None:
    ref, est = folders
    write(ref / "longer.wav", speech)
    write(est / "longer.wav", np.append(noisy, np.float32(0)))
    assert evaluate_folders(ref, est).unscored() == []


def test_folders_without_a_common_name_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="no audio file has the name"):
        evaluate_folders(folders[0], tmp_path / "other")
    with pytest.raises(ConfigError, match="not a folder"):
        evaluate_folders(folders[0], tmp_path / "missing")


def test_an_estimate_of_another_rate_is_resampled_and_named(
    folders: tuple[Path, Path], speech: Wave, noisy: Wave
) -> None:
    ref, est = folders
    for name, rate in (("up", 22050), ("down", 8000)):
        write(ref / f"{name}.wav", speech)
        write(est / f"{name}.wav", resample(noisy[None], RATE, rate)[0], rate)
    same = evaluate_folders(ref, est)
    down, _, good, up = same.files
    assert same.unscored() == []
    assert up.notes == ("22050 Hz, scored at the 16000 Hz of the reference",)
    assert down.notes == ("8000 Hz, scored at the 16000 Hz of the reference",)
    assert good.notes == ()
    # what the higher rate carries is all there; the lower one has lost a band, and some scores with it
    assert up.scores["si_sdr_db"] == pytest.approx(good.scores["si_sdr_db"], abs=0.2)
    assert up.scores["pesq_nb"] == pytest.approx(good.scores["pesq_nb"], abs=0.05)
    assert down.scores["lsd_db"] != pytest.approx(good.scores["lsd_db"], abs=0.5)
    write(est / "up.wav", np.zeros(30000, np.float32), 22050)
    assert [reason.code for _, _, reason in evaluate_folders(ref, est).unscored()] == ["length"]
