"""Pairs of recordings, with noise and without: two folders with equal names, as VoiceBank+DEMAND has them.

In a packed store the side with noise (kind ``noisy``) is the entry right behind its clean side (kind
``speech``), of the same length. A training draws both at the same offset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from audiodiff.data.batches import LARGEST_ATTEMPTS, Batch, batch_of
from audiodiff.data.manifest import Clip, Split, read_folder, stable_split
from audiodiff.data.mixing import Item, Meta, levelled
from audiodiff.data.store import Store
from audiodiff.errors import DataError
from audiodiff.io.formats import display_path
from audiodiff.settings import Settings
from audiodiff.signal.types import Audio

DEV_SECONDS = 8.0
PART = "pairs"
_NUMBERED = re.compile(r"fileid_\d+$")
_VCTK = re.compile(r"([ps]\d{1,3})_")

_Files: TypeAlias = dict[str, list[Clip]]


class NoisyCleanData(Settings):
    """``[data]`` of a denoiser that learns from recordings with noise and without, packed in pairs.

    Attributes:
        kind: ``noisy_clean``.
        store: Folder of the packed store.
        batch: Items in a batch.
        segment_s: Seconds of each item, at least 0.1; shorter pairs end in silence.
        level_db: Active level of every noisy item, dBFS; the level at which the model hears recordings.
    """

    kind: Literal["noisy_clean"]
    store: str = Field(min_length=1)
    batch: int = Field(ge=1)
    segment_s: float = Field(ge=0.1)
    level_db: float = Field(default=-25.0, ge=-60, le=0)


@dataclass
class Paired:
    """What two folders hold.

    Attributes:
        clips: The clean sides.
        noisy: The side with noise of each clean file.
        unpaired: A line for every file that has no partner, or more than one.
    """

    clips: list[Clip] = field(default_factory=list)
    noisy: dict[Path, Path] = field(default_factory=dict)
    unpaired: list[str] = field(default_factory=list)


def pair_folders(clean: Path, noisy: Path) -> Paired:
    """Pair the audio files of two folders.

    Partners have the same path below their folders, whatever the suffix; files of the DNS challenge, whose
    names end in ``fileid_7``, the same number. A name such as ``p226_001.wav`` tells the speaker, otherwise
    it is as in `read_folder`. Where the clean folder's name holds "test", its split is test; otherwise it
    follows from the speaker's name.

    Raises:
        DataError: There is no pair.
    """
    found = Paired()
    sides = _by_name(clean), _by_name(noisy)
    for name in sorted(sides[0].keys() | sides[1].keys()):
        cleans, noisies = (side.get(name, []) for side in sides)
        if len(cleans) == len(noisies) == 1:
            found.clips.append(_clip(cleans[0], clean))
            found.noisy[cleans[0].path] = noisies[0].path
            continue
        several = len(cleans) > 1 or len(noisies) > 1
        for clip, other in [(c, noisy) for c in cleans] + [(c, clean) for c in noisies]:
            why = "is one of several of this name" if several else f"has no partner in {display_path(other)}"
            found.unpaired.append(f"{display_path(clip.path)}: {why}")
    if not found.clips:
        raise DataError(
            f"{display_path(noisy)}: no file has the name of one in {display_path(clean)}; "
            "give two folders with equal names"
        )
    return found


def _by_name(folder: Path) -> _Files:
    files: _Files = {}
    for clip in read_folder(folder, "speech"):
        relative = clip.path.relative_to(folder).with_suffix("")
        number = _NUMBERED.search(relative.name)
        name = relative.with_name(number[0]) if number else relative
        files.setdefault(name.as_posix(), []).append(clip)
    return files


def _clip(clip: Clip, folder: Path) -> Clip:
    """With the speaker that its name tells, and the split that its folder's name tells."""
    told = _VCTK.match(clip.path.name) if clip.path.parent == folder else None
    if told:
        clip = replace(clip, speaker=f"{clip.source}/{told[1]}", split=stable_split(told[1]))
    return replace(clip, split="test", by_name=False) if "test" in folder.name.lower() else clip


