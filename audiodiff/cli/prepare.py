"""``audiodiff prepare``: pack audio into a store that trainings read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiodiff.cli._common import say
from audiodiff.cli._progress import progress_bar
from audiodiff.extras import install_hint

if TYPE_CHECKING:
    from audiodiff.data.packing import PackReport
    from audiodiff.data.store import Entry, Store

DEFAULT_ROOMS = 200

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
    rooms: Annotated[
        int | None, typer.Option(min=0, help="Number of simulated rooms to add; default: 200.")
    ] = None,
) -> None:
    """Pack speech, noise and rooms into a store at the model's rate.

    A store is packed from manifests and folders, or unpacked from shards; what its splits hold is printed.
    Of folders, one speaker and one noise in twenty are kept for validations, at least one of each.
    --write-shards writes shards of the new store, or of an existing one. Files that cannot be used are left
    out and named, and the exit code is then 1.

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
        unpacked = read_shards(shard, store)
        typer.echo(f"{store}: {len(unpacked.entries)} clips")
        typer.echo("\n".join(split_table(unpacked)))
    elif corpus or library or speech or noise:
        gathered = manifest.gather(corpus or (), library or (), speech or (), noise or ())
        clips = manifest.hold_out(manifest.leave_out(gathered, leave_out or ()))
        _tell_passed_over([*(speech or ()), *(noise or ())])
        with progress_bar("packing", shown=True) as show:
            report = pack(clips, store, PackSettings(sample_rate, _rooms(rooms)), show)
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
    from audiodiff.data.store import Store

    typer.echo(f"{store}: {report.n_clips} clips, {report.hours:.2f} h of speech and noise")
    typer.echo("\n".join(split_table(Store(store))))
    for kind, lines in (("note", report.notes), ("left out", [reason for _, reason in report.left_out])):
        for line in lines[:SHOWN]:
            typer.echo(f"{kind}: {line}", err=True)
        if len(lines) > SHOWN:
            typer.echo(f"{kind}: {len(lines) - SHOWN} more", err=True)


def _rooms(asked: int | None) -> int:
    """How many rooms to simulate: none, with a line, where the package is missing and nobody asked."""
    from audiodiff.data.packing import can_simulate_rooms

    if asked is None and not can_simulate_rooms():
        say(f"no simulated rooms: they need pyroomacoustics; {install_hint('train')} for some")
        return 0
    return DEFAULT_ROOMS if asked is None else asked


def _tell_passed_over(folders: Sequence[Path]) -> None:
    from audiodiff.io.folders import audio_files, counted
    from audiodiff.io.formats import display_path

    for folder in folders:
        if passed := audio_files(folder)[1]:
            say(f"{display_path(folder)}: passed over {counted(passed)}")


def split_table(store: Store) -> list[str]:
    """What a store holds: speakers, clips and hours of each kind, split and rate class, a line each."""
    from audiodiff.data.batches import FULL_BAND_CLASSES

    rows: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in store.entries:
        band = "full" if entry.category in FULL_BAND_CLASSES else "narrow"
        rows.setdefault((entry.kind, entry.split, band if entry.kind == "speech" else "-"), []).append(entry)
    lines = [f"{'kind':7} {'split':6} {'band':7} {'speakers':>8} {'clips':>7} {'hours':>8}"]
    order = {name: place for place, name in enumerate(("speech", "noise", "room", "train", "dev", "test"))}
    for key in sorted(rows, key=lambda row: (order[row[0]], order[row[1]], row[2])):
        entries = rows[key]
        speakers = str(len({entry.speaker for entry in entries})) if key[0] == "speech" else "-"
        hours = sum(entry.length for entry in entries) / store.sample_rate / 3600
        lines.append(f"{key[0]:7} {key[1]:6} {key[2]:7} {speakers:>8} {len(entries):7} {hours:8.3f}")
    return lines
