"""The few array operations that numpy and torch spell differently, for code that serves both.

Inference works on numpy arrays and never loads torch; training works on tensors and needs their gradients.
What both must agree on (processes, samplers, the spectral front end) is written once, on these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Doubles: TypeAlias = npt.NDArray[np.float64]
"""float64 of any shape."""

X = TypeVar("X", "Tensor", npt.NDArray[Any])
"""An array of one library: what goes in as a tensor comes out as one."""


def like(c: npt.NDArray[Any], x: X) -> X:
    """Real numbers `c` in the library, real dtype and place of `x`."""
    if isinstance(x, np.ndarray):
        return c.astype(x.real.dtype)
    import torch

    return torch.tensor(c, dtype=x.real.dtype).to(x.device)  # on its way as float32: mps knows no float64


def pad(x: X, before: int, after: int) -> X:
    """Zeros before and after the last axis."""
    if isinstance(x, np.ndarray):
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)])
    from torch.nn import functional

    return functional.pad(x, (before, after))


def windows(x: X, size: int, hop: int) -> X:
    """All whole windows of the last axis, window n from n hop on: [..., T] to [..., N, size], a view."""
    if isinstance(x, np.ndarray):
        return np.lib.stride_tricks.sliding_window_view(x, size, axis=-1)[..., ::hop, :]
    return x.unfold(-1, size, hop)


def rfft(x: X, n: int) -> X:
    """Fourier transform of the last axis, filled up to n samples, in the precision of x."""
    if isinstance(x, np.ndarray):
        return np.fft.rfft(x, n=n)
    import torch

    bins: Tensor = torch.fft.rfft(x, n=n)
    return bins


def irfft(z: X, n: int) -> X:
    """Inverse of `rfft`: n real samples."""
    if isinstance(z, np.ndarray):
        return np.fft.irfft(z, n=n)
    import torch

    samples: Tensor = torch.fft.irfft(z, n=n)
    return samples


def zeros(shape: tuple[int, ...], x: X) -> X:
    """Zeros in the library, dtype and place of x."""
    return np.zeros(shape, dtype=x.dtype) if isinstance(x, np.ndarray) else x.new_zeros(shape)


def spread(x: X, shape: tuple[int, ...]) -> X:
    """X repeated along new or single axes, without a copy."""
    return np.broadcast_to(x, shape) if isinstance(x, np.ndarray) else x.expand(shape)
