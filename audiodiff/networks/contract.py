"""The contract between networks and the rest, and the checks that hold a network to it.

Letters: B items, F frequency bins, N frames; spectra are real ``[B, F, N, 2]`` (re, im), compressed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self, TypeAlias

import torch
from torch import Tensor

from audiodiff.errors import ShapeError

Features: TypeAlias = tuple[Tensor, ...]
"""What `encode` hands to every step: tensors whose first axis is B."""


class Network(Protocol):
    """What samplers, training and the model folder need of a network (every one is a ``torch.nn.Module``).

    Item i never depends on item j, and frame n only on frames within a finite reach: there is no recurrence
    and no normalisation over time, and outside the given frames a network sees zeros.

    Attributes:
        reach_encode: Frames on one side that `encode` looks at.
        reach_step: Frames on one side that one evaluation looks at, given the features.
    """

    @property
    def reach_encode(self) -> int: ...  # noqa: D102  documented in the class

    @property
    def reach_step(self) -> int: ...  # noqa: D102  documented in the class

    def encode(self, cond: Tensor) -> Features:
        """Features of the recording, computed once per signal.

        Args:
            cond: Compressed spectrum of the recording ``[B, F, N, 2]``.

        Returns:
            Tensors that every step receives unchanged.
        """
        ...

    def __call__(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        """One evaluation.

        Args:
            x_t: State ``[B, F, N, 2]``.
            t: Process time of each item ``[B]``, 0 is data.
            h: What `encode` returned.

        Returns:
            The prediction ``[B, F, N, 2]``.
        """
        ...

    # The rest is torch.nn.Module's own, named here because the model folder and training call it.
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...  # noqa: D102
    def train(self, mode: bool = True) -> Self: ...  # noqa: D102
    def to(self, device: torch.device) -> Self: ...  # noqa: D102


def check(net: Network, n_bins: int, seed: int = 0) -> None:
    """Hold a network to the contract: shape, determinism, silence, independence, gradient, reach.

    Args:
        net: Network on the CPU, in float32.
        n_bins: F.
        seed: Seed of the random input.

    Raises:
        ShapeError: The line names the promise that is broken.
    """
    net.train(False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        _check_shape(net, n_bins, generator)
        _check_silence(net, n_bins)
        _check_items(net, n_bins, generator)
        _check_reach(net, n_bins, generator)
    _check_gradient(net, n_bins, generator)


def _inputs(n_bins: int, n_frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    shape = (2, n_bins, n_frames, 2)
    cond = 0.3 * torch.randn(shape, generator=generator)
    x_t = 0.3 * torch.randn(shape, generator=generator)
    return cond, x_t, torch.tensor([1.0, 0.25])


def _require(holds: bool, promise: str) -> None:
    if not holds:
        raise ShapeError(f"network breaks its contract: {promise}", code="contract")


def _same(left: Tensor, right: Tensor) -> bool:
    # 1e-5 of the largest value: the promise of design section 4, in float32.
    return bool((left - right).abs().max() <= 1e-5 * right.abs().max().clamp(min=1e-3))


def _check_shape(net: Network, n_bins: int, generator: torch.Generator) -> None:
    for n_frames in (1, 2, 37):
        cond, x_t, t = _inputs(n_bins, n_frames, generator)
        first = net(x_t, t, net.encode(cond))
        _require(first.shape == x_t.shape, f"expected shape {tuple(x_t.shape)}, found {tuple(first.shape)}")
        _require(torch.equal(first, net(x_t, t, net.encode(cond))), "the same input gives two results")


def _check_silence(net: Network, n_bins: int) -> None:
    silence = torch.zeros(1, n_bins, 9, 2)
    for t in (0.0, 1.0):
        out = net(silence, torch.tensor([t]), net.encode(silence))
        _require(bool(torch.isfinite(out).all()), f"silence at t = {t} gives NaN or infinity")


def _check_items(net: Network, n_bins: int, generator: torch.Generator) -> None:
    cond, x_t, t = _inputs(n_bins, 21, generator)
    both = net(x_t, t, net.encode(cond))
    for i in range(2):
        item = slice(i, i + 1)
        alone = net(x_t[item], t[item], net.encode(cond[item]))
        _require(_same(alone, both[item]), f"item {i} depends on the other items of its batch")


def _check_reach(net: Network, n_bins: int, generator: torch.Generator) -> None:
    """A chunk with its halo gives what the whole gives, inside the chunk."""
    halo, core = net.reach_encode + net.reach_step, 8
    cond, x_t, t = _inputs(n_bins, 2 * halo + 3 * core, generator)

    def run(frames: slice) -> Tensor:
        return net(x_t[:, :, frames], t, net.encode(cond[:, :, frames]))

    whole = run(slice(None))
    start = halo + core
    middle = run(slice(start - halo, start + core + halo))[:, :, halo : halo + core]
    _require(
        _same(middle, whole[:, :, start : start + core]), f"frames beyond the reach {halo} change a frame"
    )


def _check_gradient(net: Network, n_bins: int, generator: torch.Generator) -> None:
    # A copy with every weight moved: layers that start at zero would hide those before them.
    moved = copy.deepcopy(net).train(True)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    cond, x_t, t = _inputs(n_bins, 2 * (net.reach_encode + net.reach_step) + 8, generator)
    moved(x_t, t, moved.encode(cond)).square().sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    for index, parameter in enumerate(moved.parameters()):
        grad = parameter.grad
        reached = grad is not None and bool(torch.isfinite(grad).all()) and bool(grad.any())
        _require(reached, f"parameter {index} of shape {tuple(parameter.shape)} gets no gradient")
