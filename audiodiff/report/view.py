"""From what was measured and cut out of a recording to what the templates show of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from audiodiff.batch.flags import NAMES, Flag
from audiodiff.io.formats import display_path
from audiodiff.report import excerpts, picture, text
from audiodiff.report.card import (
    Card,
    CurveView,
    ExcerptView,
    FlagView,
    OrderView,
    ReviewView,
    RowView,
    Tick,
    Track,
)
from audiodiff.report.excerpts import Excerpt, Match, Window
from audiodiff.report.measure import Survey
from audiodiff.report.report_data import Place, ReportEntry
from audiodiff.signal.level import active_db

_CURVE_RANGE_DB = 70.0
_LEAD_S = 1.0
_LOOP_PAD_S, _SHORTEST_LOOP_S = 0.4, 1.5


@dataclass(frozen=True)
class Subject:
    """A recording and how much of it is shown.

    Attributes:
        name: What the page calls it.
        entry: The recording.
        survey: Its figures, if it could be measured.
        fault: Why it could not.
        heard_s: Seconds of it that can be heard; 0 for figures alone.
        links: Addresses of the files before and after, where it cannot be heard in the page.
    """

    name: str
    entry: ReportEntry
    survey: Survey | None
    fault: str = ""
    heard_s: float = excerpts.LONGEST_S
    links: tuple[str, ...] = ()


def outline(number: int, subject: Subject) -> Card:
    """All of a recording except what is heard: small enough to keep for every recording of a run."""
    entry = subject.entry
    warnings = tuple(text.printable(line) for line in entry.warnings)
    base = Card(
        id=f"r{number}",
        name=subject.name,
        folder=text.printable(display_path(entry.source.parent)),
        target=text.printable(display_path(entry.target)),
        status=entry.status,
        error=text.printable(subject.fault),
        warnings=warnings,
        aligned=entry.aligned,
    )
    return base if subject.survey is None else _measured(base, subject, subject.survey)


def _measured(base: Card, subject: Subject, survey: Survey) -> Card:
    entry, heard = subject.entry, subject.heard_s > 0
    windows = excerpts.choose(survey.seconds, survey.places, subject.heard_s) if heard else ()
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
    change = _distance_db(after, before)
    removed = _distance_db(survey.removed.active_db, after) if entry.aligned else None
    return dataclasses.replace(
        base,
        warnings=warnings,
        facts=(text.clock(survey.seconds), f"{survey.sample_rate / 1000:g} kHz", channels),
        length=text.clock(survey.seconds),
        floors=f"{text.level(survey.before.floor_db)} → {text.level(survey.after.floor_db)}",
        level_change=_distance(change, "to silence", "from silence"),
        removed=_distance(removed, "nothing", "all"),
        flags=tuple(_flag(flag) for flag in survey.flags),
        order=OrderView(
            1000 * len(survey.flags) + len(survey.places),
            _number(change),
            _number(removed),
        ),
        links=subject.links,
        rows=_rows(survey, entry.aligned),
        curve=_curve(survey, windows) if heard else None,
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
        match = excerpts.matching(active_db(excerpt.before, rate), active_db(excerpt.after, rate))
        gains = match or Match()
        names = (("a", "Before", gains.before_db), ("b", "After", gains.after_db), ("r", "Removed", 0.0))
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
                matched=_matched(match),
                times=_percent(text.time_ticks(window.start_s, window.stop_s)),
            )
        )
    return tuple(views), (text.signless(top_db - picture.RANGE_DB), text.signless(top_db))


def _distance_db(level_db: float | None, other_db: float | None) -> float | None:
    """How far a level lies above another, infinitely where one is silence; None where both are."""
    if level_db is None:
        return None if other_db is None else -math.inf
    return math.inf if other_db is None else level_db - other_db


def _distance(db: float | None, lowest: str, highest: str) -> str:
    """A distance for a reader, in words where a side is silent."""
    if db is None:
        return ""
    return text.signed(db) if math.isfinite(db) else highest if db > 0 else lowest


def _number(db: float | None) -> str:
    """A distance for JavaScript."""
    if db is None:
        return ""
    return f"{db:.2f}" if math.isfinite(db) else "Infinity" if db > 0 else "-Infinity"


def _flag(flag: Flag) -> FlagView:
    head, _, rest = text.typeset(flag.text).partition(": ")
    name = NAMES[flag.code]
    return FlagView(name, f"{head[:1].upper()}{head[1:]}.", f"{rest[:1].upper()}{rest[1:]}.")


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
    at, loop = 0.0, (0.0, 0.0)
    if inside:
        window = windows[inside[0]]
        start, length = place.start_s - window.start_s, window.stop_s - window.start_s
        at = max(0.0, start - _LEAD_S)
        loop_s = max(place.stop_s - place.start_s + 2 * _LOOP_PAD_S, _SHORTEST_LOOP_S)
        first = max(0.0, min(start - _LOOP_PAD_S, length - loop_s))
        loop = (first, min(first + loop_s, length))
    return ReviewView(
        time=f"{text.clock(place.start_s, tenths=True)} – {text.clock(place.stop_s, tenths=True)}",
        kind=text.KINDS[place.kind],
        text=text.what(place),
        excerpt=inside[0] if inside else None,
        at=f"{at:.3f}",
        loop_from=f"{loop[0]:.3f}",
        loop_to=f"{loop[1]:.3f}",
    )


def _matched(match: Match | None) -> str:
    if match is None:
        return "one version is silent, so both are as they are"
    gain = min(match.before_db, match.after_db)
    if gain > -0.05:
        return "both as they are: equally loud"
    told = f"{'before' if match.before_db < match.after_db else 'after'} {text.signless(gain)} dB"
    return told if match.left_db < 0.05 else f"{told}, the most; it is still {match.left_db:.0f} dB louder"


def _percent(ticks: Sequence[tuple[float, str]]) -> tuple[Tick, ...]:
    return tuple((_share(at), label) for at, label in ticks)


def _share(value: float) -> str:
    return f"{100 * value:.2f}%"
