"""How long an mp3 file is: its frames are counted, whatever its Info frame says (ISO/IEC 11172-3, 2.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from audiodiff.io.pieces import Part, Piece, Window

RATES_KBPS = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_HEADER = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]", re.DOTALL)
_NAMES = frozenset({b"Xing", b"Info"})
_LOOK = 64
_MASK = 0xFFFEFEC0
_MAX_TRIES = 1 << 18
_MAX_PIECES = 1 << 16
_CONFIRM = 3
_STRANGER = 12
"""Frames in a row that make an mp3 of a file with other bytes in front."""
_FRONT_BYTES = 1 << 16
_STRETCH = 64
"""Falling from 320 to 8 kbit/s, a file is 40 times longer than its first frame promises."""
_TAG_BYTES = 128


@dataclass(frozen=True)
class _Kind:
    """What all frames of a stream have in common."""

    version: int
    rate: int
    mono: bool

    @property
    def spf(self) -> int:
        """Samples of one channel in a frame."""
        return 1152 if self.version == 3 else 576

    @property
    def side(self) -> int:
        """Bytes of side information behind the header."""
        if self.version == 3:
            return 17 if self.mono else 32
        return 9 if self.mono else 17


@dataclass(frozen=True)
class _Info:
    """A Xing, Info or VBRI frame: its place, length, and what it counts (-1: nothing)."""

    start: int
    length: int
    n_frames: int
    n_bytes: int
    at_frames: int
    at_bytes: int


@dataclass
class _Stream:
    """Frames that one encoder wrote."""

    kind: _Kind
    info: _Info | None = None
    n_frames: int = 0
    spans: list[list[int]] = field(default_factory=list)

    def add(self, start: int, length: int) -> None:
        if self.spans and self.spans[-1][1] == start:
            self.spans[-1][1] = start + length
        else:
            self.spans.append([start, start + length])

    @property
    def n_bytes(self) -> int:
        return sum(stop - start for start, stop in self.spans)


@dataclass(frozen=True)
class Mp3:
    """What is there.

    Attributes:
        parts: The recordings in it; none where libsndfile reads the file as it is.
        cut: Whether the last frame is incomplete.
    """

    parts: tuple[Part, ...]
    cut: bool


def count(window: Window, start: int, strange: bool = False) -> Mp3 | None:
    """Count the frames of an mp3 file.

    Args:
        start: Where the first frame should be.
        strange: Look for frames behind other bytes; many in a row are needed then.

    Returns:
        None if these are no frames of layer III.
    """
    first = start
    if strange:
        first = _resync(window, start, min(window.stop, start + _FRONT_BYTES), _STRANGER, [_MAX_TRIES])
        if first < 0:
            return None
    elif not _confirmed(window, start, _CONFIRM):
        return None
    streams, cut, end = _streams(window, first)
    if not streams:
        return None
    only = streams[0]
    one_piece = len(streams) == 1 and len(only.spans) == 1 and first == start and not strange
    if one_piece and only.info and _believable(only, only.info) and window.stop - end <= _TAG_BYTES:
        return Mp3((), cut=False)
    return Mp3(tuple(_part(stream) for stream in streams), cut and not only.info)


def _believable(stream: _Stream, info: _Info) -> bool:
    """Whether libsndfile does right with this count: it is exact, or more was there once."""
    if info.n_frames == stream.n_frames:
        return True
    promised = info.n_bytes if info.n_bytes >= 0 else 1 << 62
    return stream.n_frames < info.n_frames < 1 << 30 and promised > stream.n_bytes + _TAG_BYTES


def _part(stream: _Stream) -> Part:
    kind, info = stream.kind, stream.info
    pieces: list[Piece] = [(start, stop) for start, stop in stream.spans]
    seconds = stream.n_frames * kind.spf / kind.rate
    if info and info.at_frames and stream.n_frames:
        if not _believable(stream, info):
            pieces = _patched(pieces, info.at_frames, stream.n_frames)
            if info.at_bytes:
                pieces = _patched(pieces, info.at_bytes, stream.n_bytes)
        return Part(tuple(pieces), seconds=seconds)
    if info:
        pieces = [(info.start + info.length, pieces[0][1]), *pieces[1:]]
    return Part(tuple(pieces), stream.n_frames * kind.spf, seconds, stretch=_STRETCH)


def _patched(pieces: list[Piece], at: int, value: int) -> list[Piece]:
    done: list[Piece] = []
    for piece in pieces:
        if not isinstance(piece, bytes) and piece[0] <= at and at + 4 <= piece[1]:
            done += [(piece[0], at), min(value, 0xFFFFFFFF).to_bytes(4, "big"), (at + 4, piece[1])]
        else:
            done.append(piece)
    return done


def _streams(window: Window, place: int) -> tuple[list[_Stream], bool, int]:
    """The streams, whether the last frame is incomplete, and where that ends."""
    streams: list[_Stream] = []
    tries, end, n_spans = [_MAX_TRIES], place, 0
    now: _Stream | None = None
    while place + 4 <= window.stop and n_spans < _MAX_PIECES:
        length, kind = _frame(int.from_bytes(window.at(place, 4), "big") & _MASK)
        if kind is None or (now and kind != now.kind and not _confirmed(window, place, _CONFIRM)):
            place = _behind_tag(window, place) or _resync(window, place + 1, window.stop, _CONFIRM, tries)
            n_spans += 1
            if place < 0:
                break
            continue
        if place + length > window.stop:
            return streams, True, window.stop
        info = _info(window, place, length, kind)
        if now is None or info or kind != now.kind or _complete(now):
            now = _Stream(kind, info)
            streams.append(now)
            n_spans += 1
        now.add(place, length)
        now.n_frames += info is None
        place = _run(window, place + length, now)
        end = place
    return streams, False, end


def _run(window: Window, place: int, stream: _Stream) -> int:
    """Count plain frames of a stream as far as bytes are at hand; return where they end."""
    data, at = window.rest(place), 4 + stream.kind.side
    limit = stream.info.n_frames - stream.n_frames if stream.info else -1
    i, n, kind = 0, 0, stream.kind
    while n != limit and i + _LOOK <= len(data):
        length, found = _frame(int.from_bytes(data[i : i + 4], "big") & _MASK)
        stop = i + length
        if found is not kind or stop > len(data) or data[i + at : i + at + 4] in _NAMES:
            break
        if data[i + 36 : i + 40] == b"VBRI":
            break
        i, n = stop, n + 1
    if n:
        stream.add(place, i)
        stream.n_frames += n
    return place + i


def _complete(stream: _Stream) -> bool:
    """Whether a stream has all the frames and all the bytes that it counts."""
    info = stream.info
    if info is None or info.n_frames != stream.n_frames or info.n_bytes < 0:
        return False
    return abs(stream.n_bytes - info.n_bytes) <= info.length


def bit_rate(window: Window, start: int) -> float:
    """Bits a second, the mean of all frames but those that only tell of the others; 0 if there are none."""
    streams = _streams(window, start)[0]
    n_bytes = sum(stream.n_bytes - (stream.info.length if stream.info else 0) for stream in streams)
    seconds = sum(stream.n_frames * stream.kind.spf / stream.kind.rate for stream in streams)
    return 8 * n_bytes / seconds if seconds else 0.0


@lru_cache(4096)
def _frame(header: int) -> tuple[int, _Kind | None]:
    """Bytes of a frame and its kind; (0, None) if these four bytes are no header of layer III."""
    version, layer = header >> 19 & 3, header >> 17 & 3
    kbps, rate = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or not 0 < kbps < 15 or rate == 3:
        return 0, None
    hertz = _RATES[version][rate]
    high = version == 3
    length = (144 if high else 72) * RATES_KBPS[high][kbps] * 1000 // hertz + (header >> 9 & 1)
    return length, _kind(version, hertz, header >> 6 & 3 == 3)


@lru_cache
def _kind(version: int, rate: int, mono: bool) -> _Kind:
    return _Kind(version, rate, mono)


def _confirmed(window: Window, place: int, n: int) -> bool:
    """Whether n frames of one kind follow each other here, or all up to the end."""
    first = None
    for i in range(n):
        length, kind = _frame(int.from_bytes(window.at(place, 4), "big") & _MASK)
        if kind is None or (first and kind != first):
            return i > 0 and place >= window.stop - _TAG_BYTES and n <= _CONFIRM
        first = kind
        place += length
    return True


def _resync(window: Window, place: int, stop: int, n: int, tries: list[int]) -> int:
    """Where the next frames are, -1 if nowhere."""
    while place < stop:
        rest = window.rest(place)
        for found in _HEADER.finditer(rest):
            tries[0] -= 1
            if tries[0] < 0 or place + found.start() >= stop:
                return -1
            if _confirmed(window, place + found.start(), n):
                return place + found.start()
        if len(rest) < 4:
            return -1
        place += len(rest) - 3
    return -1


def _behind_tag(window: Window, place: int) -> int:
    """Where a tag ends, 0 if there is none: ID3v2, ID3v1, APE."""
    head = window.at(place, 32)
    if head[:3] == b"TAG":
        return place + _TAG_BYTES
    if head[:8] == b"APETAGEX" and len(head) == 32:
        return place + 32 + int.from_bytes(head[12:16], "little") * (head[23] >> 5 & 1)
    return id3_end(head, place)


def id3_end(head: bytes, place: int) -> int:
    """Where an ID3v2 tag ends that begins with these bytes at this place; 0 if none does."""
    if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) > 127:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return place + 10 + size + 10 * (head[5] >> 4 & 1)


def _info(window: Window, start: int, length: int, kind: _Kind) -> _Info | None:
    body = window.at(start, min(length, 64))
    at = 4 + kind.side
    name = body[at : at + 4]
    if name in _NAMES:
        flags = body[at + 7] if len(body) > at + 7 else 0
        frames = at + 8 if flags & 1 and len(body) >= at + 12 else 0
        n_bytes = at + 8 + 4 * (flags & 1) if flags & 2 and len(body) >= at + 16 else 0
        found = _Info(
            start, length, -1, -1, start + frames if frames else 0, start + n_bytes if n_bytes else 0
        )
        if frames:
            found = replace(found, n_frames=int.from_bytes(body[frames : frames + 4], "big"))
        if n_bytes:
            found = replace(found, n_bytes=int.from_bytes(body[n_bytes : n_bytes + 4], "big"))
        return found
    if body[36:40] == b"VBRI" and len(body) >= 54:
        return _Info(
            start, length, int.from_bytes(body[50:54], "big"), int.from_bytes(body[46:50], "big"), 0, 0
        )
    return None
