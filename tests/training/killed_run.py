"""Trains like the command, and sends itself a real SIGTERM after step 3: run by test_run.py as a process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import audiodiff.training.run  # noqa: F401  its `train` is replaced below
from audiodiff import cli
from audiodiff.training import loop
from audiodiff.training.loop import StepRecord


def train(*arguments: Any) -> Iterator[StepRecord]:
    for record in loop.train(*arguments):
        if record.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        yield record


if __name__ == "__main__":
    vars(sys.modules["audiodiff.training.run"])["train"] = train
    sys.exit(cli.run(sys.argv[1:]))
