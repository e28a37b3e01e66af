"""The training loop: a generator that changes a state and yields a record of every step.

Letters: B items, T samples, F bins, N frames. The randomness of step k (batch, times, noise) is a function of
(seed, k) alone, so a run that was stopped and resumed makes the same steps as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from audiodiff.data.batches import Batch
from audiodiff.errors import AudiodiffError
from audiodiff.training import ema
from audiodiff.training.checkpoint import State
from audiodiff.training.ranks import Ranks
from audiodiff.training.recipe import Recipe
from audiodiff.training.schedule import rate_factor, set_rate
from audiodiff.training.step import Losses, TrainingContext

TRIVIAL_EVERY = 8  # steps between two measurements of the trivial predictor: it costs a tenth of a step
TRIVIAL_WINDOW = 16  # measurements that are compared


class BrokenRun(AudiodiffError):
    """A training that cannot become good any more; the message is the reason."""

    default_code = "broken-run"


@dataclass(frozen=True)
class StepRecord:
    """What one step did.

    Attributes:
        step: Number of steps made, this one included.
        loss: Weighted sum of the terms, mean over the batch.
        terms: Unweighted terms, means over the batch.
        trivial: Loss of the trivial predictor on the same batch, where it was measured.
        lr: Learning rate of AdamW.
        grad_norm: Norm of the gradient before clipping.
        audio_s: Seconds of audio in the batch.
        wall_s: Seconds the step took, waiting included.
        wait_s: Seconds spent waiting for the batch.
        minutes: Minutes of training so far, over all resumptions.
    """

    step: int
    loss: float
    terms: dict[str, float]
    trivial: float | None
    lr: float
    grad_norm: float
    audio_s: float
    wall_s: float
    wait_s: float
    minutes: float


def train(
    recipe: Recipe, context: TrainingContext, state: State, batches: Iterator[Batch]
) -> Iterator[StepRecord]:
    """Make steps until the schedule ends; the caller may stop between any two.

    The state is changed in place; it is complete whenever a record is yielded, so it can be saved then. The
    batches begin at step ``state.progress.step``. `BrokenRun` is raised when a loss or a gradient is not
    finite, or the network is worse than the trivial predictor after ``run.trivial_after`` steps; the weights
    are those of the last good step then.
    """
    progress = state.progress
    state.net.train()
    while progress.step < recipe.optim.steps:
        begin = time.monotonic()
        cond, clean, bandwidth_hz = next(batches)
        wait_s = time.monotonic() - begin
        batch = (cond.to(context.device), clean.to(context.device), bandwidth_hz.to(context.device))
        factor = rate_factor(recipe.optim, progress.step)
        losses = context.losses(batch, progress.step, progress.step % TRIVIAL_EVERY == 0)
        numbers = _numbers(losses, progress.step + 1, context.ranks)
        grad_norm = _update(recipe, state, losses, factor, context.ranks)
        wall_s = time.monotonic() - begin
        audio_s = clean.numel() / recipe.model.sample_rate * context.ranks.count
        progress.step += 1
        progress.minutes += wall_s / 60
        progress.audio_s += audio_s
        trivial = numbers.pop("trivial", None)
        loss = numbers.pop("loss")
        if trivial is not None:
            progress.against_trivial = [*progress.against_trivial, (loss, trivial)][-TRIVIAL_WINDOW:]
        yield StepRecord(
            step=progress.step,
            loss=loss,
            terms=numbers,
            trivial=trivial,
            lr=factor * recipe.optim.lr,
            grad_norm=grad_norm,
            audio_s=audio_s,
            wall_s=wall_s,
            wait_s=wait_s,
            minutes=progress.minutes,
        )
        _check_trivial(recipe, state)


def _numbers(losses: Losses, number: int, ranks: Ranks) -> dict[str, float]:
    """Every loss of step `number` as a float, by name (``loss`` is the total); all must be finite."""
    tensors = {"loss": losses.total, **losses.terms}
    if losses.trivial is not None:
        tensors["trivial"] = losses.trivial
    # one transfer for all: each waits for the accelerator
    stacked = torch.stack([value.detach().float() for value in tensors.values()])
    ranks.average([stacked])
    values: list[float] = stacked.tolist()
    numbers = dict(zip(tensors, values, strict=True))
    broken = [name for name, value in numbers.items() if not math.isfinite(value)]
    if broken:
        raise BrokenRun(
            f"step {number}: {broken[-1]} is not finite; look for a broken clip, or lower optim.lr"
        )
    return numbers


def _update(recipe: Recipe, state: State, losses: Losses, factor: float, ranks: Ranks) -> float:
    """One optimiser step and its average; returns the norm of the gradient before clipping."""
    for optimiser in state.optimisers:
        optimiser.zero_grad(set_to_none=True)
    losses.total.backward()  # type: ignore[no-untyped-call]  # torch's own
    ranks.average([p.grad for p in state.net.parameters() if p.grad is not None])
    norm = float(nn.utils.clip_grad_norm_(state.net.parameters(), recipe.optim.clip or math.inf))
    if not math.isfinite(norm):
        raise BrokenRun(
            f"step {state.progress.step + 1}: the gradient is not finite; lower optim.lr or try run.bf16=off"
        )
    set_rate(state.optimisers, factor)
    for optimiser in state.optimisers:
        optimiser.step()
    ema.update(state.average, state.net, recipe.optim.ema, state.progress.step)
    return norm


def _check_trivial(recipe: Recipe, state: State) -> None:
    """Stop a run that does worse than the trivial predictor (see `step.Losses`)."""
    progress, after = state.progress, recipe.run.trivial_after
    pairs = progress.against_trivial
    if progress.step < after or len(pairs) < min(TRIVIAL_WINDOW, after // TRIVIAL_EVERY):
        return
    loss = sum(pair[0] for pair in pairs) / len(pairs)
    trivial = sum(pair[1] for pair in pairs) / len(pairs)
    if loss > trivial:
        raise BrokenRun(
            f"step {progress.step}: the loss {loss:.4g} is above that of the trivial predictor "
            f"({trivial:.4g}) after {after} steps; lower optim.lr, or check that "
            "input and truth belong together"
        )
