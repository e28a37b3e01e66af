"""Reading audio files block by block: what is wrong with a file is told in one line, never by a surprise."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from audiodiff.errors import AudioFileError
from audiodiff.io.av_library import is_media
from audiodiff.io.av_reader import MediaReader
from audiodiff.io.av_tracks import track_of
from audiodiff.io.block_reader import BlockReader
from audiodiff.io.byte_edit import open_binary
from audiodiff.io.formats import (
    MAX_CHANNELS,
    MAX_RATE,
    MIN_RATE,
    AudioInfo,
    Dtype,
    Truncated,
    display_path,
    output_format,
)
from audiodiff.io.lengths import count, strange_mp3
from audiodiff.io.pieces import Part, PiecedFile
from audiodiff.io.sound import sound_file
from audiodiff.io.writer import AtomicWriter
from audiodiff.signal.types import Samples

__all__ = [
    "AtomicWriter",
    "AudioInfo",
    "BlockReader",
    "Truncated",
    "output_format",
    "probe",
    "read",
    "read_blocks",
]


# A decoder that fails in the middle loses at most so many samples before the damage.
_PIECE = 2048
_PLAIN = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
_UNKNOWN_LENGTH = 1 << 62


class SoundReader(BlockReader):
    """Blocks of a file that libsndfile reads, made by `read_blocks`."""

    def __init__(self, path: Path, block: int, dtype: Dtype) -> None:
        self._fd = _open(path)
        try:
            self._found = _survey(self._fd, path)
            super().__init__(self._found.info, block)
        except BaseException:
            os.close(self._fd)
            raise
        self._dtype = dtype
        is_plain = self.info.subtype in _PLAIN and self.info.container != "FLAC"
        self._most = block if is_plain else _PIECE
        self._fault = ""
        self._parts = iter(self._found.parts)
        self._file: _ForwardFile | None = None
        self._left = 0

    def _fill(self) -> Samples:
        x = np.empty((self._block, self.info.channels), dtype=self._dtype)
        n = 0
        while n < self._block and (self._file or self._next_part()):
            n += self._piece(x[n : n + min(self._most, self._block - n)])
        return np.ascontiguousarray(x[:n].T)

    def _next_part(self) -> bool:
        part, n_samples = next(self._parts, (None, 0))
        if part is None:
            return False
        self._file, self._left = _sound(self._fd, self.info.path, part), n_samples
        skip = _skipped(part, self.info.sample_rate)
        scratch = np.empty((_PIECE, self.info.channels), dtype=self._dtype)
        while skip > 0 and self._file and (got := self._read(scratch[:skip])):
            skip -= got
        return True

    def _piece(self, x: Samples) -> int:
        """Read on in the part that is open; close it at its end."""
        got = self._read(x[: self._left])
        self._left -= got
        if self._file and (got == 0 or self._left == 0):
            self._end_part()
        return got

    def _read(self, x: Samples) -> int:
        assert self._file is not None
        try:
            return len(self._file.read(out=x)) if len(x) else 0
        except soundfile.LibsndfileError as error:
            self._fault = self._fault or _plain(error)
            self._end_part()
            return 0

    def _end_part(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _damage(self) -> str:
        return self._fault and self._fault + self._seconds()

    def _shortfall(self) -> Truncated | None:
        announced = self.info.n_samples
        if self._n_read < announced:
            why = f"{announced} samples announced{self._seconds()}"
        else:
            why = self._found.missing
        return Truncated(self.info.path, self._n_read, why) if why else None

    def _seconds(self) -> str:
        missing = (self.info.n_samples - self._n_read) / self.info.sample_rate
        return f", {missing:.3f} s are missing" if missing > 0 else ""

    def _close(self) -> None:
        self._end_part()
        os.close(self._fd)


def probe(path: Path) -> AudioInfo:
    """Read the header of an audio file.

    Args:
        path: A regular file; its name need not be UTF-8.

    Returns:
        What the header says; of a media file, of its first audio track.

    Raises:
        AudioFileError: Codes ``empty`` (no byte or no sample), ``unreadable`` (missing, no audio, damaged,
            a folder or a device), ``unsupported`` (rate outside 4 to 384 kHz, more than 32 channels),
            ``missing_extra`` (a media file, and PyAV is not installed).
    """
    if is_media(path):
        return track_of(path, 0).info
    fd = _open(path)
    try:
        return _survey(fd, path).info
    finally:
        os.close(fd)


def read_blocks(path: Path, block: int = 1 << 16, dtype: Dtype = "float32", track: int = 0) -> BlockReader:
    """Read an audio file forward, block by block, in flat memory.

    Args:
        path: A regular file in a format that libsndfile or, with the extra ``[media]``, PyAV reads.
        block: Samples of one channel in a block, at least 1.
        dtype: ``float32``, or `AudioInfo.exact_dtype` to get the file's samples without rounding.
        track: Which audio track of a media file.

    Returns:
        Iterator over arrays [C, n], full scale 1, all finite; its `truncated` tells afterwards whether the
        file was cut short.

    Raises:
        AudioFileError: As `probe`; while iterating ``nonfinite``, with the place of the first such sample.
    """
    if is_media(path):
        return MediaReader(path, block, dtype, track)
    return SoundReader(path, block, dtype)


def read(path: Path, dtype: Dtype = "float32") -> tuple[Samples, int]:
    """Read a whole audio file.

    Returns:
        Samples [C, T], full scale 1, and the sample rate in Hz.

    Raises:
        AudioFileError: As `read_blocks`.
    """
    with read_blocks(path, dtype=dtype) as reader:
        return np.concatenate(list(reader), axis=1), reader.info.sample_rate


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A SoundFile that never seeks: soundfile seeks after every read, and libsndfile misses in VBR mp3."""

    def seekable(self) -> bool:
        return False


