"""What the template shows of one recording: every number as text, every place as a share of its axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from audiodiff.io.formats import display_path
from audiodiff.report import excerpts, picture, text
from audiodiff.report.excerpts import Excerpt, Window
from audiodiff.report.measure import Survey
from audiodiff.report.report_data import Place, ReportEntry
from audiodiff.signal.level import active_db

_CURVE_RANGE_DB = 70.0
_LEAD_S = 1.0

Tick = tuple[str, str]
"""Place on an axis in per cent, and label."""


@dataclass(frozen=True)
class Track:
    """One version of an excerpt."""

    key: str
    label: str
    gain_db: str
    sound: str
    picture: str


@dataclass(frozen=True)
class ExcerptView:
    """What is heard and seen of a stretch."""

    label: str
    start: str
    seconds: str
    tracks: tuple[Track, ...]
    matched: str
    times: tuple[Tick, ...]


@dataclass(frozen=True)
class ReviewView:
    """One line of the review list."""

    time: str
    kind: str
    text: str
    excerpt: int | None
    at: str


@dataclass(frozen=True)
class CurveView:
    """Level over time: two paths in a box of 1000 by 100, axes, and marks (left, width in per cent)."""

    before: str
    after: str
    times: tuple[Tick, ...]
    levels: tuple[Tick, ...]
    marks: tuple[tuple[str, str, str], ...]
    windows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RowView:
    """One row of the table of levels."""

    key: str
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """One recording; without excerpts if there was nothing to hear."""

    id: str
    name: str
    folder: str
    target: str
    status: str
    error: str = ""
    warnings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    length: str = ""
    floors: str = ""
    level_change: str = ""
    rows: tuple[RowView, ...] = ()
    curve: CurveView | None = None
    review: tuple[ReviewView, ...] = ()
    left_out: int = 0
    uncertainty: str = ""
    aligned: bool = True
    frequencies: tuple[Tick, ...] = ()
    scale: tuple[str, str] = ("", "")
    excerpts: tuple[ExcerptView, ...] = field(default=(), repr=False)


def outline(
    number: int,
    entry: ReportEntry,
    survey: Survey | None,
    fault: str = "",
    most_s: float = excerpts.LONGEST_S,
) -> Card:
    """All of a recording except what is heard: small enough to keep for every recording of a run."""
    warnings = tuple(text.printable(line) for line in entry.warnings)
    base = Card(
        id=f"r{number}",
        name=text.name(entry.source),
        folder=text.printable(display_path(entry.source.parent)),
        target=text.printable(display_path(entry.target)),
        status=entry.status,
        error=text.printable(fault),
        warnings=warnings,
        aligned=entry.aligned,
    )
    return base if survey is None else _measured(base, entry, survey, most_s)


def _measured(base: Card, entry: ReportEntry, survey: Survey, most_s: float) -> Card:
    windows = excerpts.choose(survey.seconds, survey.places, most_s)
    channels = {1: "mono", 2: "stereo"}.get(survey.channels, f"{survey.channels} channels")
    spread = entry.disagreement
    uncertainty = ""
    if spread is not None:
        by = "cannot be compared: nothing sounds"
        if spread.mean_db is not None:
            by = f"differ by {spread.mean_db:.1f} dB on average"
        uncertainty = f"{spread.seeds} samples of the model {by}."
    warnings = base.warnings
    if abs(survey.length_difference_s) > 0.05:
        warnings += (f"Output and input differ in length by {survey.length_difference_s:+.2f} s.",)
    before, after = survey.before.active_db, survey.after.active_db
    change = "" if before is None or after is None else text.signed(after - before)
    return Card(
        id=base.id,
        name=base.name,
        folder=base.folder,
        target=base.target,
        status=base.status,
        warnings=warnings,
        facts=(text.clock(survey.seconds), f"{survey.sample_rate / 1000:g} kHz", channels),
        length=text.clock(survey.seconds),
        floors=f"{text.level(survey.before.floor_db)} → {text.level(survey.after.floor_db)}",
        level_change=change,
        rows=_rows(survey, entry.aligned),
        aligned=entry.aligned,
        curve=_curve(survey, windows),
        review=tuple(_review(place, windows) for place in survey.places),
        left_out=survey.left_out,
        uncertainty=uncertainty,
        frequencies=_percent(text.frequency_ticks(survey.sample_rate)),
    )


def excerpt_views(
    found: Sequence[Excerpt], lossless: bool, aligned: bool = True
) -> tuple[tuple[ExcerptView, ...], tuple[str, str]]:
    """What is heard and seen of a recording."""
    shown_of = [(e.before, e.after, e.before - e.after)[: 3 if aligned else 2] for e in found]
    grids = [
        [picture.spectrogram(x, e.sample_rate) for x in versions]
        for e, versions in zip(found, shown_of, strict=True)
    ]
    top_db = max((picture.scale_top_db(grid[0]) for grid in grids), default=0.0)
    views = []
    for excerpt, versions, pictures in zip(found, shown_of, grids, strict=True):
        rate, window = excerpt.sample_rate, excerpt.window
        gains = excerpts.matching_gains_db(active_db(excerpt.before, rate), active_db(excerpt.after, rate))
        names = (("a", "Before", gains[0]), ("b", "After", gains[1]), ("r", "Removed", 0.0))
        tracks = tuple(
            Track(
                key,
                label,
                f"{gain:.2f}",
                picture.data_uri(*excerpts.encoded(sound, rate, lossless)),
                picture.data_uri("image/png", picture.picture(grid, top_db)),
            )
            for (key, label, gain), sound, grid in zip(names, versions, pictures, strict=False)
        )
        views.append(
            ExcerptView(
                label=f"{text.clock(window.start_s)} – {text.clock(window.stop_s)}",
                start=f"{window.start_s:.3f}",
                seconds=f"{excerpt.before.shape[1] / rate:.3f}",
                tracks=tracks,
                matched=_matched(gains),
                times=_percent(text.time_ticks(window.start_s, window.stop_s)),
            )
        )
    return tuple(views), (text.signless(top_db - picture.RANGE_DB), text.signless(top_db))


def _rows(survey: Survey, aligned: bool) -> tuple[RowView, ...]:
    sides = (survey.before, survey.after, survey.removed)[: 3 if aligned else 2]
    return (
        RowView("active", "Active level", tuple(text.level(side.active_db) for side in sides)),
        RowView("peak", "Peak", tuple(text.level(side.peak_db) for side in sides)),
        RowView("floor", "Noise floor", tuple(text.level(side.floor_db) for side in sides)),
    )


def _curve(survey: Survey, windows: Sequence[Window]) -> CurveView:
    n_points = survey.curves.shape[1]
    seconds = max(survey.seconds, 1e-9)
    top = 10 * math.ceil(float(survey.curves.max(initial=-60.0)) / 10)
    paths = []
    for curve in survey.curves:
        heights = ((top - curve) / _CURVE_RANGE_DB * 100).clip(0, 100)
        points = [
            f"{min(1000.0, (i + 0.5) * survey.step_s / seconds * 1000):.1f} {height:.1f}"
            for i, height in zip(range(n_points), heights, strict=True)
        ]
        paths.append("M" + "L".join(points) if points else "")
    marks = tuple(
        (_share(p.start_s / seconds), _share(max(0.008, (p.stop_s - p.start_s) / seconds)), p.kind)
        for p in survey.places
    )
    # shading the whole says nothing
    parts = () if windows == (Window(0.0, survey.seconds),) else windows
    levels = [(i * 20 / _CURVE_RANGE_DB, f"{top - 20 * i:.0f}".replace("-", "−")) for i in range(4)]
    return CurveView(
        before=paths[0],
        after=paths[1],
        times=_percent(text.time_ticks(0.0, survey.seconds)),
        levels=_percent(levels),
        marks=marks,
        windows=tuple((_share(w.start_s / seconds), _share((w.stop_s - w.start_s) / seconds)) for w in parts),
    )


def _review(place: Place, windows: Sequence[Window]) -> ReviewView:
    inside = [i for i, window in enumerate(windows) if window.start_s <= place.start_s + 0.01 < window.stop_s]
    at = 0.0
    if inside:
        at = max(0.0, place.start_s - _LEAD_S - windows[inside[0]].start_s)
    return ReviewView(
        time=f"{text.clock(place.start_s, tenths=True)} – {text.clock(place.stop_s, tenths=True)}",
        kind=text.KINDS[place.kind],
        text=text.what(place),
        excerpt=inside[0] if inside else None,
        at=f"{at:.3f}",
    )


def _matched(gains: tuple[float, float]) -> str:
    quieter = min(gains)
    if quieter > -0.05:
        return "both as they are: equally loud"
    return f"{'before' if gains[0] < gains[1] else 'after'} {text.signless(quieter)} dB"


def _percent(ticks: Sequence[tuple[float, str]]) -> tuple[Tick, ...]:
    return tuple((_share(at), label) for at, label in ticks)


def _share(value: float) -> str:
    return f"{100 * value:.2f}%"
