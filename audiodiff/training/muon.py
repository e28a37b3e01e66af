"""Muon: momentum whose update of each matrix is made orthogonal (K. Jordan et al. 2024, "Muon").

Close to ``torch.optim.Muon``, which the tests compare it with. What differs: convolution kernels are taken as
matrices ``[first axis, all others]``, matrices of one shape are worked on together, and the iterations run in
the number format that the processor is fast at, where torch's always take bfloat16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration: steepest at 0, so that five rounds bring most singular values near 1."""
ROUNDS = 5
_TINY = 1e-7


def orthogonalised(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring all singular values near 1 (0.7 to 1.2) and leave the singular vectors: Newton-Schulz, 5 rounds.

    ``X <- a X + b (X X^T) X + c (X X^T)^2 X`` with X of Frobenius norm 1 at the start.

    Args:
        matrices: ``[K, R, C]``.
        dtype: Number format of the products.

    Returns:
        ``[K, R, C]`` in `dtype`.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(_TINY)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Steps of equal size in every direction of a matrix, whatever the size of its gradient.

    ``m <- mu m + (1 - mu) g``, update ``O = orthogonalised((1 - mu) g + mu m)`` (Nesterov), then
    ``w <- (1 - lr decay) w - lr sqrt(max(1, R / C)) O``.

    Attributes:
        dtype: Number format of the iterations; float32 unless changed.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = torch.float32

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # torch allows a closure; nobody here has one
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[len(parameter), parameter[0].numel()].append(parameter)
            for (rows, columns), parameters in shapes.items():
                updates = torch.stack([self._momentum(p, group["momentum"]).flatten(1) for p in parameters])
                length = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(parameters, orthogonalised(updates, self.dtype), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view(parameter.shape), alpha=-length)

    def _momentum(self, parameter: nn.Parameter, mu: float) -> Tensor:
        """Take in a gradient, return what is to be made orthogonal."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - mu)
        return gradient.lerp(buffer, mu)
