"""What ``audiodiff evaluate`` prints of one system, beside the noisy originals if they are given."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from audiodiff.cli._comparison import file_as_json
from audiodiff.evaluation.metrics import BY_NAME, OF_SETS, OF_TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from audiodiff.evaluation.report import Report, Summary
    from audiodiff.evaluation.score import Score
    from audiodiff.evaluation.transcripts import TextErrors


def text_lines(report: Report, n_worst: int, texts: TextErrors | None) -> list[str]:
    """A table, then what is worst, worse than before, noted and not scored."""
    lines = [*_table(report), *_text_errors(texts), ""]
    if n_worst:
        ranked = report.worst("pesq_wb", n_worst)
        lines.append(
            "worst by PESQ-WB: " + (", ".join(f"{name} {value:.2f}" for name, value in ranked) or "none")
        )
    if report.noisy:
        worse = report.worse_than_noisy()
        count = len(report.differences("pesq_wb"))
        names = f": {', '.join(worse)}" if worse else ""
        lines.append(f"worse than noisy by more than 0.1 PESQ-WB: {len(worse)} of {count}{names}")
    said = [f"note: {file.name}: {note}" for file in report.files for note in file.notes]
    distance = report.distances()["frechet"]
    if len(report.files) > 1 and not isinstance(distance, float):
        said.append(f"note: no distances between sets: {distance.text}")
    said += [f"not scored: {name} ({metric}): {reason.text}" for name, metric, reason in report.unscored()]
    said += [f"noisy not scored: {name} ({metric}): {r.text}" for name, metric, r in report.noisy_unscored()]
    said += [f"not transcribed: {name}: counted as empty" for name in (texts.missing if texts else ())]
    # A name may hold a line break; what is said of it stays one line.
    return [*lines, *(" ".join(line.split()) for line in said)]


def json_lines(report: Report, texts: TextErrors | None) -> list[str]:
    """One object per file, then one with the summary."""
    noisy = {file.name: file for file in report.noisy}
    lines = []
    for file in report.files:
        row: dict[str, object] = {"file": file.name, **file_as_json(file)}
        if file.name in noisy:
            row["noisy"] = file_as_json(noisy[file.name])
        lines.append(json.dumps(row))
    total: dict[str, object] = {"summary": {m: asdict(s) for m, s in report.summary().items()}}
    total["distances"] = _numbers(report.distances())
    if report.noisy:
        total["noisy"] = {m: asdict(s) for m, s in report.noisy_summary().items()}
        total["noisy_distances"] = _numbers(report.noisy_distances())
        total["gain"] = {m: asdict(report.gain(m)) for m in report.metrics}
        total["worse_than_noisy"] = report.worse_than_noisy()
    if texts:
        total["texts"] = {m: asdict(e) | {"percent": e.percent} for m, e in texts.totals().items()}
        total["not_transcribed"] = list(texts.missing)
    total["unscored"] = [{"file": n, "metric": m, **asdict(r)} for n, m, r in report.unscored()]
    return [*lines, json.dumps(total)]


def _table(report: Report) -> Iterator[str]:
    header = f"{'':11} {'mean':>8} {'95 %':>7} {'files':>6}"
    yield header + (f" {'noisy':>8} {'gain':>8} {'95 %':>7}" if report.noisy else "")
    noisy = report.noisy_summary()
    for metric, summary in report.summary().items():
        line = f"{BY_NAME[metric].label:11} {_mean(summary)} {_interval(summary)} {summary.count:6d}"
        if report.noisy:
            gain = report.gain(metric)
            line += f" {_mean(noisy[metric])} {_mean(gain)} {_interval(gain)}"
        yield f"{line}  {_direction(metric)}"
    yield from _distances(report)


def _distances(report: Report) -> Iterator[str]:
    """Lines of the distances of sets, where there is sound enough."""
    own, before = _numbers(report.distances()), _numbers(report.noisy_distances())
    n_files = sum(file.points is not None for file in report.files)
    for metric in OF_SETS:
        value, noisy = own[metric.name], before[metric.name]
        if value is None:
            continue
        line = f"{metric.label:11} {value:8.{metric.decimals}f} {'-':>7} {n_files:6d}"
        if noisy is not None:
            line += f" {noisy:8.{metric.decimals}f} {value - noisy:8.{metric.decimals}f} {'-':>7}"
        yield f"{line}  {_direction(metric.name)}"


def _text_errors(texts: TextErrors | None) -> Iterator[str]:
    for metric in OF_TEXTS if texts else ():
        errors = texts.totals()[metric.name] if texts else None
        if errors and errors.percent is not None:
            line = f"{metric.label:11} {errors.percent:8.2f}  {errors.edits} errors in {errors.total}"
            yield f"{line}  {_direction(metric.name)}"


def _direction(metric: str) -> str:
    return f"{BY_NAME[metric].direction} is better"


def _numbers(scores: Mapping[str, Score]) -> dict[str, float | None]:
    return {name: score if isinstance(score, float) else None for name, score in scores.items()}


def _mean(summary: Summary) -> str:
    return f"{'-':>8}" if summary.mean is None else f"{summary.mean:8.3f}"


def _interval(summary: Summary) -> str:
    return f"{'-':>7}" if summary.ci95 is None else f"±{summary.ci95:6.3f}"
