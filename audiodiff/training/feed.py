"""What a training reads: batches by step and dev mixtures, from the packed store of its recipe."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from audiodiff.data.dataset import Batch, DevMixture, batches, dev_set
from audiodiff.data.store import Store
from audiodiff.errors import ConfigError
from audiodiff.training.config import TrainConfig

DEV_SEED = 1  # of the dev mixtures: the same for every run, so that runs can be compared


class Feed:
    """The open store of a recipe."""

    def __init__(self, config: TrainConfig) -> None:
        """Open the store.

        Args:
            config: The recipe.

        Raises:
            DataError: No store there, or a damaged one.
            ConfigError: It has another rate than the model.
        """
        self._config = config
        self._store = Store(Path(config.data.store))
        expected, found = config.model.sample_rate, self._store.sample_rate
        if found != expected:
            raise ConfigError(
                f"{config.data.store}: packed at {found} Hz, model.sample_rate is {expected}; "
                "pack it at the model's rate, or change the recipe"
            )

    def batches(self, start_step: int) -> Generator[Batch, None, None]:
        """Endless batches from a step on; close it to end its thread."""
        config = self._config
        segment = round(config.data.segment_s * config.model.sample_rate)
        yield from batches(self._store, config.data, config.run.seed, start_step, config.data.batch, segment)

    def dev_items(self) -> list[DevMixture]:
        """The mixtures of a validation; none where the recipe turns validations off.

        Raises:
            DataError: The store has no dev speech.
        """
        run = self._config.run
        return dev_set(self._store, run.validate_items, DEV_SEED) if run.validate_minutes else []
