"""Recordings that a plug-in makes: pairs with noise and without, drawn as a training asks for them.

The plug-in's dataclass holds the keys of its kind and one method, in which T is the number of samples:

    draw(rng, n_samples, sample_rate, split) -> (noisy [T], clean [T])

It must take all that is random from ``rng``, so that a training goes on where it was stopped, and is the same
in several processes. ``split`` is train or dev.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from audiodiff.data.batches import LARGEST_ATTEMPTS, Batch, batch_of
from audiodiff.data.manifest import Split
from audiodiff.data.mixing import Item, Meta, levelled
from audiodiff.data.noisy_clean import DevRecording, PairDraw
from audiodiff.errors import DataError
from audiodiff.settings import STRICT, Setting, Settings

_DEV_SEED = 1
_DEV = 1 << 32
"""Added to an item's number in the dev split, so that it is none of the training's."""


class OwnData(Settings):
    """``[data]`` of a denoiser whose recordings a plug-in makes.

    Attributes:
        kind: A name in the plug-in's DATA; every key beyond these is one of its own.
        batch: Items in a batch.
        segment_s: Seconds of each item; at least 0.1.
        level_db: Active level of every noisy item, dBFS; the level at which the model hears recordings.
    """

    model_config = ConfigDict(**{**STRICT, "extra": "allow"})
    __pydantic_extra__: dict[str, Setting]

    kind: str
    batch: int = Field(ge=1)
    segment_s: float = Field(ge=0.1)
    level_db: float = Field(default=-25.0, ge=-60, le=0)


class Recorder(Protocol):
    """What a plug-in's data does."""

    def draw(
        self, rng: np.random.Generator, n_samples: int, sample_rate: int, split: Split
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """See the module."""
        ...


@dataclass(frozen=True)
class OwnSource:
    """A plug-in's recordings, and how a batch is made of them.

    Attributes:
        settings: The section of the recipe.
        recorder: What makes them.
    """

    settings: OwnData
    recorder: Recorder

    def item(self, draw: PairDraw, sample_rate: int, number: int, split: Split = "train") -> Item:
        """An item by its number, at the level of the settings.

        Raises:
            DataError: The plug-in fails, gives something else than two finite arrays [T], or only silence.
        """
        for attempt in range(LARGEST_ATTEMPTS):
            rng = np.random.default_rng([draw.seed, number, attempt])
            try:
                sides = self.recorder.draw(rng, draw.n_samples, sample_rate, split)
                found = [np.asarray(side, dtype=np.float32) for side in sides]
            except Exception as error:
                line = f"data.kind = {self.settings.kind!r}: draw fails: {type(error).__name__}: {error}"
                raise DataError(f"{line}; correct the plug-in") from error
            noisy, clean = self._checked(found, draw.n_samples)
            raw = Item(noisy, clean, sample_rate // 2, Meta(None, (), self.settings.kind, "", False, None))
            item = levelled(raw, draw.level_db, sample_rate)
            if item is not None:
                return item
        raise DataError(f"data.kind = {self.settings.kind!r}: {LARGEST_ATTEMPTS} draws gave silence only")

    def _checked(self, found: list[npt.NDArray[np.float32]], n_samples: int) -> list[npt.NDArray[np.float32]]:
        shapes = [side.shape for side in found]
        if shapes != [(n_samples,), (n_samples,)] or not all(np.isfinite(side).all() for side in found):
            raise DataError(
                f"data.kind = {self.settings.kind!r}: draw must give noisy and clean, {n_samples} finite "
                f"numbers each, it gave arrays of shape {shapes}"
            )
        return found


def own_batch(source: OwnSource, draw: PairDraw, sample_rate: int, step: int) -> Batch:
    """The batch of a step, a function of its arguments alone; see `noisy_clean_batch`."""
    numbers = range(step * draw.batch, (step + 1) * draw.batch)
    return batch_of([source.item(draw, sample_rate, number) for number in numbers])


def own_recordings(source: OwnSource, draw: PairDraw, sample_rate: int, n: int) -> list[DevRecording]:
    """Some pairs of the dev split, the same for every run."""
    fixed = PairDraw(_DEV_SEED, draw.batch, draw.n_samples, draw.level_db)
    items = [source.item(fixed, sample_rate, _DEV + number, "dev") for number in range(n)]
    return [DevRecording(item.noisy, item.clean, item.bandwidth_hz) for item in items]
