"""Promise: `check` notices every way in which a network can break the contract."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from audiodiff.errors import ShapeError
from audiodiff.networks.contract import Features
from tests.networks.contract_checks import check


class Good(nn.Module):
    """y times a gate per bin, plus the state's neighbours: reach 0 for y and 1 for the state."""

    reach_encode = 0
    reach_step = 1

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.full((5, 1, 1), 0.5))
        self.side = nn.Parameter(torch.full((5, 1, 1), 0.2))

    def encode(self, cond: Tensor) -> Features:
        return (self.gate * cond,)

    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        padded = nn.functional.pad(x_t, (0, 0, 1, 1))
        return h[0] + self.side * (padded[:, :, 2:] - padded[:, :, :-2]) * t[:, None, None, None]


class WrongShape(Good):
    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        return super().forward(x_t, t, h)[..., :1]


class Restless(Good):
    calls = 0

    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        self.calls += 1
        return super().forward(x_t, t, h) + self.calls


class NoSilence(Good):
    def encode(self, cond: Tensor) -> Features:
        return (self.gate * cond / cond.abs().amax(dim=(1, 2, 3), keepdim=True),)


class Mixing(Good):
    def encode(self, cond: Tensor) -> Features:
        return (self.gate * cond + 0.1 * cond.mean(dim=0),)


class FarSighted(Good):
    def encode(self, cond: Tensor) -> Features:
        return (self.gate * cond + 0.1 * torch.roll(cond, 2, dims=2),)


class Normed(Good):
    def encode(self, cond: Tensor) -> Features:
        return (self.gate * cond / (1 + cond.std(dim=2, keepdim=True, correction=0)),)


class Idle(Good):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(2))


def test_a_good_network_passes() -> None:
    check(Good(), n_bins=5)


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (WrongShape, "expected shape"),
        (Restless, "two results"),
        (NoSilence, "silence at t = 0.0"),
        (Mixing, "item 0 depends"),
        (FarSighted, "beyond the reach 1"),
        (Normed, "beyond the reach 1"),
        (Idle, "parameter 2 .* no gradient"),
    ],
)
def test_a_broken_network_is_noticed(broken: type[Good], line: str) -> None:
    with pytest.raises(ShapeError, match=line):
        check(broken(), n_bins=5)
