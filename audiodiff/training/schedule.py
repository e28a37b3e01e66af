"""The optimisers and their learning rate."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from torch import nn

from audiodiff.errors import ConfigError
from audiodiff.training.muon import Muon
from audiodiff.training.run_sections import Optim

Optimisers: TypeAlias = tuple[torch.optim.Optimizer, ...]


def rate_factor(config: Optim, step: int) -> float:
    """Learning rate of a step as a share of the highest.

    Args:
        config: Section ``[optim]``.
        step: 0 is the first; from ``steps`` on the rate stays at the floor.

    Returns:
        ``(step + 1) / warmup`` during the warm-up. Then ``cosine``: ``f + (1 - f)(1 + cos(pi p)) / 2`` where
        p goes from 0 to 1 over the rest (SGDR, Loshchilov and Hutter 2017, one cycle). Or ``constant``: 1,
        and in the last ``tail`` steps a straight line to f.
    """
    floor = config.lr_floor
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.shape == "constant":
        left = (config.steps - step) / config.tail if config.tail else 1.0
        return floor + (1 - floor) * min(1.0, max(0.0, left))
    done = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def set_rate(optimisers: Optimisers, factor: float) -> None:
    """Give every group of parameters its share of the highest learning rate."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = factor * group["highest_lr"]


def _for_all(groups: list[dict[str, Any]], config: Optim) -> torch.optim.Optimizer:
    """What changes every parameter that Muon does not."""
    match config.kind:
        case "sgd":
            return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=config.lr, betas=config.betas, fused=True)
        case "adamw" | "muon":
            return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def make_optimisers(net: nn.Module, config: Optim) -> Optimisers:
    """The optimiser of ``optim.kind``, fused; with Muon two. Weight decay never on gains and biases.

    Their learning rates are set before every step.
    """
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    known = {part for name, _ in named for part in name.split(".")}
    for unknown in sorted(set(config.adamw_names) - known):
        raise ConfigError(
            f"optim.adamw_names: the network has no {unknown!r}; it has {', '.join(sorted(known))}"
        )

    def is_inner(name: str, parameter: nn.Parameter) -> bool:
        return parameter.ndim >= 2 and not set(name.split(".")) & set(config.adamw_names)

    inner = [p for name, p in named if config.kind == "muon" and is_inner(name, p)]
    taken = {id(p) for p in inner}
    others = [p for _, p in named if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimisers: list[torch.optim.Optimizer] = []
    if groups:
        optimisers.append(_for_all(groups, config))
    if inner:
        optimisers.append(Muon(inner, config.muon_lr, config.muon_momentum, config.weight_decay))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["highest_lr"] = group["lr"]
    return tuple(optimisers)
