"""Scores `voice` on the dev pairs of a pair store, beside its start and inversions of equal cost.

    python benchmarks/voice.py runs/voice/model corpus/pairs24 --pairs 36 --steps 1 2 4

PESQ-WB and multi-resolution STFT distance against the recording, apart for clean, noisy and blurred mels;
real-time factors are CPU seconds a second on one thread, of the whole way from the mel.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from audiodiff.data.make_pairs import How, make_start
from audiodiff.data.pairs import Pair, PairStore
from audiodiff.evaluation.pesq import Pesq
from audiodiff.inference.denoiser import Denoiser
from audiodiff.training.losses import multi_resolution_stft

Audio = NDArray[np.float32]
Method = Callable[[Audio, Pair], Audio]
ITERATIONS = (8, 16, 32, 60)


def inversion(iterations: int, rate: int) -> Method:
    """The same mel inverted with so many iterations."""

    def run(truth: Audio, pair: Pair) -> Audio:
        return make_start(truth, rate, How(pair.preset, pair.degradation, iterations, pair.seed))

    return run


def model(denoiser: Denoiser, rate: int) -> Method:
    """The start of the pair, and what the model makes of it."""

    def run(truth: Audio, pair: Pair) -> Audio:
        start = make_start(truth, rate, How(pair.preset, pair.degradation, pair.iterations, pair.seed))
        return denoiser.denoise(start, rate)

    return run


def distance(truth: Audio, estimate: Audio, rate: int, bandwidth_hz: float) -> float:
    """Multi-resolution STFT distance up to the clip's bandwidth."""
    waves = [torch.from_numpy(np.ascontiguousarray(wave))[None] for wave in (estimate, truth)]
    band = torch.tensor([bandwidth_hz])
    return float(multi_resolution_stft(waves[0], waves[1], (512, 1024, 2048), rate, band))


def main(arguments: argparse.Namespace) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    store = PairStore(arguments.pairs_folder, "dev")
    rate = store.layout.sample_rate
    methods = {f"inversion {k}": inversion(k, rate) for k in ITERATIONS}
    for steps in arguments.steps:
        methods[f"voice {steps}"] = model(Denoiser(str(arguments.model), steps=steps, threads=1), rate)
    scores: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    parts = sorted({pair.degradation.part for pair in store.pairs[: arguments.pairs]})
    with Pesq() as pesq:
        for index, pair in enumerate(store.pairs[: arguments.pairs]):
            tracks, part = store.read(index), pair.degradation.part
            outputs = {"target": tracks.target}
            for name, method in methods.items():
                begin = time.process_time()
                outputs[name] = method(tracks.truth, pair)
                seconds[name] += time.process_time() - begin
            for name, output in outputs.items():
                score = pesq.score(tracks.truth, output, rate)
                if isinstance(score, float):
                    far = distance(tracks.truth, output, rate, pair.bandwidth_hz)
                    scores[name, part].append((score, far))
    print(f"| PESQ-WB / M-STFT | {' | '.join(parts)} | RTF |\n|---|{'---|' * (len(parts) + 1)}")
    audio_s = min(arguments.pairs, len(store.pairs)) * store.layout.n_samples / rate
    for name in ["target", *methods]:
        means = [np.mean(scores[name, part], axis=0) for part in parts]
        cells = " | ".join(f"{mean[0]:.2f} / {mean[1]:.2f}" for mean in means)
        print(f"| {name} | {cells} | {seconds[name] / audio_s:.3f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pairs_folder", type=Path)
    parser.add_argument("--pairs", type=int, default=36)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4])
    main(parser.parse_args())
