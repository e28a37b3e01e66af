"""Trials of sampler presets on pairs of noisy and clean recordings, kept in a file of JSON lines.

A trial that the file holds is not made again, so a search that was stopped goes on where it was.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from audiodiff.errors import ConfigError
from audiodiff.evaluation.folders import named_files
from audiodiff.evaluation.intelligibility import stoi
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.evaluation.waveform import si_sdr
from audiodiff.extras import install_hint
from audiodiff.inference.denoiser import Denoiser
from audiodiff.io.atomic import append, write_file
from audiodiff.io.byte_edit import sha256_of
from audiodiff.io.reader import read
from audiodiff.model.config import SamplerPreset
from audiodiff.settings import parse
from audiodiff.signal.level import mono_mix
from audiodiff.training.preset_search import Candidate, Trial

Metric: TypeAlias = Literal["pesq_wb", "si_sdr", "estoi"]
LABELS: dict[Metric, str] = {"pesq_wb": "PESQ-WB", "si_sdr": "SI-SDR dB", "estoi": "ESTOI"}
_PACKAGES: dict[Metric, str] = {"pesq_wb": "pesq", "estoi": "pystoi"}

Samples: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A noisy recording and its clean voice, [C, T] at one rate in Hz."""

    name: str
    noisy: Samples
    clean: Samples
    rate: int
    sha256: tuple[str, str] = ("", "")


def read_pairs(folder: Path, limit: int | None = None) -> list[Pair]:
    """The pairs of ``FOLDER/noisy`` and ``FOLDER/clean``, which have equal names; suffixes may differ.

    Args:
        folder: Folder with ``noisy`` and ``clean``.
        limit: The first so many by name only.

    Raises:
        ConfigError: A folder is missing, a file has no partner, or rates, channels or lengths differ.
        AudioFileError: A file cannot be read.
    """
    noisy, clean = named_files(folder / "noisy"), named_files(folder / "clean")
    for name in sorted(noisy.keys() ^ clean.keys()):
        raise ConfigError(f"{folder}: {name} is in only one of noisy/ and clean/; give both, or take it out")
    if not noisy:
        raise ConfigError(f"{folder}: holds no pairs; put recordings of equal names into noisy/ and clean/")
    pairs = []
    for name in sorted(noisy)[:limit]:
        paths = (noisy[name][0], clean[name][0])
        (x, rate), (y, clean_rate) = (read(path) for path in paths)
        if (rate, x.shape) != (clean_rate, y.shape):
            raise ConfigError(
                f"{paths[0]}: {x.shape[0]} channels of {x.shape[1]} samples at {rate} Hz, but its clean "
                f"voice has {y.shape[0]} of {y.shape[1]} at {clean_rate} Hz; make them alike"
            )
        pairs.append(Pair(name, x, y, rate, (sha256_of(paths[0]), sha256_of(paths[1]))))
    return pairs


def metrics_for(wanted: Metric | None) -> tuple[Metric, ...]:
    """What is measured, the metric that decides first: PESQ if it is installed and nothing else is wanted.

    Raises:
        ConfigError: The package of the wanted metric is not installed.
    """
    there: dict[Metric, bool] = {
        m: importlib.util.find_spec(_PACKAGES.get(m, "numpy")) is not None for m in LABELS
    }
    if wanted is not None and not there[wanted]:
        raise ConfigError(f"{wanted} needs the package {_PACKAGES[wanted]}; {install_hint('eval')}")
    usual: list[Metric] = [m for m in ("pesq_wb", "si_sdr") if there[m]]
    first = wanted or usual[0]
    return (first, *(m for m in usual if m != first))


