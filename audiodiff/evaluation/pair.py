"""All scores of one pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audiodiff.evaluation.intelligibility import stoi
from audiodiff.evaluation.pesq import Pesq, mean_of_windows
from audiodiff.evaluation.score import Score, Unscored, check_pair
from audiodiff.evaluation.waveform import log_spectral_distance, si_sdr
from audiodiff.signal.level import mono_mix

LEAST_S = 0.032
METRICS = ("pesq_wb", "pesq_nb", "estoi", "si_sdr_db", "lsd_db")
"""The columns of every table; in all but the last, more is better."""


@dataclass(frozen=True)
class FileScore:
    """The scores of one file.

    Attributes:
        name: Path relative to its folder, without suffix.
        scores: A number or a reason for every name in `METRICS`.
        notes: What was left out without costing the score, for example windows without speech.
    """

    name: str
    scores: Mapping[str, Score]
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> dict[str, Unscored]:
        """The metrics without a number."""
        return {m: s for m, s in self.scores.items() if isinstance(s, Unscored)}


def unscored(name: str, reason: Unscored) -> FileScore:
    """A file for which one reason stands in every column."""
    return FileScore(name, dict.fromkeys(METRICS, reason))


def score_pair(
    name: str, ref: NDArray[np.floating], est: NDArray[np.floating], sample_rate: int, pesq: Pesq
) -> FileScore:
    """Score one estimate against its reference; channels are averaged first.

    Where the reference's cancel each other, its loudest one is scored alone, and a note tells.

    Args:
        ref: Reference ``[C, T]``.
        est: Estimate ``[C, T]``.
    """
    if ref.shape[0] != est.shape[0]:
        return unscored(
            name, Unscored("channels", f"{ref.shape[0]} channels in the reference, {est.shape[0]} here")
        )
    mix = mono_mix([ref])
    r, e = mix.apply(ref)[0], mix.apply(est)[0]
    if not isinstance(check_pair(r, e), Unscored) and r.size < round(LEAST_S * sample_rate):
        # its ratio alone would count as much as that of a whole recording
        return unscored(name, Unscored("short", f"shorter than {1000 * LEAST_S:g} ms"))
    wide = pesq.windows(r, e, sample_rate, "wb")
    scores: dict[str, Score] = {
        "pesq_wb": mean_of_windows(wide),
        "pesq_nb": pesq.score(r, e, sample_rate, "nb"),
        "estoi": stoi(r, e, sample_rate),
        "si_sdr_db": si_sdr(r, e),
        "lsd_db": log_spectral_distance(r, e, sample_rate),
    }
    scored = not isinstance(scores["pesq_wb"], Unscored)
    notes = tuple(f"PESQ: {w.text}" for w in wide if scored and isinstance(w, Unscored))
    return FileScore(name, scores, (mix.note, *notes) if mix.note else notes)
