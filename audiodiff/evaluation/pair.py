"""All scores of one pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audiodiff.evaluation.composite import composite
from audiodiff.evaluation.embedding import Points, embed
from audiodiff.evaluation.intelligibility import stoi
from audiodiff.evaluation.metrics import METRICS
from audiodiff.evaluation.pesq import Pesq, mean_of_windows
from audiodiff.evaluation.score import Judge, Score, Unscored, check_pair
from audiodiff.evaluation.waveform import log_spectral_distance, si_sdr
from audiodiff.signal.level import mono_mix

LEAST_S = 0.032


@dataclass(frozen=True)
class Embedded:
    """Points of a pair for the distances of sets.

    Attributes:
        ref: Of the reference ``[P, 48]``.
        est: Of the estimate ``[P, 48]``.
    """

    ref: Points
    est: Points


@dataclass(frozen=True)
class FileScore:
    """The scores of one file.

    Attributes:
        name: Path relative to its folder, without suffix.
        scores: A number or a reason for every metric of a pair, by name.
        notes: What was left out without costing the score, for example windows without speech.
        points: What the file adds to the distances of sets; None where it was not scored.
    """

    name: str
    scores: Mapping[str, Score]
    notes: tuple[str, ...] = ()
    points: Embedded | None = field(default=None, compare=False, repr=False)

    @property
    def reasons(self) -> dict[str, Unscored]:
        """The metrics without a number."""
        return {m: s for m, s in self.scores.items() if isinstance(s, Unscored)}


def unscored(name: str, reason: Unscored, metrics: Sequence[str] = METRICS) -> FileScore:
    """A file for which one reason stands in every column."""
    return FileScore(name, dict.fromkeys(metrics, reason))


def columns(judges: Sequence[Judge]) -> tuple[str, ...]:
    """Names of the metrics that every file has, and of those that judges add."""
    return (*METRICS, *(name for judge in judges for name in judge.names))


def score_pair(
    name: str,
    ref: NDArray[np.floating],
    est: NDArray[np.floating],
    sample_rate: int,
    pesq: Pesq,
    judges: Sequence[Judge] = (),
) -> FileScore:
    """Score one estimate against its reference; channels are averaged first.

    Where the reference's cancel each other, its loudest one is scored alone, and a note tells.

    Args:
        ref: Reference ``[C, T]``.
        est: Estimate ``[C, T]``.
        judges: Each adds its columns.
    """
    metrics = columns(judges)
    if ref.shape[0] != est.shape[0]:
        reason = Unscored("channels", f"{ref.shape[0]} channels in the reference, {est.shape[0]} here")
        return unscored(name, reason, metrics)
    mix = mono_mix([ref])
    r, e = mix.apply(ref)[0], mix.apply(est)[0]
    comparable = not isinstance(check_pair(r, e), Unscored)
    if comparable and r.size < round(LEAST_S * sample_rate):
        # its ratio alone would count as much as that of a whole recording
        return unscored(name, Unscored("short", f"shorter than {1000 * LEAST_S:g} ms"), metrics)
    wide = pesq.windows(r, e, sample_rate, "wb")
    pesq_wb = mean_of_windows(wide)
    ratings = composite(r, e, sample_rate, pesq_wb)
    scores: dict[str, Score] = {
        "pesq_wb": pesq_wb,
        "pesq_nb": pesq.score(r, e, sample_rate, "nb"),
        "estoi": stoi(r, e, sample_rate),
        "si_sdr_db": si_sdr(r, e),
        "lsd_db": log_spectral_distance(r, e, sample_rate),
        "csig": ratings.csig,
        "cbak": ratings.cbak,
        "covl": ratings.covl,
    }
    for judge in judges:
        scores |= judge.score(e, sample_rate)
    notes = [mix.note] if mix.note else []
    if not isinstance(pesq_wb, Unscored):
        notes += [f"PESQ: {w.text}" for w in wide if isinstance(w, Unscored)]
    points = Embedded(embed(r, sample_rate), embed(e, sample_rate)) if comparable else None
    return FileScore(name, scores, tuple(notes), points)
