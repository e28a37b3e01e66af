"""How long a batch will take on this machine: measured, not promised."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audiodiff.batch.batch_spec import Item

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser

_TRIAL_S = 8.0
"""One chunk of work."""


def speed(denoiser: Denoiser) -> float:
    """Time a denoiser on made-up sound.

    Args:
        denoiser: What will do the work, with the threads of one worker.

    Returns:
        Seconds of work for a second of one channel.
    """
    rate = denoiser.model.sample_rate
    sound = 0.1 * np.random.default_rng(0).standard_normal(round(_TRIAL_S * rate)).astype(np.float32)
    denoiser.denoise(sound[: rate // 2], rate)  # the first call prepares things
    started = time.perf_counter()
    denoiser.denoise(sound, rate)
    return (time.perf_counter() - started) / _TRIAL_S


def predicted(items: Sequence[Item], seconds_per_second: float, jobs: int) -> float:
    """Seconds that a batch will take.

    Args:
        items: What is to be done, with durations and channels.
        seconds_per_second: See `speed`.
        jobs: Workers, which share the work but never one file.

    Returns:
        Seconds, without the start of the workers.
    """
    costs = [item.seconds * item.channels * seconds_per_second for item in items]
    return max([sum(costs) / max(1, jobs), *costs])
