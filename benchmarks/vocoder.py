"""Score ways from mel to speech on clean, on damaged and on predicted mels.

    python benchmarks/vocoder.py FOLDER --mel bigvgan-24k
    python benchmarks/vocoder.py FOLDER --model voice --model runs/small/model --steps 1 2 4
    python benchmarks/vocoder.py --predictions MELS REFERENCES --model voice --steps 1 2 4

Every clip of FOLDER is analysed into a mel of the convention, resynthesised and compared with itself; a
predicted mel is spoken and compared with the recording of the same name. Prints markdown: one table for every
kind of mel, and the CPU seconds per second of audio on one and on two threads. Damaged mels stand for what
text-to-mel models give: noise of 0.2 neper per cell, and a mean over 3 x 3 cells of the log mel. The score of
the log mel compares with the recording's own throughout.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from _vocoder_sets import DAMAGES, Clip, Damage, Set, predictions, recordings
from _vocoder_ways import Method, Speaker, cpu_factor, methods, speakers
from numpy.typing import NDArray

from audiodiff.errors import AudiodiffError
from audiodiff.evaluation.opinion import distill_mos
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.evaluation.spectral import log_mel_l1, multi_resolution_stft_distance
from audiodiff.evaluation.voicing import compare, track
from audiodiff.signal.mel import MelSpec
from audiodiff.signal.mel_presets import get_convention

NONE = "none"


@dataclass(frozen=True)
class Row:
    """The scores of one clip and method; the names of the fields head the table."""

    pesq_wb: Score
    m_stft: Score
    log_mel_l1: Score
    vuv_f1: Score
    periodicity_rmse: Score
    pitch_cents: Score
    distill_mos: Score


def score(clip: Clip, wave: NDArray[np.float32], spec: MelSpec, pesq: Pesq) -> Row:
    voice = compare(clip.voicing, track(wave, spec.sample_rate))
    return Row(
        pesq.score(clip.samples, wave, spec.sample_rate),
        multi_resolution_stft_distance(clip.samples, wave),
        log_mel_l1(clip.samples, wave, spec),
        voice.f1,
        voice.periodicity_rmse,
        voice.pitch_cents,
        distill_mos(wave, spec.sample_rate),
    )


def line(name: str, rows: list[Row]) -> str:
    cells = [name]
    for field in fields(Row):
        values = [getattr(row, field.name) for row in rows]
        numbers = [v for v in values if not isinstance(v, Unscored)]
        digits = 1 if field.name == "pitch_cents" else 3
        missing = f" ({len(numbers)} clips)" if 0 < len(numbers) < len(values) else ""
        cells.append(f"{np.mean(numbers):.{digits}f}{missing}" if numbers else "-")
    return "| " + " | ".join(cells) + " |"


def head(name: str) -> str:
    names = [name, *(f.name for f in fields(Row))]
    return "| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|"


def tables(of: Set, ways: dict[str, Method], pesq: Pesq) -> None:
    """One table for every kind of mel, each with the recordings themselves."""
    copies = line("the recordings", [score(c, c.samples, of.spec, pesq) for c in of.clips])
    for name, damage in of.damages.items():
        print(f"\n{head(name)}\n{copies}", flush=True)
        for label, method in ways.items():
            print(line(label, scored(of, method, damage, pesq)), flush=True)


def scored(of: Set, method: Method, damage: Damage, pesq: Pesq) -> list[Row]:
    return [
        score(clip, method(damage(clip.values, i)).numpy(), of.spec, pesq) for i, clip in enumerate(of.clips)
    ]


def times(of: Set, ways: dict[str, Method]) -> None:
    print("\n| CPU s per s of audio | 1 thread | 2 threads |\n|---|---|---|")
    for name, method in ways.items():
        one, two = (cpu_factor(of, method, threads) for threads in (1, 2))
        print(f"| {name} | {one:.3f} | {two:.3f} |", flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="clean recordings (.wav, .flac)")
    parser.add_argument("--mel", default="bigvgan-24k", help="preset of FOLDER's convention")
    kinds = [*DAMAGES, NONE]
    parser.add_argument(
        "--mels", nargs="+", choices=kinds, default=list(DAMAGES), help="kinds of FOLDER's mels"
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        nargs=2,
        metavar=("MELS", "REFERENCES"),
        help="mel files with their convention (.npz, .safetensors), and recordings of the same names",
    )
    parser.add_argument("--model", action="append", default=[], help="vocoder: name or folder; repeatable")
    parser.add_argument("--steps", type=int, nargs="+", help="of models of spectra; default: their presets'")
    parser.add_argument("--clips", type=int, help="score the first ones alone")
    parser.add_argument(
        "--no-times", action="store_true", help="leave out the CPU seconds, as on a busy machine"
    )
    args = parser.parse_args()
    if args.folder is None and args.predictions is None:
        parser.error("name a FOLDER of recordings, or --predictions")
    return args


def run(args: argparse.Namespace) -> None:
    models: list[Speaker] = [each for name in args.model for each in speakers(name, args.steps)]
    sets = []
    if args.folder is not None:
        damages = [name for name in args.mels if name != NONE]
        sets.append(recordings(args.folder, get_convention(args.mel), args.clips, damages))
    if args.predictions is not None:
        mels, references = args.predictions
        sets.append(predictions(mels, references, args.clips))
    work = [(each, methods(each, models)) for each in sets]  # a model is refused before any work
    with Pesq() as pesq:
        for each, ways in work:
            print(f"\n{each.title}")
            tables(each, ways, pesq)
            if not args.no_times:
                times(each, ways)


def main() -> None:
    args = parsed()
    torch.set_num_threads(1)
    try:
        run(args)
    except AudiodiffError as error:
        raise SystemExit(f"vocoder: {error}") from None


if __name__ == "__main__":
    main()
