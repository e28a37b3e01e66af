"""The optimiser and its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from audiodiff.training.sections import OptimSection

Adam = torch.optim.AdamW


def learning_rate(config: OptimSection, step: int) -> float:
    """Learning rate of a step: linear warm-up, then half a cosine down to ``lr * lr_floor``.

    Args:
        config: Section ``[optim]``.
        step: 0 is the first; from ``steps`` on the rate stays at the floor.

    Returns:
        ``lr (step + 1) / warmup`` during the warm-up, then ``lr (f + (1 - f)(1 + cos(pi p)) / 2)`` where p
        goes from 0 to 1 over the rest (SGDR, Loshchilov and Hutter 2017, one cycle).
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return config.lr * (config.lr_floor + (1 - config.lr_floor) * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimiser(net: nn.Module, config: OptimSection) -> Adam:
    """AdamW in its fused form; weight decay only on matrices and kernels, never on gains and biases.

    Args:
        net: The network to train.
        config: Section ``[optim]``.

    Returns:
        The optimiser; its learning rate is set before every step.
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return Adam([group for group in groups if group["params"]], lr=config.lr, betas=config.betas, fused=True)
