"""``audiodiff mix``: a fixed set of noisy and clean files to evaluate on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from audiodiff.cli._common import SOME_FAILED, say
from audiodiff.cli._progress import progress_bar
from audiodiff.cli.prepare import SHOWN
from audiodiff.io.formats import display_path
from audiodiff.system import temporary_folder

if TYPE_CHECKING:
    from audiodiff.data.mixing import MixConfig
    from audiodiff.data.sources import Sources

SplitName: TypeAlias = Literal["train", "dev", "test"]

DEFAULT_RATE, DEFAULT_SNR_DB = 48_000, (0.0, 20.0)


def mix(
    speech: Annotated[
        Path, typer.Argument(metavar="SPEECH", help="Folder of clean speech, or a packed store of both.")
    ],
    noise: Annotated[
        Path | None, typer.Argument(metavar="NOISE", help="Folder of noise; not with a packed store.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the set.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of mixtures.")] = 100,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of a mixture in seconds.")] = 5.0,
    snr: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH", help="Range of signal-to-noise ratios in dB; default: 0 20, or the recipe's."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    sample_rate: Annotated[
        int | None,
        typer.Option(min=4000, help="Sample rate in Hz; default: the store's or the recipe's, else 48000."),
    ] = None,
    split: Annotated[SplitName, typer.Option(help="Split of a packed store that is drawn from.")] = "dev",
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe whose [data] section says how to mix; default: noise alone.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of mixtures to make at a time.")] = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing set.")] = False,
) -> None:
    """Mix speech and noise into a fixed set of noisy and clean files.

    FOLDER/noisy and FOLDER/clean hold files of equal names, as VoiceBank+DEMAND does: `evaluate` scores them,
    and `prepare --noisy --clean` packs them for training. FOLDER/records says for each where its speech and
    noise come from, their ratio and the seed. The ratio is that of the levels while something sounds. The
    same command gives the same files; one that was interrupted goes on, and one with a larger --count adds to
    the set.

    Examples: audiodiff mix speech noise -o testset -n 200 --snr 0 15; audiodiff mix store48 -o devset
    """
    if output is None:
        raise typer.BadParameter("give the folder of the set with -o")
    config, wanted_rate = _mixing(recipe, snr)
    with _sources(speech, noise, split, sample_rate, wanted_rate, config) as (sources, names, left_out):
        from audiodiff.data.mix_set import MixSet, MixSettings

        found = MixSet(output, sources, MixSettings(seconds, seed, config), names)
        with progress_bar("mixing", shown=True) as show:
            made = found.write(count, jobs, overwrite, show)
    typer.echo(f"{display_path(output)}: {count} mixtures, {made} of them made now")
    if left_out:
        raise typer.Exit(SOME_FAILED)


def _mixing(recipe: Path | None, snr: tuple[float, float] | None) -> tuple[MixConfig, int | None]:
    """How to mix, and the recipe's rate."""
    from audiodiff.data.mix_set import for_scores, plain

    if snr is not None and not -60 <= snr[0] <= snr[1] <= 100:
        raise typer.BadParameter("--snr takes the lowest ratio, then the highest, within -60 to 100 dB")
    if recipe is None:
        return plain(snr or DEFAULT_SNR_DB), None
    from audiodiff.training.recipe import MixData, load_recipe

    loaded = load_recipe(recipe)
    if not isinstance(loaded.data, MixData):
        raise typer.BadParameter(f'{recipe}: does not mix; give a recipe with data.kind = "mix"')
    return for_scores(loaded.data, snr), loaded.model.sample_rate


@contextmanager
def _sources(
    speech: Path,
    noise: Path | None,
    split: SplitName,
    asked: int | None,
    wanted: int | None,
    config: MixConfig,
) -> Iterator[tuple[Sources, Sequence[str], int]]:
    """What is mixed, the names of its clips, and how many files could not be used.

    Folders are packed into a store that is removed again.
    """
    from audiodiff.data.manifest import read_folder
    from audiodiff.data.mix_set import in_one_split, packed_names, stored_names
    from audiodiff.data.packing import PackSettings, pack
    from audiodiff.data.sources import open_sources
    from audiodiff.data.store import INDEX_NAME, Store

    if noise is None:
        if not (speech / INDEX_NAME).is_file():
            raise typer.BadParameter(f"{display_path(speech)}: no packed store; give a folder of noise too")
        store = Store(speech)
        if asked not in (None, store.sample_rate):
            raise typer.BadParameter(f"{display_path(speech)}: packed at {store.sample_rate} Hz, not {asked}")
        sources = open_sources(store, split, config.class_weights)
        if not sources.noises.size:
            say(f"{display_path(speech)}: no noise of split {split}; generated noise stands in for it")
        yield sources, stored_names(sources), 0
        return
    clips = in_one_split([*read_folder(speech, "speech", "auto"), *read_folder(noise, "noise")])
    with temporary_folder() as place:
        settings = PackSettings(asked or wanted or DEFAULT_RATE, n_rooms=0)
        with progress_bar("reading", shown=True) as show:
            report = pack(clips, Path(place) / "store", settings, show)
        for _, reason in report.left_out[:SHOWN]:
            say(f"left out: {reason}")
        sources = open_sources(Store(Path(place) / "store"), "test", config.class_weights)
        yield sources, packed_names(report.packed, (speech, noise)), len(report.left_out)
