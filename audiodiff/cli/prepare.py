"""``audiodiff prepare``: pack audio into a store that trainings read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiodiff.cli._progress import progress_bar

if TYPE_CHECKING:
    from audiodiff.data.packing import PackReport

SHOWN = 10
"""So many files that were left out are named."""


def prepare(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")],
    corpus: Annotated[
        list[Path] | None, typer.Option(help="Speech manifest (JSON lines); repeatable.")
    ] = None,
    library: Annotated[
        list[Path] | None, typer.Option(help="List of noises and measured rooms (JSON); repeatable.")
    ] = None,
    speech: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of clean speech, with one folder per speaker; repeatable."),
    ] = None,
    noise: Annotated[list[Path] | None, typer.Option(help="Folder of noise recordings; repeatable.")] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEAKER", help="Leave out this speaker (SOURCE/NAME); repeatable."),
    ] = None,
    shard: Annotated[list[Path] | None, typer.Option(help="Shard to unpack instead; repeatable.")] = None,
    write_shards: Annotated[
        int, typer.Option(min=0, help="Also write up to this many shards of 56 MiB to STORE-shards.")
    ] = 0,
    sample_rate: Annotated[int, typer.Option(min=4000, help="Sample rate of the model in Hz.")] = 48_000,
    rooms: Annotated[int, typer.Option(min=0, help="Number of simulated rooms to add.")] = 200,
) -> None:
    """Pack speech, noise and rooms into a store at the model's rate.

    A store is packed from manifests and folders, or unpacked from shards. --write-shards writes shards of the
    new store, or of an existing one. Files that cannot be used are left out and named, and the exit code is
    then 1.

    Example: audiodiff prepare store --corpus manifest.jsonl --noise fans --leave-out readings/ann
    """
    from audiodiff.data import manifest
    from audiodiff.data.packing import PackSettings, pack
    from audiodiff.data.shards import read_shards
    from audiodiff.data.shards import write_shards as write
    from audiodiff.data.store import Store

    report: PackReport | None = None
    if leave_out and (shard or not (corpus or library or speech or noise)):
        raise typer.BadParameter("--leave-out goes with --corpus or --speech; a packed store keeps its clips")
    if shard:
        typer.echo(f"{store}: {len(read_shards(shard, store).entries)} clips")
    elif corpus or library or speech or noise:
        gathered = manifest.gather(corpus or (), library or (), speech or (), noise or ())
        clips = manifest.leave_out(gathered, leave_out or ())
        with progress_bar("packing", shown=True) as show:
            report = pack(clips, store, PackSettings(sample_rate, rooms), show)
        _tell(store, report)
    elif not write_shards:
        raise typer.BadParameter("nothing to pack; give --corpus, --library, --speech, --noise or --shard")
    if write_shards:
        with progress_bar("writing shards", shown=True) as show:
            paths = write(Store(store), Path(f"{store}-shards"), write_shards, progress=show)
        for path in paths:
            typer.echo(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    if report is not None and report.left_out:
        raise typer.Exit(1)


def _tell(store: Path, report: PackReport) -> None:
    typer.echo(f"{store}: {report.n_clips} clips, {report.hours:.2f} h of speech and noise")
    for _, reason in report.left_out[:SHOWN]:
        typer.echo(f"left out: {reason}", err=True)
    if len(report.left_out) > SHOWN:
        typer.echo(f"left out: {len(report.left_out) - SHOWN} more", err=True)
