"""A tiny network of layers, for tests of what is around a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from audiodiff.networks.contract import Features, Network
from audiodiff.settings import Setting


class ToyNet(nn.Module):
    """Mixes each bin's frames by depthwise convolutions of finite reach; the seed fixes the weights."""

    reach_encode = 2
    reach_step = 1

    def __init__(self, n_bins: int, seed: int = 0) -> None:
        super().__init__()
        channels = 2 * n_bins
        # no biases: silence in, silence out
        self.cond = nn.Conv1d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.state = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.time = nn.Parameter(torch.zeros(channels))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))

    @staticmethod
    def _rows(x: Tensor) -> Tensor:
        return x.permute(0, 1, 3, 2).flatten(1, 2)

    def encode(self, cond: Tensor) -> Features:
        return (torch.tanh(self.cond(self._rows(cond))), cond)

    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        rows = h[0] + self.state(self._rows(x_t)) * (1 + t[:, None, None] * self.time[:, None])
        mixed = rows.unflatten(1, (-1, 2)).permute(0, 1, 3, 2)
        return 0.5 * h[1] + 0.2 * torch.tanh(mixed)


def build_toy(config: dict[str, Setting], own: object = None) -> Network:
    """Stands in for `networks.build` and knows the kind ``toy``."""
    return ToyNet(int(str(config["n_bins"])))
