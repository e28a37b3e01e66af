"""A training in a folder: start or resume, log, checkpoint, validate, export.

RUN/recipe.json      the resolved recipe
RUN/plugin.py        its plug-in, if it names one
RUN/log.jsonl        what happened
RUN/log.csv          the numbers of that, a row for each line of steps and each validation
RUN/tensorboard/     the same numbers, with ``run.tensorboard``
RUN/checkpoints/     the last two checkpoints
RUN/model/           the averaged weights as a model folder (after each validation and at the end)
RUN/model-best/      the best of these by ``run.best``, if that is set
RUN/curve.png        the learning curve, if matplotlib is there
"""

from __future__ import annotations

import errno
import importlib.util
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import filelock
import torch
from torch import nn

from audiodiff.errors import ConfigError, DataError, ModelError
from audiodiff.extras import install_hint
from audiodiff.inference.device import pick_device
from audiodiff.interrupts import Stop, stop_requests
from audiodiff.io.locks import held
from audiodiff.model.folder import load, save
from audiodiff.model.model import check_network
from audiodiff.training import checkpoint
from audiodiff.training.begin import Begin, start, write_recipe
from audiodiff.training.best import FOLDER as BEST
from audiodiff.training.best import Standing, keep_best, standing_of
from audiodiff.training.card import card
from audiodiff.training.checkpoint import State
from audiodiff.training.curves import plot_curves
from audiodiff.training.loaders import Loader
from audiodiff.training.log import Bar, RunLog, read_log, summary, tell_scores
from audiodiff.training.loop import BrokenRun, StepRecord, train
from audiodiff.training.mirrors import open_mirrors
from audiodiff.training.prepare import make_task, prepare
from audiodiff.training.ranks import Ranks, joined
from audiodiff.training.recipe import Recipe, model_config
from audiodiff.training.schedule import make_optimisers
from audiodiff.training.step import TrainingContext
from audiodiff.training.validation import DevItem, missing_scores, score, validate

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True)
class Outcome:
    """How a call of `run` ended.

    Attributes:
        step: Steps made in all.
        finished: Whether the schedule is complete.
        signal_number: The signal that stopped it, or None.
        writes: Whether this process, of several that train together, is the one that wrote the model.
        early_end: Why it ended before its time, where it did so itself, or None.
    """

    step: int
    finished: bool
    signal_number: int | None
    writes: bool = True
    early_end: str | None = None


@dataclass
class _Job:
    """What the parts of one call share."""

    recipe: Recipe
    folder: Path
    state: State
    context: TrainingContext
    log: RunLog
    items: Sequence[DevItem]
    standing: Standing | None = None
    noisy_scores: dict[str, Any] = field(default_factory=dict)
    pending: list[StepRecord] = field(default_factory=list)


def run(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    init: Path | None = None,
    max_minutes: float | None = None,
    allow_code: bool = False,
) -> Outcome:
    """Train in a folder until the schedule, the time or a signal ends it.

    Args:
        recipe: What to train.
        folder: The run's folder; made if it is not there.
        resume: Go on from the newest checkpoint in it; a folder without one starts at step 0.
        init: Model folder whose weights a new run starts from; a resumed one goes on with its own.
        max_minutes: Minutes of wall clock, validations included, after which to stop; 0 only exports.
        allow_code: Run code that the folder of `init` brings; that of the recipe ran when it was loaded.

    Raises:
        ConfigError: The folder already holds a run and `resume` is not set, the recipe does not fit the
            checkpoint or the store, or another process trains in the folder.
        ModelError: `init` or a checkpoint is damaged.
        DataError: The packed store is unusable.
        BrokenRun: The training cannot become good any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with joined() as ranks, _lock(folder, ranks), stop_requests(max_minutes) as stop:
            begin = Begin(resume, init, allow_code)
            return _locked(recipe, folder, begin, stop, ranks)
    except OSError as error:
        if isinstance(error, filelock.Timeout):
            raise ConfigError(
                f"{folder}: another process trains there; wait for it or choose another folder"
            ) from error
        if error.errno not in _NO_ROOM:
            raise
        raise ModelError(
            f"{folder}: there is no room to write ({error.strerror}); make some, then go on with --resume "
            "from the last checkpoint",
            code="unwritable",
        ) from error


def _lock(folder: Path, ranks: Ranks) -> AbstractContextManager[object]:
    """The lock of a run's folder, which the writing process holds for all."""
    return held(folder / ".lock") if ranks.writes else nullcontext()


