"""``audiodiff prepare``: pack audio into a store that trainings read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from audiodiff.cli._common import SOME_FAILED, say
from audiodiff.cli._progress import progress_bar
from audiodiff.extras import install_hint
from audiodiff.io.formats import display_path

if TYPE_CHECKING:
    from audiodiff.data.packing import PackReport

LayoutName: TypeAlias = Literal["auto", "folders", "vctk", "libritts", "ljspeech", "dns"]

DEFAULT_ROOMS = 200

SHOWN = 10
"""So many files that were left out are named."""

Paths: TypeAlias = tuple[Path, ...]


@dataclass(frozen=True)
class Origins:
    """Where the clips of a store come from, each as the options of `prepare` name it."""

    layout: LayoutName
    corpus: Paths
    library: Paths
    speech: Paths
    noise: Paths
    noisy: Paths
    clean: Paths

    @property
    def single(self) -> tuple[Paths, Paths, Paths, Paths]:
        """All but pairs."""
        return self.corpus, self.library, self.speech, self.noise

    @property
    def given(self) -> bool:
        """Whether there is anything."""
        return any((*self.single, self.clean))

    def check(self, leave_out: Sequence[str], shards: Sequence[Path], write_shards: int) -> None:
        """Refuse options that contradict each other, and none at all."""
        if len(self.noisy) != len(self.clean):
            raise typer.BadParameter("--noisy and --clean go together; give as many folders of each")
        if leave_out and (shards or not self.given):
            raise typer.BadParameter(
                "--leave-out goes with --corpus or --speech; a packed store keeps its clips"
            )
        if not (shards or self.given or write_shards):
            raise typer.BadParameter(
                "nothing to pack; give --corpus, --library, --speech, --noise, --noisy with --clean, "
                "or --shard"
            )


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
    layout: Annotated[
        LayoutName, typer.Option(help="Layout of the folders of speech, which tells who speaks.")
    ] = "auto",
    noise: Annotated[list[Path] | None, typer.Option(help="Folder of noise recordings; repeatable.")] = None,
    noisy: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of recordings with noise, named as those of --clean; repeatable."),
    ] = None,
    clean: Annotated[
        list[Path] | None, typer.Option(help="Folder of the same recordings without noise; repeatable.")
    ] = None,
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

    A store is packed from manifests and folders, or unpacked from shards. What its splits hold and what its
    files are like is printed, and drawn in STORE/store.png where matplotlib is installed. Of folders, one
    speaker and one noise in twenty are kept for validations, at least one of each. --noisy and --clean pack
    pairs, such as those of VoiceBank+DEMAND, for recipes with kind = "noisy_clean". --write-shards writes
    shards of the new store, or of an existing one. Files that cannot be used are left out and named, and the
    exit code is then 1.

    Examples: audiodiff prepare store --corpus manifest.jsonl --noise fans --leave-out readings/ann; audiodiff
    prepare pairs --clean clean_trainset_28spk_wav --noisy noisy_trainset_28spk_wav
    """
    folders = (tuple(each or ()) for each in (corpus, library, speech, noise, noisy, clean))
    origins = Origins(layout, *folders)
    origins.check(leave_out or (), shard or (), write_shards)
    complete = True
    if shard:
        _unpack(shard, store)
    elif origins.given:
        complete = _pack(origins, leave_out or (), store, sample_rate, rooms)
    if write_shards:
        _write_shards(store, write_shards)
    if not complete:
        raise typer.Exit(SOME_FAILED)


def _unpack(shards: Sequence[Path], store: Path) -> None:
    from audiodiff.cli._data_tables import split_table
    from audiodiff.data.shards import read_shards

    unpacked = read_shards(shards, store)
    typer.echo(f"{store}: {len(unpacked.entries)} clips")
    typer.echo("\n".join(split_table(unpacked)))


