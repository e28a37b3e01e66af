"""Train eleven families of generative models for one budget on the same data, and put them into one table.

    python benchmarks/families.py run --minutes 20 --store corpus/speech16 -o runs/families
    python benchmarks/families.py train --family gan vae --minutes 20 --store corpus/speech16 -o runs/families
    python benchmarks/families.py score --minutes 20 --store corpus/speech16 -o runs/families
    python benchmarks/families.py score --timing --minutes 20 --store corpus/speech16 -o runs/families

See families.md beside this file. `run` trains all that is not trained, scores all that is not scored, and
writes `families-20.md`, `.json` and `.png`; interrupted at any moment, the same command goes on. A larger
budget goes on from a smaller one. Minutes are CPU minutes of one thread; trainings may run side by side.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from _families_scores import Scorer, time_run
from _families_table import collect, draw, report
from _families_training import NAMES, Run, train_family
from filelock import Timeout

from audiodiff.errors import AudiodiffError
from audiodiff.interrupts import Stop, stop_requests
from audiodiff.io.atomic import write_file

SIGNAL_EXIT = 128


def runs(args: argparse.Namespace) -> list[Run]:
    """Every training that was asked for: all families of the first seed, then of the next."""
    return [
        Run(name, args.store, seed, args.output / "runs" / f"{name}-seed{seed}")
        for seed in args.seeds
        for name in args.family
    ]


def train_all(args: argparse.Namespace, stop: Stop) -> None:
    """Train one after the other, until all are done or a signal comes."""
    for run in runs(args):
        if stop.reason is not None:
            return
        print(f"{run.folder}: training", flush=True)
        done = train_family(run, args.minutes, stop)
        print(f"{run.folder}: {'done' if done else 'stopped, the same command goes on'}", flush=True)


def score_all(args: argparse.Namespace) -> None:
    """Score what is not scored."""
    scorer = Scorer(args.output / "scores", args.items, args.minutes, args.dnsmos)
    scorer.score_noisy(runs(args)[0])
    for run in runs(args):
        scorer.score(run)


def time_all(args: argparse.Namespace) -> None:
    """Time what is not timed; the seed of the training changes nothing here."""
    for run in runs(args)[: len(args.family)]:
        time_run(run, args.minutes, args.output / "timing" / f"{run.name}.json")


def tabulate(args: argparse.Namespace) -> None:
    """Write table, numbers and picture of what is there."""
    found = collect(args.output, args.minutes)
    if not found["families"]:
        return
    stem = f"{args.output}/families-{args.minutes:g}"
    text = report(found)
    write_file(Path(f"{stem}.md"), text.encode())
    write_file(Path(f"{stem}.json"), json.dumps(found, indent=1).encode())
    draw(found, Path(f"{stem}.png"))
    print(text)


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "train", "score"))
    parser.add_argument("--minutes", type=float, required=True, help="CPU minutes of training for each")
    parser.add_argument("--store", type=Path, required=True, help="made by `audiodiff prepare` at 16 kHz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of everything")
    parser.add_argument("--family", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the training")
    parser.add_argument("--items", type=int, default=24, help="dev mixtures of 4 s")
    parser.add_argument("--dnsmos", type=Path, metavar="FOLDER", help="holds sig_bak_ovr.onnx")
    parser.add_argument("--timing", action="store_true", help="measure times alone, as on a quiet machine")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    args = parsed(words)
    torch.set_num_threads(1)
    try:
        if args.what in ("run", "train"):
            with stop_requests(None) as stop:
                train_all(args, stop)
            if stop.signal_number is not None:
                return SIGNAL_EXIT + int(stop.signal_number)
        if args.what != "train":
            if args.timing:
                time_all(args)
            else:
                score_all(args)
            tabulate(args)
    except Timeout as error:
        raise SystemExit(f"families: {error.lock_file} is locked; another process trains there") from None
    except AudiodiffError as error:
        raise SystemExit(f"families: {error}") from None
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
