"""``audiodiff pairs``: make the pairs that a vocoder learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiodiff.cli._common import progress_bar


def pairs(
    store: Annotated[Path, typer.Argument(help="Packed store with the speech, made by `audiodiff prepare`.")],
    output: Annotated[Path, typer.Argument(metavar="PAIRS", help="Folder of the pair store.")],
    hours: Annotated[float, typer.Option(min=0, help="Hours of training pairs that it shall hold.")] = 2.0,
    dev_segments: Annotated[
        int, typer.Option(min=0, help="Dev segments; each becomes a clean, a noisy and a blurred pair.")
    ] = 24,
    segment_s: Annotated[float, typer.Option(min=0.5, help="Seconds of a pair.")] = 4.0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Invert mels of packed speech, degraded ones among them, and make the target next to each inversion.

    Takes about 0.1 CPU seconds a second of pairs. It may be stopped at any time: the same command goes on
    where it was, and one with more hours adds to the store.

    Example: audiodiff pairs store48 pairs24 --hours 2.5
    """
    import torch

    from audiodiff.data.make_pairs import PairSettings, parts_of, prepare_pairs
    from audiodiff.data.store import Store

    torch.set_num_threads(threads)
    settings = PairSettings(segment_s=segment_s, seed=seed)
    parts = parts_of(settings, hours, dev_segments)
    with progress_bar("making pairs", shown=True) as show:
        made = prepare_pairs(Store(store), output, settings, parts, show)
    typer.echo(f"{output}: {sum(parts)} parts, {made} of them made now")
