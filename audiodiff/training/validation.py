"""How good the model is by now: dev mixtures through the same task code that users run.

Letters: T samples, F bins, N frames.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from audiodiff.evaluation.intelligibility import stoi
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.evaluation.waveform import si_sdr
from audiodiff.signal.frames import frame_power
from audiodiff.signal.types import Audio

BAND_EDGES_HZ = (0, 500, 1000, 2000, 4000, 8000, 16000, 24000)
ACTIVE_DB = -30.0  # speech is active in a band's frame within this of the band's loudest frame
FLOOR_DB = -60.0  # power under this, relative to the clip's loudest band and frame, counts as this much
FRAME_S = 0.032


class DevItem(Protocol):
    """An item of a validation: input and truth [T], the truth's band, and what it is scored together with.

    The scores of ``noisy`` are what the model's are compared with. A vocoder of waveforms hears the truth's
    mel instead, and ``noisy`` is the inversion of that.
    """

    @property
    def noisy(self) -> Audio: ...  # noqa: D102  documented in the class
    @property
    def clean(self) -> Audio: ...  # noqa: D102
    @property
    def bandwidth_hz(self) -> int: ...  # noqa: D102
    @property
    def part(self) -> str: ...  # noqa: D102


Item = TypeVar("Item", bound=DevItem)


@dataclass(frozen=True)
class BandErrors:
    """Per band of `BAND_EDGES_HZ`, dB; None where no item has anything there.

    Attributes:
        bias_db: Mean of estimate over truth where speech is active; negative is over-suppression.
        spread_db: Standard deviation of the same.
        excess_db: Mean of estimate over truth where speech is not active, both above the floor.
    """

    bias_db: tuple[float | None, ...]
    spread_db: tuple[float | None, ...]
    excess_db: tuple[float | None, ...]


def band_levels(wave: NDArray[np.floating[Any]], sample_rate: int) -> NDArray[np.float64]:
    """Power in the bands of `BAND_EDGES_HZ`: ``[T] -> [bands, N]`` (frames of 32 ms every 16 ms)."""
    n_fft = round(FRAME_S * sample_rate)
    power = frame_power(wave.astype(np.float64), n_fft, n_fft // 2)
    frequency = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    return np.stack(
        [
            power[:, (frequency >= low) & (frequency < high)].sum(axis=1)
            for low, high in pairwise(BAND_EDGES_HZ)
        ]
    )


def band_errors(pairs: Iterable[tuple[Audio, Audio, float]], sample_rate: int) -> BandErrors:
    """How the magnitude errs, per band, where speech is active and where it is not."""
    n_bands = len(BAND_EDGES_HZ) - 1
    active: list[list[NDArray[np.float64]]] = [[] for _ in range(n_bands)]
    idle: list[list[NDArray[np.float64]]] = [[] for _ in range(n_bands)]
    for estimate, truth, bandwidth_hz in pairs:
        found, wanted = band_levels(estimate, sample_rate), band_levels(truth, sample_rate)
        floor = max(wanted.max() * 10 ** (FLOOR_DB / 10), 1e-12)
        error_db = 10 * np.log10((found + floor) / (wanted + floor))
        for band in range(n_bands):
            if BAND_EDGES_HZ[band + 1] > min(bandwidth_hz, sample_rate / 2):
                continue
            loud = wanted[band] > max(wanted[band].max() * 10 ** (ACTIVE_DB / 10), floor)
            active[band].append(error_db[band][loud])
            idle[band].append(error_db[band][~loud])
    return BandErrors(_pooled(active, np.mean), _pooled(active, np.std), _pooled(idle, np.mean))


def _pooled(
    groups: list[list[NDArray[np.float64]]], statistic: Callable[[NDArray[np.float64]], np.floating[Any]]
) -> tuple[float | None, ...]:
    """A statistic of each band's values, None where there are none."""
    joined = [np.concatenate(group) if group else np.zeros(0) for group in groups]
    return tuple(float(statistic(values)) if values.size else None for values in joined)


def missing_scores() -> list[str]:
    """The scores that cannot be computed here, because the extra ``eval`` is not installed."""
    needs = {"pesq_wb": "pesq", "estoi": "pystoi"}
    return [score for score, package in needs.items() if importlib.util.find_spec(package) is None]


def score(items: Sequence[DevItem], outputs: list[Audio], sample_rate: int) -> tuple[dict[str, Any], int]:
    """Mean scores of some outputs for the items."""
    missing = missing_scores()
    with ExitStack() as stack:
        pesq = None if "pesq_wb" in missing else stack.enter_context(Pesq())
        pairs = zip(items, outputs, strict=True)
        scores = [_scores(item.clean, out, sample_rate, pesq, "estoi" not in missing) for item, out in pairs]
    means, unscored = _means(scores)
    parts: dict[str, list[dict[str, Score]]] = {}
    for item, of_item in zip(items, scores, strict=True):
        parts.setdefault(item.part, []).append(of_item)
    return means | {"parts": {part: _means(of_part)[0] for part, of_part in parts.items()}}, unscored


def validate(items: Sequence[Item], make: Callable[[Item], Audio], sample_rate: int) -> dict[str, Any]:
    """Run the model on dev items and score what it makes."""
    estimates = [make(item) for item in items]
    means, unscored = score(items, estimates, sample_rate)
    triples = [(out, item.clean, item.bandwidth_hz) for out, item in zip(estimates, items, strict=True)]
    return {"n": len(items), "unscored": unscored, **means, **vars(band_errors(triples, sample_rate))}


def _scores(
    clean: Audio, out: Audio, sample_rate: int, pesq: Pesq | None, with_estoi: bool
) -> dict[str, Score]:
    scores: dict[str, Score] = {"si_sdr": si_sdr(clean, out)}
    if pesq is not None:
        scores["pesq_wb"] = pesq.score(clean, out, sample_rate)
    if with_estoi:
        scores["estoi"] = stoi(clean, out, sample_rate)
    return scores


def _means(scores: list[dict[str, Score]]) -> tuple[dict[str, float], int]:
    """Mean of each score over the items that have it, and how many have none."""
    means: dict[str, float] = {}
    unscored = 0
    for name in scores[0]:
        values = [score[name] for score in scores]
        numbers = [value for value in values if not isinstance(value, Unscored)]
        unscored += len(values) - len(numbers)
        if numbers:
            means[name] = float(np.mean(numbers))
    return means, unscored
