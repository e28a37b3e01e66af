"""The stretches of a recording that can be heard in a report, and their sound in a browser's formats."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from audiodiff.io.formats import RATES
from audiodiff.report.findings import weight
from audiodiff.report.measure import pairs
from audiodiff.report.report_data import Place, ReportEntry
from audiodiff.signal.level import mix_to_mono
from audiodiff.signal.resample import resample
from audiodiff.signal.types import Samples

LONGEST_S = 60.0
"""So much of one recording is embedded at most."""

MOST_GAIN_DB = 12.0
"""For equal loudness nothing is turned down by more: what is nearly silent would silence the other too."""

_MOST, _SHORTEST_S = 3, 8.0
_FLAC_MAX_RATE = 96_000


@dataclass(frozen=True)
class Window:
    """A stretch of an output, in seconds."""

    start_s: float
    stop_s: float


@dataclass(frozen=True)
class Excerpt:
    """The samples of a stretch.

    Attributes:
        window: Where it lies.
        before: Input [C, T], C at most 2.
        after: Output [C, T].
        sample_rate: Hz.
    """

    window: Window
    before: Samples
    after: Samples
    sample_rate: int


@dataclass(frozen=True)
class Match:
    """Gains that make two versions equally loud; the louder one is turned down, so nothing clips.

    Attributes:
        before_db: Gain of the input, 0 or less.
        after_db: Gain of the output, 0 or less.
        left_db: How much louder one still is, since no gain is beyond `MOST_GAIN_DB`.
    """

    before_db: float = 0.0
    after_db: float = 0.0
    left_db: float = 0.0


def choose(seconds: float, places: Sequence[Place], most_s: float = LONGEST_S) -> tuple[Window, ...]:
    """Which stretches of a recording to embed."""
    if seconds <= most_s:
        return (Window(0.0, seconds),)
    count = max(1, min(_MOST, int(most_s // _SHORTEST_S)))
    length = most_s / count
    ranked = sorted(places, key=weight, reverse=True)
    centres = [(place.start_s + place.stop_s) / 2 for place in ranked]
    centres += [seconds * (i + 0.5) / count for i in range(count)]
    chosen: list[Window] = []
    for centre in centres:
        if len(chosen) < count and not any(w.start_s <= centre <= w.stop_s for w in chosen):
            start = min(max(0.0, centre - length / 2), seconds - length)
            chosen.append(Window(start, start + length))
    merged: list[Window] = []
    for window in sorted(chosen, key=lambda w: w.start_s):
        if merged and window.start_s < merged[-1].stop_s:
            merged[-1] = Window(merged[-1].start_s, window.stop_s)
        else:
            merged.append(window)
    return tuple(merged)


def gather(entry: ReportEntry, windows: Sequence[Window], sample_rate: int) -> list[Excerpt]:
    """Read the stretches, forward and in one pass."""
    bounds = [(round(w.start_s * sample_rate), round(w.stop_s * sample_rate)) for w in windows]
    found: list[list[tuple[Samples, Samples]]] = [[] for _ in windows]
    position = 0
    for before, after in pairs(entry):
        stop = position + before.shape[1]
        for (first, last), parts in zip(bounds, found, strict=True):
            cut = slice(max(0, first - position), max(0, last - position))
            if first < stop and last > position:
                parts.append((few(before[:, cut]), few(after[:, cut])))
        position = stop
        if position >= bounds[-1][1]:
            break
    return [
        Excerpt(
            window,
            np.concatenate([before for before, _ in parts], axis=1),
            np.concatenate([after for _, after in parts], axis=1),
            sample_rate,
        )
        for window, parts in zip(windows, found, strict=True)
        if parts
    ]


def matching(before_db: float | None, after_db: float | None) -> Match | None:
    """What makes two active levels equal; None where one version is silent."""
    if before_db is None or after_db is None:
        return None
    distance = after_db - before_db
    gain = max(-abs(distance), -MOST_GAIN_DB)
    left = abs(distance) + gain
    return Match(before_db=gain, left_db=left) if distance < 0 else Match(after_db=gain, left_db=left)


def encoded(samples: Samples, sample_rate: int, lossless: bool) -> tuple[str, bytes]:
    """Sound that browsers play."""
    rate = min(sample_rate, _FLAC_MAX_RATE)
    if not lossless:
        rate = next((known for known in RATES["OPUS"] if known >= sample_rate), RATES["OPUS"][-1])
    if rate != sample_rate:
        n_samples = round(samples.shape[1] * rate / sample_rate)
        samples = resample(samples.astype(np.float32), sample_rate, rate, n_samples)
    stream = io.BytesIO()
    container, subtype = ("FLAC", "PCM_16") if lossless else ("OGG", "OPUS")
    soundfile.write(stream, samples.T.clip(-1, 1), rate, subtype, format=container)
    return ("audio/flac" if lossless else "audio/ogg; codecs=opus"), stream.getvalue()


def few(samples: Samples) -> Samples:
    """At most two channels: more are mixed to one."""
    return samples if samples.shape[0] <= 2 else mix_to_mono(samples)
