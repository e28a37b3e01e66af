"""Writing the page: one file, nothing fetched, every text escaped, one recording in memory at a time."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import jinja2

from audiodiff import __version__
from audiodiff.batch.flags import Flag
from audiodiff.errors import AudioFileError
from audiodiff.io.output_checks import check_existing, small_output
from audiodiff.report import excerpts, text, view
from audiodiff.report.card import Card
from audiodiff.report.measure import Survey, survey
from audiodiff.report.picture import data_uri, ramp
from audiodiff.report.report_data import ReportEntry, ReportRun
from audiodiff.report.text import clock, printable
from audiodiff.report.view import Subject

TEMPLATES = Path(__file__).parent / "templates"

AUDIO_S = 600.0
"""Seconds of excerpts in one page; more recordings get shorter ones, so that a browser still opens it."""

LOSSLESS_S = 60.0
"""Up to so many seconds of excerpts are FLAC, beyond that Opus."""

MOST_HEARD = 50
"""So many recordings can be heard in one page at most, those that most want ears; the others link to their
files. With 1,000 recordings a page stays below 30 MB, most of it sound."""

_SHORTEST_SHARE_S = 6.0


@dataclass(frozen=True)
class Reviewed:
    """What a page tells of one recording, for the terminal.

    Attributes:
        entry: The recording.
        name: As the page calls it.
        flags: What concerns all of it.
        places: Number of places to review.
    """

    entry: ReportEntry
    name: str
    flags: tuple[Flag, ...]
    places: int


def write(
    path: Path, entries: Sequence[ReportEntry], run: ReportRun, overwrite: bool = False
) -> list[Reviewed]:
    """Write the report of a run.

    Recordings that failed, or whose files cannot be read any more, are listed with the reason. Memory does
    not grow with the length of the recordings.
    """
    check_existing(path, overwrite)
    subjects = _subjects(path, entries)
    cards = [view.outline(number, subject) for number, subject in enumerate(subjects, start=1)]
    sounding = [(subject, subject.survey) for subject in subjects if subject.survey is not None]
    heard_s = sum(min(subject.heard_s, found.seconds) for subject, found in sounding)
    lossless = heard_s <= LOSSLESS_S
    full = (fill(card, subject, lossless) for card, subject in zip(cards, subjects, strict=True))
    values = {
        "run": run,
        "options": [(printable(name), printable(value)) for name, value in run.options],
        "model": printable(run.model),
        "version": __version__,
        "started": run.started.isoformat(" ", "minutes"),
        "cards": cards,
        "removable": any(card.aligned for card in cards),
        "full": full,
        "counts": _counts(cards, [found.seconds for _, found in sounding]),
        "n_heard": sum(subject.heard_s > 0 for subject, _ in sounding),
        "codec": "FLAC, 16 bits" if lossless else "Opus",
        **shared_values(),
    }
    _save(path, environment().get_template("page.html").generate(values), overwrite)
    return [
        Reviewed(subject.entry, subject.name, found.flags, len(found.places)) for subject, found in sounding
    ]


def _subjects(path: Path, entries: Sequence[ReportEntry]) -> list[Subject]:
    """All recordings, measured: the more, the less is heard of each, and of the calmest of many nothing."""
    surveys = [_surveyed(entry) for entry in entries]
    names = text.distinct([entry.source for entry in entries])
    found = {number: survey for number, (survey, _) in enumerate(surveys) if survey is not None}
    heard = set(sorted(found, key=lambda number: found[number].worth, reverse=True)[:MOST_HEARD])
    share_s = min(excerpts.LONGEST_S, max(_SHORTEST_SHARE_S, AUDIO_S / max(1, len(heard))))
    return [
        Subject(name, entry, *measured, heard_s=share_s)
        if number in heard
        else Subject(name, entry, *measured, heard_s=0.0, links=_links(path, entry))
        for number, (name, entry, measured) in enumerate(zip(names, entries, surveys, strict=True))
    ]


def _links(path: Path, entry: ReportEntry) -> tuple[str, ...]:
    """Addresses of input and output seen from the page; none where there is no way, as between drives."""
    folder = path.absolute().parent
    try:
        return tuple(
            "./" + quote(os.fsencode(Path(os.path.relpath(file, folder)).as_posix()))
            for file in (entry.source, entry.target)
        )
    except ValueError:
        return ()


def fragment(entry: ReportEntry, title: str, paths: bool) -> str:
    """One recording as a piece of HTML for a page that has the style and the player of the report."""
    subject = Subject(title, entry, *_surveyed(entry))
    card = view.outline(1, subject)
    if not paths:
        card = dataclasses.replace(card, folder="", target="")
    whole = fill(card, subject, lossless=True)
    parts = environment().get_template("recording.html").module
    html: str = parts.recording(whole, data_uri("image/png", ramp()))  # type: ignore[attr-defined]
    return html


def fill(card: Card, subject: Subject, lossless: bool) -> Card:
    """Add what is heard to the outline of a recording."""
    entry, found = subject.entry, subject.survey
    if found is None or found.seconds == 0 or subject.heard_s == 0:
        return card
    windows = excerpts.choose(found.seconds, found.places, subject.heard_s)
    try:
        heard = excerpts.gather(entry, windows, found.sample_rate)
    except AudioFileError as error:  # it went away since it was measured
        return dataclasses.replace(card, error=f"cannot be heard: {printable(str(error))}")
    views, scale = view.excerpt_views(heard, lossless, entry.aligned)
    return dataclasses.replace(card, excerpts=views, scale=scale)


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of report and local page; everything that is put into them is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def shared_values() -> dict[str, object]:
    """What the templates need beside the recordings: style, script, their hashes, the colours."""
    style, player, table = (
        (TEMPLATES / name).read_text("utf-8") for name in ("style.css", "player.js", "table.js")
    )
    script = f"{player}\n{table}"
    return {
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "ramp": data_uri("image/png", ramp()),
    }


def _surveyed(entry: ReportEntry) -> tuple[Survey | None, str]:
    """Figures of a recording, or why there are none."""
    if entry.status == "failed":
        return None, entry.error
    try:
        return survey(entry), ""
    except AudioFileError as error:
        return None, f"cannot be shown: {error}"


def _counts(cards: Sequence[Card], lengths_s: Sequence[float]) -> dict[str, object]:
    return {
        "recordings": len(cards),
        "failed": sum(card.status == "failed" for card in cards),
        "length": clock(sum(lengths_s)),
        "flagged": sum(bool(card.flags) for card in cards),
        "places": sum(len(card.review) for card in cards),
        "shown": len(lengths_s),
        "wanting": sum(card.wants_ears for card in cards),
    }


def _save(path: Path, pieces: Iterator[str], overwrite: bool) -> None:
    with (
        small_output(path, overwrite) as page,
        io.TextIOWrapper(page.stream(), "utf-8", errors="replace", newline="\n") as file,
    ):
        file.writelines(pieces)


def _hash(text: str) -> str:
    """A hash as a content security policy wants it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
