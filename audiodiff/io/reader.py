"""Reading audio files block by block: what is wrong with a file is told in one line, never by a surprise."""

from __future__ import annotations

import os
import stat
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
_UNKNOWN_LENGTH = 1 << 62
# Some writers count the outer header in the size that should leave it out.
_SLACK_BYTES = 16


class SoundReader(BlockReader):
    """Blocks of a file that libsndfile reads, made by `read_blocks`."""

    def __init__(self, path: Path, block: int, dtype: Dtype) -> None:
        self._fd = _open(path)
        try:
            self._missing = _missing(self._fd)
            self._file = _sound(self._fd, path)
            super().__init__(_info(self._file, path), block)
        except BaseException:
            os.close(self._fd)
            raise
        self._dtype = dtype
        self._fault = ""

    def _fill(self) -> Samples:
        x = np.empty((self._block, self.info.channels), dtype=self._dtype)
        n = 0
        while n < self._block:
            try:
                got = len(self._file.read(out=x[n : min(n + _PIECE, self._block)]))
            except soundfile.LibsndfileError as error:
                self._fault = _plain(error)
                break
            if got == 0:
                break
            n += got
        return np.ascontiguousarray(x[:n].T)

    def _damage(self) -> str:
        return self._fault

    def _shortfall(self) -> Truncated | None:
        announced = self.info.n_samples
        why = f"{announced} samples announced" if self._n_read < announced else self._missing
        return Truncated(self.info.path, self._n_read, why) if why else None

    def _close(self) -> None:
        self._file.close()
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
        with _sound(fd, path) as file:
            return _info(file, path)
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
    raise AudioFileError(f"{display_path(path)}: not a regular file; name an audio file")


def _sound(fd: int, path: Path) -> _ForwardFile:
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        return _ForwardFile(fd, "r", closefd=False)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            f"{display_path(path)}: cannot be read as audio ({_plain(error)}); "
            "expected wav, flac, ogg, opus, mp3, aiff, caf, w64 or rf64: convert it first"
        ) from error


def _plain(error: soundfile.LibsndfileError) -> str:
    """Give the words of libsndfile without its "Error :" and full stop."""
    return str(error.error_string).strip().removeprefix("Error :").strip().rstrip(".")


def _info(file: _ForwardFile, path: Path) -> AudioInfo:
    frames = file.frames if file.frames < _UNKNOWN_LENGTH else 0
    info = AudioInfo(path, file.samplerate, file.channels, frames, file.format, file.subtype)
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
    if file.frames == 0:
        raise AudioFileError(
            f"{display_path(path)}: the file holds no samples; record or copy it again", code="empty"
        )
    return info


def _missing(fd: int) -> str:
    """How the bytes of the file fall short of its outermost container, or "".

    libsndfile silently corrects the announced length of cut RIFF, AIFF, W64 and Ogg files, so their sizes
    are looked at here. Sizes near 2^31 and 2^32 are what programs write that do not know the length.
    """
    size = os.fstat(fd).st_size
    head = _bytes(fd, 40, 0)
    if head[:4] == b"OggS":
        return _missing_ogg(_bytes(fd, 1 << 17, max(0, size - (1 << 17))))
    if head[:4] in {b"RIFF", b"FORM"}:
        length = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
        if 0x7FFFF000 <= length <= 0x7FFFFFFF or length >= 0xFFFFF000:
            return ""
        promised = 8 + length
    elif head[:4] == b"RF64" and head[12:16] == b"ds64":
        promised = 8 + int.from_bytes(head[20:28], "little")
    elif head[:4] == b"riff":
        promised = int.from_bytes(head[16:24], "little")
    else:
        return ""
    return f"{promised} bytes promised, {size} there" if promised > size + _SLACK_BYTES else ""


def _missing_ogg(tail: bytes) -> str:
    """The last page of an Ogg stream (RFC 3533, section 6) says so in bit 2 of its flags."""
    page = tail.rfind(b"OggS")
    if 0 <= page < len(tail) - 5 and tail[page + 5] & 4:
        return ""
    return "no end-of-stream page"


def _bytes(fd: int, n: int, start: int) -> bytes:
    os.lseek(fd, start, os.SEEK_SET)
    return os.read(fd, n)
