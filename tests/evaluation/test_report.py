"""Promise: means, intervals and paired differences count the files that have a number, and no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from audiodiff.cli._evaluation import text_lines
from audiodiff.evaluation.distances import frechet_distance, kernel_distance
from audiodiff.evaluation.metrics import METRICS
from audiodiff.evaluation.pair import Embedded, FileScore, unscored
from audiodiff.evaluation.report import Report, Summary, summarise
from audiodiff.evaluation.score import Unscored

LOST = Unscored("unpaired", "there is no estimate of this name")


def scored(name: str, value: float) -> FileScore:
    return FileScore(name, dict.fromkeys(METRICS, value))


def test_the_interval_is_the_textbook_one() -> None:
    summary = summarise([1.0, 2.0, 3.0, 4.0])
    assert summary.mean == 2.5
    assert summary.ci95 == pytest.approx(1.96 * math.sqrt(5 / 3) / 2)
    assert summarise([2.0]) == Summary(2.0, None, 1)
    assert summarise([]) == Summary(None, None, 0)


def test_a_reason_never_counts() -> None:
    report = Report((scored("a", 2.0), unscored("b", LOST), scored("c", 4.0)))
    assert report.summary()["pesq_wb"].mean == 3.0
    assert report.summary()["pesq_wb"].count == 2
    assert report.unscored() == [("b", "all", LOST)]


def test_single_metrics_without_a_number_are_named() -> None:
    short = Unscored("short", "less than 384 ms of speech")
    file = FileScore("a", {**dict.fromkeys(METRICS, 1.0), "estoi": short})
    report = Report((file,))
    assert report.unscored() == [("a", "estoi", short)]
    assert report.summary()["estoi"].count == 0
    assert report.summary()["si_sdr_db"].count == 1


def test_the_worst_are_the_lowest_scores_and_the_largest_distances() -> None:
    report = Report((scored("a", 2.0), scored("b", 1.0), scored("c", 3.0), unscored("d", LOST)))
    assert report.worst("pesq_wb", 2) == [("b", 1.0), ("a", 2.0)]
    assert report.worst("lsd_db", 1) == [("c", 3.0)]


def test_differences_are_paired() -> None:
    files = (scored("a", 2.0), scored("b", 1.0), scored("c", 1.5), scored("d", 9.0))
    noisy = (scored("a", 1.0), scored("b", 1.2), scored("c", 1.55), unscored("d", LOST))
    report = Report(files, noisy)
    assert report.gain("pesq_wb").count == 3
    assert report.gain("pesq_wb").mean == pytest.approx((1.0 - 0.2 - 0.05) / 3)
    assert report.noisy_summary()["pesq_wb"].mean == pytest.approx((1.0 + 1.2 + 1.55) / 3)
    assert report.worse_than_noisy() == ["b"]
    assert report.noisy_unscored() == [("d", "all", LOST)]


def test_the_distances_are_those_of_all_clips_together() -> None:
    rng = np.random.default_rng(0)
    points = [Embedded(rng.standard_normal((12, 4)), rng.standard_normal((9, 4)) + 1) for _ in range(2)]
    files = [
        FileScore(name, dict.fromkeys(METRICS, 1.0), (), p) for name, p in zip("ab", points, strict=True)
    ]
    report = Report((*files, unscored("c", LOST)))
    ref, est = np.concatenate([p.ref for p in points]), np.concatenate([p.est for p in points])
    found = report.distances()
    assert found == {"frechet": frechet_distance(ref, est), "kernel": kernel_distance(ref, est)}
    (line,) = (line for line in text_lines(report, 0, None) if line.startswith("Frechet"))
    assert line.split() == ["Frechet", f"{found['frechet']:.3f}", "-", "2", "lower", "is", "better"]
    few = Report((FileScore("a", {}, (), Embedded(ref[:5], est[:5])), unscored("c", LOST)), metrics=())
    assert {s.code for s in few.distances().values() if isinstance(s, Unscored)} == {"few"}
    assert [line for line in text_lines(few, 0, None) if line.startswith("note: no distances between sets")]
