"""What a training reads: batches by step and what is validated, from the store that its recipe names."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from audiodiff.data.batches import DEV_KINDS, Batch, DevMixture, ahead, batches, dev_set
from audiodiff.data.pairs import DevPair, Draw, PairStore, dev_pairs, pair_batch
from audiodiff.data.store import Store
from audiodiff.data.waves import Cut, DevWave, WaveClips, dev_waves, wave_batch
from audiodiff.errors import ConfigError
from audiodiff.training.config import AnyConfig, DataSection, PairSection, TrainConfig
from audiodiff.training.ranks import Ranks
from audiodiff.training.validation import DevItem
from audiodiff.training.wave_config import WaveConfig

DEV_SEED = 1  # of the dev mixtures: the same for every run, so that runs can be compared


class Feed(Protocol):
    """The open store of a recipe."""

    def batches(self, start_step: int) -> Generator[Batch, None, None]:
        """Endless batches from a step on; close it to end its thread."""
        ...

    def dev_items(self) -> Sequence[DevItem]:
        """What a validation looks at; nothing where the recipe turns validations off.

        Raises:
            DataError: The store has no dev speech.
        """
        ...


def open_feed(config: AnyConfig, ranks: Ranks) -> Feed:
    """Open the store of a recipe.

    Args:
        config: The recipe.
        ranks: Which items of the batches are wanted.

    Returns:
        Its feed.

    Raises:
        DataError: No store there, or a damaged one.
        ConfigError: It does not fit the recipe, or the batch does not divide among the processes.
    """
    ranks.check_batch(config.data.batch)
    if isinstance(config, WaveConfig):
        return WaveFeed(config, ranks)
    match config.data:
        case DataSection():
            return MixFeed(config, config.data, ranks)
        case PairSection():
            return PairFeed(config, config.data, ranks)


class MixFeed:
    """Mixtures of speech and noise from a packed store.

    Args:
        config: The recipe.
        data: Its section ``[data]``.
        ranks: Which items of the batches are wanted.

    Raises:
        DataError: No store there, or a damaged one.
        ConfigError: It has another rate than the model.
    """

    def __init__(self, config: TrainConfig, data: DataSection, ranks: Ranks) -> None:
        self._config, self._data, self._items = config, data, ranks.items
        self._store = Store(Path(data.store))
        _check_rate(config, self._store.sample_rate)

    def batches(self, start_step: int) -> Generator[Batch, None, None]:
        """See `Feed`."""
        segment = round(self._data.segment_s * self._config.model.sample_rate)
        seed = self._config.run.seed
        data = self._data
        return batches(self._store, data, seed, start_step, data.batch, segment, wanted=self._items)

    def dev_items(self) -> list[DevMixture]:
        """See `Feed`; so many of each of the two dev sets."""
        run = self._config.run
        if not run.validate_minutes:
            return []
        return [
            mixture
            for kind in DEV_KINDS
            for mixture in dev_set(self._store, run.validate_items, DEV_SEED, kind)
        ]


class PairFeed:
    """Pairs of mel inversions and their targets from a pair store.

    Args:
        config: The recipe.
        data: Its section ``[data]``.
        ranks: Which items of the batches are wanted.

    Raises:
        DataError: No store there, or a damaged one.
        ConfigError: It has another rate than the model, or its pairs are shorter than an item.
    """

    def __init__(self, config: TrainConfig, data: PairSection, ranks: Ranks) -> None:
        self._config, self._data, self._items = config, data, ranks.items
        self._store = PairStore(Path(data.store), "train")
        layout = self._store.layout
        _check_rate(config, layout.sample_rate)
        self._draw = Draw(
            data.level_db,
            data.gain_db,
            config.run.seed,
            data.batch,
            round(data.segment_s * layout.sample_rate),
        )
        if self._draw.n_samples > layout.n_samples:
            longest = layout.n_samples / layout.sample_rate
            raise ConfigError(f"data.segment_s {data.segment_s}: pairs of {data.store} last {longest:g} s")

    def batches(self, start_step: int) -> Generator[Batch, None, None]:
        """See `Feed`."""
        make = partial(pair_batch, self._store, self._draw)
        return ahead(lambda step: _some(make(step), self._items), start_step)

    def dev_items(self) -> list[DevPair]:
        """See `Feed`."""
        run = self._config.run
        return dev_pairs(self._store.folder, run.validate_items) if run.validate_minutes else []


class WaveFeed:
    """Crops of clips with their mels from a packed store.

    Args:
        config: The recipe.
        ranks: Which items of the batches are wanted.

    Raises:
        DataError: No store there, a damaged one, or no clip that is long enough.
        ConfigError: It has another rate than the mel.
    """

    def __init__(self, config: WaveConfig, ranks: Ranks) -> None:
        self._config, self._items = config, ranks.items
        self._store = Store(Path(config.data.store))
        _check_rate(config, self._store.sample_rate)
        self._cut = Cut(config.model.spec, config.data.frames, config.data.peak)
        self._clips = WaveClips(self._store, "train", self._cut)

    def batches(self, start_step: int) -> Generator[Batch, None, None]:
        """See `Feed`."""
        make = partial(wave_batch, self._clips, self._config.run.seed, self._config.data.batch)
        return ahead(lambda step: _some(make(step), self._items), start_step)

    def dev_items(self) -> list[DevWave]:
        """See `Feed`."""
        run = self._config.run
        if not run.validate_minutes:
            return []
        return dev_waves(WaveClips(self._store, "dev", self._cut), run.validate_items)


def _some(batch: Batch, items: slice) -> Batch:
    """Some items of a batch."""
    cond, clean, bandwidth_hz = batch
    return cond[items], clean[items], bandwidth_hz[items]


def _check_rate(config: AnyConfig, found: int) -> None:
    expected = config.model.sample_rate
    if found != expected:
        raise ConfigError(
            f"{config.data.store}: packed at {found} Hz, model.sample_rate is {expected}; "
            "pack it at the model's rate, or change the recipe"
        )
