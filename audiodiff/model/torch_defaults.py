"""The settings of torch that are the whole process's, put aside while a model is loaded or runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

_PROCESS = os.getpid()


def is_forked() -> bool:
    """Whether this process was forked from the one that imported this package.

    The threads of torch did not come along, but it waits for them: there is only one thread then, and no GPU.
    """
    return os.getpid() != _PROCESS


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Run with torch's own defaults (float32 on the CPU, no autocast), then put back what was set.

    In a forked process with one thread, too.
    """
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        if dtype != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        if is_forked() and torch.get_num_threads() > 1:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield
