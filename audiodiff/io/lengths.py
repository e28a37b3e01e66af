"""What an audio file holds, counted by frames, pages and bytes: what its header announces may be wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass

from audiodiff.io import lengths_flac, lengths_mp3, lengths_ogg, lengths_pcm
from audiodiff.io.byte_edit import read_at
from audiodiff.io.pieces import Part, Window

# Some writers count the outer header in the size that should leave it out.
_SLACK_BYTES = 16
_MAX_TAGS = 16
_ID3V1 = 128
_APE = 32


@dataclass(frozen=True)
class Count:
    """What is there.

    Attributes:
        parts: The recordings in the file, one behind the other; none where libsndfile reads it as it is.
        missing: How the file is cut short, or "".
        promised: Bytes that its header promises, as a multiple of those that are there; 0 if unknown.
    """

    parts: tuple[Part, ...] = ()
    missing: str = ""
    promised: float = 0.0


def count(fd: int) -> Count:
    """Count what an open file holds; work and memory are bounded whatever its bytes are."""
    size = os.fstat(fd).st_size
    window = Window(fd, size)
    start = _behind_id3(window)
    head = window.at(start, 12)
    if head[:4] == b"OggS":
        return Count(lengths_ogg.count(window, start), _missing_ogg(fd, size))
    if head[:4] == b"fLaC":
        return Count(lengths_flac.count(window, start, _before_tags(window)))
    pcm = _pcm(window, start, head)
    if pcm is not None:
        parts, promised = pcm
        return _short(promised, size, parts) if parts else _cut(fd, size)
    found = lengths_mp3.count(window, start)
    return Count(found.parts, _LAST_FRAME if found.cut else "") if found else _cut(fd, size)


def coded_bit_rate(fd: int, seconds: float) -> float:
    """Bits a second of the sound in an open mp3 or Ogg file, without its tags and headers.

    Args:
        seconds: Its duration.
    """
    window = Window(fd, os.fstat(fd).st_size)
    start = _behind_id3(window)
    if window.at(start, 4) == b"OggS":
        return 8 * (window.stop - lengths_ogg.sound_start(window, start)) / seconds
    return lengths_mp3.bit_rate(window, start)


_LAST_FRAME = "the last mp3 frame is incomplete, less than 0.1 s"


def strange_mp3(fd: int) -> Count:
    """Count a file that libsndfile does not know: mp3 frames behind other bytes."""
    window = Window(fd, os.fstat(fd).st_size)
    found = lengths_mp3.count(window, 0, strange=True)
    return Count(found.parts, _LAST_FRAME if found.cut else "") if found else Count()


def _pcm(window: Window, start: int, head: bytes) -> tuple[tuple[Part, ...], int] | None:
    """The parts of a file of plain samples, and the bytes that it promises; None if it is none."""
    stop = _before_tags(window)
    if head[:4] in {b"RIFF", b"RIFX", b"RF64", b"BW64"} and head[8:] == b"WAVE":
        return lengths_pcm.riff(window, start, stop), 0
    if head[:4] == b"FORM":
        return lengths_pcm.aiff(window, start, stop), 0
    if head[:4] == b"caff":
        return lengths_pcm.caf(window, start, stop)
    if head[:4] in {b".snd", b"dns."}:
        return lengths_pcm.au(window, start, stop)
    return None


def _behind_id3(window: Window) -> int:
    place = 0
    for _ in range(_MAX_TAGS):
        end = lengths_mp3.id3_end(window.at(place, 10), place)
        if not end:
            break
        place = end
    return place if place < window.stop else 0


def _before_tags(window: Window) -> int:
    """Where a file ends without ID3v1 and APE tags behind it."""
    stop = window.stop
    if window.at(stop - _ID3V1, 3) == b"TAG":
        stop -= _ID3V1
    foot = window.at(stop - _APE, _APE)
    if foot[:8] == b"APETAGEX" and len(foot) == _APE:
        length = int.from_bytes(foot[12:16], "little") + _APE * (foot[23] >> 7)
        stop = stop - length if length < stop else stop
    return stop


def _cut(fd: int, size: int) -> Count:
    """How the bytes of the file fall short of its outermost container.

    libsndfile silently corrects the announced length of cut RIFF, AIFF, W64 and Ogg files, so their sizes
    are looked at here.
    """
    head = read_at(fd, 0, 40)
    promised = 0
    if head[:4] in {b"RIFF", b"FORM"}:
        length = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        promised = 0 if lengths_pcm.unknown_size(length) else 8 + length
    elif head[:4] == b"RF64" and head[12:16] == b"ds64":
        promised = 8 + int.from_bytes(head[20:28], "little")
    elif head[:4] == b"riff":
        promised = int.from_bytes(head[16:24], "little")
    return _short(promised, size)


def _short(promised: int, size: int, parts: tuple[Part, ...] = ()) -> Count:
    """Parts of a file of `size` bytes whose header promises more, or does not."""
    if promised <= size + _SLACK_BYTES:
        return Count(parts)
    start, stop = parts[-1].pieces[-1] if parts else (0, size)
    there = int(stop) - int(start)
    return Count(parts, f"{promised} bytes promised, {size} there", 1 + (promised - size) / there)


def _missing_ogg(fd: int, size: int) -> str:
    """The last page of an Ogg stream (RFC 3533, section 6) says so in bit 2 of its flags."""
    tail = read_at(fd, max(0, size - (1 << 17)), 1 << 17)
    page = tail.rfind(b"OggS")
    if 0 <= page < len(tail) - 5 and tail[page + 5] & 4:
        return ""
    return "no end-of-stream page"
