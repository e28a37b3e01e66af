"""A device that knows no float64, as Apple's ``mps``, and refuses to meet tensors of the CPU.

It bears the name ``meta``, which torch lets anybody use, and computes on the CPU: results are those
of the CPU to the bit.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")
_REFUSED = (torch.float64, torch.complex128)
_COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)


class Far(torch.Tensor):
    """A tensor on that device."""

    near: torch.Tensor

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> Self:
        made: Self = torch.Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=DEVICE,
        )
        return made

    def __init__(self, near: torch.Tensor) -> None:
        self.near = near

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Far({self.near})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares another method than it calls
        cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class Accelerator(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """The device exists inside the block."""

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    far: list[Far] = []
    near: list[torch.Tensor] = []

    def unwrapped(x: Any) -> Any:
        if isinstance(x, Far):
            far.append(x)
            return x.near
        if isinstance(x, torch.Tensor):
            near.append(x)
        return x

    plain_args, plain_kwargs = tree_map(unwrapped, (args, kwargs))
    device = plain_kwargs.get("device")
    stays_far = bool(far) if device is None else torch.device(device) == DEVICE
    if device is not None and stays_far:
        plain_kwargs["device"] = torch.device("cpu")
    if far and func not in _COPIES and any(x.ndim for x in near):
        raise RuntimeError(f"{func}: tensors of two devices meet")
    found = func(*plain_args, **plain_kwargs)
    if func is torch.ops.aten.copy_.default:
        return args[0]

    def wrapped(x: Any) -> Any:
        if not stays_far or not isinstance(x, torch.Tensor):
            return x
        if x.dtype in _REFUSED:
            raise TypeError(f"{func}: this device knows no float64")
        same = [each for each in far if each.near is x]
        return same[0] if same else Far(x.resolve_conj().resolve_neg())

    return tree_map(wrapped, found)


def accelerator() -> TorchDispatchMode:
    """The device exists inside this block."""
    return Accelerator()  # type: ignore[no-untyped-call]  # torch's own
