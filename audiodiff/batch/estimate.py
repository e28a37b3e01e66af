"""How long a batch will take on this machine: measured, not promised."""

from __future__ import annotations

from collections.abc import Sequence

from audiodiff.batch.batch_spec import Item


def predicted(items: Sequence[Item], seconds_per_second: float, jobs: int) -> float:
    """Seconds that a batch will take."""
    costs = [item.seconds * item.channels * seconds_per_second for item in items]
    return max([sum(costs) / max(1, jobs), *costs])
