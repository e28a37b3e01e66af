"""Exponential moving average of a network's weights, kept in float32.

The decay ramps up, ``min(decay, (1 + k) / (10 + k))`` after k updates, so that the random weights of the
first steps are forgotten quickly (the ramp is the one of TensorFlow's ExponentialMovingAverage).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def start(net: nn.Module) -> dict[str, Tensor]:
    """Copy the weights and buffers of a network as the first average."""
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def ramped_decay(decay: float, k: int) -> float:
    """The decay of update number k (0 is the first): ``min(decay, (1 + k) / (10 + k))``."""
    return min(decay, (1.0 + k) / (10.0 + k))


@torch.no_grad()
def update(average: dict[str, Tensor], net: nn.Module, decay: float, k: int) -> None:
    """Move the average towards the network, in place: ``avg += (1 - d) (w - avg)``."""
    weight = 1.0 - ramped_decay(decay, k)
    moving: list[Tensor] = []
    target: list[Tensor] = []
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            moving.append(average[name])
            target.append(value.detach())
        else:  # counters and index buffers have no mean
            average[name].copy_(value)
    torch._foreach_lerp_(moving, target, weight)
