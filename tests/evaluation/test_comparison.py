"""Promise: systems are compared clip by clip, in the right direction, and every output says the same."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from audiodiff.cli._comparison import text_lines
from audiodiff.evaluation.comparison import Comparison, Row
from audiodiff.evaluation.metrics import METRICS
from audiodiff.evaluation.pair import Embedded, FileScore, unscored
from audiodiff.evaluation.report import Report
from audiodiff.evaluation.score import Unscored
from audiodiff.evaluation.transcripts import compare_texts
from audiodiff.report.comparison import csv_of_clips, html, markdown

LOST = Unscored("unpaired", "there is no estimate of this name")
HOSTILE = "<b>one|two*\n\u202e"


def report(values: dict[str, float | None]) -> Report:
    """The same number in every metric of a clip, or none."""
    return Report(
        tuple(
            unscored(name, LOST) if value is None else FileScore(name, dict.fromkeys(METRICS, value))
            for name, value in values.items()
        )
    )


def embedded(name: str, shift: float) -> FileScore:
    ref = np.random.default_rng(0).standard_normal((20, 3))
    return FileScore(name, dict.fromkeys(METRICS, 1.0), points=Embedded(ref, ref + shift))


@pytest.fixture
def comparison() -> Comparison:
    return Comparison(
        {
            HOSTILE: report({"a": 1.0, "b": 2.0, "c": 3.0, "d": 1.0}),
            "better": report({"a": 2.0, "b": 2.5, "c": 3.0, "d": None}),
            "other" * 20: report({"a": 1.5, "b": 3.5, "c": 3.0, "e": 9.0}),
        },
        {},
    )


def row(comparison: Comparison, metric: str, system: str) -> Row:
    return next(r for r in comparison.rows if (r.metric.name, r.system) == (metric, system))


def test_means_are_of_each_and_differences_of_pairs(comparison: Comparison) -> None:
    first, better = row(comparison, "estoi", HOSTILE), row(comparison, "estoi", "better")
    assert (first.summary.mean, first.summary.count, first.difference) == (1.75, 4, None)
    assert better.summary.mean == 2.5
    assert better.difference is not None
    assert (better.difference.mean, better.difference.count) == (0.5, 3)
    assert better.difference.low == 0
    assert better.difference.high == 1


def test_wins_are_of_common_clips_without_ties_and_in_the_direction_of_the_metric(
    comparison: Comparison,
) -> None:
    systems = list(comparison.reports)
    assert [row(comparison, "estoi", s).wins for s in systems] == [0, 1, 1]
    assert [row(comparison, "lsd_db", s).wins for s in systems] == [2, 0, 0]
    assert {r.clips for r in comparison.rows if r.metric.name in METRICS} == {3}


def test_sets_and_texts_are_rows_too() -> None:
    texts = {"one": compare_texts({"a": "x y", "b": "z"}, {"a": "x", "b": "z"})}
    texts["two"] = compare_texts({"a": "x y", "b": "z"}, {"a": "x y", "b": "z"})
    reports = {"one": Report((embedded("a", 1.0),)), "two": Report((embedded("a", 0.0),))}
    made = Comparison(reports, texts)
    frechet = row(made, "frechet", "two")
    assert frechet.summary.mean == pytest.approx(0, abs=1e-9)
    assert frechet.difference is not None
    assert frechet.difference.mean == pytest.approx(-3)
    assert frechet.difference.low is None
    wer = row(made, "wer", "two")
    assert row(made, "wer", "one").summary.mean == pytest.approx(100 / 3)
    assert wer.difference is not None
    assert (wer.summary.mean, wer.difference.mean) == (0, -25)  # pooled, and the mean of clips
    alone = Comparison({}, texts)
    assert {r.metric.name for r in alone.rows} == {"wer", "cer"}
    lines = csv_of_clips(alone).splitlines()
    assert lines[:3] == ["file,system,wer,cer", "a,one,50.0,66.66666666666667", "b,one,0.0,0.0"]
    assert lines[3:] == ["a,two,0.0,0.0", "b,two,0.0,0.0"]


def test_the_table_fits_80_columns_and_no_name_breaks_it(comparison: Comparison) -> None:
    lines = text_lines(comparison)
    table = lines[: lines.index("")]
    assert len(table) == 4
    assert max(map(len, lines[: len(lines) - 2])) < 80
    assert all(line.isprintable() for line in lines)
    assert table[2].split() == ["2", "better", "2.500", "+0.500", "+0.000", "to", "+1.000", "1", "of", "3"]
    assert [line for line in lines if line.startswith("not scored: better: d (all)")]


def test_the_csv_holds_every_number_in_full(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_of_clips(comparison))))
    assert len(rows) == 12
    assert rows[0]["system"] == HOSTILE
    found = {(r["system"], r["file"]): r["cbak"] for r in rows}
    assert found["better", "b"] == "2.5"
    assert found["better", "d"] == ""


def test_markdown_has_one_cell_a_column(comparison: Comparison) -> None:
    lines = [line for line in markdown(comparison).splitlines() if line.startswith("|")]
    assert len(lines) == 5 * len(METRICS)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {7}
    assert "<b>" not in markdown(comparison).replace("\\<b\\>", "")


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action"}]

    def handle_data(self, data: str) -> None:
        self.cells.append(data.strip())


def test_the_page_fetches_nothing_and_escapes_names(comparison: Comparison) -> None:
    reader = Reader()
    reader.feed(html(comparison))
    assert reader.addresses == []
    assert not {"b", "script", "img", "link"} & set(reader.tags)
    assert reader.tags.count("table") == len(METRICS) + 1  # and what was not scored
    assert "+0.500" in reader.cells
    assert "1.750 ± 0.938" in reader.cells
    alone = Reader()
    alone.feed(html(Comparison({"one": report({"a": 1.0})}, {})))
    assert "Wins" not in alone.cells
