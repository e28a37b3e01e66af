"""Try values of a recipe's keys: each trial is an ordinary training run in a folder of its own.

DIR/search.json      what is searched; the same search goes on where it was stopped
DIR/study.db         Optuna's own record: which values were tried, with which score
DIR/trial-000/       the run of a trial, see `run`

Every combination of a grid is tried. With a range, Optuna's tree-structured Parzen estimator (Bergstra et al.
2011) draws the trials; its draws are a function of seed, number and the scores before, so that a search that
was killed goes on as it would have without.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import filelock
import numpy as np

from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint
from audiodiff.io.atomic import write_file
from audiodiff.io.locks import held
from audiodiff.settings import read_json
from audiodiff.training.best import SCORE_OF, BestMetric
from audiodiff.training.log import read_log
from audiodiff.training.loop import BrokenRun
from audiodiff.training.recipe import Recipe, load_recipe
from audiodiff.training.run import run
from audiodiff.training.validation import missing_scores

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

LARGEST_GRID = 1000

Texts: TypeAlias = dict[str, str]
"""The values of a trial by key, as they stand behind ``key=`` on a command line."""


@dataclass(frozen=True)
class Grid:
    """A key and the values to try, as text."""

    key: str
    values: tuple[str, ...]

    def distribution(self) -> BaseDistribution:
        """For Optuna."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


