"""Where the network computes, in which number format, and on how many threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch

from audiodiff.errors import ConfigError
from audiodiff.model.torch_defaults import is_forked, plain_torch

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "int8"]
"""``auto`` takes bfloat16 where the machine multiplies it natively; ``int8`` is for graphs alone."""


def pick_device(name: str) -> torch.device:
    """The device of a name.

    ``auto`` is a GPU of NVIDIA where there is one, else the CPU: Apple's GPU (``mps``) has to be asked for.

    Raises:
        ConfigError: There is no such device, or none here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device {name!r} is unknown; use auto, cpu, cuda or mps") from None
    match device.type:
        case "cpu":
            there = True
        case "cuda":
            there = (device.index or 0) < torch.cuda.device_count()
        case "mps":
            there = torch.backends.mps.is_available() and not device.index
        case _:
            there = False
    if not there:
        raise ConfigError(f"device {name!r} is not on this machine, or this torch lacks it; use auto or cpu")
    return device


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The format of the network's matrix products; None for plain float32.

    bfloat16 pays only where the hardware has it (AVX512_BF16, AMX, CUDA from compute capability 8 on):
    elsewhere it is emulated and slower. On ``mps`` nobody has measured it.

    Raises:
        ConfigError: bfloat16 is asked for on ``mps``.
    """
    if device.type == "mps" and precision == "bfloat16":
        raise ConfigError("bfloat16 is not used on mps; use float32 there")
    if precision == "float32" or device.type == "mps":
        return None
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        native = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    return torch.bfloat16 if native else None


@contextlib.contextmanager
def working(threads: int | None, device: torch.device) -> Iterator[None]:
    """Run without gradients, whatever the process's settings of torch are (see `plain_torch`).

    Raises:
        ConfigError: A GPU cannot be used in a forked process.
    """
    if device.type != "cpu" and is_forked():
        raise ConfigError("a GPU cannot be used after a fork; start processes by spawn, or use device cpu")
    with plain_torch(), torch.inference_mode(), torch_threads(threads):
        yield


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Run with `count` threads of torch, then put back what was set: the setting is the whole process's.

    In a forked process there is only one, and torch would wait for the others for ever.
    """
    if is_forked():
        count = 1
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
