"""Writing audio files so that a name in the target folder is always a whole, verified file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from audiodiff.errors import AudioFileError
from audiodiff.io.atomic import AtomicFile
from audiodiff.io.formats import display_path, max_samples
from audiodiff.io.ogg import fix_serial
from audiodiff.io.output_checks import check_block, name_output, open_output, writing_failed

_BITS = {
    "PCM_S8": 8,
    "PCM_U8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 32,
    # G.711 holds 16-bit values; libsndfile scales floats so that they miss their own code.
    "ULAW": 16,
    "ALAW": 16,
    "ALAC_16": 16,
    "ALAC_24": 24,
    "ALAC_32": 32,
}
_WRITE_ERRORS = (soundfile.SoundFileError, OSError, AssertionError)


class AtomicWriter:
    """Context manager that writes an audio file which gets its name when all is well.

    Samples go to an `AtomicFile` file in the target's folder. `finish` closes it, opens it again and compares
    length, rate and channels; `commit` flushes it to the disk and gives it its name. A clean exit does both
    unless they were called; any exception, Ctrl-C too, removes the file, so the old one or none stays.

    Integer formats get the nearest code, without dither, so that samples read from a file of the same depth
    are written bit for bit; what lies beyond full scale is clipped and counted.

    Args:
        path: The target; its folder must exist.
        sample_rate: Hz.
        channels: C.
        container: libsndfile's name, see `output_format`.
        subtype: libsndfile's name of the sample format.
        overwrite: Whether an existing target may be replaced.

    Attributes:
        n_samples: Samples of one channel written so far.
        clipped: Sample values beyond full scale that were clipped.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        container: str,
        subtype: str,
        overwrite: bool = False,
    ) -> None:
        self.n_samples = 0
        self.clipped = 0
        self._path = path
        self._shape = (sample_rate, channels)
        self._format = (container, subtype)
        self._overwrite = overwrite
        self._finished = self._committed = False
        self._file: Any = None
        self._atomic: AtomicFile  # from entering on

    def __enter__(self) -> AtomicWriter:
        """Create the unfinished file.

        Raises:
            AudioFileError: Codes ``exists``, ``unwritable``, ``unsupported``.
        """
        self._atomic = open_output(self._path, self._overwrite)
        try:
            rate, channels = self._shape
            container, subtype = self._format
            self._file = soundfile.SoundFile(
                self._atomic.fd, "w", rate, channels, subtype, format=container, closefd=False
            )
        except (soundfile.SoundFileError, ValueError) as error:
            self._discard()
            raise AudioFileError(
                f"{display_path(self._path)}: {channels} channels at {rate} Hz cannot be written as "
                f"{container} {subtype} ({error}); choose another format",
                code="unsupported",
            ) from error
        except BaseException:
            self._discard()
            raise
        return self

    def describe(self, strings: Mapping[str, str]) -> None:
        """Give libsndfile texts to write; before the first sample.

        Args:
            strings: Values by its names: title, artist, album, comment, date, genre, tracknumber, copyright,
                software, license.

        Raises:
            AudioFileError: Code ``unsupported``: the container holds no texts.
        """
        try:
            for name, value in strings.items():
                setattr(self._file, name, value)
        except soundfile.SoundFileError as error:
            raise AudioFileError(
                f"{display_path(self._path)}: {self._format[0]} files hold no tags ({error}); use .flac",
                code="unsupported",
            ) from error

    def write(self, block: npt.NDArray[np.floating]) -> None:
        """Append samples.

        Args:
            block: float32 or float64 [C, n], full scale 1; n may be 0.

        Raises:
            ShapeError: If block is not [C, n].
            AudioFileError: Codes ``nonfinite`` (then nothing of the block is written), ``no_space``,
                ``unwritable``, ``too_long`` (the container would grow beyond the 4 GiB that it can tell).
        """
        check_block(self._path, block, self._shape[1], (self.n_samples, self._shape[0]))
        self._check_length(block.shape[1])
        x = np.ascontiguousarray(block.T)
        try:
            self._file.write(self._codes(x) if self._format[1] in _BITS else x)
        except _WRITE_ERRORS as error:
            raise writing_failed(self._path, str(error)) from error
        self.n_samples += block.shape[1]

    def _check_length(self, n: int) -> None:
        """Stop where the sizes in the file would overflow, which libsndfile does not notice."""
        most = max_samples(*self._format, self._shape[1])
        if self.n_samples + n > most:
            line = f"not written, {self._format[0]} files end at 4 GiB; use .w64, .caf or .flac"
            raise AudioFileError(f"{display_path(self._path)}: {line}", code="too_long")

    def _codes(self, x: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
        """Integer codes in the high bits of int32, as libsndfile takes them."""
        self.clipped += int(np.count_nonzero(np.abs(x) > 1))
        bits = _BITS[self._format[1]]
        full = 2.0 ** (bits - 1)
        codes: npt.NDArray[np.float64] = np.clip(np.rint(x.astype(np.float64) * full), -full, full - 1)
        return (codes * 2.0 ** (32 - bits)).astype(np.int32)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish or remove the file.

        Raises:
            AudioFileError: Codes ``empty`` (nothing was written), ``exists``, ``no_space``, ``unwritable``.
        """
        if kind is not None:
            self._discard()
            return
        try:
            self.commit()
        except BaseException:
            self._discard()
            raise

    def finish(self) -> int:
        """Complete and verify the file; no more samples then.

        Returns:
            Its descriptor, open for reading and writing: what stands beside the samples may still be added.

        Raises:
            AudioFileError: Codes ``empty`` (nothing was written), ``no_space``, ``unwritable``.
        """
        if not self._finished:
            try:
                self._verify()
            except _WRITE_ERRORS as fault:
                raise writing_failed(self._path, str(fault)) from fault
            self._finished = True
        return self._atomic.fd

    def commit(self) -> None:
        """Give the file its name, finished if it was not.

        Raises:
            AudioFileError: As `finish`, and ``exists``.
        """
        if self._committed:
            return
        self.finish()
        try:
            name_output(self._atomic, self._path, self._overwrite)
        except OSError as fault:
            raise writing_failed(self._path, str(fault)) from fault
        self._committed = True

    def _verify(self) -> None:
        if self.n_samples == 0:
            raise AudioFileError(
                f"{display_path(self._path)}: not written, there are no samples", code="empty"
            )
        self._file.close()
        self._clear_time_stamp()
        if self._format[0] == "OGG":
            fix_serial(self._atomic.fd)
        os.lseek(self._atomic.fd, 0, os.SEEK_SET)
        with soundfile.SoundFile(self._atomic.fd, closefd=False) as file:
            found = (file.frames, file.samplerate, file.channels)
        if found != (self.n_samples, *self._shape):
            raise AudioFileError(
                f"{display_path(self._path)}: not written, verifying found (samples, Hz, channels) {found} "
                f"and not {(self.n_samples, *self._shape)}; choose another format or disk",
                code="unwritable",
            )

    def _clear_time_stamp(self) -> None:
        """Make equal samples give equal bytes: the PEAK chunk of float files tells when it was written."""
        if self._format[1] not in {"FLOAT", "DOUBLE"} or self._format[0] == "CAF":
            return
        os.lseek(self._atomic.fd, 0, os.SEEK_SET)
        chunk = os.read(self._atomic.fd, 4096).find(b"PEAK")
        if chunk > 0:
            os.lseek(self._atomic.fd, chunk + 12, os.SEEK_SET)
            os.write(self._atomic.fd, bytes(4))

    def _discard(self) -> None:
        """Close what is open, remove the unfinished file; must not hide the error it is called for."""
        with contextlib.suppress(*_WRITE_ERRORS):
            if self._file is not None:
                self._file.close()
        self._atomic.abort()
