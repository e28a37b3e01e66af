"""``audiodiff pairs``: make the pairs that a vocoder learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiodiff.cli._progress import progress_bar


def pairs(
    store: Annotated[Path, typer.Argument(help="Packed store with the speech, made by `audiodiff prepare`.")],
    output: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="Folder of the pair store; made or extended.")
    ],
    hours: Annotated[float, typer.Option(min=0, help="Hours of training pairs in the store.")] = 2.0,
    dev_segments: Annotated[
        int,
        typer.Option(min=0, help="Number of dev segments; each gives a clean, a noisy and a blurred pair."),
    ] = 24,
    segment_s: Annotated[float, typer.Option(min=0.5, help="Length of a pair in seconds.")] = 4.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Make training pairs for the vocoder `voice`.

    A pair is an inverted mel of packed speech and its target. Some of the mels are degraded first. The work
    takes about 0.1 CPU seconds per second of pairs. Stop it at any time: the same command continues, and one
    with more hours adds to the store.

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
