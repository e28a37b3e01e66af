"""Training of one family for a budget of CPU time, resumable at any step.

RUN/checkpoints/       the last two checkpoints
RUN/log.jsonl          losses over the CPU minutes
RUN/snapshots/M/       after M CPU minutes: ``average`` and ``raw`` weights, and ``snapshot.json``

Step k is a function of (seed, k) alone; how many steps a budget holds, the machine says. The CPU time is that
of the process in its steps, the thread that mixes the batches included.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from _families_own import OWN, Autoregressive, Gan, Vae
from safetensors.torch import save_file
from torch import Tensor, nn

from audiodiff.data.batches import Batch
from audiodiff.interrupts import Stop
from audiodiff.io.atomic import atomic_folder, write_file
from audiodiff.io.locks import held
from audiodiff.training import checkpoint, ema
from audiodiff.training.checkpoint import State
from audiodiff.training.log import RunLog
from audiodiff.training.loop import BrokenRun, train
from audiodiff.training.losses import Front, band_mask
from audiodiff.training.prepare import make_task, prepare
from audiodiff.training.ranks import ALONE
from audiodiff.training.recipe import Recipe, load_recipe
from audiodiff.training.run import export, new_state
from audiodiff.training.schedule import make_optimisers, rate_factor, set_rate
from audiodiff.training.spectra import SpectralTask
from audiodiff.training.step import step_generator

RECIPES = Path(__file__).parent / "families"
DIFFUSION = ("ddpm_eps", "ddpm_x0", "v", "ouve", "bridge", "schroedinger", "flow", "cdiffuse")
NAMES = (*DIFFUSION, *OWN)
SNAPSHOT_MINUTES = 4.0
CHECKPOINT_S = 180.0
LOG_EVERY = 20
GAN_OPTIM = {"lr": 5e-4, "betas": (0.5, 0.9)}
"""Lower and with less memory than the others' 1e-3 and (0.9, 0.99): two networks chase each other."""
CPU = torch.device("cpu")


@dataclass
class Run:
    """A family, the seed of its training, and the folder where it lives."""

    name: str
    store: Path
    seed: int
    folder: Path

    def recipe(self) -> Recipe:
        """Its recipe; the families with trainers of their own share all but the process with the bridge."""
        path = RECIPES / f"{self.name if self.name in DIFFUSION else 'bridge'}.toml"
        return load_recipe(path, [f"data.store={json.dumps(str(self.store))}", f"run.seed={self.seed}"])


@dataclass
class Spent:
    """What a training has had so far; stands in the checkpoint."""

    cpu_s: float = 0.0
    broken: str | None = None

    @property
    def minutes(self) -> float:
        """CPU minutes."""
        return self.cpu_s / 60


@dataclass
class Job:
    """The parts of one training."""

    run: Run
    recipe: Recipe
    state: State
    log: RunLog
    spent: Spent
    losses: list[float] = field(default_factory=list)

    def save(self) -> None:
        """A checkpoint, from which training goes on as if it had never stopped."""
        config = {"family": self.run.name, "seed": self.run.seed, "spent": asdict(self.spent)}
        checkpoint.save(self.run.folder / "checkpoints", self.state, config, self.log.n_bytes)

    def note(self, loss: float) -> None:
        """Keep a loss; every so many steps their mean is logged."""
        self.losses.append(loss)
        if len(self.losses) == LOG_EVERY:
            mean = math.fsum(self.losses) / len(self.losses)
            step = self.state.progress.step
            self.log.write("step", {"step": step, "minutes": self.spent.minutes, "loss": mean})
            self.losses.clear()


def first_state(run: Run, recipe: Recipe) -> State:
    """Before the first step; the weights are a function of the seed."""
    if run.name in DIFFUSION:
        return new_state(recipe, CPU)
    with torch.random.fork_rng(devices=[]):  # torch draws first weights from its global generator only
        torch.default_generator.manual_seed(run.seed)
        family = OWN[run.name](dict(recipe.network), recipe.run.bf16 == "on")
    optim = recipe.optim.model_copy(update=GAN_OPTIM if run.name == "gan" else {})
    optimisers = [each for part in family.parts() for each in make_optimisers(part, optim)]
    return checkpoint.fresh(family, tuple(optimisers))


def steps(run: Run, recipe: Recipe, state: State, batches: Iterator[Batch]) -> Iterator[float]:
    """Make steps and yield their losses; the state is complete whenever one is yielded."""
    if run.name in DIFFUSION:
        context, _ = prepare(recipe, state, CPU)
        return (record.loss for record in train(recipe, context, state, batches))
    return _own_steps(recipe, state, batches)


def front_of(recipe: Recipe) -> Front:
    """The spectral front end that all families but CDiffuSE share."""
    task = make_task(recipe)
    assert isinstance(task, SpectralTask)
    return task.front


