"""Several processes on one training: each takes its items of every batch, and gradients are averaged.

Start it with ``torchrun --nproc-per-node 2 -m audiodiff train RECIPE``. The batch of a step, its times and
its noise are those of a single process, so the steps are the same up to the rounding of sums, whatever the
number of processes. Only the first one writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from audiodiff.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: Its number from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes logs, checkpoints and models."""
        return self.rank == 0

    @property
    def items(self) -> slice:
        """Its items of a batch."""
        return slice(self.rank, None, self.count)

    def check_batch(self, batch: int) -> None:
        """Refuse a batch that does not divide."""
        if batch % self.count:
            raise ConfigError(f"data.batch {batch} does not divide among {self.count} processes; change one")

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in place, in one message."""
        if self.count == 1:
            return
        parts = list(tensors)
        message = torch.cat([part.flatten().float() for part in parts])
        distributed.all_reduce(message)
        message /= self.count
        at = 0
        for part in parts:
            part.copy_(message[at : at + part.numel()].view(part.shape))
            at += part.numel()

    def any(self, flag: bool) -> bool:
        """Whether any of the processes says yes."""
        if self.count == 1:
            return flag
        votes = torch.tensor([float(flag)])
        distributed.all_reduce(votes)
        return votes.item() > 0

    def wait(self) -> None:
        """Go on only when all have come here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes that torchrun started, if it did."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    distributed.init_process_group("gloo")
    try:
        yield Ranks(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()
