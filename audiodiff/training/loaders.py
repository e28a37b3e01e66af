"""What a training reads: batches by step and what is validated, from the store that its recipe names."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from audiodiff.data.batches import DEV_KINDS, Batch, DevMixture, ahead, batches, dev_set
from audiodiff.data.noisy_clean import (
    NoisyCleanData,
    PairDraw,
    PairedClips,
    dev_recordings,
    noisy_clean_batch,
)
from audiodiff.data.own_data import OwnSource, own_batch, own_recordings
from audiodiff.data.pairs import Draw, PairStore, dev_pairs, pair_batch
from audiodiff.data.store import Store
from audiodiff.data.waves import Cut, WaveClips, dev_waves, wave_batch
from audiodiff.errors import ConfigError
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.training.ranks import Ranks
from audiodiff.training.recipe import DenoiserData, MixData, PairData, WaveData
from audiodiff.training.run_sections import RunSection
from audiodiff.training.validation import DevItem

DEV_SEED = 1  # of the dev mixtures: the same for every run, so that runs can be compared

Batches: TypeAlias = Generator[Batch, None, None]


@dataclass(frozen=True)
class Loader:
    """The open store of a recipe.

    Attributes:
        batches: Endless batches from a step on, this process's items of each; close it to end its thread.
        dev_items: So many items (of each dev set) for a validation; `DataError` where there is no dev speech.
    """

    batches: Callable[[int], Batches]
    dev_items: Callable[[int], Sequence[DevItem]]


def denoiser_loader(data: DenoiserData, run: RunSection, sample_rate: int, ranks: Ranks) -> Loader:
    """Recordings with noise and without, mixed, as they are, or of a plug-in."""
    if isinstance(data, MixData):
        return mixture_loader(data, run, sample_rate, ranks)
    if isinstance(data, OwnSource):
        return own_loader(data, run, sample_rate, ranks)
    return noisy_clean_loader(data, run, sample_rate, ranks)


def mixture_loader(data: MixData, run: RunSection, sample_rate: int, ranks: Ranks) -> Loader:
    """Mixtures of speech and noise from a packed store; the two dev sets."""
    store = Store(Path(data.store))
    _check(data, store.sample_rate, sample_rate, ranks)
    segment = round(data.segment_s * sample_rate)

    def from_step(start_step: int) -> Batches:
        return batches(store, data, run.seed, start_step, data.batch, segment, wanted=ranks.items)

    def dev_items(n: int) -> list[DevMixture]:
        return [item for kind in DEV_KINDS for item in dev_set(store, n, DEV_SEED, kind)]

    return Loader(from_step, dev_items)


def pair_loader(data: PairData, run: RunSection, sample_rate: int, ranks: Ranks) -> Loader:
    """Pairs of mel inversions and their targets from a pair store."""
    store = PairStore(Path(data.store), "train")
    layout = store.layout
    _check(data, layout.sample_rate, sample_rate, ranks)
    n_samples = round(data.segment_s * layout.sample_rate)
    if n_samples > layout.n_samples:
        longest = layout.n_samples / layout.sample_rate
        raise ConfigError(f"data.segment_s {data.segment_s}: pairs of {data.store} last {longest:g} s")
    draw = Draw(data.level_db, data.gain_db, run.seed, data.batch, n_samples)
    make = partial(pair_batch, store, draw)
    return Loader(partial(_ahead, make, ranks), partial(dev_pairs, store.folder))


def noisy_clean_loader(data: NoisyCleanData, run: RunSection, sample_rate: int, ranks: Ranks) -> Loader:
    """Recordings with noise and without from a packed store."""
    store = Store(Path(data.store))
    _check(data, store.sample_rate, sample_rate, ranks)
    draw = PairDraw(run.seed, data.batch, round(data.segment_s * sample_rate), data.level_db)
    make = partial(noisy_clean_batch, PairedClips(store, "train"), draw)
    return Loader(partial(_ahead, make, ranks), lambda n: dev_recordings(PairedClips(store, "dev"), n))


def own_loader(source: OwnSource, run: RunSection, sample_rate: int, ranks: Ranks) -> Loader:
    """Recordings that a plug-in makes."""
    data = source.settings
    ranks.check_batch(data.batch)
    draw = PairDraw(run.seed, data.batch, round(data.segment_s * sample_rate), data.level_db)
    make = partial(own_batch, source, draw, sample_rate)
    return Loader(partial(_ahead, make, ranks), partial(own_recordings, source, draw, sample_rate))


def wave_loader(data: WaveData, run: RunSection, spec: MelSpec, ranks: Ranks) -> Loader:
    """Crops of clips with their mels from a packed store."""
    store, cut = Store(Path(data.store)), Cut(spec, data.frames, data.peak)
    _check(data, store.sample_rate, spec.sample_rate, ranks)
    make = partial(wave_batch, WaveClips(store, "train", cut), run.seed, data.batch)
    return Loader(partial(_ahead, make, ranks), lambda n: dev_waves(WaveClips(store, "dev", cut), n))


def _ahead(make: Callable[[int], Batch], ranks: Ranks, start_step: int) -> Batches:
    """This process's items of the batches from a step on, made ahead."""

    def some(step: int) -> Batch:
        cond, clean, bandwidth_hz = make(step)
        return cond[ranks.items], clean[ranks.items], bandwidth_hz[ranks.items]

    return ahead(some, start_step)


def _check(
    data: MixData | NoisyCleanData | PairData | WaveData, found: int, expected: int, ranks: Ranks
) -> None:
    """Hold a store's rate to the model's, and the batch to the number of processes."""
    ranks.check_batch(data.batch)
    if found != expected:
        raise ConfigError(
            f"{data.store}: packed at {found} Hz, model.sample_rate is {expected}; "
            "pack it at the model's rate, or change the recipe"
        )
