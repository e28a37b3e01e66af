"""Promise: SGD and Adam of a recipe move weights as torch's own do, and go down a hill to its known foot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from audiodiff.errors import ConfigError
from audiodiff.settings import parse
from audiodiff.training.run_sections import Optim
from audiodiff.training.schedule import make_optimisers, set_rate

LR, DECAY = 0.05, 0.1
TARGET = torch.tensor([[1.0, -2.0, 0.5]])


def net() -> nn.Linear:
    """A matrix and a bias of fixed start."""
    made = nn.Linear(3, 1)
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter) + number)
    return made


def loss(of: nn.Linear) -> Tensor:
    return ((of.weight - TARGET) ** 2).sum() + (of.bias - 3.0).pow(2).sum()


def go(of: nn.Linear, optimisers: Iterable[torch.optim.Optimizer], steps: int) -> None:
    for _ in range(steps):
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss(of).backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers:
            optimiser.step()


def torchs(kind: str, of: nn.Linear) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": [of.weight], "weight_decay": DECAY},
        {"params": [of.bias], "weight_decay": 0.0},
    ]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=LR, momentum=0.8, foreach=False)
    return torch.optim.Adam(groups, lr=LR, betas=(0.8, 0.95), foreach=False)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_weights_move_as_with_torch(kind: Literal["sgd", "adam"]) -> None:
    ours, theirs = net(), net()
    config = Optim(kind=kind, steps=1, lr=LR, betas=(0.8, 0.95), momentum=0.8, weight_decay=DECAY)
    optimisers = make_optimisers(ours, config)
    set_rate(optimisers, 1.0)
    go(ours, optimisers, 20)
    go(theirs, [torchs(kind, theirs)], 20)
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right)
        assert (left - dict(zip(ours.parameters(), net().parameters(), strict=True))[left]).abs().max() > 0.1


def test_sgd_without_momentum_is_the_closed_form() -> None:
    ours, start = net(), net()
    config = Optim(kind="sgd", steps=1, lr=LR, momentum=0.0, weight_decay=0.0)
    go(ours, make_optimisers(ours, config), 7)
    torch.testing.assert_close(ours.weight, TARGET + (1 - 2 * LR) ** 7 * (start.weight - TARGET))


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ConfigError):
        parse(Optim, {"kind": "adagrad", "steps": 1, "lr": 0.1})
