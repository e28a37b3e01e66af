"""A network in torch, on arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiodiff.inference.device import Precision, autocast_dtype, pick_device, working
from audiodiff.model.model import Model
from audiodiff.model.representation import Real
from audiodiff.networks.contract import Network


@dataclass(frozen=True)
class TorchEvaluator:
    """See `Evaluator`.

    Attributes:
        net: The network; it lies on `device`.
        device: Where it computes.
        dtype: Autocast format, None for float32.
        threads: CPU threads of torch during the work, None to leave them.
    """

    net: Network
    device: torch.device
    dtype: torch.dtype | None = None
    threads: int | None = None
    runtime: str = "torch"
    listener: None = None
    workers: int = 1

    @classmethod
    def of(cls, model: Model, device: str, threads: int | None, precision: Precision) -> TorchEvaluator:
        """The network of a model, brought to a device by name."""
        where = pick_device(device)
        model.net.to(where)
        return cls(model.net, where, autocast_dtype(precision, where), threads)

    @property
    def place(self) -> str:
        """See `Evaluator`."""
        return str(self.device)

    def encode(self, cond: Real) -> Sequence[object]:
        """See `Evaluator`."""
        with self._working():
            return self.net.encode(self._tensor(cond))

    def step(self, x_t: Real, t: Real, features: Sequence[object]) -> Real:
        """See `Evaluator`."""
        known = tuple(h for h in features if isinstance(h, Tensor))
        with self._working():
            result: Real = self.net(self._tensor(x_t), self._tensor(t), known).float().cpu().numpy()
        return result

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        cast = torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)
        with working(self.threads, self.device), cast:
            yield

    def _tensor(self, x: Real) -> Tensor:
        single = np.require(x, dtype=np.float32, requirements=["W", "C"])  # mps knows no float64
        return torch.from_numpy(single).to(self.device)