def _open(path: Path) -> int:
    """A file descriptor: libsndfile gets no names, since soundfile fails on those that are not UTF-8."""
    fd = open_binary(path)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return fd
    os.close(fd)
    if stat.S_ISREG(status.st_mode):
        raise AudioFileError(
            f"{display_path(path)}: the file is empty (0 bytes); record or copy it again", code="empty"
        )
    if stat.S_ISFIFO(status.st_mode):
        raise AudioFileError(f"{display_path(path)}: is a pipe; give it as - < {display_path(path)}")
    raise AudioFileError(f"{display_path(path)}: not a regular file; name an audio file")


@dataclass(frozen=True)
class _Survey:
    """What there is to read: the parts with their lengths in samples, and what is missing, or ""."""

    info: AudioInfo
    parts: tuple[tuple[Part, int], ...]
    missing: str


_WHOLE = Part(())
_WORDS = {
    "Format not recognised": "it does not begin like any audio format",
    "Supported file format but file is malformed": "its header is damaged",
    "Internal error : SF_INFO struct incomplete": "its header tells no possible sample rate",
    "Channel count is zero": "its header tells of no channels",
}
"""What libsndfile's words mean to somebody who has never heard of it."""


def _survey(fd: int, path: Path) -> _Survey:
    """Look at all recordings in a file; `probe` and the reader both see what this finds."""
    counted = count(fd)
    parts = counted.parts or (_WHOLE,)
    try:
        first = _header(fd, path, parts[0])
    except AudioFileError as error:
        counted = strange_mp3(fd) if error.code == "unreadable" and not counted.parts else counted
        if not counted.parts:
            raise
        parts = counted.parts
        first = _header(fd, path, parts[0])
    found, lost, why = [(parts[0], first.n_samples)], 0.0, ""
    for part in parts[1:]:
        try:
            info = _header(fd, path, part)
        except AudioFileError:
            lost, why = lost + part.seconds, why or "what follows cannot be decoded"
            continue
        if (info.sample_rate, info.channels) == (first.sample_rate, first.channels):
            found.append((part, info.n_samples))
        else:
            lost += info.seconds
            begins = sum(n for _, n in found if n < _UNKNOWN_LENGTH) / first.sample_rate
            kind = f"{info.sample_rate} Hz and {info.channels} channels"
            why = why or f"from {begins:.3f} s on it has {kind}, split it there"
    total = sum(n for _, n in found if n < _UNKNOWN_LENGTH)
    if all(n == 0 for _, n in found):
        raise AudioFileError(
            f"{display_path(path)}: the file holds no samples; record or copy it again", code="empty"
        )
    if any(n == _UNKNOWN_LENGTH for _, n in found):
        total = 0
    missing = counted.missing
    if why:
        missing = f"{why}; {lost:.3f} s are missing"
    elif counted.promised:
        seconds = total / first.sample_rate * (counted.promised - 1)
        missing = f"{missing}, about {seconds:.3f} s are missing"
    return _Survey(replace(first, n_samples=total), tuple(found), missing)


def _skipped(part: Part, rate: int) -> int:
    return round(part.skip_s * rate)


def _sound(fd: int, path: Path, part: Part) -> _ForwardFile:
    os.lseek(fd, 0, os.SEEK_SET)
    source = PiecedFile(fd, part.pieces, part.stretch) if part.pieces else sound_file(fd)
    try:
        return _ForwardFile(source, "r", closefd=False)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            f"{display_path(path)}: cannot be read as audio ({_plain(error)}); "
            "expected wav, flac, ogg, opus, mp3, aiff, caf, w64 or rf64: convert it first"
        ) from error


def _plain(error: soundfile.LibsndfileError) -> str:
    """Give the words of libsndfile without its "Error :" and full stop, or ours for them."""
    words = str(error.error_string).strip().removeprefix("Error :").strip().rstrip(".")
    return "its header is damaged" if words.startswith("Error in ") else _WORDS.get(words, words)


def _header(fd: int, path: Path, part: Part) -> AudioInfo:
    """What the header of a part says; its length is 0 if it tells none."""
    with _sound(fd, path, part) as file:
        info = AudioInfo(path, file.samplerate, file.channels, _frames(file, part), file.format, file.subtype)
    if not MIN_RATE <= info.sample_rate <= MAX_RATE:
        raise AudioFileError(
            f"{display_path(path)}: {info.sample_rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz; resample "
            "the file",
            code="unsupported",
        )
    if info.channels > MAX_CHANNELS:
        raise AudioFileError(
            f"{display_path(path)}: {info.channels} channels, at most {MAX_CHANNELS} are processed; split "
            "the file",
            code="unsupported",
        )
    return info


def _frames(file: _ForwardFile, part: Part) -> int:
    """Samples of a part, 0 if it holds none, `_UNKNOWN_LENGTH` if it does not tell."""
    if part.n_samples >= 0:
        return part.n_samples
    if file.frames >= _UNKNOWN_LENGTH:
        return _UNKNOWN_LENGTH
    return max(0, int(file.frames) - _skipped(part, file.samplerate))
