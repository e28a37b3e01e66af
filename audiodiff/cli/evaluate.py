"""``audiodiff evaluate``: score estimates against references, file by file or folder by folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiodiff.cli._common import SOME_FAILED
from audiodiff.cli._progress import progress_bar

if TYPE_CHECKING:
    from audiodiff.evaluation.pair import FileScore
    from audiodiff.evaluation.report import Report, Summary

LABELS = {
    "pesq_wb": "PESQ-WB",
    "pesq_nb": "PESQ-NB",
    "estoi": "ESTOI",
    "si_sdr_db": "SI-SDR dB",
    "lsd_db": "LSD dB",
}

LOWER_IS_BETTER = {"lsd_db"}


def evaluate(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="Clean reference, or a folder of them.")
    ],
    estimate: Annotated[
        Path,
        typer.Argument(
            metavar="ESTIMATE", help="Estimate, or a folder of them; files are named like the references."
        ),
    ],
    noisy: Annotated[
        Path | None, typer.Option(help="Noisy original, or a folder of them, to show the gain.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of files to score at a time.")] = 2,
    worst: Annotated[int, typer.Option(min=0, help="Number of worst files to list.")] = 5,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per file, then one with the summary.")
    ] = False,
) -> None:
    """Score estimates against clean references.

    The scores are PESQ, ESTOI and SI-SDR, of which more is better, and the log-spectral distance (LSD), of
    which less is better. Two files are scored whatever their names; in folders, files are paired by their
    relative names, and suffixes may differ. A file that cannot be scored is listed with the reason instead of
    a number, and the exit code is then 1.

    Examples: audiodiff evaluate clean.wav talk.denoised.wav --noisy talk.wav; audiodiff evaluate clean out
    """
    from audiodiff.evaluation.folders import evaluate_files, evaluate_folders

    single = reference.is_file() or estimate.is_file()
    with progress_bar("scoring", shown=True) as show:
        if single:
            report = evaluate_files(reference, estimate, noisy=noisy, on_progress=show)
        else:
            report = evaluate_folders(reference, estimate, noisy_dir=noisy, jobs=jobs, on_progress=show)
    lines = _json_lines(report) if json_lines else _text_lines(report, 0 if single else worst)
    typer.echo("\n".join(lines))
    if report.unscored():
        raise typer.Exit(SOME_FAILED)


def _text_lines(report: Report, n_worst: int) -> list[str]:
    lines = [*_table(report), ""]
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
    said += [f"not scored: {name} ({metric}): {reason.text}" for name, metric, reason in report.unscored()]
    said += [f"noisy not scored: {name} ({metric}): {r.text}" for name, metric, r in report.noisy_unscored()]
    # A name may hold a line break; what is said of it stays one line.
    return [*lines, *(" ".join(line.split()) for line in said)]


def _table(report: Report) -> list[str]:
    header = f"{'':10} {'mean':>8} {'95 %':>7} {'files':>6}"
    if report.noisy:
        header += f" {'noisy':>8} {'gain':>8} {'95 %':>7}"
    lines = [header]
    noisy = report.noisy_summary()
    for metric, summary in report.summary().items():
        line = f"{LABELS[metric]:10} {_mean(summary)} {_interval(summary)} {summary.count:6d}"
        if report.noisy:
            gain = report.gain(metric)
            line += f" {_mean(noisy[metric])} {_mean(gain)} {_interval(gain)}"
        lines.append(f"{line}  {'lower' if metric in LOWER_IS_BETTER else 'higher'} is better")
    return lines


def _mean(summary: Summary) -> str:
    return f"{'-':>8}" if summary.mean is None else f"{summary.mean:8.3f}"


def _interval(summary: Summary) -> str:
    return f"{'-':>7}" if summary.ci95 is None else f"±{summary.ci95:6.3f}"


def _json_lines(report: Report) -> list[str]:
    noisy = {file.name: file for file in report.noisy}
    lines = []
    for file in report.files:
        row: dict[str, object] = {"file": file.name, **_as_json(file)}
        if file.name in noisy:
            row["noisy"] = _as_json(noisy[file.name])
        lines.append(json.dumps(row, ensure_ascii=False))
    total: dict[str, object] = {"summary": {m: asdict(s) for m, s in report.summary().items()}}
    if report.noisy:
        total["noisy"] = {m: asdict(s) for m, s in report.noisy_summary().items()}
        total["gain"] = {m: asdict(report.gain(m)) for m in LABELS}
        total["worse_than_noisy"] = report.worse_than_noisy()
    total["unscored"] = [{"file": n, "metric": m, **asdict(r)} for n, m, r in report.unscored()]
    return [*lines, json.dumps(total, ensure_ascii=False)]


def _as_json(file: FileScore) -> dict[str, object]:
    reasons = file.reasons
    return {
        "scores": {m: None if m in reasons else s for m, s in file.scores.items()},
        "reasons": {m: asdict(r) for m, r in reasons.items()},
        "notes": list(file.notes),
    }
