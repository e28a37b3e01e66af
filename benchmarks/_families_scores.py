"""What the families are judged by: quality, how true and how different their samples are, stability, time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from _families_sampling import Audio, Way, marks_of, read_snapshot, snapshot_of, steps_label, ways_of
from _families_training import Run
from numpy.typing import NDArray

from audiodiff.data.batches import item
from audiodiff.data.mixing import MixConfig
from audiodiff.data.sources import open_sources
from audiodiff.data.store import Store
from audiodiff.evaluation.distances import frechet_distance
from audiodiff.evaluation.dnsmos import Dnsmos
from audiodiff.evaluation.embedding import SIZE, embed
from audiodiff.evaluation.intelligibility import stoi
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.evaluation.waveform import log_spectral_distance, si_sdr
from audiodiff.io.atomic import write_file
from audiodiff.training.recipe import MixData

DEV_SEED = 1
SNR_DB = (0.0, 15.0)
SECONDS = 4.0
SAMPLE_SEEDS = 4
NEIGHBOURS = 5
"""k of density and coverage, as published."""
STABLE_ITEMS, STABLE_STEPS = 8, 4
TIMED_S = 1.0
"""CPU seconds that a timing takes at least."""


@dataclass(frozen=True)
class DevItem:
    """A fixed mixture of the dev split ``[T]``."""

    noisy: Audio
    clean: Audio


def dev_items(run: Run, n: int) -> list[DevItem]:
    """Mixtures as those of the training, of speakers and noises that it never heard."""
    store, recipe = Store(run.store), run.recipe()
    assert isinstance(recipe.data, MixData)
    values = recipe.data.model_dump(include=set(MixConfig.model_fields))
    config = MixConfig(**(values | {"snr_db": SNR_DB}))
    sources = open_sources(store, "dev", config.class_weights)
    segment = round(SECONDS * store.sample_rate)
    drawn = (item(sources, config, DEV_SEED, 0, number, segment) for number in range(n))
    return [DevItem(each.noisy, each.clean) for each in drawn]


def mean_of(scores: list[Score]) -> float | None:
    """Mean of those that are numbers."""
    numbers = [value for value in scores if not isinstance(value, Unscored)]
    return float(np.mean(numbers)) if numbers else None


@dataclass(frozen=True)
class Judges:
    """What scores a wave: PESQ's process, and DNSMOS where the user gives it; and the rate in Hz."""

    pesq: Pesq
    dnsmos: Dnsmos | None
    rate: int


def quality(items: list[DevItem], outputs: list[Audio], judges: Judges) -> dict[str, Any]:
    """Means over the items of what compares one estimate with its truth."""
    rate, dnsmos = judges.rate, judges.dnsmos
    pairs = [(each.clean, out) for each, out in zip(items, outputs, strict=True)]
    found: dict[str, Any] = {"pesq_wb": mean_of([judges.pesq.score(*pair, rate) for pair in pairs])}
    found["estoi"] = mean_of([stoi(*pair, rate) for pair in pairs])
    found["si_sdr_db"] = mean_of([si_sdr(*pair) for pair in pairs])
    if dnsmos is not None:
        opinions = [dnsmos.score(out, rate) for out in outputs]
        found |= {name: mean_of([each[name] for each in opinions]) for name in dnsmos.names}
    return found


def points(waves: list[Audio], rate: int) -> NDArray[np.float64]:
    """The embedding of the Frechet distance, all waves together ``[P, 48]``."""
    return np.concatenate([np.zeros((0, SIZE)), *(embed(wave, rate) for wave in waves)])