class PairedClips:
    """The pairs of a split.

    Args:
        store: A packed store.
        split: Which of its pairs.

    Raises:
        DataError: There is none.

    Attributes:
        positions: Places of their clean sides in the store.
    """

    def __init__(self, store: Store, split: Split) -> None:
        self.store = store
        kinds = [entry.kind for entry in store.entries]
        self.positions = [p for p in store.select("speech", split) if kinds[p + 1 : p + 2] == ["noisy"]]
        if not self.positions:
            raise DataError(
                f"{store.folder}: no noisy and clean pairs of split {split}; "
                "pack some with --noisy and --clean"
            )
        lengths = np.array([store.entries[p].length for p in self.positions], dtype=np.float64)
        self._cumulative = np.cumsum(lengths) / lengths.sum()

    def read(self, index: int, start: int, n: int) -> tuple[Audio, Audio]:
        """Noisy and clean samples [<= n] of a pair, from the same place on."""
        position = self.positions[index]
        clean, noisy = (self.store.read(p, start, n) for p in (position, position + 1))
        return noisy, clean

    def draw(self, rng: np.random.Generator, n: int, level_db: float) -> Item | None:
        """A stretch of a pair, longer ones more often; one that is too short ends in silence.

        Returns:
            Samples [n] of both sides with one gain, which brings the noisy one to an active level; None where
            it is silent.
        """
        index = min(int(np.searchsorted(self._cumulative, rng.random())), len(self.positions) - 1)
        entry = self.store.entries[self.positions[index]]
        sides = self.read(index, int(rng.integers(max(1, entry.length - n + 1))), n)
        noisy, clean = (np.pad(side, (0, n - side.size)) for side in sides)
        meta = Meta(None, (), entry.category, entry.speaker, False, None)
        item = Item(noisy, clean, entry.bandwidth_hz, meta)
        return levelled(item, level_db, self.store.sample_rate)


@dataclass(frozen=True)
class PairDraw:
    """How a batch is drawn: seed of the training, B items of T samples, active level of the noisy side."""

    seed: int
    batch: int
    n_samples: int
    level_db: float


def noisy_clean_batch(clips: PairedClips, draw: PairDraw, step: int) -> Batch:
    """The batch of a step, a function of its arguments alone.

    Returns:
        noisy [B, T], clean [B, T] and bandwidth_hz [B], all float32.
    """
    numbers = range(step * draw.batch, (step + 1) * draw.batch)
    return batch_of([_item(clips, draw, number) for number in numbers])


def _item(clips: PairedClips, draw: PairDraw, number: int) -> Item:
    for attempt in range(LARGEST_ATTEMPTS):
        rng = np.random.default_rng([draw.seed, number, attempt])
        item = clips.draw(rng, draw.n_samples, draw.level_db)
        if item is not None:
            return item
    raise DataError(f"{clips.store.folder}: {LARGEST_ATTEMPTS} draws gave silence only; take longer segments")


@dataclass(frozen=True)
class DevRecording:
    """A dev pair as a validation sees it: samples [T], the clean side's band, and what it is scored with."""

    noisy: Audio
    clean: Audio
    bandwidth_hz: int
    part: str = PART


def dev_recordings(clips: PairedClips, n: int) -> Sequence[DevRecording]:
    """The beginnings of some pairs, spread over all of them; the same for the same arguments."""
    total, length = len(clips.positions), round(DEV_SECONDS * clips.store.sample_rate)
    result = []
    for index in sorted({i * total // n for i in range(n)}):
        bandwidth_hz = clips.store.entries[clips.positions[index]].bandwidth_hz
        result.append(DevRecording(*clips.read(index, 0, length), bandwidth_hz))
    return result
