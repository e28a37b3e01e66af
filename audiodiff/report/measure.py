"""One pass over a recording and what became of it: levels, noise floors, places to review; in flat memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from audiodiff.batch.flags import Flag
from audiodiff.io.av_library import is_media
from audiodiff.io.av_tracks import lead
from audiodiff.io.reader import probe, read_blocks
from audiodiff.report import findings, flags
from audiodiff.report.report_data import Place, ReportEntry
from audiodiff.report.spectra import SILENCE_DB, Framer, Grid, decibels
from audiodiff.report.tones import ToneMeter
from audiodiff.signal.clipping import ClipMeter
from audiodiff.signal.level import LevelMeter
from audiodiff.signal.types import Samples

_POINTS = 200
_FLOOR_SHARE = 0.1


@dataclass(frozen=True)
class Levels:
    """Levels of one version of a recording, dBFS.

    Attributes:
        active_db: Gated level of what sounds (see `LevelMeter`), None if nothing does.
        peak_db: Largest sample.
        floor_db: What one frame in ten stays below.
    """

    active_db: float | None
    peak_db: float
    floor_db: float


@dataclass(frozen=True)
class Survey:
    """What a pass over input and output found.

    Attributes:
        sample_rate: Hz.
        channels: Number of channels.
        seconds: Length that both have.
        before: Levels of the input.
        after: Levels of the output.
        removed: Levels of input - output.
        step_s: Distance of two points of the curves.
        curves: Level over time of input and output, dBFS [2, points].
        places: What to review, in order of time.
        left_out: How many lesser places are not listed.
        flags: What concerns the whole recording, the gravest first.
        length_difference_s: Output minus input, seconds; 0 for every whole output.
    """

    sample_rate: int
    channels: int
    seconds: float
    before: Levels
    after: Levels
    removed: Levels
    step_s: float
    curves: Grid
    places: tuple[Place, ...]
    left_out: int
    flags: tuple[Flag, ...]
    length_difference_s: float

    @property
    def worth(self) -> tuple[int, float]:
        """How much the recording wants somebody's ears: its flags, then the weight of its places."""
        return len(self.flags), sum(findings.weight(place) for place in self.places)


def pairs(entry: ReportEntry) -> Iterator[tuple[Samples, Samples]]:
    """The samples of input and output side by side, forward and block by block."""
    gain = np.float32(10 ** (-entry.gain_db / 20))
    with read_blocks(entry.heard or entry.source) as before, read_blocks(entry.target) as after:
        skip = round(entry.start_s * before.info.sample_rate)
        waiting = np.zeros((before.info.channels, 0), dtype=np.float32)
        for block in _without(after, _early(entry)):
            while waiting.shape[1] < block.shape[1]:
                more = next(before, None)
                if more is None:
                    break
                dropped = min(skip, more.shape[1])
                skip -= dropped
                waiting = np.concatenate([waiting, more[:, dropped:]], axis=1)
            n = min(waiting.shape[1], block.shape[1])
            if n == 0:
                return
            yield waiting[:, :n], block[:, :n] * gain
            waiting = waiting[:, n:]


def _early(entry: ReportEntry) -> int:
    """Samples by which an output begins before its recording: the priming of a codec, as in `residual`."""
    if entry.heard or not (is_media(entry.source) and is_media(entry.target)):
        return 0
    # The clock of a stretch begins anew and tells nothing, but a stretch is not longer than the whole.
    longer = probe(entry.target).n_samples > probe(entry.source).n_samples
    return lead(entry.source, entry.target) if longer else 0


def _without(blocks: Iterable[Samples], n: int) -> Iterator[Samples]:
    """All but the first n samples."""
    for block in blocks:
        if n < block.shape[1]:
            yield block[:, n:]
        n = max(0, n - block.shape[1])


def survey(entry: ReportEntry) -> Survey:
    """Measure a recording and its output."""
    info = probe(entry.target)
    found = _Pass(info.sample_rate)
    for x, y in pairs(entry):
        found.push(x, y)
    found.flush()
    seconds = found.n_samples / info.sample_rate
    before, after, removed = found.levels()
    found.shortlist.add(_disagreements(entry, seconds))
    return Survey(
        sample_rate=info.sample_rate,
        channels=info.channels,
        seconds=seconds,
        before=before,
        after=after,
        removed=removed,
        step_s=found.curves.merged * found.hop_s,
        curves=found.curves.levels(),
        places=found.shortlist.places(),
        left_out=found.shortlist.left_out,
        flags=flags.judge(found.facts(_expected(entry)), entry.aligned),
        length_difference_s=(info.n_samples - _early(entry)) / info.sample_rate - seconds
        if info.n_samples
        else 0.0,
    )


