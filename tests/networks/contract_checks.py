"""The checks that hold a network to the contract of `networks.contract`."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from audiodiff.errors import ShapeError
from audiodiff.networks.contract import Network, WaveDomain, domain_of, halo_samples


@dataclass(frozen=True)
class _Trial:
    """Makes and cuts the inputs of a network, counted in units: frames, or grid steps of a waveform."""

    net: Network
    n_bins: int
    domain: WaveDomain | None
    generator: torch.Generator

    @property
    def halo(self) -> int:
        """Units on one side that one encoding and one evaluation look at."""
        if self.domain is None:
            return self.net.reach_encode + self.net.reach_step
        return halo_samples(self.net, self.domain, 1) // self.domain.grid

    def inputs(self, n_units: int) -> tuple[Tensor, Tensor, Tensor]:
        """Condition, state and times of two items."""
        cond, x_t = self.silence(n_units)
        noise = [0.3 * torch.randn(2, *x.shape[1:], generator=self.generator) for x in (cond, x_t)]
        return noise[0], noise[1], torch.tensor([1.0, 0.25])

    def silence(self, n_units: int) -> tuple[Tensor, Tensor]:
        """Condition and state of one silent item."""
        if self.domain is None:
            return torch.zeros(1, self.n_bins, n_units, 2), torch.zeros(1, self.n_bins, n_units, 2)
        return self.domain.zeros(n_units * (self.domain.grid // self.domain.hop))

    def cut(self, x: Tensor, first: int, stop: int, is_cond: bool = False) -> Tensor:
        """The units from first to stop of a state or a condition."""
        if self.domain is None:
            return x[:, :, first:stop]
        scale = self.domain.grid // (self.domain.hop if is_cond else 1)
        return x[..., first * scale : stop * scale]

    def run(self, x_t: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """One encoding and one evaluation."""
        return self.net(x_t, t, self.net.encode(cond))


def check(net: Network, n_bins: int = 0, seed: int = 0) -> None:
    """Hold a network to the contract: shape, determinism, silence, independence, gradient, reach."""
    net.train(False)
    trial = _Trial(net, n_bins, domain_of(net), torch.Generator().manual_seed(seed))
    with torch.no_grad():
        _check_shape(trial)
        _check_silence(trial)
        _check_items(trial)
        _check_reach(trial)
    _check_gradient(trial)


def _require(holds: bool, promise: str) -> None:
    if not holds:
        raise ShapeError(f"network breaks its contract: {promise}", code="contract")


def _same(left: Tensor, right: Tensor) -> bool:
    # 1e-5 of the largest value: the promise of design section 4, in float32.
    return bool((left - right).abs().max() <= 1e-5 * right.abs().max().clamp(min=1e-3))


def _check_shape(trial: _Trial) -> None:
    for n_units in (1, 2, 37):
        cond, x_t, t = trial.inputs(n_units)
        first = trial.run(x_t, t, cond)
        _require(first.shape == x_t.shape, f"expected shape {tuple(x_t.shape)}, found {tuple(first.shape)}")
        _require(torch.equal(first, trial.run(x_t, t, cond)), "the same input gives two results")


def _check_silence(trial: _Trial) -> None:
    cond, x_t = trial.silence(9)
    for t in (0.0, 1.0):
        out = trial.run(x_t, torch.tensor([t]), cond)
        _require(bool(torch.isfinite(out).all()), f"silence at t = {t} gives NaN or infinity")


def _check_items(trial: _Trial) -> None:
    cond, x_t, t = trial.inputs(21)
    both = trial.run(x_t, t, cond)
    for i in range(2):
        item = slice(i, i + 1)
        alone = trial.run(x_t[item], t[item], cond[item])
        _require(_same(alone, both[item]), f"item {i} depends on the other items of its batch")


def _check_reach(trial: _Trial) -> None:
    """A chunk with its halo gives what the whole gives, inside the chunk."""
    halo, core = trial.halo, 8
    cond, x_t, t = trial.inputs(2 * halo + 3 * core)
    whole = trial.run(x_t, t, cond)
    start = halo + core
    first, stop = start - halo, start + core + halo
    chunk = trial.run(trial.cut(x_t, first, stop), t, trial.cut(cond, first, stop, is_cond=True))
    middle = trial.cut(chunk, halo, halo + core)
    _require(
        _same(middle, trial.cut(whole, start, start + core)),
        f"frames beyond the reach {halo} change a frame",
    )


def _check_gradient(trial: _Trial) -> None:
    # A copy with every weight moved: layers that start at zero would hide those before them.
    moved = copy.deepcopy(trial.net).train(True)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=trial.generator))
    cond, x_t, t = trial.inputs(2 * trial.halo + 8)
    moved(x_t, t, moved.encode(cond)).square().sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    for index, parameter in enumerate(moved.parameters()):
        grad = parameter.grad
        reached = grad is not None and bool(torch.isfinite(grad).all()) and bool(grad.any())
        _require(reached, f"parameter {index} of shape {tuple(parameter.shape)} gets no gradient")
