"""A command line that waits half-way, so that a test can interrupt it there and nowhere else."""

from __future__ import annotations

from pathlib import Path

_CONFTEST = Path(__file__).parents[1] / "conftest.py"

_CODE = """
import importlib.util, sys
from audiodiff import networks
spec = importlib.util.spec_from_file_location("toy_conftest", {conftest!r})
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)

class Waiting(toy.ToyNet):
    calls = 0

    def encode(self, cond):
        # the second chunk: the first one is in the unfinished file by now
        Waiting.calls += 1
        if Waiting.calls == {call}:
            print("half-way", flush=True)
            sys.stdin.{wait}()
        return super().encode(cond)

networks.build = lambda *_: Waiting(65)
from audiodiff.cli import main
main()
"""


def code(call: int = 2, wait: str = "readline") -> str:
    """Python that runs ``audiodiff`` on the toy network with the words after it.

    Args:
        call: Which chunk says ``half-way`` and waits, from 1; 0 for none.
        wait: ``readline`` or ``read`` of standard input.
    """
    return _CODE.format(conftest=str(_CONFTEST), call=call, wait=wait)