def _locked(recipe: Recipe, folder: Path, begin: Begin, stop: Stop, ranks: Ranks) -> Outcome:
    device = pick_device(recipe.run.device)
    loader = make_task(recipe).loader(ranks)  # first, because a wrong store is noticed at once
    state = new_state(recipe, device)
    for turn in (True, False):  # the writing process first: it may have to put a checkpoint back
        if ranks.writes == turn:
            log_bytes, notes = start(recipe, folder, state, begin)
        ranks.wait()
    if ranks.writes:
        write_recipe(recipe, folder)
    log = RunLog(folder / "log.jsonl" if ranks.writes else None, log_bytes)
    try:
        if ranks.writes:
            log.mirrors = open_mirrors(folder, read_log(folder / "log.jsonl"), recipe.run.tensorboard)
        context, probes = prepare(recipe, state, device, ranks)
        facts = {
            "step": state.progress.step,
            "parameters": sum(p.numel() for p in state.net.parameters()),
            "device": str(device),
            "threads": torch.get_num_threads(),
            "processes": ranks.count,
            "torch": torch.__version__,
            "bf16": context.bf16,
            "compiled": state.progress.compiled,
            "probes": {name: asdict(probe) for name, probe in probes.items()},
        }
        log.write("start", facts)
        for text in notes:
            log.write("note", {"text": text})
        items: Sequence[DevItem] = []
        if ranks.writes and recipe.run.validate_minutes:
            items = _dev_items(loader, recipe.run.validate_items, log)
        if items and (missing := missing_scores()):
            log.write(
                "note",
                {"text": f"validations go without {' and '.join(missing)}: {install_hint('eval')}"},
            )
        job = _Job(recipe, folder, state, context, log, items)
        if items:
            best, patience = recipe.run.best, recipe.run.patience
            job.standing = standing_of(folder / "log.jsonl", best, patience, missing_scores())
        return _train(job, loader, stop)
    finally:
        log.close()


def _dev_items(loader: Loader, n: int, log: RunLog) -> Sequence[DevItem]:
    """What is validated; nothing, with a note and a line, where the store has no dev speech."""
    try:
        return loader.dev_items(n)
    except DataError as error:
        text = f"no validations: {error}"
        log.write("note", {"text": text})
        sys.stderr.write(f"audiodiff: {text}\n")
        return []


def new_state(recipe: Recipe, device: torch.device) -> State:
    """Network, average and optimiser before the first step; the weights are a function of ``run.seed``."""
    with torch.random.fork_rng(devices=[]):  # torch draws first weights from its global generator only
        torch.default_generator.manual_seed(recipe.run.seed)
        network = recipe.make_network().to(device)
    check_network(model_config(recipe, network), network)  # one's own may not fit: said now, not at the end
    net = cast(nn.Module, network)
    return checkpoint.fresh(net, make_optimisers(net, recipe.optim))


