"""A training in a folder: start or resume, log, checkpoint, validate, export.

RUN/recipe.json      the resolved recipe
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

from audiodiff import networks
from audiodiff.errors import ConfigError, DataError, ModelError
from audiodiff.extras import install_hint
from audiodiff.inference.device import pick_device
from audiodiff.interrupts import Stop, stop_requests
from audiodiff.io.atomic import write_file
from audiodiff.io.locks import held
from audiodiff.model.folder import load, save
from audiodiff.model.model import build_process
from audiodiff.settings import dump_json, parse
from audiodiff.training import checkpoint
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
_FIXED = ("representation", "sample_rate", "n_fft", "hop", "exponent", "scale", "target", "mel", "prior")
"""Of [model]: what the weights depend on, where the recipe has it."""


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
) -> Outcome:
    """Train in a folder until the schedule, the time or a signal ends it.

    Args:
        recipe: What to train.
        folder: The run's folder; made if it is not there.
        resume: Go on from the newest checkpoint in it; a folder without one starts at step 0.
        init: Model folder whose weights a new run starts from; a resumed one goes on with its own.
        max_minutes: Minutes of wall clock, validations included, after which to stop; 0 only exports.

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
            return _locked(recipe, folder, resume, init, stop, ranks)
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


def _locked(
    recipe: Recipe, folder: Path, resume: bool, init: Path | None, stop: Stop, ranks: Ranks
) -> Outcome:
    device = pick_device(recipe.run.device)
    loader = make_task(recipe).loader(ranks)  # first, because a wrong store is noticed at once
    state = new_state(recipe, device)
    for turn in (True, False):  # the writing process first: it may have to put a checkpoint back
        if ranks.writes == turn:
            log_bytes, notes = _start(recipe, folder, state, resume, init)
        ranks.wait()
    if ranks.writes:
        write_file(folder / "recipe.json", dump_json(recipe).encode())
    log = RunLog(folder / "log.jsonl" if ranks.writes else None, log_bytes)
    try:
        if ranks.writes:
            log.mirrors = open_mirrors(folder, read_log(folder / "log.jsonl"), recipe.run.tensorboard)
        context, probes = prepare(recipe, state, device, ranks)
        start = {
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
        log.write("start", start)
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
        net = cast(nn.Module, networks.build(recipe.network).to(device))
    return checkpoint.fresh(net, make_optimisers(net, recipe.optim))


def _start(
    recipe: Recipe, folder: Path, state: State, resume: bool, init: Path | None
) -> tuple[int, list[str]]:
    """Fill the state from a checkpoint or a model; returns how much of the log to keep, and notes for it."""
    newest = checkpoint.latest(folder / "checkpoints")
    if newest is not None and not resume:
        raise ConfigError(f"{folder}: already holds a run; add --resume to go on, or choose another folder")
    if newest is not None:
        before = parse(Recipe, checkpoint.read_document(newest)["config"], str(newest / "state.json"))
        _refuse_other_model(recipe, before, newest)
        document = checkpoint.load(newest, state)
        notes = [f"resume: --init {init} is ignored, the checkpoint's weights go on"] if init else []
        return int(document["log_bytes"]), notes + _changes(recipe, before)
    notes = ["resume: no checkpoint yet, started at step 0"] if resume else []
    if init is not None:
        _take_weights(recipe, state, init)
        notes.append(f"first weights from {init}")
    return 0, notes


def _refuse_other_model(recipe: Recipe, before: Recipe, path: Path) -> None:
    def weighty(of: Recipe) -> dict[str, Any]:
        model = {f"model.{key}": getattr(of.model, key, None) for key in _FIXED}
        # a table by its name or by its betas is the same process
        return model | {"process": build_process(of.process), "network": of.network}

    now = weighty(recipe)
    for name, value in weighty(before).items():
        if now[name] != value:
            raise ConfigError(
                f"{path}: was trained with {name} = {value!r}, the recipe says {now[name]!r}; resume with "
                "the old value, or start a new run with --init"
            )


def _changes(recipe: Recipe, before: Recipe) -> list[str]:
    """What a resumed run does differently from here on; one note a key."""
    now, then = (of.model_dump(mode="json", exclude={"process", "network"}) for of in (recipe, before))
    return [
        f"resume: {section}.{key} is now {value!r}, was {then[section].get(key)!r}"
        for section in now
        for key, value in now[section].items()
        if value != then[section].get(key)
    ]


def _take_weights(recipe: Recipe, state: State, init: Path) -> None:
    """Start network and average from a model folder."""
    model = load(init)
    # a folder of an older version lacks the keys that came later; their defaults keep its meaning
    if networks.complete(model.config.network) != recipe.network:
        raise ConfigError(f"{init}: has another network than the recipe; make their [network] sections equal")
    weights = model.net.state_dict()
    state.net.load_state_dict(weights)
    for name, value in weights.items():
        state.average[name].copy_(value)


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
    can_plot = progress.step > 0 and importlib.util.find_spec("matplotlib") is not None
    if stop.signal_number is None and can_plot:
        plot_curves(job.folder / "log.jsonl", job.folder / "curve.png")
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


def export(recipe: Recipe, state: State, folder: Path) -> None:
    """Write the averaged weights as a model folder, in half precision; replaces an older one."""
    text = card(recipe, state.progress, sum(p.numel() for p in state.net.parameters()))
    save(folder, model_config(recipe, state.network), state.average, text)


def _export_and_validate(job: _Job) -> None:
    """Export the model, and put it to the test as users would run it."""
    recipe, folder = job.recipe, job.folder / "model"
    export(recipe, job.state, folder)
    if not job.items:
        return
    rate = recipe.model.sample_rate
    if not job.noisy_scores:
        job.noisy_scores, _ = score(job.items, [item.noisy for item in job.items], rate)
    trial = job.context.task.trial(load(folder), str(job.context.device))
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
