"""Drawing from a store: a segment of one speaker, a stretch of noise, a room, other people's voices.

A `Sources` sees one split only, so no noise file, room or speaker of another split can be drawn from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from audiodiff.data.manifest import Split
from audiodiff.data.store import Entry, Store
from audiodiff.errors import DataError
from audiodiff.signal.level import gain_of
from audiodiff.signal.types import Audio

Positions = NDArray[np.int64]

FULL_BAND_HZ = 14_000
GAP_RANGE_S = (0.05, 0.4)
EDGE_FADE_S = 0.005
# Clips of one speaker are brought to about one level before they are joined, as one recording would have it.
JOINED_LEVEL_DB, JOINED_SPREAD_DB = -25.0, 3.0


@dataclass(frozen=True)
class Sources:
    """What can be drawn from one split of a store; made by `open_sources`.

    Attributes:
        store: The samples.
        split: The only split that is seen.
        speech: Positions of the speech clips that can be drawn.
        cumulative: Running sum of their probabilities, up to 1.
        groups: For each of them, its group: clips of one speaker with one kind of band, which may be joined.
        members: Positions of the clips of each group.
        noises: Positions of noise clips.
        rooms: Positions of rooms.
    """

    store: Store
    split: Split
    speech: Positions
    cumulative: NDArray[np.float64]
    groups: Positions
    members: tuple[Positions, ...]
    noises: Positions
    rooms: Positions

    @cached_property
    def seconds(self) -> float:
        """Length of all speech that can be drawn."""
        return self.store.seconds(self.speech.tolist())


@dataclass(frozen=True)
class Piece:
    """A stretch of a clip in what was drawn; all in samples at the store's rate.

    Attributes:
        clip: Position in the store.
        offset: Where in the clip it begins.
        at: Where in the drawn segment it begins.
        length: How much of the clip there is.
    """

    clip: int
    offset: int
    at: int
    length: int


@dataclass(frozen=True)
class Speech:
    """A segment of one speaker.

    Attributes:
        audio: Samples [T].
        bandwidth_hz: Up to here all of its clips hold something true.
        category: Cleanliness class of the first clip.
        speaker: Who speaks.
        pieces: Where it comes from.
    """

    audio: Audio
    bandwidth_hz: int
    category: str
    speaker: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Noise:
    """A stretch of a recorded noise: samples [T], what sounds, and where it comes from."""

    audio: Audio
    category: str
    piece: Piece


def open_sources(store: Store, split: Split, class_weights: Mapping[str, float]) -> Sources:
    """Prepare drawing: a clip's probability is its length times the weight of its class."""
    entries = store.entries
    speech = [p for p in store.select("speech", split) if class_weights.get(entries[p].category, 1.0) > 0]
    if not speech:
        raise DataError(
            f"{store.folder}: no speech of split {split} to draw from; pack some, or weigh it above 0"
        )
    weights = np.array([entries[p].length * class_weights.get(entries[p].category, 1.0) for p in speech])
    names = [(entries[p].speaker, entries[p].bandwidth_hz >= FULL_BAND_HZ) for p in speech]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    groups = np.array([numbers[name] for name in names])
    positions = np.array(speech)
    order = np.argsort(groups, kind="stable")
    edges = np.searchsorted(groups[order], np.arange(1, len(numbers)))
    return Sources(
        store=store,
        split=split,
        speech=positions,
        cumulative=np.cumsum(weights) / weights.sum(),
        groups=groups,
        members=tuple(np.split(positions[order], edges)),
        noises=np.array(store.select("noise", split), dtype=np.int64),
        rooms=np.array(store.select("room", split), dtype=np.int64),
    )


def draw_speech(sources: Sources, rng: np.random.Generator, n: int) -> Speech:
    """Speech of one person: a stretch of a long clip, or several short clips with natural gaps between."""
    choice = min(int(np.searchsorted(sources.cumulative, rng.random())), sources.speech.size - 1)
    position = int(sources.speech[choice])
    anchor = sources.store.entries[position]
    if anchor.length >= n:
        start = int(rng.integers(anchor.length - n + 1))
        gain = gain_of(JOINED_LEVEL_DB - _level(anchor))
        audio = sources.store.read(position, start, n) * gain
        piece = Piece(position, start, 0, n)
        return Speech(audio, anchor.bandwidth_hz, anchor.category, anchor.speaker, (piece,))
    members = sources.members[sources.groups[choice]]
    return _joined(sources, rng, n, position, members)


def _level(entry: Entry) -> float:
    """Active level of a clip that `Store.select` let through, so it has one."""
    return cast(float, entry.active_db)


def _joined(sources: Sources, rng: np.random.Generator, n: int, first: int, members: Positions) -> Speech:
    store = sources.store
    anchor = store.entries[first]
    audio = np.zeros(n, dtype=np.float32)
    bandwidth_hz = anchor.bandwidth_hz
    pieces = []
    position, start = first, round(rng.uniform(0, GAP_RANGE_S[1]) * store.sample_rate)
    # At least one sample of the first clip, whatever the segment's length.
    start = min(start, n // 4)
    while start < n:
        entry = store.entries[position]
        piece = store.read(position, 0, n - start)
        level_db = JOINED_LEVEL_DB + rng.uniform(-JOINED_SPREAD_DB, JOINED_SPREAD_DB)
        audio[start : start + piece.size] = _faded(
            piece * gain_of(level_db - _level(entry)), store.sample_rate
        )
        bandwidth_hz = min(bandwidth_hz, entry.bandwidth_hz)
        pieces.append(Piece(position, 0, start, piece.size))
        start += piece.size + max(1, round(rng.uniform(*GAP_RANGE_S) * store.sample_rate))
        position = int(members[rng.integers(members.size)])
    return Speech(audio, bandwidth_hz, anchor.category, anchor.speaker, tuple(pieces))


def _faded(x: Audio, sample_rate: int) -> Audio:
    """Linear ramps at both ends, so that a clip's floor neither starts nor ends with a step."""
    n = min(round(EDGE_FADE_S * sample_rate), x.size // 2)
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    x[:n] *= ramp
    x[x.size - n :] *= ramp[::-1]
    return x


def draw_noise(sources: Sources, rng: np.random.Generator, n: int) -> Noise:
    """A stretch [n] of a recorded noise; a recording that is too short is played to and fro."""
    position = int(sources.noises[rng.integers(sources.noises.size)])
    entry = sources.store.entries[position]
    start = int(rng.integers(max(1, entry.length - n + 1)))
    audio = sources.store.read(position, start, n)
    piece = Piece(position, start, 0, audio.size)
    if audio.size < n:
        audio = np.pad(audio, (0, n - audio.size), mode="symmetric")
    return Noise(audio, entry.category, piece)


def draw_room(sources: Sources, rng: np.random.Generator) -> tuple[Audio, int]:
    """An impulse response [R] and the index of its direct sound; `sources` must have rooms."""
    position = int(sources.rooms[rng.integers(sources.rooms.size)])
    return sources.store.read(position), sources.store.entries[position].direct


def draw_voices(sources: Sources, rng: np.random.Generator, n: int, speaker: str) -> list[Audio]:
    """Four to eight segments of people other than the one who speaks; fewer where a split has so few.

    Returns:
        Segments [n] each; empty when there is nobody else.
    """
    voices: list[Audio] = []
    wanted = int(rng.integers(4, 9))
    for _ in range(3 * wanted):
        voice = draw_speech(sources, rng, n)
        if voice.speaker != speaker:
            voices.append(voice.audio)
        if len(voices) == wanted:
            break
    return voices