@dataclass(frozen=True)
class Range:
    """A key and the numbers between which to try, ends included; whole numbers where both ends are."""

    key: str
    low: float
    high: float
    log: bool

    @property
    def values(self) -> tuple[str, str]:
        """The two ends."""
        return repr(self.low), repr(self.high)

    def distribution(self) -> BaseDistribution:
        """For Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes:
        recipe: The recipe.
        overrides: Changes to it that every trial has.
        axes: The keys that are tried.
        metric: Score of the last validation; more is better.
        n_trials: Trials in all; None for a whole grid.
        seed: Of the draws in ranges.
        allow_code: See `load_recipe`.
    """

    recipe: Path
    overrides: tuple[str, ...]
    axes: tuple[Grid | Range, ...]
    metric: BestMetric
    n_trials: int | None = None
    seed: int = 0
    allow_code: bool = False

    @property
    def is_grid(self) -> bool:
        """Whether all that is tried can be counted."""
        return all(isinstance(axis, Grid) for axis in self.axes)

    def load(self, texts: Mapping[str, str]) -> Recipe:
        """The recipe of a trial."""
        changes = [f"{key}={text}" for key, text in texts.items()]
        return load_recipe(self.recipe, [*self.overrides, *changes], self.allow_code)

    def corners(self) -> list[Texts]:
        """Every combination of a grid; with ranges, of their ends, too."""
        if math.prod(len(axis.values) for axis in self.axes) > LARGEST_GRID:
            raise ConfigError(f"these are more than {LARGEST_GRID} combinations; try fewer values")
        keys = [axis.key for axis in self.axes]
        return [dict(zip(keys, of, strict=True)) for of in itertools.product(*(a.values for a in self.axes))]

    def check(self) -> None:
        """Refuse now what a trial would be refused for.

        Raises:
            ConfigError: A key or value is not the recipe's, a key is given twice, or the score is missing.
        """
        keys = [axis.key for axis in self.axes]
        if not keys or len(set(keys)) < len(keys):
            raise ConfigError("give at least one --grid or --range, and each key once")
        if SCORE_OF[self.metric] in missing_scores():
            raise ConfigError(f"the score {self.metric} is not installed; {install_hint('eval')}")
        recipes = [self.load(texts) for texts in self.corners()]
        if not all(recipe.run.validate_minutes for recipe in recipes):
            raise ConfigError("trials are compared by validations; set run.validate_minutes above 0")

    def plain(self) -> dict[str, Any]:
        """What makes it this search and no other, as JSON gives it back."""
        recipe = self.load({})
        return {
            "recipe": recipe.model_dump(mode="json"),
            "plugin": recipe.code.digest if recipe.plugin else None,
            "axes": [[axis.key, *axis.values, getattr(axis, "log", None)] for axis in self.axes],
            "metric": self.metric,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Row:
    """A trial that has ended.

    Attributes:
        number: Which one, from 0.
        texts: Its values by key.
        entry: Its last validation, see the log of a run; empty where it failed before one.
        reason: Why it failed, or nothing.
    """

    number: int
    texts: Texts
    entry: Mapping[str, Any]
    reason: str = ""

    def score(self, metric: BestMetric) -> float | None:
        """Its score, if it has one."""
        found = None if self.reason else self.entry.get(SCORE_OF[metric])
        return None if found is None else float(found)


def folder_of(folder: Path, number: int) -> Path:
    """The run of a trial."""
    return folder / f"trial-{number:03d}"


def tune(
    search: Search, folder: Path, on_trial: Callable[[int, Texts], None]
) -> tuple[list[Row], int | None]:
    """Make the trials of a search that are not made yet.

    Args:
        search: What is searched.
        folder: Where; made if it is not there.
        on_trial: Called with number and values before each.

    Returns:
        All trials that have ended, and the signal that stopped the search, if one did.

    Raises:
        ConfigError: As `Search.check`; Optuna is missing; or another search or process has the folder.
    """
    _optuna()
    search.check()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with held(folder / ".lock"):
            _claim(folder / "search.json", search.plain())
            with _study(folder / "study.db") as study:
                return _tried(search, folder, study, on_trial)
    except filelock.Timeout as error:
        raise ConfigError(f"{folder}: another process tunes there; wait for it or choose another") from error


def _tried(
    search: Search, folder: Path, study: Study, on_trial: Callable[[int, Texts], None]
) -> tuple[list[Row], int | None]:
    from optuna.trial import TrialState

    signal_number = None
    if search.is_grid:
        for texts in search.corners():
            study.enqueue_trial(texts, skip_if_exists=True)
    while signal_number is None and (trial := _next(search, study)) is not None:
        number, texts = trial
        on_trial(number, texts)
        signal_number = _train(search.load(texts), folder_of(folder, number))
        if signal_number is None:
            score = _row(folder, number, texts).score(search.metric)
            study.tell(number, score, state=TrialState.FAIL if score is None else TrialState.COMPLETE)
    rows = [
        _row(folder, trial.number, _texts(trial.params))
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and len(trial.params) == len(search.axes)
    ]
    return rows, signal_number


def _train(recipe: Recipe, folder: Path) -> int | None:
    """Train, or go on with a run that was stopped; gives the signal that stops it now."""
    try:
        return run(recipe, folder, resume=True).signal_number
    except BrokenRun:  # a value that is too bold; the reason is in the log
        return None


def _next(search: Search, study: Study) -> tuple[int, Texts] | None:
    """The trial to make: one that was stopped, or another; None when all are made."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    keys = {axis.key for axis in search.axes}
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            if set(params) == set(trial.params) == keys:
                return trial.number, _texts(params)
            study.tell(trial.number, state=TrialState.FAIL)  # killed before it had its values
            if search.is_grid:
                study.enqueue_trial(params)
            return _next(search, study)
    done = sum(trial.state.is_finished() and set(trial.params) == keys for trial in trials)
    waiting = any(trial.state == TrialState.WAITING for trial in trials)
    if (search.is_grid and not waiting) or done == (search.n_trials or math.inf):
        return None
    seed = int(np.random.SeedSequence((search.seed, done)).generate_state(1)[0])
    study.sampler = TPESampler(seed=seed)
    asked = study.ask({axis.key: axis.distribution() for axis in search.axes})
    return asked.number, _texts(asked.params)


def _texts(params: Mapping[str, Any]) -> Texts:
    return {key: value if isinstance(value, str) else repr(value) for key, value in params.items()}


def _row(folder: Path, number: int, texts: Texts) -> Row:
    log = folder_of(folder, number) / "log.jsonl"
    entries = read_log(log)
    valid = [entry for entry in entries if entry["kind"] == "valid"]
    end = [entry for entry in entries if entry["kind"] == "end"][-1]
    if valid and valid[-1]["step"] == end["step"]:
        return Row(number, texts, valid[-1])
    return Row(number, texts, {}, "no validation" if end["reason"] == "finished" else end["reason"])


def best_of(rows: Sequence[Row], metric: BestMetric) -> Row | None:
    """The trial with the highest score, of equal ones the first."""
    scored = [row for row in rows if row.score(metric) is not None]
    return max(scored, key=lambda row: row.score(metric) or -math.inf, default=None)


def _claim(path: Path, plain: dict[str, Any]) -> None:
    """Hold a folder to one search."""
    if not path.exists():
        write_file(path, (json.dumps(plain, indent=2) + "\n").encode())
    elif read_json(path) != json.loads(json.dumps(plain)):
        raise ConfigError(f"{path}: is of another recipe, search or metric; choose another --output")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"tune needs Optuna; {install_hint('tune')}", code="missing_extra") from error
    return optuna


@contextmanager
def _study(path: Path) -> Iterator[Study]:
    """Optuna's record in a file, which its own transactions keep whole."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
    try:
        yield optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", load_if_exists=True
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()
