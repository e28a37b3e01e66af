"""Tables of what a data set holds and what its files are like."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from audiodiff.io.formats import display_path

if TYPE_CHECKING:
    from audiodiff.data.store import Entry, Store
    from audiodiff.data.survey import FileFacts

KINDS = ("speech", "noisy", "noise", "room")


VOICED = {"speech", "noisy"}


def split_table(store: Store) -> list[str]:
    """What a store holds: speakers, clips and hours of each kind, split and rate class, a line each."""
    from audiodiff.data.batches import FULL_BAND_CLASSES

    rows: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in store.entries:
        band = "full" if entry.category in FULL_BAND_CLASSES else "narrow"
        rows.setdefault((entry.kind, entry.split, band if entry.kind in VOICED else "-"), []).append(entry)
    lines = [f"{'kind':7} {'split':6} {'band':7} {'speakers':>8} {'clips':>7} {'hours':>8}"]
    order = {name: place for place, name in enumerate((*KINDS, "train", "dev", "test"))}
    for key in sorted(rows, key=lambda row: (order[row[0]], order[row[1]], row[2])):
        entries = rows[key]
        speakers = str(len({entry.speaker for entry in entries})) if key[0] in VOICED else "-"
        hours = sum(entry.length for entry in entries) / store.sample_rate / 3600
        lines.append(f"{key[0]:7} {key[1]:6} {key[2]:7} {speakers:>8} {len(entries):7} {hours:8.3f}")
    return lines


def quality_table(files: Sequence[FileFacts]) -> list[str]:
    """What the files of each kind are like, a line each; then their rates, and where spectra break off.

    Levels and floors are medians with what nine in ten lie between. Band-limited are files without anything
    above 18 kHz, those of a low rate too.
    """
    lines = [
        f"{'kind':7} {'files':>7} {'level dBFS':>14} {'floor dBFS':>14} {'band-limited':>13} "
        f"{'clipped':>12} {'duplicates':>11}"
    ]
    copies = {file.path for group in _copies(files) for file in group[1:]}
    for kind in KINDS:
        some = [file for file in files if file.kind == kind]
        if some:
            limited = sum(file.is_limited for file in some)
            clipped = sum(file.clipped > 0 for file in some)
            lines.append(
                f"{kind:7} {len(some):7} {_spread(f.level_db for f in some):>14} "
                f"{_spread(f.floor_db for f in some):>14} {_share(limited, len(some)):>13} "
                f"{_share(clipped, len(some)):>12} {sum(f.path in copies for f in some):11}"
            )
    lines.append("rates: " + _counted(f"{file.sample_rate} Hz" for file in files))
    limits = [f"{file.band_hz / 1000:.0f} kHz" for file in files if file.band_hz]
    if limits:
        lines.append("spectra break off at: " + _counted(limits))
    return lines


def duplicate_lines(files: Sequence[FileFacts]) -> list[str]:
    """A line for each group of exact duplicates, with their splits where these differ."""
    lines = []
    for group in _copies(files):
        splits = sorted({file.split for file in group})
        where = f" (in {' and '.join(splits)})" if len(splits) > 1 else ""
        lines.append(" = ".join(display_path(file.path) for file in group) + where)
    return lines


def _copies(files: Sequence[FileFacts]) -> list[tuple[FileFacts, ...]]:
    from audiodiff.data.survey import duplicates

    return duplicates(files)


def _spread(values: Iterable[float | None]) -> str:
    """Median, and what nine in ten lie between."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    low, high = known[int(0.05 * (len(known) - 1))], known[-1 - int(0.05 * (len(known) - 1))]
    return f"{statistics.median(known):.0f} ({low:.0f}..{high:.0f})"


def _share(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.0f} %)"


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in Counter(names).most_common())
