"""A comparison of systems as Markdown, as one HTML page, and as CSV of every clip."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from audiodiff import __version__
from audiodiff.evaluation.bootstrap import RESAMPLES, SEED, Difference
from audiodiff.evaluation.comparison import Comparison, Row
from audiodiff.evaluation.metrics import Metric
from audiodiff.evaluation.score import Unscored
from audiodiff.io.output_checks import small_output
from audiodiff.report.page import environment, shared_values
from audiodiff.report.text import printable

MINUS = "\u2212"

HOW = (
    f"Differences are paired and to the first system, with 95 % intervals by the percentile bootstrap "
    f"({RESAMPLES:,} resamples, seed {SEED}); a system wins a clip where it alone is the best of all."
)


@dataclass(frozen=True)
class Line:
    """A row in words.

    Attributes:
        system: Its printable name.
        mean: With its 95 % half width where it has one.
        files: Number behind the mean.
        difference: To the first system; empty for that.
        interval: Of the difference; empty where there is none.
        verdict: ``better`` or ``worse`` where the interval leaves out 0.
        wins: Of how many clips; empty where no clips are counted.
    """

    system: str
    mean: str
    files: int
    difference: str
    interval: str
    verdict: str
    wins: str


def tables(comparison: Comparison) -> Iterator[tuple[Metric, list[Line]]]:
    """Every metric that some system has, with one line a system."""
    for metric, group in groupby(comparison.rows, key=lambda row: row.metric):
        rows = list(group)
        if any(row.summary.mean is not None for row in rows):
            yield metric, [_line(row) for row in rows]


def markdown(comparison: Comparison) -> str:
    """A table a metric, names escaped."""
    parts = []
    for metric, lines in tables(comparison):
        parts.append(f"### {metric.label} ({metric.direction} is better)\n")
        parts.append("| system | mean | files | difference | 95 % interval | wins |")
        parts.append("|---|---:|---:|---:|---:|---:|")
        for line in lines:
            cells = (line.mean, str(line.files), line.difference, line.interval, line.wins)
            parts.append("| " + " | ".join([_escaped(line.system), *cells]) + " |")
        parts.append("")
    return "\n".join([*parts, HOW, ""])


def html(comparison: Comparison) -> str:
    """One page that fetches nothing."""
    values = {
        "tables": list(tables(comparison)),
        "systems": [printable(name) for name in (comparison.reports or comparison.texts)],
        "missing": [
            (printable(system), printable(name), metric, printable(reason.text))
            for system, report in comparison.reports.items()
            for name, metric, reason in report.unscored()
        ],
        "how": HOW,
        "version": __version__,
        **shared_values(),
    }
    return environment().get_template("comparison.html").render(values)


def csv_of_clips(comparison: Comparison) -> str:
    """One row for every clip and system: names as they are, numbers in full, empty where there is none."""
    metrics = next(iter(comparison.reports.values())).metrics if comparison.reports else ()
    texts = ("wer", "cer") if comparison.texts else ()
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["file", "system", *metrics, *texts])
    for system in comparison.reports or comparison.texts:
        report, said = comparison.reports.get(system), comparison.texts.get(system)
        scores = {file.name: file.scores for file in report.files} if report else {}
        words, characters = (said.words, said.characters) if said else ({}, {})
        for name in dict.fromkeys([*scores, *words]):
            own = scores.get(name, {})
            cells = [own.get(metric) for metric in metrics]
            rates = [clips[name].percent if name in clips else None for clips in (words, characters)]
            found = [*cells, *(rates if texts else [])]
            table.writerow(
                [name, system, *("" if isinstance(c, Unscored | None) else repr(c) for c in found)]
            )
    return out.getvalue()


def save(path: Path, text: str, overwrite: bool) -> None:
    """Write one of the above, whole or not at all."""
    with small_output(path, overwrite) as file:
        file.write(text.encode("utf-8", errors="replace"))


def _line(row: Row) -> Line:
    metric, mean = row.metric, row.summary.mean
    half = "" if row.summary.ci95 is None else f" ± {row.summary.ci95:.{metric.decimals}f}"
    apart = row.difference or Difference(None, None, None, 0)
    verdict = ""
    if apart.clear and apart.mean is not None:
        verdict = "better" if metric.gain(apart.mean) > 0 else "worse"
    return Line(
        system=printable(row.system),
        mean="–" if mean is None else _number(mean, metric, "") + half,
        files=row.summary.count,
        difference="" if apart.mean is None else _number(apart.mean, metric, "+"),
        interval=""
        if apart.low is None or apart.high is None
        else f"{_number(apart.low, metric, '+')} to {_number(apart.high, metric, '+')}",
        verdict=verdict,
        wins="" if row.wins is None else f"{row.wins} of {row.clips}",
    )


def _number(value: float, metric: Metric, sign: str) -> str:
    shown = f"{value:{sign}.{metric.decimals}f}"
    return shown.replace("-", MINUS)


def _escaped(name: str) -> str:
    """A name that Markdown leaves as it is, in its cell."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~&" else c for c in name)
