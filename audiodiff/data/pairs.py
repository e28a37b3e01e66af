"""The pair store: starts, targets and truths of vocoder training, memory-mapped, written part by part.

A pair store is a folder.

`pairs.json`        format version and the `PairFormat`
`train-00000.npy`   int16 [P, 3, T]: start, target, truth of P pairs
`train-00000.json`  one row (`Pair`) for each

A part is complete when its `.npy` bears the final name, so a preparation that was killed goes on with the
first part that is missing, and a store grows by asking for more parts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from audiodiff.data.batches import Batch
from audiodiff.data.store import FULL_SCALE
from audiodiff.errors import DataError
from audiodiff.io.atomic import AtomicFile, write_file
from audiodiff.signal.level import gain_of
from audiodiff.signal.types import Audio

FORMAT_VERSION = 1
INDEX_NAME = "pairs.json"
TRACKS = 3

PairSplit: TypeAlias = Literal["train", "dev"]


@dataclass(frozen=True)
class Degradation:
    """What is done to a mel before it is inverted, in nepers of its bands' logarithm.

    Attributes:
        noise: Standard deviation of what is added to every cell.
        blur_frames: Frames of a moving mean, odd.
        blur_bands: Bands of a moving mean, odd.
        offset: Standard deviation of what is added to every band, the same in all frames.
    """

    noise: float = 0.0
    blur_frames: int = 1
    blur_bands: int = 1
    offset: float = 0.0

    @property
    def part(self) -> str:
        """``clean``, ``noise``, ``blur``, or ``mixed`` for everything else."""
        blurred = max(self.blur_frames, self.blur_bands) > 1
        if self.offset or (blurred and self.noise):
            return "mixed"
        if blurred:
            return "blur"
        return "noise" if self.noise else "clean"


@dataclass(frozen=True)
class Pair:
    """One pair.

    Attributes:
        speaker: Who speaks.
        category: Cleanliness class of the speech.
        bandwidth_hz: Up to here the truth is known and the mel has bands.
        active_db: Level of the start while something sounds, dBFS.
        gain: Float samples are the stored integers times this.
        preset: Convention of the mel.
        iterations: Of the inversion.
        seed: Of the inversion and of the degradation.
        degradation: What was done to the mel.
    """

    speaker: str
    category: str
    bandwidth_hz: int
    active_db: float
    gain: float
    preset: str
    iterations: int
    seed: int
    degradation: Degradation


@dataclass(frozen=True)
class PairFormat:
    """What all pairs of a store share.

    Attributes:
        sample_rate: Hz.
        n_samples: T, samples of every track.
        target_iterations: Iterations of the targets.
        seed: Everything in the store follows from it, the settings and the source.
    """

    sample_rate: int
    n_samples: int
    target_iterations: int
    seed: int


@dataclass(frozen=True)
class Tracks:
    """The three signals of a pair.

    Attributes:
        start: Inversion of the mel [T].
        target: What is learned [T].
        truth: The recording [T].
    """

    start: Audio
    target: Audio
    truth: Audio


def part_name(split: PairSplit, number: int) -> str:
    """File name of a part without its ending."""
    return f"{split}-{number:05d}"


def has_part(folder: Path, split: PairSplit, number: int) -> bool:
    """Whether a part is there and complete."""
    return (folder / f"{part_name(split, number)}.npy").is_file()


def create(folder: Path, layout: PairFormat) -> None:
    """Make a store's folder, or make sure that the one there has the same format."""
    path = folder / INDEX_NAME
    if path.is_file():
        if (found := _read_format(folder)) != layout:
            raise DataError(f"{path}: was prepared with {found}, now asked for {layout}; take another folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps({"format_version": FORMAT_VERSION, **asdict(layout)}).encode())


def write_part(folder: Path, split: PairSplit, number: int, pairs: Sequence[tuple[Tracks, Pair]]) -> None:
    """Write a part; it appears under its name when it is complete."""
    rows, samples = [], []
    for tracks, pair in pairs:
        audio = np.stack([tracks.start, tracks.target, tracks.truth])
        gain = float(np.abs(audio).max()) / FULL_SCALE or 1.0
        samples.append(np.round(audio / gain).astype("<i2"))
        rows.append({**asdict(pair), "gain": gain})
    name = part_name(split, number)
    write_file(folder / f"{name}.json", json.dumps(rows, ensure_ascii=False, indent=1).encode())
    with AtomicFile(folder) as file:
        with file.stream() as stream:
            np.save(stream, np.stack(samples))
        file.commit(folder / f"{name}.npy", replace=True)


class PairStore:
    """A pair store opened for reading; parts that appear later are not seen.

    Args:
        folder: What a preparation wrote.
        split: Which pairs.

    Raises:
        DataError: No store, of another version, damaged, or without pairs of that split.

    Attributes:
        layout: What all pairs share.
        pairs: The rows, in order.
    """

    def __init__(self, folder: Path, split: PairSplit) -> None:
        self.folder = folder
        self.layout = _read_format(folder)
        rows: list[Pair] = []
        self._where: list[tuple[NDArray[np.int16], int]] = []
        for path in sorted(folder.glob(f"{split}-*.npy")):
            part = _read_rows(path.with_suffix(".json"))
            samples = _map(path, (len(part), TRACKS, self.layout.n_samples))
            rows += part
            self._where += [(samples, position) for position in range(len(part))]
        if not rows:
            raise DataError(f"{folder}: no pairs of split {split}; prepare some with `audiodiff pairs`")
        self.pairs: tuple[Pair, ...] = tuple(rows)

    @property
    def seconds(self) -> float:
        """Length of all pairs."""
        return len(self.pairs) * self.layout.n_samples / self.layout.sample_rate

    def read(self, index: int, first: int = 0, length: int | None = None) -> Tracks:
        """The tracks of one pair, or a stretch of them."""
        samples, position = self._where[index]
        stop = self.layout.n_samples if length is None else first + length
        stored = samples[position, :, first:stop]
        audio = np.multiply(stored, np.float32(self.pairs[index].gain), dtype=np.float32)
        return Tracks(*audio)


@dataclass(frozen=True)
class DevPair:
    """A dev pair as a validation sees it.

    Attributes:
        name: Names the pair.
        noisy: The start [T].
        clean: The truth [T].
        bandwidth_hz: Above it `clean` is not known, or the mel had no bands.
        part: Kind of degradation.
    """

    name: str
    noisy: Audio
    clean: Audio
    bandwidth_hz: int
    part: str


def dev_pairs(folder: Path, n: int) -> list[DevPair]:
    """The first dev pairs of a store; the same for the same arguments."""
    store = PairStore(folder, "dev")
    result = []
    for index, pair in enumerate(store.pairs[:n]):
        tracks, part = store.read(index), pair.degradation.part
        name = f"{index:03d}_{pair.preset}_{part}"
        result.append(DevPair(name, tracks.start, tracks.truth, pair.bandwidth_hz, part))
    return result


@dataclass(frozen=True)
class Draw:
    """How a batch is drawn from a pair store.

    Attributes:
        level_db: Active level of the start before the gain, dBFS.
        gain_db: Largest gain or loss that is then drawn.
        seed: Of the training.
        batch: B, items in a batch.
        n_samples: T, samples of an item.
    """

    level_db: float
    gain_db: float
    seed: int
    batch: int
    n_samples: int


def pair_batch(store: PairStore, draw: Draw, step: int) -> Batch:
    """The batch of a step, a function of (store, draw, step) alone.

    Returns:
        start [B, T], target [B, T] and bandwidth_hz [B], all float32.
    """
    rng = np.random.default_rng([draw.seed, step])
    starts, targets, bandwidths = [], [], []
    for _ in range(draw.batch):
        index = int(rng.integers(len(store.pairs)))
        first = int(rng.integers(store.layout.n_samples - draw.n_samples + 1))
        pair, tracks = store.pairs[index], store.read(index, first, draw.n_samples)
        gain = gain_of(draw.level_db - pair.active_db + rng.uniform(-draw.gain_db, draw.gain_db))
        starts.append(tracks.start * gain)
        targets.append(tracks.target * gain)
        bandwidths.append(float(pair.bandwidth_hz))
    return (
        torch.from_numpy(np.stack(starts)),
        torch.from_numpy(np.stack(targets)),
        torch.tensor(bandwidths),
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable ({error}); prepare it with `audiodiff pairs`") from error


def _read_format(folder: Path) -> PairFormat:
    path = folder / INDEX_NAME
    index = _read_json(path)
    if not isinstance(index, dict) or index.pop("format_version", None) != FORMAT_VERSION:
        raise DataError(f"{path}: expected format_version {FORMAT_VERSION}; prepare the pairs again")
    if set(index) != {field.name for field in fields(PairFormat)}:
        raise DataError(f"{path}: holds other keys than a pair store has; prepare the pairs again")
    return PairFormat(**index)


def _read_rows(path: Path) -> list[Pair]:
    try:
        return [Pair(**{**row, "degradation": Degradation(**row["degradation"])}) for row in _read_json(path)]
    except (TypeError, KeyError) as error:
        raise DataError(f"{path}: damaged ({error}); remove the part and prepare it again") from error


def _map(path: Path, shape: tuple[int, int, int]) -> NDArray[np.int16]:
    try:
        samples: NDArray[np.int16] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); remove the part and prepare it again") from error
    if samples.shape != shape or samples.dtype != np.int16:
        raise DataError(
            f"{path}: expected int16 {shape}, found {samples.dtype} {samples.shape}; "
            "remove the part and prepare it again"
        )
    return samples