def _disagreements(entry: ReportEntry, seconds: float) -> Iterator[Place]:
    """Where samples of the model differ, counted from the start of the output."""
    for place in entry.disagreement.places if entry.disagreement is not None else ():
        start_s, stop_s = place.start_s - entry.start_s, place.stop_s - entry.start_s
        if 0 <= start_s < seconds:
            yield dataclasses.replace(place, start_s=start_s, stop_s=stop_s)


def _expected(entry: ReportEntry) -> float:
    """Seconds that the output should have by the header of what it is compared with; 0 if that is unknown."""
    announced = probe(entry.heard or entry.source).seconds
    return max(0.0, min(announced, entry.end_s) - entry.start_s)


class _Pass:
    """All that is measured on the way through input and output."""

    def __init__(self, sample_rate: int) -> None:
        self.n_samples = 0
        self.curves = _Curves()
        self._sample_rate = sample_rate
        self._framers = [Framer(sample_rate) for _ in range(3)]
        self._meters = [_Meter(sample_rate) for _ in range(3)]
        self._reviewer = _Reviewer(sample_rate)
        self._clips, self._tones = ClipMeter(), ToneMeter(self._framers[0].bin_hz, self.hop_s)

    @property
    def hop_s(self) -> float:
        """Seconds between two frames."""
        return self._framers[0].hop_s

    @property
    def shortlist(self) -> findings.Shortlist:
        """Places to review."""
        return self._reviewer.shortlist

    def push(self, x: Samples, y: Samples) -> None:
        """Add samples of input and output, equally many."""
        versions = (x, y, x - y)
        self.n_samples += x.shape[1]
        spectra = [framer.spectra(z) for framer, z in zip(self._framers, versions, strict=True)]
        frames = [framer.bands(power) for framer, power in zip(self._framers, spectra, strict=True)]
        self._clips.push(x)
        self._tones.push(spectra[0])
        for meter, z, bands in zip(self._meters, versions, frames, strict=True):
            meter.push(z, bands)
        self.curves.push(frames[0], frames[1])
        self._reviewer.push(frames[0], frames[1])

    def flush(self) -> None:
        """Add the last frames, which reach beyond the end."""
        frames = [framer.flush() for framer in self._framers]
        for meter, bands in zip(self._meters, frames, strict=True):
            meter.push(None, bands)
        if self.curves.empty:  # else the zeros after the end would look like a fall
            self.curves.push(frames[0], frames[1])
        self._reviewer.push(frames[0], frames[1])
        self._reviewer.flush()

    def levels(self) -> tuple[Levels, Levels, Levels]:
        """Of input, output and what was removed."""
        before, after, removed = (meter.levels() for meter in self._meters)
        return before, after, removed

    def facts(self, expected_s: float) -> flags.Facts:
        """What the flags are judged by, for an output that should have so many seconds."""
        before, after, removed = self.levels()
        stands_out_s, fall_db = self._reviewer.speech()
        return flags.Facts(
            seconds=self.n_samples / self._sample_rate,
            expected_s=expected_s,
            before_db=before.active_db,
            after_db=after.active_db,
            removed_db=removed.active_db,
            stands_out_s=stands_out_s,
            fall_db=fall_db,
            clipped_runs=self._clips.runs,
            music_s=self._tones.music_s(),
        )


