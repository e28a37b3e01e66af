"""Which sampler presets are worth trying on a model, and the search for better times of a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.process import Process
from audiodiff.errors import ConfigError
from audiodiff.model.config import Presets, SamplerPreset

Sampler: TypeAlias = Literal["ddim", "dpmpp_2m", "heun"]
SAMPLERS: tuple[Sampler, ...] = ("ddim", "dpmpp_2m", "heun")
OWN, FOUND = "own", "descent"
"""Names of grids: those of the model's presets, and those that no formula gives."""
ETAS = START_NOISES = (0.0, 0.5, 1.0)

_FIRST_REACH, _LAST_REACH = 0.5, 0.05
"""How far a time moves towards its neighbours, as a share of the gap: at first, and when the search ends."""
_BALANCED_SHARE = 0.9


@dataclass(frozen=True)
class Candidate:
    """A preset to try.

    Attributes:
        grid: ``uniform``, ``tau2``, ``log_snr``, ``rho``, `OWN` or `FOUND`.
        preset: The preset; without times where its grid is the default one of the process.
    """

    grid: str
    preset: SamplerPreset


@dataclass(frozen=True)
class Trial:
    """What a candidate was measured to give.

    Attributes:
        candidate: The candidate.
        scores: Mean of each metric over all pairs; None where a pair could not be scored.
        work_s: Seconds of work per second of audio, summed over the cores; on a GPU seconds of the wall.
    """

    candidate: Candidate
    scores: Mapping[str, float | None]
    work_s: float

    def score(self, metric: str) -> float:
        """The mean of a metric; minus infinity where there is none, so that it is never chosen."""
        found = self.scores[metric]
        return -np.inf if found is None else found


def grids(process: Process, steps: int, start: float) -> dict[str, tuple[float, ...]]:
    """Every grid of so many steps by name, equal ones once, the default grid of the process first.

    A grid that this process does not have is left out.
    """
    makers: dict[str, Callable[[], list[float]]] = {
        "uniform": lambda: time_grids.uniform(steps, start),
        "tau2": lambda: time_grids.tau2(steps, start),
        "log_snr": lambda: time_grids.log_snr(process, steps, start),
        "rho": lambda: time_grids.rho(process, steps, start),
    }
    found: dict[str, tuple[float, ...]] = {}
    for name, make in makers.items():
        try:
            times = tuple(make())
        except ConfigError:  # the log-SNR of the process ends before the range of the grid
            continue
        if all(u < t for t, u in pairwise(times)) and times not in found.values():
            found[name] = times
    default = tuple(time_grids.default(process, steps, start))
    return dict(sorted(found.items(), key=lambda item: item[1] != default))


def candidates(
    process: Process,
    start: float,
    steps: Sequence[int],
    samplers: Sequence[Sampler] = SAMPLERS,
    mix_back: float = 0.0,
) -> Iterator[Candidate]:
    """Every sampler on every grid, without fresh noise; one step is the same with every sampler and grid.

    Args:
        process: Process of the model.
        start: Where its sampling starts.
        steps: Numbers of steps.
        samplers: Samplers to try.
        mix_back: Share of the recording in every result.
    """
    for n in sorted(set(steps)):
        for sampler in samplers if n > 1 else samplers[:1]:
            for place, (name, times) in enumerate(grids(process, n, start).items()):
                own = None if place == 0 else times
                quiet = 0.0 if _at_end_signal(process, start) else 1.0
                preset = SamplerPreset(steps=n, sampler=sampler, start_noise=quiet, times=own)
                yield Candidate(name, preset.model_copy(update={"mix_back": mix_back}))


def noise_variants(process: Process, start: float, candidate: Candidate) -> Iterator[Candidate]:
    """The same preset with other shares of fresh noise, where noise has a part in it."""
    preset = candidate.preset
    if preset.steps == 1:  # the only step ends at data, where there is no noise
        return
    starts_clean = _at_end_signal(process, start)
    for noise in START_NOISES if starts_clean else (preset.start_noise,):
        for eta in ETAS if preset.sampler == "ddim" else (preset.eta,):
            changed = preset.model_copy(update={"eta": eta, "start_noise": noise})
            if changed != preset:
                yield Candidate(candidate.grid, changed)


def _at_end_signal(process: Process, start: float) -> bool:
    """Whether sampling starts at the recording itself, without noise."""
    return process.uses_y and process.coeffs(start)[2] == 0


def descend(
    times: tuple[float, ...],
    evaluate: Callable[[tuple[float, ...]], float],
    trials: int,
    seed: int = 0,
) -> tuple[tuple[float, ...], float]:
    """Move the inner times of a grid one at a time as long as that helps: coordinate descent.

    Each time is tried towards its upper and its lower neighbour; a move stays if the value rises, so the
    result is never worse than the start. A round without a gain halves the reach of the moves.

    Args:
        times: Falling, from the start to 0.
        evaluate: What is to be as large as possible.
        trials: Calls of `evaluate` at most, the one for the start not counted.
        seed: Seed of the order in which the times take their turns.

    Returns:
        The best grid, and its value.
    """
    generator = np.random.default_rng(seed)
    best, value = times, evaluate(times)
    reach, left = _FIRST_REACH, trials
    while reach >= _LAST_REACH and left > 0 and len(times) > 2:
        gained = False
        for place in generator.permutation(np.arange(1, len(times) - 1)):
            for neighbour in (place - 1, place + 1):
                moved = _moved(best, int(place), int(neighbour), reach)
                if left == 0 or not best[place + 1] < moved < best[place - 1]:
                    continue
                proposal = (*best[:place], moved, *best[place + 1 :])
                left -= 1
                if (found := evaluate(proposal)) > value:
                    best, value, gained = proposal, found, True
                    break
        if not gained:
            reach /= 2
    return best, value


def _moved(times: tuple[float, ...], place: int, neighbour: int, reach: float) -> float:
    """A time moved by a share of the gap towards a neighbour, to four digits: more are below any effect."""
    return float(f"{times[place] + reach * (times[neighbour] - times[place]):.4g}")


def choose(trials: Sequence[Trial], metric: str) -> Presets:
    """The presets that trials speak for.

    ``fast`` is the best of those with the fewest evaluations of the network, ``best`` the best of all, and
    ``balanced`` the one with the fewest evaluations that has at least 90 % of what ``best`` gains over
    ``fast``.

    Args:
        trials: What was measured.
        metric: By which metric; more is better.

    Raises:
        ConfigError: No trial has this score.
    """
    scored = [trial for trial in trials if trial.scores[metric] is not None]
    if not scored:
        raise ConfigError(
            f"no trial could be scored by {metric}; check the pairs, or choose another --metric"
        )
    ranked = sorted(scored, key=lambda trial: (_calls(trial), -trial.score(metric)))
    fast = ranked[0]
    best = max(ranked, key=lambda trial: (trial.score(metric), -_calls(trial)))
    enough = fast.score(metric) + _BALANCED_SHARE * (best.score(metric) - fast.score(metric))
    balanced = next(trial for trial in ranked if trial.score(metric) >= enough)
    return Presets(fast=fast.candidate.preset, balanced=balanced.candidate.preset, best=best.candidate.preset)


def _calls(trial: Trial) -> int:
    return trial.candidate.preset.evaluations
