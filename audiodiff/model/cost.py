"""What a network costs: its parameters, and its multiply-accumulates for a second of audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from audiodiff.model.model import Model


@dataclass(frozen=True)
class Cost:
    """Of one network.

    Attributes:
        parameters: Number of its parameters.
        encode_macs: Multiply-accumulates of the condition's features for a second of audio, once a signal.
        step_macs: Multiply-accumulates of one evaluation for a second of audio.
    """

    parameters: int
    encode_macs: float
    step_macs: float

    def macs(self, evaluations: int) -> float:
        """Of a whole run for a second of audio."""
        return self.encode_macs + evaluations * self.step_macs


def count_macs(work: Callable[[], object]) -> int:
    """Multiply-accumulates of all convolutions and matrix products (linear layers, attention) in some work.

    torch counts them as they run; a multiply-accumulate is two of its operations. Additions, activations and
    norms do not count, as in the tables of papers.
    """
    # the fused attention of CPUs is one operation that torch does not count; its plain form is two products
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        work()
    operations: int = counter.get_total_flops()
    return operations // 2


def cost(model: Model) -> Cost:
    """Run the network on a second of silence and count; loads the weights."""
    net = model.net
    condition, state, seconds = _silence(model)
    time = torch.tensor([model.config.start])
    with torch.no_grad():
        features = net.encode(condition)
    return Cost(
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        encode_macs=count_macs(lambda: net.encode(condition)) / seconds,
        step_macs=count_macs(lambda: net(state, time, features)) / seconds,
    )


def _silence(model: Model) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Condition and state of about a second, as many whole positions as it takes, and their seconds."""
    condition, state = (torch.from_numpy(part) for part in model.representation.silence())
    if state.ndim == 2:  # a waveform [1, T]
        samples = state.shape[1]
        repeats = -(-model.sample_rate // samples)
        return (
            _repeated(condition, repeats, -1),
            state.repeat(1, repeats),
            repeats * samples / model.sample_rate,
        )
    samples = state.shape[2] * model.stft.hop
    repeats = -(-model.sample_rate // samples)
    longer = [_repeated(part, repeats, 2) for part in (condition, state)]
    return longer[0], longer[1], repeats * samples / model.sample_rate


def _repeated(x: torch.Tensor, times: int, axis: int) -> torch.Tensor:
    return torch.cat([x] * times, dim=axis)