class _Meter:
    """Levels of one stream; the noise floor comes from a histogram of half decibels."""

    def __init__(self, sample_rate: int) -> None:
        self._active = LevelMeter(sample_rate)
        self._peak = 0.0
        self._counts = np.zeros(round(-2 * SILENCE_DB) + 40, dtype=np.int64)

    def push(self, samples: Samples | None, bands: Grid) -> None:
        if samples is not None:
            self._active.push(samples.astype(np.float32, copy=False))
            self._peak = max(self._peak, float(np.abs(samples).max()))
        cells = (2 * (decibels(bands.sum(axis=1)) - SILENCE_DB)).astype(np.int64)
        self._counts += np.bincount(cells.clip(max=len(self._counts) - 1), minlength=len(self._counts))

    def levels(self) -> Levels:
        reached = np.cumsum(self._counts) >= _FLOOR_SHARE * self._counts.sum()
        peak_db = 20 * math.log10(self._peak) if self._peak > 0 else SILENCE_DB
        # -3.01: the frames count from a sine of full scale, dBFS here from the power of a full square
        floor = SILENCE_DB + 0.5 * int(np.argmax(reached)) - (3.01 if np.argmax(reached) else 0.0)
        return Levels(self._active.active_db(), max(peak_db, SILENCE_DB), floor)


class _Curves:
    """Level over time in at most `2 * _POINTS` points: when there are more, neighbours are averaged."""

    def __init__(self) -> None:
        self.merged = 1
        self._power = np.zeros((2, 0))
        self._rest = np.zeros((2, 0))

    @property
    def empty(self) -> bool:
        """Whether there is no frame yet."""
        return not (self._power.shape[1] or self._rest.shape[1])

    def push(self, before: Grid, after: Grid) -> None:
        new = np.stack([before.sum(axis=1), after.sum(axis=1)]).astype(np.float64)
        x = np.concatenate([self._rest, new], axis=1)
        whole = x.shape[1] // self.merged * self.merged
        points = x[:, :whole].reshape(2, -1, self.merged).mean(axis=2)
        self._rest = x[:, whole:]
        self._power = np.concatenate([self._power, points], axis=1)
        while self._power.shape[1] > 2 * _POINTS:
            even = self._power.shape[1] // 2 * 2
            # a point without its neighbour goes back to the frames that wait
            odd = np.repeat(self._power[:, even:], self.merged, axis=1)
            self._rest = np.concatenate([odd, self._rest], axis=1)
            self._power = self._power[:, :even].reshape(2, -1, 2).mean(axis=2)
            self.merged *= 2

    def levels(self) -> Grid:
        """[2, points] in dB."""
        parts = [self._power]
        if self._rest.shape[1]:
            parts.append(self._rest.mean(axis=1, keepdims=True))
        return decibels(np.concatenate(parts, axis=1))


class _Reviewer:
    """Judges the frames of a minute at a time."""

    def __init__(self, sample_rate: int) -> None:
        framer = Framer(sample_rate)
        self._hop_s, self._first_s = framer.hop_s, framer.first_s
        self._full = round(findings.WINDOW_S / framer.hop_s)
        self._waiting: tuple[list[Grid], list[Grid]] = ([], [])
        self._n_waiting = self._n_done = 0
        self._floor: Grid | None = None
        low, high = flags.SPEECH_HZ
        self._speech = (framer.centres_hz >= low) & (framer.centres_hz <= high)
        self._fall_db, self._n_fallen = 0.0, 0
        self.shortlist = findings.Shortlist()

    def push(self, before: Grid, after: Grid) -> None:
        self._waiting[0].append(before)
        self._waiting[1].append(after)
        self._n_waiting += len(before)
        if self._n_waiting >= self._full:
            self._judge()

    def flush(self) -> None:
        if self._n_waiting:
            self._judge()

    def speech(self) -> tuple[float, float | None]:
        """Seconds that stand out from the noise, and how far they fell on average."""
        mean = self._fall_db / self._n_fallen if self._n_fallen else None
        return self._n_fallen * self._hop_s, mean

    def _judge(self) -> None:
        before, after = (decibels(np.concatenate(parts)) for parts in self._waiting)
        self._waiting = ([], [])
        first_s = self._first_s + self._n_done * self._hop_s
        self._n_done += self._n_waiting
        # the last piece may be too short to know its own floor
        if self._floor is None or self._n_waiting >= self._full // 2:
            self._floor = findings.floor_db(before)
        self._n_waiting = 0
        fall = flags.falls(before[:, self._speech], after[:, self._speech])
        self._fall_db, self._n_fallen = self._fall_db + float(fall.sum()), self._n_fallen + len(fall)
        more = findings.added(before, after)
        other = findings.changed(before, after, self._floor)
        self.shortlist.add(findings.runs(more, 0.0, first_s, self._hop_s, "added"))
        self.shortlist.add(findings.runs(other, findings.CHANGED_DB, first_s, self._hop_s, "changed"))
