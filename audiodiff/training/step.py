"""What one step needs: the task, the fixed parts of a training, and the randomness of a step.

Letter: B items. The randomness of step k (times, noise) is a function of (seed, k) alone, so a run that was
stopped and resumed makes the same steps as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from audiodiff.data.batches import Batch
from audiodiff.model.model import Model
from audiodiff.networks.contract import Features
from audiodiff.signal.types import Audio
from audiodiff.training.loaders import Loader
from audiodiff.training.ranks import Ranks
from audiodiff.training.validation import DevItem


@dataclass(frozen=True)
class Losses:
    """Scalar losses of a batch.

    Attributes:
        total: What is differentiated.
        terms: The unweighted terms.
        trivial: Loss of the trivial predictor, if asked for: ``x0_hat = y`` where a denoiser predicts x_0,
            and a prediction of 0 everywhere else.
    """

    total: Tensor
    terms: dict[str, Tensor]
    trivial: Tensor | None


class Task(Protocol):
    """What is learned: all that differs between trainings of spectra and of waveforms."""

    def losses(self, context: TrainingContext, batch: Batch, step: int, trivial: bool) -> Losses:
        """Noise a batch, let the network undo it, compare: means over the batch."""
        ...

    def probe(self, n_samples: int) -> Batch:
        """Two items of noise of about so many samples, as a training would get them."""
        ...

    def loader(self, ranks: Ranks) -> Loader:
        """What the training reads; opens the store of the recipe."""
        ...

    def trial(self, model: Model, device: str) -> Callable[[DevItem], Audio]:
        """What a finished model makes of a dev item, by the code that users run."""
        ...


@dataclass(frozen=True)
class TrainingContext:
    """The fixed parts of a training.

    Attributes:
        task: What is learned.
        seed: Seed of the run.
        encode, forward: The network's, compiled or not.
        device: Where the network lives.
        bf16: Whether the network runs under bfloat16 autocast.
        ranks: This process among those that train together.
    """

    task: Task
    seed: int
    encode: Callable[[Tensor], Features]
    forward: Callable[[Tensor, Tensor, Features], Tensor]
    device: torch.device
    bf16: bool
    ranks: Ranks

    def losses(self, batch: Batch, step: int, trivial: bool) -> Losses:
        """The losses of a batch on the device, with the times and the noise of a step."""
        return self.task.losses(self, batch, step, trivial)

    def autocast(self) -> torch.autocast:
        """Where the network computes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def random(self, step: int) -> Draws:
        """The random numbers of a step, drawn for the whole batch of all processes."""
        return Draws(step_generator(self.seed, step, self.device), self.device, self.ranks)


@dataclass(frozen=True)
class Draws:
    """This process's items of what is drawn for the whole batch: ``[B, ...]`` for the shape of its part."""

    generator: torch.Generator
    device: torch.device
    ranks: Ranks

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Values in [0, 1)."""
        return self._draw(torch.rand, shape)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal values."""
        return self._draw(torch.randn, shape)

    def _draw(self, draw: Callable[..., Tensor], shape: Sequence[int]) -> Tensor:
        whole = (shape[0] * self.ranks.count, *shape[1:])
        drawn = draw(whole, generator=self.generator, device=self.generator.device)
        return drawn[self.ranks.items].to(self.device)


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """A fresh generator of one step's times and noise: the CPU's; CUDA has its own, with other numbers."""
    word = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return torch.Generator(device if device.type == "cuda" else "cpu").manual_seed(int(word >> np.uint64(1)))