def _own_steps(recipe: Recipe, state: State, batches: Iterator[Batch]) -> Iterator[float]:
    front, progress, family = front_of(recipe), state.progress, state.net
    assert isinstance(family, Gan | Vae | Autoregressive)
    parts = family.parts()
    family.train()
    while True:
        noisy, clean, bandwidth_hz = next(batches)
        mask = band_mask(front.stft.n_fft, front.sample_rate, bandwidth_hz)[..., None]
        random = step_generator(recipe.run.seed, progress.step, CPU)
        set_rate(state.optimisers, rate_factor(recipe.optim, progress.step))
        last = 0.0
        for number, loss in family.updates(front.spectrum(noisy), front.spectrum(clean), mask, random):
            last = _update(parts[number], state.optimisers[number], loss, recipe.optim.clip, progress.step)
        ema.update(state.average, family, recipe.optim.ema, progress.step)
        progress.step += 1
        progress.audio_s += clean.numel() / front.sample_rate
        yield last


def _update(part: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, clip: float, step: int) -> float:
    """One step of one optimiser; its loss."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    norm = float(nn.utils.clip_grad_norm_(part.parameters(), clip or math.inf))
    if not (math.isfinite(norm) and math.isfinite(float(loss.detach()))):
        raise BrokenRun(f"step {step + 1}: loss or gradient is not finite")
    optimiser.step()
    return float(loss.detach())


def train_family(run: Run, minutes: float, stop: Stop, n_steps: int | None = None) -> bool:
    """Train until the budget is spent; whether it is.

    Args:
        run: What and where.
        minutes: CPU minutes in all, those of earlier calls included.
        stop: Asked after every step.
        n_steps: End after so many steps in all, as tests do.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with held(run.folder / ".lock"):
        recipe = run.recipe()
        loader = make_task(recipe).loader(ALONE)
        state = first_state(run, recipe)
        newest, spent, log_bytes = checkpoint.latest(run.folder / "checkpoints"), Spent(), 0
        if newest is not None:
            document = checkpoint.load(newest, state)
            spent, log_bytes = Spent(**document["config"]["spent"]), int(document["log_bytes"])
        with closing(RunLog(run.folder / "log.jsonl", log_bytes)) as log:
            job = Job(run, recipe, state, log, spent)
            if not _spent(job, minutes, n_steps):
                with closing(loader.batches(state.progress.step)) as batches:
                    _train(job, steps(run, recipe, state, batches), minutes, stop, n_steps)
            return _spent(job, minutes, n_steps)


def _spent(job: Job, minutes: float, n_steps: int | None) -> bool:
    enough = n_steps is not None and job.state.progress.step >= n_steps
    return job.spent.broken is not None or job.spent.minutes >= minutes or enough


def _train(job: Job, losses: Iterator[float], minutes: float, stop: Stop, n_steps: int | None) -> None:
    spent, saved, begin = job.spent, time.monotonic(), time.process_time()
    while not _spent(job, minutes, n_steps) and stop.reason is None:
        try:
            loss = next(losses)
        except BrokenRun as error:
            spent.broken = str(error)
            snapshot(job, minutes)
            break
        now, before = time.process_time(), spent.minutes
        spent.cpu_s += now - begin
        begin = now
        job.note(loss)
        if (due := _due(before, spent.minutes, minutes)) is not None:
            snapshot(job, due)
        if time.monotonic() - saved > CHECKPOINT_S:
            job.save()
            saved = time.monotonic()
        begin = time.process_time()  # what was saved and logged counts for nothing
    job.save()


def _due(before: float, now: float, goal: float) -> float | None:
    """The minutes of a snapshot that this step has reached: a multiple, or the goal."""
    last = SNAPSHOT_MINUTES * math.floor(now / SNAPSHOT_MINUTES)
    reached = [mark for mark in (goal, last) if before < mark <= now]
    return max(reached, default=None)


def snapshot(job: Job, minutes: float) -> None:
    """Keep the weights as they are after so many minutes: averaged, and as the last step left them."""
    state, recipe = job.state, job.recipe
    document: dict[str, Any] = {
        "family": job.run.name,
        "seed": job.run.seed,
        "step": state.progress.step,
        "cpu_minutes": job.spent.minutes,
        "audio_h": state.progress.audio_s / 3600,
        "parameters": sum(p.numel() for p in sampled_part(state.net).parameters()),
        "trained_parameters": sum(p.numel() for p in state.net.parameters()),
        "broken": job.spent.broken,
    }
    raw = {name: value.detach().clone() for name, value in state.net.state_dict().items()}
    with atomic_folder(job.run.folder / "snapshots" / f"{minutes:g}", replace=True) as folder:
        for kind, weights in (("average", state.average), ("raw", raw)):
            if job.run.name in DIFFUSION:
                export(recipe, State(state.net, weights, (), state.progress), folder / kind)
            else:
                whole = {name: value.contiguous() for name, value in weights.items()}
                save_file(whole, folder / f"{kind}.safetensors")
        write_file(folder / "snapshot.json", json.dumps(document, indent=1).encode())


def sampled_part(net: nn.Module) -> nn.Module:
    """What sampling needs of a network: of the GAN the generator, of the VAE no posterior."""
    kept = {"critics", "posterior"} & {name for name, _ in net.named_children()}
    return nn.ModuleList(child for name, child in net.named_children() if name not in kept) if kept else net
