"""Band errors have the closed form of a gain and of added noise; a log survives a crash and a resume."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.errors import DataError
from audiodiff.training.curves import plot_curves
from audiodiff.training.log import RunLog, read_log, tell_scores
from audiodiff.training.validation import BAND_EDGES_HZ, band_errors

RATE = 16000


def bursts() -> np.ndarray:
    """White noise that sounds for half of the time."""
    wave = np.random.default_rng(0).standard_normal(2 * RATE)
    wave[RATE:] = 0.0
    return wave.astype(np.float32)


@given(gain_db=st.floats(-10.0, 20.0))
def test_a_gain_is_a_bias_without_spread_or_excess(gain_db: float) -> None:
    truth = bursts()
    errors = band_errors([((truth * 10 ** (gain_db / 20)).astype(np.float32), truth, RATE / 2)], RATE)
    inside = sum(edge <= RATE / 2 for edge in BAND_EDGES_HZ[1:])
    # only the one frame at the burst's end comes near the floor; the other 60 are exact
    assert errors.bias_db[:inside] == pytest.approx([gain_db] * inside, abs=0.05)
    assert errors.spread_db[:inside] == pytest.approx([0.0] * inside, abs=0.05)
    assert errors.excess_db[:inside] == pytest.approx([0.0] * inside, abs=1.0)  # frames at the burst's end
    assert errors.bias_db[inside:] == (None,) * (len(BAND_EDGES_HZ) - 1 - inside)


def test_noise_in_the_pauses_is_excess_and_bands_above_the_bandwidth_do_not_count() -> None:
    truth = bursts()
    estimate = truth.copy()
    estimate[RATE:] = 0.1 * np.random.default_rng(1).standard_normal(RATE)
    errors = band_errors([(estimate, truth, 4000.0)], RATE)
    n_counted = sum(edge <= 4000 for edge in BAND_EDGES_HZ[1:])
    # -20 dB of noise over a floor of -60 dB; the narrow bands hold up to 12 dB less than the widest
    assert all(value is not None and value > 25 for value in errors.excess_db[:n_counted])
    assert errors.bias_db[:n_counted] == pytest.approx([0.0] * n_counted, abs=0.3)
    assert errors.excess_db[n_counted:] == (None,) * (len(BAND_EDGES_HZ) - 1 - n_counted)


def test_a_log_is_cut_back_to_its_checkpoint_and_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log.write("step", {"step": 1})
    kept = log.n_bytes
    log.write("step", {"step": 2})
    log.close()
    with path.open("a", encoding="utf-8") as file:
        file.write('{"kind": "st')
    assert [entry["step"] for entry in read_log(path)] == [1, 2]
    log = RunLog(path, kept)
    log.write("step", {"step": 7})
    log.close()
    assert [entry["step"] for entry in read_log(path)] == [1, 7]


def test_a_log_without_steps_or_with_a_damaged_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no step yet"):
        plot_curves(path, tmp_path / "curve.png")
    path.write_text('{"kind\n{"kind": "step"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_log(path)


def test_scores_are_told_beside_those_of_what_the_model_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    tell_scores(
        {"step": 60, "si_sdr": 14.12, "pesq_wb": 1.5, "noisy": {"si_sdr": 13.0, "pesq_wb": 1.4, "estoi": 0.7}}
    )
    tell_scores({"step": 61, "noisy": {}})  # silence alone, say
    first, second = capsys.readouterr().err.splitlines()
    assert re.findall(r"[\d.]+\d", first) == ["60", "14.1", "13.0", "1.50", "1.40"]
    assert second.startswith("step 61: ")
