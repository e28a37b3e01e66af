"""A command line that waits half-way, so that a test can interrupt it there and nowhere else."""

from __future__ import annotations

_CODE = """
import sys
from audiodiff.cli import main
from audiodiff.inference.engine import Engine

begin, calls = Engine._begin, iter(range(1, 1000))

def wait(self):
    if next(calls) == {call}:
        print("half-way", flush=True)
        sys.stdin.{wait}()
    begin(self)

Engine._begin = wait
main()
"""


def code(call: int = 6, wait: str = "readline") -> str:
    """Python that runs ``audiodiff`` with the words after it.

    Args:
        call: Which chunk says ``half-way`` and waits, from 1; by the sixth, the first is in the file.
        wait: ``readline`` or ``read`` of standard input.
    """
    return _CODE.format(call=call, wait=wait)
