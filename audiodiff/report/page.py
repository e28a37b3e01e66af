"""Writing the page: one file, nothing fetched, every text escaped, one recording in memory at a time."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import jinja2

from audiodiff import __version__
from audiodiff.errors import AudioFileError
from audiodiff.io.output_checks import check_existing, small_output
from audiodiff.report import excerpts, view
from audiodiff.report.measure import Survey, survey
from audiodiff.report.picture import data_uri, ramp
from audiodiff.report.report_data import ReportEntry, ReportRun
from audiodiff.report.text import clock, printable
from audiodiff.report.view import Card

TEMPLATES = Path(__file__).parent / "templates"

AUDIO_S = 1200.0
"""Seconds of excerpts in one page; more recordings get shorter ones, so that a browser still opens it."""

LOSSLESS_S = 60.0
"""Up to so many seconds of excerpts are FLAC, beyond that Opus."""

_SHORTEST_SHARE_S = 6.0


def write(path: Path, entries: Sequence[ReportEntry], run: ReportRun, overwrite: bool = False) -> None:
    """Write the report of a run.

    Recordings that failed, or whose files cannot be read any more, are listed with the reason. Memory does
    not grow with the length of the recordings.
    """
    check_existing(path, overwrite)
    surveys = [_surveyed(entry) for entry in entries]
    sounding = [found for found, _ in surveys if found is not None]
    share_s = min(excerpts.LONGEST_S, max(_SHORTEST_SHARE_S, AUDIO_S / max(1, len(sounding))))
    cards = [
        view.outline(number, entry, found, fault, share_s)
        for number, (entry, (found, fault)) in enumerate(zip(entries, surveys, strict=True), start=1)
    ]
    lossless = sum(min(share_s, found.seconds) for found in sounding) <= LOSSLESS_S
    full = (
        fill(card, entry, found, share_s, lossless)
        for card, entry, (found, _) in zip(cards, entries, surveys, strict=True)
    )
    values = {
        "run": run,
        "options": [(printable(name), printable(value)) for name, value in run.options],
        "model": printable(run.model),
        "version": __version__,
        "started": run.started.isoformat(" ", "minutes"),
        "cards": cards,
        "full": full,
        "counts": _counts(cards, sounding),
        "codec": "FLAC, 16 bits" if lossless else "Opus",
        **shared_values(),
    }
    _save(path, environment().get_template("page.html").generate(values), overwrite)


def fragment(entry: ReportEntry, title: str, paths: bool) -> str:
    """One recording as a piece of HTML for a page that has the style and the player of the report."""
    found, fault = _surveyed(entry)
    card = dataclasses.replace(view.outline(1, entry, found, fault), name=title)
    if not paths:
        card = dataclasses.replace(card, folder="", target="")
    whole = fill(card, entry, found, excerpts.LONGEST_S, lossless=True)
    parts = environment().get_template("recording.html").module
    html: str = parts.recording(whole, data_uri("image/png", ramp()))  # type: ignore[attr-defined]
    return html


def fill(card: Card, entry: ReportEntry, found: Survey | None, share_s: float, lossless: bool) -> Card:
    """Add what is heard to the outline of a recording."""
    if found is None or found.seconds == 0:
        return card
    windows = excerpts.choose(found.seconds, found.places, share_s)
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
    style, script = ((TEMPLATES / name).read_text("utf-8") for name in ("style.css", "player.js"))
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


def _counts(cards: Sequence[Card], sounding: Sequence[Survey]) -> dict[str, object]:
    return {
        "recordings": len(cards),
        "failed": sum(card.status == "failed" for card in cards),
        "length": clock(sum(found.seconds for found in sounding)),
        "places": sum(len(card.review) for card in cards),
        "quiet": sum(bool(card.rows) and not card.review for card in cards),
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
