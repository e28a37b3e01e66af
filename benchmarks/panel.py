"""Score a model at several numbers of steps beside the noisy files and beside other denoisers.

    python benchmarks/panel.py CLEAN_DIR NOISY_DIR --model podcast --steps 1 2 4 --out denoised \
        --peer rnnoise=RNNOISE_DIR --peer dfn3=DFN3_DIR

Prints a markdown table: means with half of the 95 % interval, and how many files PESQ-WB puts more than
0.1 below the noisy ones; these are named below the table. Without --model only the peers are scored.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import soundfile

from audiodiff.evaluation.folders import evaluate_folders
from audiodiff.evaluation.report import Report, Summary

COLUMNS = {"pesq_wb": "PESQ-WB", "estoi": "ESTOI", "si_sdr_db": "SI-SDR dB", "lsd_db": "LSD dB"}


def denoise_folder(model: str, steps: int, noisy: Path, out: Path) -> Path:
    """Write what the model makes of every noisy file; the folder of the results."""
    import audiodiff

    denoiser = audiodiff.Denoiser(model, steps=steps)
    folder = out / f"steps{steps}"
    for path in sorted(p for p in noisy.rglob("*") if p.suffix in {".wav", ".flac"}):
        x, sample_rate = soundfile.read(path, dtype="float32")
        target = (folder / path.relative_to(noisy)).with_suffix(".wav")
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, denoiser.denoise(x, sample_rate), sample_rate, subtype="FLOAT")
    return folder


def cell(summary: Summary) -> str:
    if summary.mean is None:
        return "-"
    interval = "" if summary.ci95 is None else f" ± {summary.ci95:.2f}"
    return f"{summary.mean:.2f}{interval}"


def row(name: str, report: Report) -> str:
    summary = report.summary()
    gain = cell(report.gain("pesq_wb")) if report.noisy else ""
    worse = str(len(report.worse_than_noisy())) if report.noisy else ""
    cells = [name, str(summary["pesq_wb"].count), cell(summary["pesq_wb"]), gain, worse]
    return "| " + " | ".join(cells + [cell(summary[m]) for m in list(COLUMNS)[1:]]) + " |"


def footnotes(name: str, report: Report) -> list[str]:
    lost = report.differences("pesq_wb")
    lines = [f"- {name}, worse than noisy: {n} ({lost[n]:+.2f})" for n in report.worse_than_noisy()]
    return lines + [f"- {name}, not scored: {n} ({m}): {r.text}" for n, m, r in report.unscored()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clean", type=Path)
    parser.add_argument("noisy", type=Path)
    parser.add_argument("--model", help="name or folder of a model; omit to score the peers alone")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--out", type=Path, default=Path("panel"), help="where the model's files go")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    folders = {name: Path(folder) for name, _, folder in (peer.partition("=") for peer in args.peer)}
    if args.model:
        for steps in args.steps:
            name = f"{Path(args.model).name}, {steps} step{'s' * (steps > 1)}"
            folders[name] = denoise_folder(args.model, steps, args.noisy, args.out)
    noisy = evaluate_folders(args.clean, args.noisy, jobs=args.jobs)
    rest = " | ".join(list(COLUMNS.values())[1:])
    print(f"| | files | PESQ-WB | gain | worse | {rest} |\n|---|---|---|---|---|---|---|---|")
    print(row("noisy", noisy), flush=True)
    notes = footnotes("noisy", noisy)
    for name, folder in folders.items():
        report = replace(evaluate_folders(args.clean, folder, jobs=args.jobs), noisy=noisy.files)
        print(row(name, report), flush=True)
        notes += footnotes(name, report)
    print("\n" + "\n".join(notes))


if __name__ == "__main__":
    main()