@dataclass
class Bench:
    """Measures presets of one denoiser on some pairs, and remembers in a file.

    Attributes:
        denoiser: The denoiser; its own preset has no part.
        pairs: What it is measured on.
        metrics: What is measured.
        journal: File of JSON lines; made if it is not there.
        pesq: What scores by PESQ; the caller closes it.
        trials: All that was measured or remembered in this search, in order, each preset once.
    """

    denoiser: Denoiser
    pairs: Sequence[Pair]
    metrics: tuple[Metric, ...]
    journal: Path
    pesq: Pesq
    trials: list[Trial] = field(default_factory=list)
    _known: dict[str, Trial] = field(default_factory=dict)
    _warm: bool = False

    def __post_init__(self) -> None:
        head = self._head()
        if not self.journal.exists():
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            write_file(self.journal, json.dumps(head).encode() + b"\n", replace=False)
            return
        lines = list(_lines(self.journal))
        if not lines or lines[0] != head:
            raise ConfigError(
                f"{self.journal}: is of another model, other pairs or another metric; choose another --output"
            )
        for line in lines[1:]:
            trial = _trial(line, self.journal)
            self._known[_key(trial.candidate.preset)] = trial

    def _head(self) -> dict[str, Any]:
        config = self.denoiser.model.config.model_dump(mode="json", exclude={"presets"})
        return {
            "model": self.denoiser.model.digest,
            "config": config,
            "seed": self.denoiser.seed,
            "metrics": list(self.metrics),
            "pairs": {pair.name: list(pair.sha256) for pair in self.pairs},
        }

    def unprocessed(self) -> dict[str, float | None]:
        """Scores of the noisy recordings as they are.

        Raises:
            ConfigError: One of them has no score by the metric that decides.
        """
        return self._scores([pair.noisy for pair in self.pairs], strict=True)

    def measure(self, candidate: Candidate) -> Trial:
        """Run a preset over all pairs, or remember what that gave."""
        key = _key(candidate.preset)
        known = self._known.get(key)
        if known is None:
            known = self._run(candidate)
            self._known[key] = known
            append(self.journal, json.dumps(_plain(known)).encode())
        if all(trial is not known for trial in self.trials):
            self.trials.append(known)
        return known

    def _run(self, candidate: Candidate) -> Trial:
        denoiser = self.denoiser.with_preset(candidate.preset)
        if not self._warm:  # what is loaded and tuned at the first call is no work of a preset
            denoiser.denoise(self.pairs[0].noisy.T, self.pairs[0].rate)
            self._warm = True
        # of a processor its own seconds: those of the wall also count what else runs on the machine
        clock = time.process_time if denoiser.device == "cpu" else time.perf_counter
        begin = clock()
        outputs = [denoiser.denoise(pair.noisy.T, pair.rate).T for pair in self.pairs]
        seconds = sum(pair.noisy.shape[1] / pair.rate for pair in self.pairs)
        work_s = (clock() - begin) / seconds
        return Trial(candidate, self._scores(outputs), work_s)

    def _scores(self, outputs: Sequence[Samples], strict: bool = False) -> dict[str, float | None]:
        """Mean of each metric over all pairs, None where one of them has no score."""
        means: dict[str, float | None] = {}
        for metric in self.metrics:
            values = [self._score(metric, pair, out) for pair, out in zip(self.pairs, outputs, strict=True)]
            numbers = [value for value in values if not isinstance(value, Unscored)]
            means[metric] = float(np.mean(numbers)) if len(numbers) == len(values) else None
            for pair, value in zip(self.pairs, values, strict=True):
                if strict and metric == self.metrics[0] and isinstance(value, Unscored):
                    raise ConfigError(f"{pair.name}: has no {metric}, {value.text}; take this pair out")
        return means

    def _score(self, metric: Metric, pair: Pair, out: Samples) -> Score:
        mix = mono_mix([pair.clean])
        clean, made = mix.apply(pair.clean)[0], mix.apply(out)[0]
        match metric:
            case "si_sdr":
                return si_sdr(clean, made)
            case "estoi":
                return stoi(clean, made, pair.rate)
            case "pesq_wb":
                return self.pesq.score(clean, made, pair.rate)


def _key(preset: SamplerPreset) -> str:
    return json.dumps(preset.model_dump(mode="json"), sort_keys=True)


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "grid": trial.candidate.grid,
        "preset": trial.candidate.preset.model_dump(mode="json"),
        "scores": dict(trial.scores),
        "work_s": trial.work_s,
    }


def _trial(line: dict[str, Any], source: Path) -> Trial:
    try:
        preset = parse(SamplerPreset, line["preset"], str(source), at="preset")
        return Trial(Candidate(line["grid"], preset), line["scores"], line["work_s"])
    except (KeyError, TypeError):
        raise ConfigError(f"{source}: holds a line that is no trial; choose another --output") from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal but those that a crash tore."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); choose another --output") from None
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
