"""A channel of a recording as a network hears it chunk by chunk: every frame once, where the network can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from audiodiff.inference.chunks import Chunk
from audiodiff.inference.engine import Samples
from audiodiff.model.model import Model
from audiodiff.model.representation import Complex, Real

S = TypeVar("S", np.float32, np.complex64)


class Listener(Protocol):
    """The encoder of a network at one place of one channel, in two halves that may run at the same time.

    Attributes:
        reach: Frames by which features come later than their frames.
        axes: Axis of the frames in each of the features.
    """

    @property
    def reach(self) -> int: ...  # noqa: D102  documented in the class
    @property
    def axes(self) -> Sequence[int]: ...  # noqa: D102

    def hear(self, piece: Piece) -> None:
        """Take the next frames: the first half."""
        ...

    def features(self, piece: Piece) -> list[Real]:
        """Features of the n frames that end `reach` before those of a piece: the second half."""
        ...


@dataclass
class Piece:
    """Frames of a channel on their way through a `Listener`.

    Attributes:
        begin: First frame.
        n_frames: n.
        bins: Complex [1, F, m] of the m frames inside the recording, m <= n.
        state: Those as the network hears them [1, F, m, 2].
        passed: What the halves of the encoder hand on, by name.
    """

    begin: int
    n_frames: int
    bins: Complex
    state: Real
    passed: dict[str, Real] = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """What a sampling run needs of some frames of a channel.

    Attributes:
        bins: Complex [1, F, N].
        state: The recording as the network sees it [1, F, N, 2].
        features: Those of the encoder.
    """

    bins: Complex
    state: Real
    features: list[Real]


class Tail(Generic[S]):
    """The last frames of something that grows.

    Args:
        axis: Of the frames.
        stop: Number of the first frame that will come.
    """

    def __init__(self, axis: int, stop: int) -> None:
        self._axis, self._stop = axis, stop
        self._known: npt.NDArray[S] | None = None

    def add(self, frames: npt.NDArray[S]) -> None:
        """Append what comes next."""
        self._known = frames if self._known is None else np.concatenate([self._known, frames], self._axis)
        self._stop += frames.shape[self._axis]

    def frames(self, first: int, stop: int, keep: int) -> npt.NDArray[S]:
        """The frames from first to stop; those before `keep` are forgotten."""
        assert self._known is not None  # something was added
        begin = self._stop - self._known.shape[self._axis]
        assert begin <= first <= stop <= self._stop
        inner = self._cut(self._known, first - begin, stop - begin)
        self._known = self._cut(self._known, max(0, keep - begin), self._stop - begin).copy()
        return inner

    def _cut(self, x: npt.NDArray[S], begin: int, end: int) -> npt.NDArray[S]:
        cut: npt.NDArray[S] = x[(slice(None),) * self._axis + (slice(begin, end),)]
        return cut


class Hearing:
    """A channel up to some frame.

    Chunk after chunk goes through `reserve`, `hear` and `heard`; each of the three takes the chunks in order,
    and different ones may run at the same time.

    Args:
        model: Whose representation the network hears.
        listener: Its encoder, before the first frame.
        chunk: The first chunk that will be heard.
        gain: Factor of its samples and all that follow.
    """

    def __init__(self, model: Model, listener: Listener, chunk: Chunk, gain: float) -> None:
        self._model, self._listener = model, listener
        self._stop = begin = chunk.first_frame
        self._next_start, self._gain = chunk.start, gain
        self._bins: Tail[np.complex64] = Tail(2, begin)
        self._state: Tail[np.float32] = Tail(2, begin)
        self._features = [Tail[np.float32](axis, begin - listener.reach) for axis in listener.axes]

    def leads_to(self, chunk: Chunk, gain: float) -> bool:
        """Whether this is the chunk that goes on from here, at the same level."""
        return (self._next_start, self._gain) == (chunk.start, gain)

    def reserve(self, chunk: Chunk, inner: Chunk) -> tuple[int, int]:
        """First frame, and the one after the last, to hear for the features of the inner part of a chunk."""
        begin = self._stop
        self._stop = max(begin, inner.stop_frame + self._listener.reach)
        self._next_start = chunk.stop
        return begin, self._stop

    def hear(self, row: Samples, chunk: Chunk, begin: int, stop: int) -> Piece:
        """Hear frames; beyond the recording there is nothing.

        Args:
            row: float32 [1, n], the samples that the chunk reads, at the model's level.
            chunk: The chunk.
            begin: What `reserve` told.
            stop: As well.
        """
        stft, n_inside = self._model.stft, max(0, min(stop, chunk.stop_frame) - begin)
        bins = np.zeros((1, stft.n_bins, 0), dtype=np.complex64)
        if n_inside:
            bins = stft.frames(row, begin, n_inside, chunk.first_sample)
        piece = Piece(begin, stop - begin, bins, self._model.representation.state(row, bins))
        if piece.n_frames:
            self._listener.hear(piece)
        return piece

    def heard(self, piece: Piece, inner: Chunk, keep: int) -> Heard:
        """What is wanted of a chunk.

        Args:
            piece: What `hear` gave.
            inner: The part of the chunk whose features are wanted.
            keep: First frame that the next chunk will want.
        """
        self._bins.add(piece.bins)
        self._state.add(piece.state)
        if piece.n_frames:
            for tail, frames in zip(self._features, self._listener.features(piece), strict=True):
                tail.add(frames)
        wanted = inner.first_frame, inner.stop_frame, keep
        features = [tail.frames(*wanted) for tail in self._features]
        return Heard(self._bins.frames(*wanted), self._state.frames(*wanted), features)
