"""The contract between networks and the rest.

Letters: B items, F frequency bins, M mel bands, N frames, T samples. A network's state is a spectrum, real
``[B, F, N, 2]`` (re, im), compressed, or a waveform ``[B, T]``. Beside a spectrum the condition is a spectrum
of the same frames; beside a waveform it is a mel ``[B, M, N]`` with T = N hop, or another waveform. A network
of waveforms says which by its attribute ``domain``, a `WaveDomain`; the tests check all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeAlias

import torch
from torch import Tensor

from audiodiff.errors import ShapeError

Features: TypeAlias = tuple[Tensor, ...]
"""What `encode` hands to every step: tensors whose first axis is B."""


class Reaches(Protocol):
    """How far a network sees; see `Network`."""

    @property
    def reach_encode(self) -> int: ...  # noqa: D102  documented in `Network`

    @property
    def reach_step(self) -> int: ...  # noqa: D102


class Network(Reaches, Protocol):
    """What samplers, training and the model folder need of a network (every one is a ``torch.nn.Module``).

    Item i never depends on item j, and position n only on positions within a finite reach: there is no
    recurrence and no normalisation over time, and outside the given positions a network sees zeros or the
    outermost values.

    Attributes:
        reach_encode: Positions of the condition (frames, or samples of a waveform) on one side that `encode`
            looks at.
        reach_step: Positions of the state (frames of a spectrum, samples of a waveform) on one side that one
            evaluation looks at, given the features.
    """

    def encode(self, cond: Tensor) -> Features:
        """Features of the recording, computed once per signal.

        Args:
            cond: Compressed spectrum of the recording ``[B, F, N, 2]``; mel ``[B, M, N]``; recording
                ``[B, T]``.

        Returns:
            Tensors that every step receives unchanged.
        """
        ...

    def __call__(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:
        """One evaluation.

        Args:
            x_t: State ``[B, F, N, 2]`` or ``[B, T]``.
            t: Process time of each item ``[B]``, 0 is data.
            h: What `encode` returned.

        Returns:
            The prediction, of the shape of `x_t`.
        """
        ...

    # The rest is torch.nn.Module's own, named here because the model folder and training call it.
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...  # noqa: D102
    def train(self, mode: bool = True) -> Self: ...  # noqa: D102
    def to(self, device: torch.device) -> Self: ...  # noqa: D102


@dataclass(frozen=True)
class WaveDomain:
    """What a network of waveforms works on.

    Attributes:
        cond: Its condition: a mel, or another waveform.
        hop: Samples of the state that go with one position of the condition; 1 for a waveform.
        grid: Chunks must start at multiples of so many samples, counted from the start of the signal; a
            multiple of `hop`.
        n_mels: M, 0 for a waveform.
    """

    cond: Literal["mel", "waveform"]
    hop: int = 1
    grid: int = 1
    n_mels: int = 0

    def zeros(self, n_cond: int) -> tuple[Tensor, Tensor]:
        """A silent condition ``[1, M, n_cond]`` or ``[1, n_cond]``, and its state ``[1, T]``."""
        shape = (1, self.n_mels, n_cond) if self.cond == "mel" else (1, n_cond)
        return torch.zeros(shape), torch.zeros(1, n_cond * self.hop)


def domain_of(net: Network) -> WaveDomain | None:
    """The domain of a network of waveforms; None for one of spectra."""
    found = getattr(net, "domain", None)
    return found if isinstance(found, WaveDomain) else None


def halo_samples(net: Reaches, domain: WaveDomain, evaluations: int) -> int:
    """What a chunk of a waveform needs on each side to give what the whole gives.

    Args:
        net: The network.
        domain: Its domain.
        evaluations: Evaluations of the network in a whole sampling run.

    Returns:
        Samples, a multiple of the grid; a chunk's core starts and ends on the grid, too.
    """
    frames = -(-evaluations * net.reach_step // domain.hop) + net.reach_encode
    return -(-frames * domain.hop // domain.grid) * domain.grid


def require_length(x_t: Tensor, expected: int) -> None:
    """Hold a state [B, T] to the length that its condition asks for."""
    if x_t.ndim != 2 or x_t.shape[1] != expected:
        raise ShapeError(
            f"the condition goes with a state [B, {expected}], found {list(x_t.shape)}; cut both on frames"
        )
