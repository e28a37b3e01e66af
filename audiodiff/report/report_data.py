"""What a report is made of: plain values, so that worker processes can send them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["added", "changed", "disagreement"]


@dataclass(frozen=True)
class Place:
    """A stretch of a recording that somebody should listen to.

    Attributes:
        start_s: First second.
        stop_s: Last second.
        kind: ``added``: the output holds energy that the input does not; ``changed``: what stood out from
            the noise is gone or has another spectrum (the words-changed guard); ``disagreement``: samples of
            the model with other noise differ.
        amount_db: How strong: energy over the input's (``added``), mean change of the bands that stood out
            (``changed``), spread of the samples (``disagreement``).
    """

    start_s: float
    stop_s: float
    kind: Kind
    amount_db: float


@dataclass(frozen=True)
class Disagreement:
    """How far samples of the model differ where something sounds.

    Attributes:
        seeds: Number of samples, at least 2.
        mean_db: Standard deviation of the band levels over the samples, mean over all audible bands; None if
            nothing was audible.
        places: Where it is largest, in order of time from the start of the recording.
    """

    seeds: int
    mean_db: float | None
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class ReportEntry:
    """One recording of a run.

    Attributes:
        source: Input.
        target: Output; it need not exist if the recording failed.
        status: What became of it.
        warnings: Lines for the user.
        error: Why it failed, one line.
        start_s: Second of the input at which the output starts.
        end_s: Second of the input at which the output ends; infinity for its end.
        gain_db: Gain that the output got beside the cleaning (a loudness target); it is taken back before
            input and output are compared.
        disagreement: What `disagree` found, if it was asked for.
        heard: A recording that is compared with the output in place of the input, see `before`.
        aligned: Whether before minus after is what was removed; a vocoder has phases of its own.
    """

    source: Path
    target: Path
    status: Literal["done", "copied", "skipped", "failed"]
    warnings: tuple[str, ...] = ()
    error: str = ""
    start_s: float = 0.0
    end_s: float = math.inf
    gain_db: float = 0.0
    disagreement: Disagreement | None = None
    heard: Path | None = None
    aligned: bool = True


@dataclass(frozen=True)
class ReportRun:
    """What all recordings of a run share.

    Attributes:
        model: Name of the model.
        digest: SHA-256 of its weights, hex; empty if it never was in a folder.
        licence: Licence of the model.
        seed: Seed of the noise.
        options: Names and values as the user gave them.
        started: When the run began.
    """

    model: str
    digest: str
    licence: str
    seed: int
    options: tuple[tuple[str, str], ...]
    started: datetime
