"""Score ways from mel to speech on clean and on damaged mels.

    python benchmarks/vocoder.py FOLDER --mel bigvgan-24k

Every clip is analysed into a mel of the convention, resynthesised and compared with itself. Prints markdown:
one table for every kind of mel, and the CPU seconds per second of audio on one and on two threads.
Damaged mels stand for what text-to-mel models give: noise of 0.2 neper per cell, and a mean over 3 x 3 cells
of the log mel. The score of the log mel compares with the clean mel throughout.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch.nn import functional

from audiodiff.metrics.opinion import distill_mos
from audiodiff.metrics.pesq import Pesq
from audiodiff.metrics.reason import Reason, Score
from audiodiff.metrics.spectral import log_mel_l1, multi_resolution_stft
from audiodiff.metrics.voicing import Voicing, compare, track
from audiodiff.signal.inversion import ITERATIONS, invert, length
from audiodiff.signal.mel import PRESETS, MelSpec, bands, filterbank, mel
from audiodiff.signal.noise import gaussian
from audiodiff.signal.resample import resample

Method = Callable[[torch.Tensor], torch.Tensor]
"""Mel [M, N] in the convention's numbers to samples [T]."""

Damage = Callable[[torch.Tensor, int], torch.Tensor]
"""Log mel [M, N] in nepers and a seed to a damaged one."""

LIBROSA_ITERATIONS = 60


@dataclass(frozen=True)
class Clip:
    """A recording, cut to the length that its mel spans, with what is measured once."""

    samples: NDArray[np.float32]
    values: torch.Tensor
    voicing: Voicing


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


def load(folder: Path, spec: MelSpec, at_most: int | None) -> list[Clip]:
    clips = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".wav", ".flac"})[:at_most]:
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        x = resample(np.ascontiguousarray(x.T[:1]), rate, spec.sample_rate)[0]
        values = mel(torch.from_numpy(x), spec)
        x = x[: length(spec, values.shape[-1])]
        clips.append(Clip(x, values, track(x, spec.sample_rate)))
    return clips


def clean(log_mel: torch.Tensor, _seed: int) -> torch.Tensor:
    return log_mel


def noisy(log_mel: torch.Tensor, seed: int) -> torch.Tensor:
    noise = torch.from_numpy(gaussian(seed, 0, 0, 0, log_mel.numel()))
    return log_mel + 0.2 * noise.reshape(log_mel.shape)


def blurred(log_mel: torch.Tensor, _seed: int) -> torch.Tensor:
    padded = functional.pad(log_mel[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(padded, 3, 1)[0, 0]


DAMAGES: dict[str, Damage] = {
    "clean mels": clean,
    "mels + N(0, 0.2) neper": noisy,
    "mels, 3 x 3 blur": blurred,
}


def librosa_griffin_lim(values: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Non-negative least squares and fast Griffin-Lim, all by librosa with the convention's frames."""
    import librosa

    linear = bands(values, spec).numpy()
    magnitude = librosa.util.nnls(filterbank(spec).numpy(), linear) ** (1 / spec.power)
    wave = librosa.griffinlim(
        magnitude,
        n_iter=LIBROSA_ITERATIONS,
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        win_length=spec.win,
        center=False,
        random_state=0,
    )
    start = spec.n_fft // 2 - spec.first_centre
    return torch.from_numpy(wave[start : start + length(spec, values.shape[-1])])


def methods(spec: MelSpec) -> dict[str, Method]:
    """The ways without a model; a model's is one more function of the values."""
    ours = {
        f"inversion {name} ({count})": partial(invert, spec=spec, preset=name)
        for name, count in ITERATIONS.items()
    }
    return {f"librosa Griffin-Lim {LIBROSA_ITERATIONS}": partial(librosa_griffin_lim, spec=spec), **ours}


def score(clip: Clip, wave: NDArray[np.float32], spec: MelSpec, pesq: Pesq) -> Row:
    voice = compare(clip.voicing, track(wave, spec.sample_rate))
    return Row(
        pesq.score(clip.samples, wave, spec.sample_rate),
        multi_resolution_stft(clip.samples, wave),
        log_mel_l1(clip.samples, wave, spec),
        voice.f1,
        voice.periodicity_rmse,
        voice.pitch_cents,
        distill_mos(wave, spec.sample_rate),
    )


def cpu_factor(clips: list[Clip], method: Method, spec: MelSpec, threads: int) -> float:
    """CPU seconds of all threads per second of audio; the first clip is done once before, to compile."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    method(clips[0].values)
    begin = time.process_time()
    for clip in clips:
        method(clip.values)
    spent = time.process_time() - begin
    torch.set_num_threads(before)
    return spent / sum(clip.samples.size / spec.sample_rate for clip in clips)


def line(name: str, rows: list[Row]) -> str:
    cells = [name]
    for field in fields(Row):
        values = [getattr(row, field.name) for row in rows]
        numbers = [v for v in values if not isinstance(v, Reason)]
        digits = 1 if field.name == "pitch_cents" else 3
        missing = f" ({len(numbers)} clips)" if 0 < len(numbers) < len(values) else ""
        cells.append(f"{np.mean(numbers):.{digits}f}{missing}" if numbers else "-")
    return "| " + " | ".join(cells) + " |"


def head() -> str:
    names = ["", *(f.name for f in fields(Row))]
    return "| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|"


def table(clips: list[Clip], spec: MelSpec, ways: dict[str, Method], damage: Damage, pesq: Pesq) -> None:
    print(head())
    for name, method in ways.items():
        rows = [score(c, method(damage(c.values, i)).numpy(), spec, pesq) for i, c in enumerate(clips)]
        print(line(name, rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="clean recordings (.wav, .flac)")
    parser.add_argument("--mel", default="bigvgan-24k", help="preset of a convention in natural logarithms")
    parser.add_argument("--mels", nargs="+", choices=list(DAMAGES), default=list(DAMAGES))
    parser.add_argument("--clips", type=int, help="score the first ones alone")
    args = parser.parse_args()
    spec = PRESETS[args.mel]
    if spec.log != "ln" or (spec.mean, spec.std) != (0, 1):
        parser.error(f"the damages are defined on natural logarithms, {args.mel} has others")
    torch.set_num_threads(1)
    clips = load(args.folder, spec, args.clips)
    if not clips:
        parser.error(f"no .wav or .flac files in {args.folder}")
    ways = methods(spec)
    seconds = sum(c.samples.size for c in clips) / spec.sample_rate
    print(f"{args.folder.name}: {len(clips)} clips, {seconds:.1f} s; {spec.describe()}")
    with Pesq() as pesq:
        print(f"\n{head()}")
        print(line("the recordings", [score(c, c.samples, spec, pesq) for c in clips]), flush=True)
        for name in args.mels:
            print(f"\n{name}\n")
            table(clips, spec, ways, DAMAGES[name], pesq)
    print("\n| CPU s per s of audio | 1 thread | 2 threads |\n|---|---|---|")
    for name, method in ways.items():
        one, two = (cpu_factor(clips, method, spec, threads) for threads in (1, 2))
        print(f"| {name} | {one:.3f} | {two:.3f} |", flush=True)


if __name__ == "__main__":
    main()