def _train(job: _Job, loader: Loader, stop: Stop) -> Outcome:
    """Make steps, and between them what is due."""
    recipe, progress = job.recipe, job.state.progress
    save_due = _Every(recipe.run.checkpoint_minutes)
    validate_due = _Every(recipe.run.validate_minutes)
    ranks = job.context.ranks
    with Bar(recipe.optim.steps, ranks.writes) as bar, closing(loader.batches(progress.step)) as batches:
        records = train(recipe, job.context, job.state, batches)
        try:
            while not ranks.any(stop.reason is not None) and (record := next(records, None)) is not None:
                job.pending.append(record)
                bar.show(record)
                if len(job.pending) >= recipe.run.log_every:
                    _flush(job)
                if job.items and validate_due.now():
                    _export_and_validate(job)
                    stop.early_end = job.standing.early_end if job.standing else None
                if ranks.writes and save_due.now():
                    _checkpoint(job)
        except BrokenRun as error:
            _flush(job)
            job.log.write("end", {"step": progress.step, "reason": str(error)})
            raise
    _flush(job)
    finished = progress.step >= recipe.optim.steps
    if not ranks.writes:
        return Outcome(progress.step, finished, stop.signal_number, writes=False)
    if (
        stop.signal_number is None and stop.early_end is None
    ):  # after a signal there may be seconds only: the checkpoint is what counts
        _export_and_validate(job)
    job.log.write("end", {"step": progress.step, "reason": "finished" if finished else stop.reason})
    _checkpoint(job)
    if stop.signal_number is None and progress.step > 0:
        _plot(job.folder)
    return Outcome(progress.step, finished, stop.signal_number, early_end=stop.early_end)


@dataclass
class _Every:
    """True once every so many minutes; never for 0."""

    minutes: float
    last: float = field(default_factory=time.monotonic)

    def now(self) -> bool:
        if not self.minutes or time.monotonic() < self.last + 60 * self.minutes:
            return False
        self.last = time.monotonic()
        return True


def _flush(job: _Job) -> None:
    if job.pending:
        job.log.write("step", summary(job.pending))
        job.pending.clear()


def _checkpoint(job: _Job) -> None:
    _flush(job)
    plain = job.recipe.model_dump(mode="json")
    checkpoint.save(job.folder / "checkpoints", job.state, plain, job.log.n_bytes)


def _plot(folder: Path) -> None:
    """Draw the learning curve, if it can be; the run is good without one."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    picture = folder / "curve.png"
    try:
        plot_curves(folder / "log.jsonl", picture)
    except OSError as error:
        sys.stderr.write(
            f"audiodiff: {picture}: could not be written ({error.strerror}); the model is whole\n"
        )


def export(recipe: Recipe, state: State, folder: Path) -> None:
    """Write the averaged weights as a model folder, in half precision; replaces an older one."""
    text = card(recipe, state.progress, sum(p.numel() for p in state.net.parameters()))
    save(folder, model_config(recipe, state.network), state.average, text, own=recipe.model_code)


def _export_and_validate(job: _Job) -> None:
    """Export the model, and put it to the test as users would run it."""
    try:
        _exported_and_validated(job)
    except OSError:  # there may be no room for a model: what was learned counts more
        _checkpoint(job)
        raise


def _exported_and_validated(job: _Job) -> None:
    recipe, folder = job.recipe, job.folder / "model"
    export(recipe, job.state, folder)
    if not job.items:
        return
    rate = recipe.model.sample_rate
    if not job.noisy_scores:
        job.noisy_scores, _ = score(job.items, [item.noisy for item in job.items], rate)
    model = load(folder, allow_code=recipe.plugin is not None)  # it was allowed, and this is its copy
    trial = job.context.task.trial(model, str(job.context.device))
    begin = time.monotonic()
    found = validate(job.items, trial, rate)
    progress = job.state.progress
    entry = {
        "step": progress.step,
        "minutes": progress.minutes,
        **found,
        "noisy": job.noisy_scores,
        "seconds": time.monotonic() - begin,
    }
    _flush(job)
    job.log.write("valid", entry)
    tell_scores(entry)
    if job.standing is not None and job.standing.take(entry):
        keep_best(folder, job.folder / BEST)
        _checkpoint(job)  # so that a resumed run knows of it
