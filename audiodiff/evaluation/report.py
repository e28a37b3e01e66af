"""Means, intervals and worst files of many scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiodiff.evaluation.distances import frechet_distance, kernel_distance
from audiodiff.evaluation.metrics import BY_NAME, METRICS
from audiodiff.evaluation.pair import FileScore
from audiodiff.evaluation.score import Score, Unscored

WORSE_BY = 0.1
"""PESQ-WB by which a file must lose against its noisy original to be listed."""


@dataclass(frozen=True)
class Summary:
    """A mean with its uncertainty.

    Attributes:
        mean: Over the files that have a number; None if there are none.
        ci95: Half width of the 95 % interval, 1.96 s / sqrt(n); None below two files.
        count: Number of files behind the mean.
    """

    mean: float | None
    ci95: float | None
    count: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean and 95 % interval (normal approximation, sample standard deviation)."""
    n = len(values)
    if n == 0:
        return Summary(None, None, 0)
    ci95 = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else None
    return Summary(float(np.mean(values)), ci95, n)


@dataclass(frozen=True)
class Report:
    """The scores of a folder, and of the noisy originals where those were given.

    Attributes:
        files: One entry for every reference or estimate, in order of names.
        noisy: Scores of the noisy originals under the same names, or empty.
        metrics: Names of the scores that every file has.
    """

    files: tuple[FileScore, ...]
    noisy: tuple[FileScore, ...] = ()
    metrics: tuple[str, ...] = METRICS

    def summary(self) -> dict[str, Summary]:
        """Per metric, over the files that have a number."""
        return {m: summarise(list(_numbers(self.files, m).values())) for m in self.metrics}

    def noisy_summary(self) -> dict[str, Summary]:
        """Per metric, over the noisy originals of the files that have a number."""
        return {m: summarise([noisy for _, noisy in self._both(m).values()]) for m in self.metrics}

    def differences(self, metric: str) -> dict[str, float]:
        """Estimate minus noisy, for the files with both numbers."""
        return {name: est - noisy for name, (est, noisy) in self._both(metric).items()}

    def gain(self, metric: str) -> Summary:
        """Mean paired difference to the noisy originals."""
        return summarise(list(self.differences(metric).values()))

    def worse_than_noisy(self, margin: float = WORSE_BY) -> list[str]:
        """Files whose PESQ-WB is more than `margin` below that of the noisy original, worst first."""
        lost = {name: d for name, d in self.differences("pesq_wb").items() if d < -margin}
        return sorted(lost, key=lambda name: (lost[name], name))

    def worst(self, metric: str, n: int) -> list[tuple[str, float]]:
        """The `n` files with the worst number, worst first."""
        gain = BY_NAME[metric].gain
        return sorted(_numbers(self.files, metric).items(), key=lambda item: (gain(item[1]), item[0]))[:n]

    def numbers(self, metric: str) -> dict[str, float]:
        """The score of every file that has one, by name."""
        return _numbers(self.files, metric)

    def distances(self) -> dict[str, Score]:
        """How far the estimates as a set lie from their references: `frechet` and `kernel`."""
        return _distances(self.files)

    def noisy_distances(self) -> dict[str, Score]:
        """The same for the noisy originals."""
        return _distances(self.noisy)

    def unscored(self) -> list[tuple[str, str, Unscored]]:
        """(file, metric, reason) for every number that is missing; one metric "all" where all agree."""
        return _missing(self.files)

    def noisy_unscored(self) -> list[tuple[str, str, Unscored]]:
        """The same for the noisy originals: these files have no part in the differences."""
        return _missing(self.noisy)

    def _both(self, metric: str) -> dict[str, tuple[float, float]]:
        noisy = _numbers(self.noisy, metric)
        return {n: (v, noisy[n]) for n, v in _numbers(self.files, metric).items() if n in noisy}


def _distances(files: Sequence[FileScore]) -> dict[str, Score]:
    points = [file.points for file in files if file.points is not None]
    if not points:
        none = Unscored("few", "no file was scored")
        return {"frechet": none, "kernel": none}
    ref, est = np.concatenate([p.ref for p in points]), np.concatenate([p.est for p in points])
    return {"frechet": frechet_distance(ref, est), "kernel": kernel_distance(ref, est)}


def _numbers(files: Sequence[FileScore], metric: str) -> dict[str, float]:
    scores = {file.name: file.scores[metric] for file in files}
    return {name: score for name, score in scores.items() if not isinstance(score, Unscored)}


def _missing(files: Sequence[FileScore]) -> list[tuple[str, str, Unscored]]:
    rows: list[tuple[str, str, Unscored]] = []
    for file in files:
        reasons = file.reasons
        if len(reasons) == len(file.scores) and len(set(reasons.values())) == 1:
            rows.append((file.name, "all", next(iter(reasons.values()))))
        else:
            rows.extend((file.name, metric, reason) for metric, reason in reasons.items())
    return rows