def density_coverage(real: NDArray[np.float64], fake: NDArray[np.float64]) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, "Reliable fidelity and diversity metrics", equations 3 and 4).

    Every real point has a ball that reaches to its 5th nearest real neighbour. Density: the balls that a fake
    point lies in, mean, over 5. Coverage: the share of the balls in which a fake point lies. Every number is
    measured in its standard deviation over the real points first, as they have different units.

    Args:
        real: ``[P, D]``, P > 5.
        fake: ``[Q, D]``.
    """
    scale = np.maximum(real.std(0), 1e-9)
    real, fake = real / scale, fake / scale
    radius = np.sort(_distances(real, real), axis=1)[:, NEIGHBOURS]  # a point's nearest is itself
    inside = _distances(real, fake) < radius[:, None]
    return float(inside.sum() / (NEIGHBOURS * len(fake))), float(inside.any(axis=1).mean())


def _distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def spread(items: list[DevItem], samples: list[list[Audio]], rate: int) -> dict[str, float | None]:
    """How far the samples of one input lie from each other, and from the truth, in log-spectral dB.

    If the truth might be one more sample of a model, both distances are the same: their quotient is 1. It is
    0 for a model that always gives the same answer.

    Args:
        items: The inputs.
        samples: By seed and item.
        rate: Hz.
    """
    among, to_truth = [], []
    for number, each in enumerate(items):
        drawn = [of_seed[number] for of_seed in samples]
        among += [log_spectral_distance(a, b, rate) for a, b in combinations(drawn, 2)]
        to_truth += [log_spectral_distance(each.clean, a, rate) for a in drawn]
    apart, off = mean_of(among), mean_of(to_truth)
    quotient = None if apart is None or not off else apart / off
    return {"spread_db": apart, "error_db": off, "spread_over_error": quotient}


def score_way(items: list[DevItem], samples: list[list[Audio]], judges: Judges) -> dict[str, Any]:
    """Everything about one way to sample; quality and the Frechet distance are of the first seed alone."""
    rate = judges.rate
    real = points([each.clean for each in items], rate)
    frechet = frechet_distance(real, points(samples[0], rate))
    found = quality(items, samples[0], judges)
    found["frechet"] = None if isinstance(frechet, Unscored) else frechet
    found |= spread(items, samples, rate)
    if len(real) > NEIGHBOURS:
        pooled = points([wave for of_seed in samples for wave in of_seed], rate)
        found["density"], found["coverage"] = density_coverage(real, pooled)
    return found


@dataclass(frozen=True)
class Scorer:
    """Scores what is not scored yet, into one folder, a file each."""

    folder: Path
    items: int
    minutes: float
    dnsmos: Path | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the numbers depend on beside the weights; others in a file make it count for nothing."""
        return {"items": self.items, "sample_seeds": SAMPLE_SEEDS, "dnsmos": self.dnsmos is not None}

    def path(self, run: Run) -> Path:
        """Where the scores of a family at this budget are."""
        return self.folder / f"{run.name}-seed{run.seed}-{self.minutes:g}.json"

    def score(self, run: Run) -> None:
        """Everything about one family, way by way; goes on where it was interrupted."""
        snapshot = snapshot_of(run, self.minutes)
        about = read_snapshot(snapshot)
        found = _read(self.path(run))
        if any(found.get(key) != value for key, value in self.settings.items()) or found["about"] != about:
            found = {**self.settings, "about": about, "ways": {}, "stability": {}}
        items = dev_items(run, self.items)
        with self._judges(run) as judges:
            for label, way in ways_of(run, snapshot).items():
                if label not in found["ways"]:
                    samples = [[way(each.noisy, seed) for each in items] for seed in range(SAMPLE_SEEDS)]
                    found["ways"][label] = score_way(items, samples, judges)
                    _write(self.path(run), found)
                    print(f"{run.name}, {label}: {_line(found['ways'][label])}", flush=True)
            for mark in marks_of(run, self.minutes):
                if mark.name not in found["stability"]:
                    found["stability"][mark.name] = _at_mark(run, mark, items[:STABLE_ITEMS], judges)
                    _write(self.path(run), found)

    def score_noisy(self, run: Run) -> None:
        """The recordings as they are."""
        path = self.folder / "noisy.json"
        if all(_read(path).get(key) == value for key, value in self.settings.items()):
            return
        items = dev_items(run, self.items)
        with self._judges(run) as judges:
            scores = score_way(items, [[each.noisy for each in items]] * 2, judges)
        _write(path, {**self.settings, "ways": {"unprocessed": scores}})

    @contextmanager
    def _judges(self, run: Run) -> Iterator[Judges]:
        dnsmos = None if self.dnsmos is None else Dnsmos(self.dnsmos)
        with Pesq() as pesq:
            yield Judges(pesq, dnsmos, run.recipe().model.sample_rate)


def _at_mark(run: Run, mark: Path, items: list[DevItem], judges: Judges) -> dict[str, Any]:
    """Quality of the weights as the last step before a snapshot left them, without their average."""
    ways = ways_of(run, mark, "raw")
    way = ways.get(steps_label(STABLE_STEPS)) or next(iter(ways.values()))
    return quality(items, [way(each.noisy, 0) for each in items], replace(judges, dnsmos=None))


def time_run(run: Run, minutes: float, path: Path) -> None:
    """CPU seconds per second of audio of every way, on one thread; what a file has already is kept."""
    found = _read(path)
    (each,) = dev_items(run, 1)
    for label, way in ways_of(run, snapshot_of(run, minutes)).items():
        if label not in found:
            found[label] = _cpu_factor(way, each.noisy)
            _write(path, found)
            print(f"{run.name}, {label}: {found[label]:.4f} s/s", flush=True)


def _cpu_factor(way: Way, noisy: Audio) -> float:
    warm = time.process_time()
    way(noisy, 0)
    once_s = time.process_time() - warm
    best_s, total_s = (once_s, once_s) if once_s > TIMED_S else (np.inf, 0.0)  # a long one needs no warm-up
    while total_s < TIMED_S:
        begin = time.process_time()
        way(noisy, 0)
        took_s = time.process_time() - begin
        best_s, total_s = min(best_s, took_s), total_s + took_s
    return float(best_s / SECONDS)


def _line(scores: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if value is not None)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _write(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(values, indent=1).encode())
