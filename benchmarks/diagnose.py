"""Where the magnitudes of an estimate are wrong, and what its magnitude and its phase are worth alone.

    python benchmarks/diagnose.py CLEAN_DIR NOISY_DIR --est mine=DIR --est dfn3=DIR

Prints two markdown tables. The first: bias (spread) of the magnitude in dB by the level of the clean bin
below the strongest bin of its clip, and in pauses; all bins of the folder pooled. The second: mean PESQ-WB
of each folder as it is, of its magnitude with the true phase, and of the true magnitude with its phase.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from audiodiff.evaluation.magnitude import LEVELS, Error, magnitude_errors, recombine
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.report import summarise
from audiodiff.evaluation.score import Unscored

Wave = NDArray[np.float32]
Pair = tuple[Wave, Wave, int]


def pairs(clean: Path, other: Path) -> dict[str, Pair]:
    """(clean, other, rate) by name, mono and of one length, for the names in both folders."""
    refs = {path.stem: path for path in sorted(clean.iterdir())}
    found = {}
    for path in sorted(other.iterdir()):
        if path.stem not in refs:
            continue
        (s, rate), (e, est_rate) = (
            soundfile.read(p, dtype="float32", always_2d=True) for p in (refs[path.stem], path)
        )
        if rate != est_rate:
            raise SystemExit(f"{path}: {est_rate} Hz, the clean file has {rate} Hz; resample one")
        n = min(len(s), len(e))
        found[path.stem] = (s[:n].mean(axis=1), e[:n].mean(axis=1), rate)
    if not found:
        raise SystemExit(f"{other}: no file has the name of one in {clean}")
    return found


def level_row(name: str, files: dict[str, Pair]) -> str:
    total = dict.fromkeys(LEVELS, Error())
    for s, e, rate in files.values():
        if s.any():
            errors = magnitude_errors(s, e, rate)
            total = {level: total[level] + errors[level] for level in LEVELS}
    cells = [f"{error.bias_db:.1f} ({error.spread_db:.1f})" for error in total.values()]
    return f"| {name} | " + " | ".join(cells) + " |"


def mean_pesq(pesq: Pesq, files: dict[str, Pair], make: Callable[[Wave, Wave, int], Wave]) -> str:
    """Mean PESQ-WB of what `make` builds from clean, other and rate."""
    scores = [pesq.score(s, make(s, e, rate), rate) for s, e, rate in files.values()]
    summary = summarise([score for score in scores if not isinstance(score, Unscored)])
    return "-" if summary.mean is None else f"{summary.mean:.2f} ({summary.count})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clean", type=Path)
    parser.add_argument("noisy", type=Path)
    parser.add_argument("--est", action="append", default=[], metavar="NAME=DIR")
    args = parser.parse_args()
    sets = {"noisy": pairs(args.clean, args.noisy)}
    for name, _, folder in (est.partition("=") for est in args.est):
        sets[name] = pairs(args.clean, Path(folder))
    print(f"| | {' | '.join(LEVELS)} |\n|---|{'---|' * len(LEVELS)}")
    for name, files in sets.items():
        print(level_row(name, files), flush=True)
    print(
        "\n| PESQ-WB (files) | as it is | its magnitude, true phase | true magnitude, its phase |"
        "\n|---|---|---|---|"
    )
    with Pesq() as pesq:
        for name, files in sets.items():
            cells = (
                mean_pesq(pesq, files, lambda _s, e, _rate: e),
                mean_pesq(pesq, files, lambda s, e, rate: recombine(e, s, rate)),
                mean_pesq(pesq, files, lambda s, e, rate: recombine(s, e, rate)),
            )
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