def _write_shards(store: Path, n: int) -> None:
    from audiodiff.data.shards import write_shards
    from audiodiff.data.store import Store

    with progress_bar("writing shards", shown=True) as show:
        paths = write_shards(Store(store), Path(f"{store}-shards"), n, progress=show)
    for path in paths:
        typer.echo(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


def _pack(
    origins: Origins, leave_out: Sequence[str], store: Path, sample_rate: int, rooms: int | None
) -> bool:
    """Pack and tell; whether all files could be used."""
    from audiodiff.data import manifest
    from audiodiff.data.noisy_clean import pair_folders
    from audiodiff.data.packing import PackSettings, pack

    settings = PackSettings(sample_rate, _rooms(rooms, origins))
    clips = manifest.gather(*origins.single, origins.layout)
    paired = [pair_folders(*sides) for sides in zip(origins.clean, origins.noisy, strict=True)]
    clips += [clip for pairs in paired for clip in pairs.clips]
    clips = manifest.hold_out(manifest.leave_out(clips, leave_out))
    _tell_passed_over([*origins.speech, *origins.noise, *origins.noisy, *origins.clean])
    _tell_layouts(origins)
    noisy = {clean: other for pairs in paired for clean, other in pairs.noisy.items()}
    with progress_bar("packing", shown=True) as show:
        report = pack(clips, store, settings, show, noisy)
    _tell(store, report)
    unpaired = [line for pairs in paired for line in pairs.unpaired]
    if paired:
        bad = sum(path in noisy for path, _ in report.left_out)
        typer.echo(
            f"pairs: {len(noisy) - bad} of {len(noisy)} packed, {len(unpaired)} files without a partner"
        )
    _say_some("left out", unpaired)
    return not (report.left_out or unpaired)


def _tell(store: Path, report: PackReport) -> None:
    from audiodiff.cli._data_tables import duplicate_lines, quality_table, split_table
    from audiodiff.data.store import Store
    from audiodiff.data.store_picture import PICTURE_NAME, can_draw, draw_store

    typer.echo(f"{store}: {report.n_clips} clips, {report.hours:.2f} h of speech and noise")
    typer.echo("\n".join(split_table(Store(store))))
    if report.files:
        typer.echo("\n".join(["", *quality_table(report.files)]))
        if can_draw():
            draw_store(report.files, store / PICTURE_NAME)
            typer.echo(f"picture: {display_path(store / PICTURE_NAME)}")
    _say_some("duplicates", duplicate_lines(report.files))
    clipped = [file for file in report.files if file.clipped]
    places = [f"{file.clipped} place{'s' * (file.clipped > 1)}" for file in clipped]
    _say_some("clipped", [f"{display_path(f.path)}: {at}" for f, at in zip(clipped, places, strict=True)])
    _say_some("note", report.notes)
    _say_some("left out", [reason for _, reason in report.left_out])


def _say_some(kind: str, lines: Sequence[str]) -> None:
    """The first lines on standard error, and how many more there are."""
    for line in lines[:SHOWN]:
        typer.echo(f"{kind}: {line}", err=True)
    if len(lines) > SHOWN:
        typer.echo(f"{kind}: {len(lines) - SHOWN} more", err=True)


def _rooms(asked: int | None, origins: Origins) -> int:
    """How many rooms to simulate: none for pairs, and none, with a line, where the package is missing."""
    from audiodiff.data.packing import can_simulate_rooms

    if asked is None and not any(origins.single):
        return 0
    if asked is None and not can_simulate_rooms():
        say(f"no simulated rooms: they need pyroomacoustics; {install_hint('train')} for some")
        return 0
    return DEFAULT_ROOMS if asked is None else asked


def _tell_passed_over(folders: Sequence[Path]) -> None:
    from audiodiff.io.folders import audio_files, counted

    for folder in folders:
        if passed := audio_files(folder)[1]:
            say(f"{display_path(folder)}: passed over {counted(passed)}")


def _tell_layouts(origins: Origins) -> None:
    """Which sets were recognised, a line each."""
    from audiodiff.data.layouts import places
    from audiodiff.io.folders import audio_files

    for folder in origins.speech if origins.layout == "auto" else ():
        layout, found = places(folder, audio_files(folder)[0])
        if layout != "folders":
            speakers = len({place.speaker for place in found})
            say(f"{display_path(folder)}: read as {layout}, {len(found)} files of {speakers} speakers")
