"""ONNX Runtime against torch, pieces against the whole, and one job against two, for every shipped model.

    python benchmarks/engines.py

The denoiser cleans samples/interview_noisy.flac. The network of the vocoder, which works on a rough waveform,
gets what the inversion makes of the mel of samples/interview_clean.flac. Differences are the largest of any
sample, as a share of the loudest one. `test_the_shipped_models_give_the_same_in_both` guards the first.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
from numpy.typing import NDArray

from audiodiff import Denoiser, Vocoder
from audiodiff.inference.arguments import Quality
from audiodiff.signal.resample import resample

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
PUSH = 12_345
"""Samples of a piece, which is no multiple of anything."""

Wave = NDArray[np.float32]


def noisy() -> tuple[Wave, int]:
    """The recording [T] and its rate."""
    x, rate = soundfile.read(SAMPLES / "interview_noisy.flac", dtype="float32", always_2d=True)
    return np.ascontiguousarray(x[:, 0]), rate


def rough() -> tuple[Wave, int]:
    """What the vocoder's network gets [T], and its rate."""
    x, rate = soundfile.read(SAMPLES / "interview_clean.flac", dtype="float32", always_2d=True)
    inversion = Vocoder("inversion")
    made = inversion.convention.sample_rate
    parts = list(inversion.resynthesise([x.T], rate))
    wave = np.concatenate(parts)[None]
    return resample(wave, made, 24_000)[0], 24_000


def distance(a: Wave, b: Wave, x: Wave) -> float:
    return float(np.abs(a - b).max() / np.abs(x).max())


def in_pieces(denoiser: Denoiser, x: Wave, rate: int) -> Wave:
    pieces = [x[None, at : at + PUSH] for at in range(0, len(x), PUSH)]
    gain = denoiser.gain(pieces, rate)
    whole: Wave = np.concatenate(list(denoiser.stream(pieces, rate, gain)), axis=1)[0]
    return whole


def by_jobs(task: Literal["denoise", "vocode"], model: str, quality: Quality, jobs: int, work: Path) -> str:
    """The hash of all results of a batch of two recordings."""
    target = work / f"{model} {quality} {jobs}"
    words = [
        task,
        str(work / "in"),
        "-o",
        str(target),
        "-m",
        model,
        "--quality",
        quality,
        "--jobs",
        str(jobs),
    ]
    subprocess.run([sys.executable, "-m", "audiodiff", *words, "-q"], check=True, stdout=subprocess.DEVNULL)
    data = b"".join(path.read_bytes() for path in sorted(target.glob("*.wav")))
    assert data
    return hashlib.sha256(data).hexdigest()


def row(
    task: Literal["denoise", "vocode"], model: str, quality: Quality, x: Wave, rate: int, work: Path
) -> str:
    by_graph = Denoiser(model, quality=quality, runtime="onnx", device="cpu")
    by_torch = Denoiser(model, quality=quality, runtime="torch", device="cpu")
    whole = by_graph.denoise(x, rate)
    engines = distance(whole, by_torch.denoise(x, rate), x)
    pieces = distance(whole, in_pieces(by_graph, x, rate), x)
    one, two = (by_jobs(task, model, quality, jobs, work) for jobs in (1, 2))
    same = "same bytes" if one == two else "OTHER BYTES"
    return f"| {model} | {quality} | {by_graph.steps} | {engines:.1e} | {pieces:.1g} | {same} |"


def main() -> None:
    print("| model | preset | steps | ONNX Runtime and torch | pieces and whole | one job and two |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "in").mkdir()
        x, rate = noisy()
        for n, half in enumerate(np.array_split(x, 2)):
            soundfile.write(work / "in" / f"{n}.wav", half, rate)
        for quality in get_args(Quality):
            print(row("denoise", "podcast", quality, x, rate, work), flush=True)
        start = rough()
        for quality in get_args(Quality):
            print(row("vocode", "voice", quality, *start, work), flush=True)


if __name__ == "__main__":
    main()
