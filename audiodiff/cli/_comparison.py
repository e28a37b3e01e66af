"""What ``audiodiff evaluate`` prints of several systems."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audiodiff.evaluation.comparison import Comparison, Row
    from audiodiff.evaluation.pair import FileScore

_WIDTH = 79
_NAME = 30
"""Columns of a name in a table of that width."""


def text_lines(comparison: Comparison) -> list[str]:
    """A table that fits a terminal of 80 columns, with whatever could not be scored."""
    from audiodiff.report.comparison import HOW, tables
    from audiodiff.report.text import printable

    lines: list[str] = []
    for metric, rows in tables(comparison):
        title = f"{metric.label}, {metric.direction} is better"
        lines.append(f"{title:{_NAME}} {'mean':>8} {'to 1':>8} {'95 % interval':>20} {'wins':>9}")
        for number, row in enumerate(rows, start=1):
            name = f"  {number} {row.system}"
            name = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
            mean = row.mean.partition(" ")[0]
            cells = f"{name:{_NAME}} {mean:>8} {row.difference:>8} {row.interval:>20} {row.wins:>9}"
            lines.append(cells.rstrip())
        lines.append("")
    lines += textwrap.wrap(HOW, _WIDTH)
    for system, report in comparison.reports.items():
        lines += [f"note: {system}: {file.name}: {note}" for file in report.files for note in file.notes]
        lines += [f"not scored: {system}: {n} ({m}): {r.text}" for n, m, r in report.unscored()]
    for system, texts in comparison.texts.items():
        lines += [f"not transcribed: {system}: {name}: counted as empty" for name in texts.missing]
    # A name may hold a line break; what is said of it stays one line.
    return [printable(line) for line in lines]


def json_lines(comparison: Comparison) -> list[str]:
    """One object per clip and system, then one with the rows of the table."""
    lines = [
        json.dumps({"file": file.name, "system": system, **file_as_json(file)})
        for system, report in comparison.reports.items()
        for file in report.files
    ]
    unscored = [
        {"system": system, "file": name, "metric": metric, **asdict(reason)}
        for system, report in comparison.reports.items()
        for name, metric, reason in report.unscored()
    ]
    systems = list(comparison.reports or comparison.texts)
    total = {"systems": systems, "rows": list(_rows(comparison.rows)), "unscored": unscored}
    if comparison.texts:
        total["missing"] = {system: list(texts.missing) for system, texts in comparison.texts.items()}
    return [*lines, json.dumps(total)]


def file_as_json(file: FileScore) -> dict[str, object]:
    """Numbers, reasons and notes of one file."""
    reasons = file.reasons
    return {
        "scores": {m: None if m in reasons else s for m, s in file.scores.items()},
        "reasons": {m: asdict(r) for m, r in reasons.items()},
        "notes": list(file.notes),
    }


def _rows(rows: list[Row]) -> Iterator[dict[str, object]]:
    for row in rows:
        yield {
            "metric": row.metric.name,
            "better": row.metric.direction,
            "system": row.system,
            **asdict(row.summary),
            "difference": None if row.difference is None else asdict(row.difference),
            "wins": row.wins,
            "clips": row.clips,
        }
