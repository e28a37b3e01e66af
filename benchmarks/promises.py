"""Measure what audiodiff promises of every model: one row a promise, with the figure that was asked for.

    python benchmarks/promises.py --model podcast --clean CLEAN_DIR --noise NOISE_DIR

Without --clean the clean sample is taken; generated noises are always part of it. Prints a markdown table;
exit code 1 if a promise is not kept.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from audiodiff import Denoiser, __version__
from audiodiff.batch.denoise_task import denoise_file
from audiodiff.data import synthetic_noise
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.score import Unscored
from audiodiff.inference.chunk_denoiser import ChunkDenoiser
from audiodiff.inference.engine import Engine
from audiodiff.inference.evaluator import evaluator_of
from audiodiff.model.folder import load_model
from audiodiff.model.model import Model
from audiodiff.signal.resample import resample

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SUFFIXES = {".wav", ".flac"}
SEED = 20261124
NOISE_RATE, NOISE_S, NOISE_DB = 48000, 10.0, -40.0
FLOOR_DB = -200.0  # of a power: stands for digital silence
SUBTYPES = (
    ("wav", "PCM_U8"),
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "PCM_32"),
    ("wav", "FLOAT"),
    ("wav", "DOUBLE"),
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
    ("aiff", "PCM_16"),
)

Wave = NDArray[np.float32]
Noise = Callable[[int, np.random.Generator, int], Wave]

GENERATED: dict[str, Noise] = {
    "white": lambda n, rng, rate: synthetic_noise.coloured(n, rng, rate, 0.0),
    "pink": lambda n, rng, rate: synthetic_noise.coloured(n, rng, rate, 1.0),
    "brown": lambda n, rng, rate: synthetic_noise.coloured(n, rng, rate, 2.0),
    "speech-shaped": synthetic_noise.speech_shaped,
    "hum 50 Hz": lambda n, rng, rate: synthetic_noise.hum(n, rng, rate, 50.0, 20, 4.0),
    "hum 60 Hz": lambda n, rng, rate: synthetic_noise.hum(n, rng, rate, 60.0, 20, 4.0),
    "fan": lambda n, rng, rate: synthetic_noise.fan(n, rng, rate, 180.0, -6.0, 400.0),
    "clicks": lambda n, rng, rate: synthetic_noise.clicks(n, rng, rate, 3.0),
    "keys": lambda n, rng, rate: synthetic_noise.key_bursts(n, rng, rate, 4.0),
}


@dataclass(frozen=True)
class Row:
    """A promise, the figure asked for, the figure measured, and whether that is enough."""

    promise: str
    asked: str
    measured: str
    kept: bool


def audio_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"{folder}: no wav or flac file in it")
    return paths


def power_db(x: Wave) -> float:
    power = float(np.mean(np.square(x, dtype=np.float64)))
    return 10 * np.log10(power) if power > 0 else FLOOR_DB


def noisy_sample() -> tuple[Wave, int]:
    audio, rate = soundfile.read(SAMPLES / "interview_noisy.flac", dtype="float32")
    return audio, rate


def clean_stays(denoiser: Denoiser, paths: list[Path]) -> Row:
    scores: dict[str, float] = {}
    with Pesq() as pesq:
        for path in paths:
            x, rate = soundfile.read(path, dtype="float32", always_2d=True)
            y = denoiser.denoise(x, rate)
            score = pesq.score(x.mean(axis=1), y.mean(axis=1), rate)
            if isinstance(score, Unscored):
                raise SystemExit(f"{path}: {score.text}")
            scores[path.name] = score
    mean, worst = float(np.mean(list(scores.values()))), min(scores, key=lambda name: scores[name])
    figures = f"mean {mean:.2f}, worst {scores[worst]:.2f} ({worst}), {len(scores)} files"
    return Row("clean speech in: PESQ-WB against itself", "mean >= 4.0", figures, mean >= 4.0)


def silence_stays(denoiser: Denoiser, folder: Path) -> Row:
    source, target = folder / "silence.wav", folder / "silence.out.wav"
    soundfile.write(source, np.zeros((10 * 44100, 2)), 44100, subtype="PCM_16")
    result = denoise_file(source, target, denoiser)
    y, _ = soundfile.read(target)
    peak = float(np.abs(y).max())
    figures = f"peak {peak:g}, {len(y)} of {10 * 44100} samples, {result.status}"
    return Row("digital silence in, 10 s", "digital silence", figures, peak == 0 and len(y) == 10 * 44100)


def silent_channel_stays(denoiser: Denoiser) -> Row:
    x, rate = noisy_sample()
    y = denoiser.denoise(np.stack([x, np.zeros_like(x)], axis=1), rate)
    peak = float(np.abs(y[:, 1]).max())
    figures = "exact" if peak == 0 else f"peak {20 * np.log10(peak):.0f} dBFS"
    return Row("a digitally silent channel beside a noisy one", "below -90 dBFS", figures, peak < 10**-4.5)


def noise_goes(denoiser: Denoiser, folder: Path | None) -> list[Row]:
    n = round(NOISE_S * NOISE_RATE)
    quieter = {}
    for number, (name, make) in enumerate(GENERATED.items()):
        x = make(n, np.random.default_rng([SEED, number]), NOISE_RATE) * np.float32(10 ** (NOISE_DB / 20))
        quieter[name] = power_db(x) - power_db(denoiser.denoise(x, NOISE_RATE))
    figures = ", ".join(f"{name} {db:.1f}" for name, db in quieter.items())
    promise = f"noise only in, generated at {NOISE_DB:g} dBFS, {NOISE_S:g} s each: dB quieter"
    rows = [Row(promise, "each >= 15", figures, min(quieter.values()) >= 15)]
    if folder is not None:
        found = {}
        for path in audio_files(folder):
            x, rate = soundfile.read(path, dtype="float32")
            if x.any():
                found[path.name] = power_db(x) - power_db(denoiser.denoise(x, rate))
        worst, few = min(found, key=lambda name: found[name]), sum(db < 15 for db in found.values())
        figures = (
            f"mean {np.mean(list(found.values())):.1f}, worst {found[worst]:.1f} ({worst}), "
            f"{few} of {len(found)} below 15"
        )
        rows.append(Row("noise only in, recordings: dB quieter", "each >= 15", figures, few == 0))
    return rows


def gain_passes(denoiser: Denoiser) -> Row:
    x, rate = noisy_sample()
    expected = denoiser.denoise(x, rate)
    errors = {}
    for db in (-20, 20):
        gain = np.float32(10 ** (db / 20))
        scaled = denoiser.denoise(x * gain, rate) / gain
        errors[db] = float(np.abs(scaled - expected).max() / np.abs(expected).max())
    figures = ", ".join(f"{db:+d} dB: {error:.1e}" for db, error in errors.items())
    promise = "gain in: the same result times the gain, largest error over the peak"
    return Row(promise, "<= 1e-3", figures, max(errors.values()) <= 1e-3)


def strength_0_copies(model: Model, folder: Path) -> Row:
    denoiser = Denoiser(model, strength=0.0)
    x = 0.5 * np.random.default_rng(SEED).standard_normal((30_001, 2)).clip(-1.9, 1.9)
    changed = []
    for suffix, subtype in SUBTYPES:
        source, target = (folder / f"{subtype}{part}.{suffix}" for part in ("", ".out"))
        soundfile.write(source, x, 44100, subtype=subtype)
        denoise_file(source, target, denoiser)
        # float64 holds every one of these formats exactly
        before, after = soundfile.read(source)[0], soundfile.read(target)[0]
        if not np.array_equal(before, after) or soundfile.info(target).subtype != subtype:
            changed.append(f"{suffix} {subtype}")
    names = ", ".join(f"{suffix} {subtype}" for suffix, subtype in SUBTYPES)
    figures = f"changed: {', '.join(changed)}" if changed else f"exact: {names}"
    return Row("--strength 0: samples", "bit-exact", figures, not changed)


def seed_repeats(model: Model, folder: Path) -> Row:
    source = SAMPLES / "interview_noisy.flac"
    targets = [folder / f"run{number}.flac" for number in range(3)]
    for target, seed in zip(targets, (7, 7, 8), strict=True):
        denoise_file(source, target, Denoiser(model, seed=seed))
    first, second, other = (target.read_bytes() for target in targets)
    figures = ("equal files" if first == second else "files differ") + (
        "; another seed gives the same" if first == other else "; another seed gives another"
    )
    return Row("the same seed twice", "equal files", figures, first == second)


def chunks_join(model: Model, denoiser: Denoiser) -> Row:
    """The task's chunks against one that holds everything, at the model's rate."""
    sample, rate = noisy_sample()
    x = resample(np.tile(sample, 4)[None], rate, model.sample_rate)
    gain = denoiser.gain([x], model.sample_rate)
    if gain is None:
        raise SystemExit("the noisy sample is silent")
    preset = model.config.presets.balanced.model_copy(update={"steps": denoiser.steps})
    worker = ChunkDenoiser(model, preset, 0, evaluator_of(model, "auto", "cpu", None, "auto"))
    seconds = x.shape[1] / model.sample_rate
    engine = Engine(worker.plan(2 * seconds), 1, lambda audio, chunk: worker.residual(audio, chunk, gain))
    whole = x - np.concatenate([engine.push(x), engine.flush()], axis=1)
    joined = denoiser.denoise(x.T, model.sample_rate).T
    error = float(np.abs(joined - whole).max() / np.abs(whole).max())
    promise = (
        f"chunks of {worker.core_s:g} s against {seconds:.0f} s at once, largest difference over the peak"
    )
    return Row(promise, "<= 1e-4", f"{error:.1e}", error <= 1e-4)


def measure(args: argparse.Namespace) -> tuple[list[Row], str]:
    model = load_model(args.model)
    denoiser = Denoiser(model, steps=args.steps, device="cpu")
    paths = audio_files(args.clean) if args.clean else [SAMPLES / "interview_clean.flac"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = [
            clean_stays(denoiser, paths),
            silence_stays(denoiser, folder),
            silent_channel_stays(denoiser),
            *noise_goes(denoiser, args.noise),
            gain_passes(denoiser),
            strength_0_copies(model, folder),
            seed_repeats(model, folder),
            chunks_join(model, denoiser),
        ]
    versions = f"audiodiff {__version__}, onnxruntime {version('onnxruntime')}, runtime {denoiser.runtime}"
    return rows, f"{versions}, weights {model.digest[:12]}, {denoiser.steps} steps"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="podcast", help="name or folder of a model")
    parser.add_argument("--steps", type=int, help="default: the model's")
    parser.add_argument("--clean", type=Path, help="folder of clean speech; default: the clean sample")
    parser.add_argument("--noise", type=Path, help="folder of noise recordings, besides the generated ones")
    rows, about = measure(parser.parse_args())
    print(f"`python {shlex.join(sys.argv)}` ({about})\n")
    print("| promise | asked | measured | kept |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.promise} | {row.asked} | {row.measured} | {'yes' if row.kept else 'NO'} |")
    raise SystemExit(0 if all(row.kept for row in rows) else 1)


if __name__ == "__main__":
    main()
