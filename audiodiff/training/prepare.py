"""From a recipe to the fixed parts of a training: task, precision, compilation."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from audiodiff.data.noisy_clean import NoisyCleanData
from audiodiff.data.own_data import OwnSource
from audiodiff.diffusion.loss import TimeLaw
from audiodiff.errors import ConfigError
from audiodiff.model.model import build_prior
from audiodiff.networks.contract import Network
from audiodiff.training.checkpoint import State
from audiodiff.training.losses import NoiseObjective, ObjectiveConfig
from audiodiff.training.model_sections import NoisyWaveModel, SpectralModel, WaveModel, plain_table
from audiodiff.training.muon import Muon
from audiodiff.training.ranks import ALONE, Ranks
from audiodiff.training.recipe import MixData, PairData, Recipe, WaveData
from audiodiff.training.recordings import RecordingTask
from audiodiff.training.run_sections import TimedOptim
from audiodiff.training.spectra import spectral_task
from audiodiff.training.step import Task, TrainingContext
from audiodiff.training.wave_losses import WaveObjective
from audiodiff.training.waves import WaveTask

PROBE_S = 1.0  # seconds of audio in each of the two items of a probe


@dataclass(frozen=True)
class Probe:
    """Seconds that one forward and backward pass took, the plain way and the other."""

    plain_s: float
    other_s: float

    @property
    def other_wins(self) -> bool:
        """Whether the other way was faster."""
        return self.other_s < self.plain_s


def make_task(recipe: Recipe) -> Task:
    """What a recipe trains, by the kind of its sections; the recipe has checked that they go together."""
    process, run = recipe.make_process(), recipe.run
    match recipe.model, recipe.data_source(), recipe.objective, recipe.optim:
        case (
            SpectralModel() as model,
            MixData() | NoisyCleanData() | PairData() | OwnSource() as data,
            ObjectiveConfig() as objective,
            TimedOptim() as optim,
        ):
            return spectral_task(model, process, data, objective, _times(recipe, optim), run)
        case (
            NoisyWaveModel() as model,
            MixData() | NoisyCleanData() | OwnSource() as data,
            WaveObjective() as objective,
            TimedOptim() as optim,
        ):
            times = _times(recipe, optim)
            return RecordingTask(model.sample_rate, process, model.target, times, objective, data, run)
        case WaveModel() as model, WaveData() as data, NoiseObjective() as objective, _:
            prior = None if model.prior is None else build_prior(model.prior)
            return WaveTask(model, prior, plain_table(process), data, objective, run)
    raise AssertionError("a recipe has the sections of one kind")


def _times(recipe: Recipe, optim: TimedOptim) -> TimeLaw:
    """The times of training: around those at which the model will be sampled."""
    return TimeLaw(recipe.grid(optim.t_steps), optim.t_start_share, optim.t_jitter)


def prepare(
    recipe: Recipe, state: State, device: torch.device, ranks: Ranks = ALONE
) -> tuple[TrainingContext, dict[str, Probe]]:
    """Build the fixed parts; measure what the recipe leaves to measurement.

    Decisions are kept in ``state.progress``, so that a resumed run takes the same ones. Of several processes
    the first one's measurements count. Also returns those that were made now (``bf16``, ``compile``). On
    ``mps`` nothing is measured and both are off.

    Raises:
        ConfigError: The recipe wants on ``mps`` what is not used there.
    """
    progress, probes = state.progress, {}
    task, net, seed = make_task(recipe), state.network, recipe.run.seed
    n_samples = round(PROBE_S * recipe.model.sample_rate)

    def trial(bf16: bool, compiled: bool) -> float:
        return _seconds(_context(task, seed, net, device, bf16, compiled, ALONE), n_samples)

    if device.type == "mps":
        _decide_for_mps(recipe, state)
    if recipe.run.bf16 != "auto":
        progress.bf16 = recipe.run.bf16 == "on"
    elif progress.bf16 is None:
        probes["bf16"] = Probe(trial(False, False), trial(True, False))
        progress.bf16 = ranks.any(ranks.writes and probes["bf16"].other_wins)
    if recipe.run.compile != "auto":
        progress.compiled = recipe.run.compile == "on"
    elif progress.compiled is None:
        plain_s = trial(progress.bf16, False)
        try:
            other_s = trial(progress.bf16, True)
        except RuntimeError:  # every failure of dynamo and inductor is one: there may be no compiler
            other_s = float("inf")
        probes["compile"] = Probe(plain_s, other_s)
        progress.compiled = ranks.any(ranks.writes and probes["compile"].other_wins)
    for optimiser in state.optimisers:
        if isinstance(optimiser, Muon):
            optimiser.dtype = torch.bfloat16 if progress.bf16 else torch.float32
    return _context(task, seed, net, device, progress.bf16, progress.compiled, ranks), probes


def _decide_for_mps(recipe: Recipe, state: State) -> None:
    """Nobody has measured bfloat16 on Apple's GPU, nor what the compiler makes of it."""
    if "on" in (recipe.run.bf16, recipe.run.compile):
        raise ConfigError("run.bf16 and run.compile cannot be on with run.device mps; use off or auto")
    state.progress.bf16 = state.progress.compiled = False


def _context(
    task: Task, seed: int, net: Network, device: torch.device, bf16: bool, compiled: bool, ranks: Ranks
) -> TrainingContext:
    encode = torch.compile(net.encode) if compiled else net.encode
    forward = torch.compile(net) if compiled else net
    return TrainingContext(task, seed, encode, forward, device, bf16, ranks)


def _seconds(context: TrainingContext, n_samples: int) -> float:
    """Seconds of the fastest of three forward and backward passes on noise, after one to warm up."""
    cond, clean, bandwidth_hz = (part.to(context.device) for part in context.task.probe(n_samples))
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        total = context.losses((cond, clean, bandwidth_hz), step=0, trivial=False).total
        total.backward()  # type: ignore[no-untyped-call]  # torch's own
        total.item()  # waits for the accelerator
        times.append(time.perf_counter() - begin)
    return min(times)
