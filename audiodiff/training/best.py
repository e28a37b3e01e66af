"""The best model of a run by one score of its validations, and when a run without gain should end."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from audiodiff.errors import ConfigError
from audiodiff.extras import install_hint
from audiodiff.io.atomic import atomic_folder
from audiodiff.training.log import read_log

BestMetric: TypeAlias = Literal["pesq", "estoi", "si_sdr"]
SCORE_OF: dict[BestMetric, str] = {"pesq": "pesq_wb", "estoi": "estoi", "si_sdr": "si_sdr"}
"""Names of the scores in the entries of the log."""
FOLDER = "model-best"


@dataclass
class Standing:
    """The best score so far, and how many validations have passed since.

    Attributes:
        metric: The score that counts; more is better.
        patience: Validations without a gain after which to stop; 0 for never.
        score: The best so far.
        step: The step that had it.
        since: Validations since then.
    """

    metric: BestMetric
    patience: int = 0
    score: float = -math.inf
    step: int = 0
    since: int = 0

    def take(self, entry: Mapping[str, Any]) -> bool:
        """Count a validation, an entry of the log; whether it is the best so far.

        One in which no item could be scored is none.
        """
        found = entry.get(SCORE_OF[self.metric])
        if found is not None and found > self.score:
            self.score, self.step, self.since = float(found), int(entry["step"]), 0
            return True
        self.since += 1
        return False

    @property
    def early_end(self) -> str | None:
        """Why the run should end now, or None."""
        if not self.patience or self.since < self.patience:
            return None
        times = f"{self.since} validation{'s' if self.since > 1 else ''}"
        return f"no better {self.metric} in {times} since step {self.step}"


def standing_of(
    log: Path, metric: BestMetric | None, patience: int, missing: Sequence[str]
) -> Standing | None:
    """Where a run stands by the validations in its log; None where no score counts.

    Args:
        log: The run's log, cut back to its checkpoint.
        metric: The score that counts.
        patience: As `Standing`.
        missing: Scores that cannot be computed here.

    Raises:
        ConfigError: The score cannot be computed here.
    """
    if metric is None:
        return None
    if SCORE_OF[metric] in missing:
        raise ConfigError(f"run.best: {metric} cannot be computed; {install_hint('eval')}, or choose si_sdr")
    standing = Standing(metric, patience)
    for entry in read_log(log):
        if entry["kind"] == "valid":
            standing.take(entry)
    return standing


def keep_best(model: Path, folder: Path) -> None:
    """Copy the run's model folder to `folder`; a crash leaves the old copy or the new one."""
    with atomic_folder(folder, replace=True) as fresh:
        for path in model.iterdir():
            shutil.copyfile(path, fresh / path.name)
