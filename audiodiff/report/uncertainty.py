"""Where a model guesses: several samples of it, with other noise, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from audiodiff.errors import ConfigError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.inference.live import Block
from audiodiff.io.reader import probe, read_blocks
from audiodiff.model.model import Model
from audiodiff.report import findings
from audiodiff.report.report_data import Disagreement
from audiodiff.report.spectra import Framer, Grid, decibels

FEWEST_STEPS = 2
"""A bridge's last step adds no noise, so a single one gives the same result for every seed."""


def disagree(
    source: Path,
    model: Model,
    seeds: int = 3,
    first_seed: int = 0,
    steps: int = FEWEST_STEPS,
    threads: int | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Disagreement:
    """Clean a recording several times with other noise and see where the results differ.

    Every sample takes fresh noise in each step (eta 1), whatever the model's presets say, at full strength.
    The samples advance together, block by block, so memory does not grow with the recording. It takes as
    long as cleaning it `seeds` times.
    """
    if seeds < 2:
        raise ConfigError(f"{seeds} samples cannot disagree; use 2 or more")
    if steps < FEWEST_STEPS:
        raise ConfigError(f"{steps} step gives the same result for every seed; use {FEWEST_STEPS} or more")
    info = probe(source)
    noisy = _with_fresh_noise(model, steps)
    denoisers = [Denoiser(noisy, seed=first_seed + k, threads=threads) for k in range(seeds)]
    with read_blocks(source) as reader:
        gain = denoisers[0].gain(reader, info.sample_rate)
    if gain is None:
        return Disagreement(seeds, None)
    tally, done = _Tally(info.sample_rate), 0
    framers = [Framer(info.sample_rate) for _ in denoisers]
    streams = [_cleaned(source, denoiser, info.sample_rate, gain) for denoiser in denoisers]
    for blocks in zip(*streams, strict=True):
        tally.push([framer.push(block) for framer, block in zip(framers, blocks, strict=True)])
        done += blocks[0].shape[1]
        if progress is not None:
            progress(done / info.sample_rate, info.seconds)
    tally.push([framer.flush() for framer in framers])
    return tally.result(seeds)


def _with_fresh_noise(model: Model, steps: int) -> Model:
    presets = model.config.presets
    fresh = presets.balanced.model_copy(
        update={"steps": steps, "sampler": "ddim", "eta": 1.0, "start_noise": 1.0, "times": None}
    )
    config = model.config.model_copy(update={"presets": presets.model_copy(update={"balanced": fresh})})
    return dataclasses.replace(model, config=config)


def _cleaned(source: Path, denoiser: Denoiser, sample_rate: int, gain: float) -> Iterator[Block]:
    with read_blocks(source) as reader:
        yield from denoiser.stream(reader, sample_rate, gain)


class _Tally:
    """Judges the frames of all samples as they come, a minute at a time."""

    def __init__(self, sample_rate: int) -> None:
        framer = Framer(sample_rate)
        self._first_s, self._hop_s = framer.first_s, framer.hop_s
        self._waiting: list[Grid] = []
        self._n_waiting = self._n_done = 0
        self._sum, self._count = 0.0, 0
        self._shortlist = findings.Shortlist()

    def push(self, frames: list[Grid]) -> None:
        self._waiting.append(np.stack(frames))
        self._n_waiting += len(frames[0])
        if self._n_waiting * self._hop_s >= findings.WINDOW_S:
            self._judge()

    def result(self, seeds: int) -> Disagreement:
        self._judge()
        mean = self._sum / self._count if self._count else None
        return Disagreement(seeds, mean, self._shortlist.places())

    def _judge(self) -> None:
        if not self._n_waiting:
            return
        levels = decibels(np.concatenate(self._waiting, axis=1))
        strength, total, count = findings.spread(levels)
        first_s = self._first_s + self._n_done * self._hop_s
        self._shortlist.add(findings.runs(strength, findings.SPREAD_DB, first_s, self._hop_s, "disagreement"))
        self._sum, self._count = self._sum + total, self._count + count
        self._n_done, self._n_waiting, self._waiting = self._n_done + self._n_waiting, 0, []
