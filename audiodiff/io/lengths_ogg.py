"""Recordings that follow each other in an Ogg file, and Opus that begins in the middle (RFC 3533, 7845)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from audiodiff.io.ogg import checksum
from audiodiff.io.pieces import Part, Piece, Window

_HEAD = 27
_MAX_LINKS = 1 << 16
_UNKNOWN = (1 << 64) - 1
_PAGE = re.compile(rb"OggS\0")
_MS_25 = ((4, 8, 16, 24), (4, 8), (1, 2, 4, 8))
"""Durations of Opus packets in units of 2.5 ms: SILK, hybrid, CELT (RFC 7845 has it from RFC 6716, 3.1)."""


@dataclass
class _Link:
    """A chained stream."""

    start: int
    serial: int
    head: bytes
    stop: int = 0
    begins: int = -1
    """Samples at 48 kHz before its first packet; -1 while no packet was seen."""
    ends: int = 0
    only: tuple[int, int] = (0, 0)
    """Where its page lies if all packets end on one, else nowhere."""

    @property
    def opus(self) -> int:
        """Where the Opus header begins in the first page, 0 if it is none."""
        at = _HEAD + self.head[26] if len(self.head) > 26 else 0
        return at if self.head[at : at + 8] == b"OpusHead" and len(self.head) >= at + 19 else 0

    @property
    def pre_skip(self) -> int:
        return int.from_bytes(self.head[self.opus + 10 : self.opus + 12], "little") if self.opus else 0

    @property
    def seconds(self) -> float:
        at = _HEAD + self.head[26] if len(self.head) > 26 else 0
        if self.opus:
            rate = 48_000
        elif self.head[at + 1 : at + 7] == b"vorbis":
            rate = int.from_bytes(self.head[at + 12 : at + 16], "little")
        else:
            rate = 0
        n = self.ends - max(0, self.begins) - self.pre_skip
        return max(0, n) / rate if rate else 0.0


def count(window: Window, start: int) -> tuple[Part, ...]:
    """Find the links of an Ogg file.

    Returns:
        A part for each; none where libsndfile reads the file as it is.
    """
    links = _links(window, start)
    if len(links) < 2 and not any(_late(link) for link in links):
        return ()
    return tuple(_part(window, link) for link in links)


def sound_start(window: Window, place: int) -> int:
    """Where the pages with sound begin: behind the last of those at position 0, which hold the headers."""
    start = place
    while len(page := window.at(place, _HEAD + 255)) >= _HEAD and page[:4] == b"OggS":
        granule = int.from_bytes(page[6:14], "little")
        if granule not in {0, _UNKNOWN}:
            break
        segments = page[_HEAD : _HEAD + page[26]]
        place += _HEAD + len(segments) + sum(segments)
        if granule == 0:
            start = place
    return start


def _late(link: _Link) -> bool:
    """Whether libsndfile leaves the pre-skip in: it does where the first packet is not at 0."""
    return link.opus > 0 and link.begins > 0 and link.pre_skip > 0


def _part(window: Window, link: _Link) -> Part:
    if not _late(link):
        return Part(((link.start, link.stop),), seconds=link.seconds)
    start, stop = link.only
    pieces: tuple[Piece, ...]
    page = bytearray(window.at(start, stop - start))
    # libsndfile refuses a first page that is the last one and begins later than at 0; a damaged one stays
    if page and stop <= link.stop and _summed(bytearray(page)) == page:
        page[6:14] = (link.ends - link.begins).to_bytes(8, "little")
        pieces = ((link.start, start), _summed(page), (stop, link.stop))
        return Part(pieces, seconds=link.seconds)
    page = bytearray(link.head)
    page[link.opus + 10 : link.opus + 12] = bytes(2)
    pieces = (_summed(page), (link.start + len(page), link.stop))
    return Part(pieces, seconds=link.seconds, skip_s=link.pre_skip / 48_000)


def _summed(page: bytearray) -> bytes:
    """A page with the checksum that it must have."""
    page[22:26] = bytes(4)
    page[22:26] = checksum(page).to_bytes(4, "little")
    return bytes(page)


def _links(window: Window, place: int) -> list[_Link]:
    links: list[_Link] = []
    opening = False
    while len(links) < _MAX_LINKS:
        page = window.at(place, _HEAD + 255)
        if len(page) < _HEAD or page[:4] != b"OggS":
            place = _resync(window, place)
            if place < 0:
                break
            continue
        segments = page[_HEAD : _HEAD + page[26]]
        length = _HEAD + len(segments) + sum(segments)
        first = page[5] & 2 > 0
        if first and not opening:
            links.append(
                _Link(place, int.from_bytes(page[14:18], "little"), window.at(place, min(length, 1 << 16)))
            )
        opening = first
        if links and not first:
            _note(window, links[-1], place, page, segments)
        place += length
        if links:
            links[-1].stop = min(place, window.stop)
    for link, after in pairwise(links):
        link.stop = after.start
    if links:
        links[-1].stop = window.stop
    return links


def _note(window: Window, link: _Link, place: int, page: bytes, segments: bytes) -> None:
    granule = int.from_bytes(page[6:14], "little")
    if int.from_bytes(page[14:18], "little") != link.serial or granule in {0, _UNKNOWN} or granule >> 63:
        return
    link.ends = granule
    if link.begins < 0:
        link.begins = granule - (_samples(window, place, segments) if link.opus else granule)
        if page[5] & 4:
            link.only = place, place + _HEAD + len(segments) + sum(segments)


def _samples(window: Window, place: int, segments: bytes) -> int:
    """Samples at 48 kHz of the Opus packets that end on a page."""
    at, packet, n = place + _HEAD + len(segments), 0, 0
    for lacing in segments:
        packet += lacing
        if lacing < 255:
            n += _packet(window.at(at, 2))
            at, packet = at + packet, 0
    return n


def _packet(head: bytes) -> int:
    if not head:
        return 0
    kind, many = head[0] >> 3, head[0] & 3
    table = _MS_25[0] if kind < 12 else _MS_25[1] if kind < 16 else _MS_25[2]
    frames = (1, 2, 2)[many] if many < 3 else (head[1] & 63 if len(head) > 1 else 0)
    return frames * 120 * table[kind % len(table)]


def _resync(window: Window, place: int) -> int:
    """Where the next page is, -1 if nowhere."""
    place += 1
    while place < window.stop:
        rest = window.rest(place)
        found = _PAGE.search(rest)
        if found:
            return place + found.start()
        if len(rest) < 5:
            break
        place += len(rest) - 4
    return -1
