"""Clean one long recording by the command: time, peak memory, length, and lag against the voice inside.

    python benchmarks/long_file.py WORK --hours 3 [--model podcast]

The recording is 48 kHz stereo wav, 16 bit: samples/interview_clean.flac over and over, at another place in
every channel, under white noise 15 dB below it. WORK is a folder for it and for the result, 4.2 GB for three
hours.
Exit code 1 if the length differs or a lag is not 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from speed import run

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "interview_clean.flac"
RATE = 48_000
SHIFT = 3 * RATE
"""Samples by which the voice of the second channel is ahead of that of the first."""
NOISE_DB = -15.0
REACH = RATE // 2
"""Lags up to half a second are looked at."""


def voice(start: int, stop: int) -> NDArray[np.float32]:
    """The clean voice [2, stop - start] of that stretch."""
    x, rate = soundfile.read(SAMPLE, dtype="float32")
    assert rate == RATE
    at = np.arange(start, stop)
    return np.stack([x[at % len(x)], x[(at + SHIFT) % len(x)]])


def make(path: Path, n_samples: int) -> None:
    rng = np.random.default_rng(1)
    level = np.sqrt(np.mean(voice(0, 10 * RATE) ** 2)) * 10 ** (NOISE_DB / 20)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for start in range(0, n_samples, 60 * RATE):
            clean = voice(start, min(start + 60 * RATE, n_samples))
            file.write((clean + level * rng.standard_normal(clean.shape, dtype=np.float32)).T)


def lag(estimate: NDArray[np.float32], reference: NDArray[np.float32]) -> int:
    """Samples by which the estimate is late, where the cross-correlation is largest."""
    n = 2 * len(reference)
    product = np.fft.irfft(np.fft.rfft(estimate, n) * np.conj(np.fft.rfft(reference, n)), n)
    near = np.concatenate([product[-REACH:], product[: REACH + 1]])
    return int(np.argmax(near)) - REACH


def lags(path: Path, n_samples: int) -> list[int]:
    """Of both channels, in ten stretches of ten seconds from the beginning to the end."""
    found = []
    for start in np.linspace(0, n_samples - 10 * RATE, 10).astype(int):
        x, _ = soundfile.read(path, start=start, frames=10 * RATE, dtype="float32")
        clean = voice(start, start + 10 * RATE)
        found += [lag(x[:, channel], clean[channel]) for channel in range(2)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--model", default="podcast")
    args = parser.parse_args()
    source, target = args.work / "long.wav", args.work / "long.denoised.wav"
    n_samples = round(args.hours * 3600 * RATE)
    make(source, n_samples)
    words = ["denoise", str(source), "-o", str(target), "-m", args.model, "--overwrite", "-q"]
    done = run([sys.executable, "-m", "audiodiff", *words])
    length = soundfile.info(target).frames
    found = lags(target, n_samples)
    print("| hours | samples in, out | lags in samples | s | real-time factor | peak MiB |")
    print("|---|---|---|---|---|---|")
    told = ", ".join(map(str, sorted(set(found))))
    factor = done.seconds / (args.hours * 3600)
    print(
        f"| {args.hours:g} | {n_samples}, {length} | {told} ({len(found)} stretches) | {done.seconds:.0f} "
        f"| {factor:.4f} | {done.peak_mib:.0f} |"
    )
    return int(length != n_samples or any(found))


if __name__ == "__main__":
    sys.exit(main())
