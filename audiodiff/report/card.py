"""What the templates show of one recording: every number as text, every place as a share of its axis."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    loop_from: str
    loop_to: str


@dataclass(frozen=True)
class FlagView:
    """Something about the whole recording: its short name; what it is, and how much of it."""

    name: str
    head: str
    rest: str


@dataclass(frozen=True)
class OrderView:
    """What the table is sorted by: numbers as JavaScript reads them, empty where there is none."""

    review: int
    change: str
    removed: str


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
    removed: str = ""
    flags: tuple[FlagView, ...] = ()
    order: OrderView = OrderView(0, "", "")
    links: tuple[str, ...] = ()
    rows: tuple[RowView, ...] = ()
    curve: CurveView | None = None
    review: tuple[ReviewView, ...] = ()
    left_out: int = 0
    uncertainty: str = ""
    aligned: bool = True
    frequencies: tuple[Tick, ...] = ()
    scale: tuple[str, str] = ("", "")
    excerpts: tuple[ExcerptView, ...] = field(default=(), repr=False)

    @property
    def wants_ears(self) -> bool:
        """Whether there is something to review."""
        return bool(self.flags or self.review)
