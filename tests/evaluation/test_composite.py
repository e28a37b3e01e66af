"""Promise: LLR, WSS and segmental SNR are those of their definitions, the ratings those of the paper."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from audiodiff.evaluation.composite import FRAME, HOP, ORDER, composite, parts, pesq_and_parts, prediction
from audiodiff.evaluation.score import Unscored

Wave = NDArray[np.float64]
RATE = 16000


def frame_pairs(ref: Wave, est: Wave) -> list[tuple[Wave, Wave]]:
    window = np.array([0.5 * (1 - math.cos(2 * math.pi * (i + 1) / (FRAME + 1))) for i in range(FRAME)])
    starts = [n * HOP for n in range(int(ref.size / HOP - FRAME / HOP))]
    return [(ref[s : s + FRAME] * window, est[s : s + FRAME] * window) for s in starts]


def autocorrelation(x: Wave) -> Wave:
    return np.correlate(x, x, "full")[x.size - 1 :][: ORDER + 1]


def toeplitz(r: Wave) -> Wave:
    return np.array([[r[abs(i - j)] for j in range(r.size)] for i in range(r.size)])


def direct_prediction(r: Wave) -> Wave:
    """The normal equations, solved as a linear system."""
    return np.concatenate([[1.0], -np.linalg.solve(toeplitz(r[:-1]), r[1:])])


def slow_llr(s: Wave, y: Wave) -> float:
    a, b = direct_prediction(autocorrelation(y)), direct_prediction(autocorrelation(s))
    matrix = toeplitz(autocorrelation(s))
    return math.log((a @ matrix @ a) / (b @ matrix @ b))


# Critical bands: edges in Hz grow from 70 Hz wide ones on, as in the published program.
CENTRES = [50 + 70 * i for i in range(8)] + [617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30, 1288.72]
CENTRES += [1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63]
WIDTHS = [70.0] * 7 + [77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823, 168.154]
WIDTHS += [183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136]


def levels(x: Wave) -> list[float]:
    power = np.abs(np.fft.fft(x, 1024)[:512]) ** 2
    found = []
    for centre, width in zip(CENTRES, WIDTHS, strict=True):
        total = 0.0
        for j in range(512):
            distance = (j - math.floor(centre / 8000 * 512)) / (width / 8000 * 512)
            weight = math.exp(-11 * distance**2 + math.log(70 / width))
            total += power[j] * weight if weight > math.exp(-30 / 4.606) else 0.0
        found.append(10 * math.log10(max(total, 1e-10)))
    return found


def weights(level: list[float]) -> list[float]:
    slope = [b - a for a, b in itertools.pairwise(level)]
    found = []
    for i in range(24):
        n = i
        if slope[i] > 0:
            while n < 24 and slope[n] > 0:
                n += 1
            peak = level[n - 1]
        else:
            while n >= 0 and slope[n] <= 0:
                n -= 1
            peak = level[n + 1]
        found.append(20 / (20 + max(level) - level[i]) / (1 + peak - level[i]))
    return found


def slow_wss(s: Wave, y: Wave) -> float:
    one, two = levels(s), levels(y)
    w = [(a + b) / 2 for a, b in zip(weights(one), weights(two), strict=True)]
    d = [(one[i + 1] - one[i] - two[i + 1] + two[i]) ** 2 for i in range(24)]
    return sum(a * b for a, b in zip(w, d, strict=True)) / sum(w)


def mean_of_best(values: list[float]) -> float:
    kept = sorted(values)[: round(0.95 * len(values))]
    return sum(kept) / len(kept)


@pytest.fixture(scope="module")
def pair() -> tuple[Wave, Wave]:
    """Coloured noise that swells, and a duller copy with noise of its own."""
    rng = np.random.default_rng(3)
    x = np.convolve(rng.standard_normal(5000), [1, -0.4, 0.6, 0.3, -0.2], "same")
    ref = 0.1 * x * (1.1 + np.sin(np.arange(5000) / 400))
    return ref, np.convolve(ref, [0.6, 0.3], "same") + 0.02 * rng.standard_normal(5000)


def test_the_recursion_solves_the_normal_equations(pair: tuple[Wave, Wave]) -> None:
    r = np.stack([autocorrelation(s) for s, _ in frame_pairs(*pair)])
    np.testing.assert_allclose(prediction(r), [direct_prediction(row) for row in r], rtol=1e-7, atol=1e-9)


def test_a_first_order_process_is_predicted_by_its_coefficient() -> None:
    r = 0.9 ** np.arange(ORDER + 1.0)[None]
    np.testing.assert_allclose(prediction(r)[0], [1, -0.9, *([0] * (ORDER - 1))], atol=1e-12)


def test_the_parts_are_those_of_the_definitions(pair: tuple[Wave, Wave]) -> None:
    frames = frame_pairs(*pair)
    found = parts(*pair, RATE)
    assert not isinstance(found, Unscored)
    assert found.llr == pytest.approx(mean_of_best([slow_llr(*each) for each in frames]), rel=1e-6)
    assert found.wss == pytest.approx(mean_of_best([slow_wss(*each) for each in frames]), rel=1e-6)
    ratios = [10 * math.log10((s**2).sum() / ((s - y) ** 2).sum()) for s, y in frames]
    expected = sum(min(max(r, -10), 35) for r in ratios) / len(ratios)
    assert found.segmental_snr_db == pytest.approx(expected, abs=1e-6)


def test_a_signal_with_itself_has_the_best_ratings(pair: tuple[Wave, Wave]) -> None:
    found = parts(pair[0], pair[0], RATE)
    assert not isinstance(found, Unscored)
    assert (found.llr, found.wss, found.segmental_snr_db) == (0, 0, 35)
    best = composite(pair[0], pair[0], RATE, 4.644)  # all regressions give more than 5 there
    assert (best.csig, best.cbak, best.covl) == (5, 5, 5)


def test_a_gain_changes_no_shape_but_the_ratio(pair: tuple[Wave, Wave]) -> None:
    found = parts(pair[0], 0.5 * pair[0], RATE)
    assert not isinstance(found, Unscored)
    assert found.llr == pytest.approx(0, abs=1e-9)
    assert found.wss == pytest.approx(0, abs=1e-9)
    assert found.segmental_snr_db == pytest.approx(20 * math.log10(2), abs=1e-6)


def test_the_regressions(pair: tuple[Wave, Wave]) -> None:
    found = parts(*pair, RATE)
    assert not isinstance(found, Unscored)
    made = pesq_and_parts(2.0, found)
    csig = 3.093 - 1.029 * found.llr + 0.603 * 2 - 0.009 * found.wss
    cbak = 1.634 + 0.478 * 2 - 0.007 * found.wss + 0.063 * found.segmental_snr_db
    covl = 1.594 + 0.805 * 2 - 0.512 * found.llr - 0.007 * found.wss
    assert (made.csig, made.cbak, made.covl) == pytest.approx((csig, cbak, covl))
    assert 1 < csig < 5 > cbak > 1 < covl < 5  # not cut
    low = pesq_and_parts(-9.0, found)
    assert (low.csig, low.cbak, low.covl) == (1, 1, 1)


def test_silent_stretches_keep_the_numbers_finite(pair: tuple[Wave, Wave]) -> None:
    ref, est = (x.copy() for x in pair)
    ref[:2000] = 0
    est[1000:3000] = 0
    found = parts(ref, est, RATE)
    assert not isinstance(found, Unscored)
    assert np.isfinite([found.llr, found.wss, found.segmental_snr_db]).all()


def test_no_number_without_pesq_or_with_too_little_sound(pair: tuple[Wave, Wave]) -> None:
    silent = Unscored("silence", "PESQ finds no utterance")
    assert composite(*pair, RATE, silent).cbak == silent
    short = composite(pair[0][:599], pair[1][:599], RATE, 3.0)
    assert isinstance(short.covl, Unscored)
    assert short.covl.code == "short"
    assert not isinstance(composite(pair[0][:600], pair[1][:600], RATE, 3.0).covl, Unscored)


def test_other_rates_are_resampled(pair: tuple[Wave, Wave]) -> None:
    from audiodiff.signal.resample import resample

    twice = [resample(x[None].astype(np.float32), RATE, 2 * RATE)[0] for x in pair]
    here, there = parts(*pair, RATE), parts(twice[0], twice[1], 2 * RATE)
    assert not isinstance(here, Unscored)
    assert not isinstance(there, Unscored)
    assert there.llr == pytest.approx(here.llr, rel=0.1)
    assert there.segmental_snr_db == pytest.approx(here.segmental_snr_db, abs=0.5)
