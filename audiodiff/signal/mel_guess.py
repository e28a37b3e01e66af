"""Which convention a bare mel array follows, judged by its shape and its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from audiodiff.errors import ShapeError
from audiodiff.signal.mel import analysis_window, filterbank, from_linear_mel, to_linear_mel
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_presets import PRESETS

_FRAMES = 4000
# Speech at usual levels: its loudest bands and its median, in dB of a full-scale sine, with their spread.
# Measured over 6 clips of two corpora; every convention gives nearly the same numbers when read as itself.
_LOUD_DB, _LOUD_SPREAD = -20.0, 8.0
_MEDIAN_DB, _MEDIAN_SPREAD = -68.0, 12.0
_TOUCHES, _TILT, _BEYOND, _RANK = 3.0, 1.0, 30.0, 0.02
_HOPELESS = -15.0
# No convention in ln goes below ln(1e-11); decibels of speech do.
_LEAST_LN, _STANDARD = -26.0, 0.005
_DECIBELS = "the ln of magnitude is decibels * ln(10) / 20, with the level that was taken off added again"


_LOUDEST = 1e12  # of a linear mel: speech at full scale lies below 1e6, also in power


@dataclass(frozen=True)
class Guess:
    """A convention that a bare array may follow.

    Attributes:
        preset: Its name in `PRESETS`.
        orientation: ``bands_first`` for [M, N], ``frames_first`` for [N, M].
        confidence: Share of this guess among all, 0..1. Conventions that give nearly the same numbers share.
        why: One line with the evidence.
    """

    preset: str
    orientation: str
    confidence: float
    why: str


def guess(values: npt.NDArray[np.floating], either_way: bool = True) -> list[Guess]:
    """Rank the conventions that an array may follow.

    The evidence is the number of bands, whether the smallest value is the convention's floor, whether values
    lie outside its range, and how loud the array would be as speech. Conventions that differ in window,
    framing or band edges alone cannot be told apart and share the confidence.

    Args:
        values: Finite numbers, [M, N] or [N, M].
        either_way: False if it is known to be [M, N].

    Returns:
        Guesses, the best first; empty if no convention is plausible.

    Raises:
        ShapeError: If the array has not two axes or is empty.
    """
    if values.ndim != 2 or not values.size:
        raise ShapeError(f"expected a mel [bands, frames], got an array of shape {list(values.shape)}")
    array = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    judged = sorted(_judged(array, either_way), key=lambda item: -item[0])
    plausible = [item for item in judged if item[0] > _HOPELESS]
    total = sum(math.exp(score - plausible[0][0]) for score, *_ in plausible)
    return [
        Guess(name, orientation, math.exp(score - plausible[0][0]) / total, why)
        for score, name, orientation, why in plausible
    ]


def looks_like(values: npt.NDArray[np.floating]) -> str:
    """What an array may be that is no log mel of a known convention, and what to do; empty if nothing shows.

    Args:
        values: Finite numbers, [M, N] or [N, M].
    """
    low, high = float(values.min()), float(values.max())
    if low >= 0 and 20 < high <= 255 and bool((values == np.round(values)).all()):
        return "it looks like an 8-bit picture of a mel; compute the mel itself from the recording"
    if low < _LEAST_LN and high < 1:
        return f"it looks like decibels below the loudest cell; {_DECIBELS}"
    if low >= 0 and 20 < high <= 200:
        return f"it looks like decibels counted upwards; {_DECIBELS}, less what was added"
    if low >= 0 and high > 200:
        return "it looks like linear magnitude or power; take the logarithm that the convention asks for"
    if abs(float(values.mean())) < _STANDARD and abs(float(values.std()) - 1) < _STANDARD:
        return "it looks standardised (mean 0, deviation 1); multiply by the deviation and add the mean again"
    return ""


def conventions_of(values: npt.NDArray[np.floating]) -> list[str]:
    """Names of the conventions that have as many bands as an array has rows or columns."""
    names = {
        spec.fingerprint: name for name, spec in reversed(PRESETS.items()) if spec.n_mels in values.shape
    }
    return list(names.values())[::-1]


def too_loud(values: Tensor, spec: MelSpec) -> bool:
    """Whether numbers, read by a convention, are louder than any sound: they are of another scale.

    Args:
        values: Finite numbers [M, N], N at least 1.
    """
    loudest = torch.full((spec.n_mels, 1), float(values.max()), dtype=torch.float64)
    return not float(to_linear_mel(loudest, spec).max()) < _LOUDEST


def _judged(array: Tensor, either_way: bool) -> Iterator[tuple[float, str, str, str]]:
    """Score, preset, orientation and reason of everything whose number of bands fits."""
    seen: set[str] = set()
    for name, spec in PRESETS.items():
        if spec.fingerprint in seen:
            continue
        ways = (("bands_first", array), ("frames_first", array.T))
        for orientation, mel in ways if either_way else ways[:1]:
            if mel.shape[0] == spec.n_mels:
                score, why = _judge(mel, spec)
                yield score - _RANK * len(seen), name, orientation, why
        seen.add(spec.fingerprint)


def _judge(mel: Tensor, spec: MelSpec) -> tuple[float, str]:
    """How well [M, N] fits a convention, as a log-likelihood up to a constant, and why."""
    mel = mel[:, :: max(1, -(-mel.shape[1] // _FRAMES))]
    why = [f"{spec.n_mels} bands"]
    score, reason = _range_evidence(mel, spec)
    why += reason
    level = _level_db(mel, spec)
    loud, median = float(level.quantile(0.999)), float(level.median())
    score -= ((loud - _LOUD_DB) / _LOUD_SPREAD) ** 2 / 2 + ((median - _MEDIAN_DB) / _MEDIAN_SPREAD) ** 2 / 2
    why.append(f"as speech its loudest bands would lie at {loud:.0f} dB, its median at {median:.0f} dB")
    third = spec.n_mels // 3
    if level[:third].mean() > level[-third:].mean():
        score += _TILT
    return score, "; ".join(why)


def _range_evidence(mel: Tensor, spec: MelSpec) -> tuple[float, list[str]]:
    """Does the smallest value lie on the floor, and does anything lie beyond floor or cut?"""
    floor = float(from_linear_mel(torch.zeros(spec.n_mels, 1, dtype=mel.dtype), spec)[0, 0])
    step = 0.02 * abs(floor - spec.mean / spec.std) / 10  # a fraction of what the logarithm spans
    smallest = float(mel.min())
    beyond = float((mel < floor - 10 * step).double().mean())
    why = []
    score = 0.0
    if abs(smallest - floor) < step:
        score += _TOUCHES
        why.append(f"the smallest value {smallest:.4g} is its floor")
    elif beyond:
        why.append(f"{100 * beyond:.1f} % of the values lie under its floor {floor:.4g}")
    else:
        why.append(f"the smallest value {smallest:.4g} is above its floor {floor:.4g}")
    if spec.high is not None:
        over = float((mel > spec.high + 0.02 * abs(spec.high)).double().mean())
        why += [f"{100 * over:.1f} % lie above its upper cut {spec.high:g}"] * (over > 0)
        beyond += over
    return score - _BEYOND * min(1.0, 10 * beyond), why


def _level_db(mel: Tensor, spec: MelSpec) -> Tensor:
    """Level of each cell in dB: 0 where every bin of the band holds a full-scale sine."""
    weight = filterbank(spec).double().sum(dim=1, keepdim=True).clamp_min(1e-9)
    size = (to_linear_mel(mel, spec) / weight) ** (1 / spec.power) / (float(analysis_window(spec).sum()) / 2)
    return 20 * torch.log10(size.clamp(1e-15, 1e15))
