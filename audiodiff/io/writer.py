"""Writing audio files so that a name in the target folder is always a whole, verified file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from audiodiff.io.bit_rates import coder
from audiodiff.io.formats import max_samples
from audiodiff.io.ogg import fix_serial
from audiodiff.io.output_checks import check_block, writing_failed
from audiodiff.io.output_writer import OutputWriter
from audiodiff.io.sound import DescriptorFile, sound_file

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
_VORBIS_PIECE = 1 << 14
_WRITE_ERRORS = (soundfile.SoundFileError, OSError, AssertionError)


class _UnflushedFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A SoundFile that is not brought to the disk when it closes, as `AtomicFile` does that."""

    def flush(self) -> None:
        pass


def codes_of(x: npt.NDArray[np.floating], subtype: str) -> npt.NDArray[Any]:
    """What libsndfile is given for samples of any shape so that it writes the nearest codes, without dither.

    Returns:
        For integer formats the codes in the high bits of int32, what lies beyond full scale clipped; for
        others the samples themselves.
    """
    if subtype not in _BITS:
        return x
    bits = _BITS[subtype]
    full = 2.0 ** (bits - 1)
    codes: npt.NDArray[np.float64] = np.clip(np.rint(x.astype(np.float64) * full), -full, full - 1)
    return (codes * 2.0 ** (32 - bits)).astype(np.int32)


class AtomicWriter(OutputWriter):
    """Writes an audio file that appears under its name whole and verified, or not at all (`OutputWriter`).

    Integer formats get the nearest code, without dither, so that samples read from a file of the same depth
    are written bit for bit; what lies beyond full scale is clipped and counted.

    Args:
        container: libsndfile's name, see `output_format`.
        subtype: libsndfile's name of the sample format.
        bit_rate: Bits a second of lossy formats, within `bit_rates.limits`; 0 for libsndfile's own choice.

    Attributes:
        n_samples: Samples of one channel written so far.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        container: str,
        subtype: str,
        overwrite: bool = False,
        bit_rate: int = 0,
    ) -> None:
        super().__init__(path, overwrite)
        self.n_samples = 0
        self._shape = (sample_rate, channels)
        self._format = (container, subtype)
        self._bit_rate = bit_rate
        self._file: Any = None
        self._held: npt.NDArray[np.floating] | None = None

    def _begin(self) -> None:
        rate, channels = self._shape
        container, subtype = self._format
        coding = coder(subtype, rate, channels, self._bit_rate)
        self._target = sound_file(self._atomic.fd)
        try:
            self._file = _UnflushedFile(
                self._target,
                "w",
                rate,
                channels,
                subtype,
                format=container,
                closefd=False,
                compression_level=coding.level,
                bitrate_mode=coding.mode,
            )
        except (soundfile.SoundFileError, ValueError) as error:
            line = f"{channels} channels at {rate} Hz cannot be written as {container} {subtype} ({error})"
            raise self._failure(f"{line}; choose another format", "unsupported") from error

    def describe(self, strings: Mapping[str, str]) -> None:
        """Give libsndfile texts to write; before the first sample.

        Args:
            strings: Values by its names: title, artist, album, comment, date, genre, tracknumber, copyright,
                software, license.
        """
        try:
            for name, value in strings.items():
                setattr(self._file, name, value)
        except soundfile.SoundFileError as error:
            line = f"{self._format[0]} files hold no tags ({error}); use .flac"
            raise self._failure(line, "unsupported") from error

    def write(self, block: npt.NDArray[np.floating]) -> None:
        """Append samples.

        Args:
            block: float32 or float64 [C, n], full scale 1; n may be 0.
        """
        check_block(self._path, block, self._shape[1], (self.n_samples, self._shape[0]))
        self._check_length(block.shape[1])
        x = np.ascontiguousarray(block.T)
        try:
            if self._format[1] == "VORBIS":
                self._write_vorbis(x)
            else:
                if self._format[1] in _BITS:
                    self.clipped += int(np.count_nonzero(np.abs(x) > 1))
                self._file.write(codes_of(x, self._format[1]))
        except _WRITE_ERRORS as error:
            raise writing_failed(self._path, str(error)) from error
        self.n_samples += block.shape[1]

    def _write_vorbis(self, x: npt.NDArray[np.floating]) -> None:
        """Write pieces of one size: its encoder decides by what it has got so far, so others give others."""
        x = x if self._held is None else np.concatenate([self._held, x])
        whole = len(x) - len(x) % _VORBIS_PIECE
        for start in range(0, whole, _VORBIS_PIECE):
            self._file.write(x[start : start + _VORBIS_PIECE])
        self._held = x[whole:].copy()

    def _check_length(self, n: int) -> None:
        """Stop where the sizes in the file would overflow, which libsndfile does not notice."""
        most = max_samples(*self._format, self._shape[1])
        if self.n_samples + n > most:
            line = f"not written, {self._format[0]} files end at 4 GiB; use .w64, .caf or .flac"
            raise self._failure(line, "too_long")

    def _complete(self) -> None:
        if self.n_samples == 0:
            raise self._failure("not written, there are no samples", "empty")
        if self._held is not None and len(self._held):
            self._file.write(self._held)
        self._file.close()
        if isinstance(self._target, DescriptorFile) and self._target.fault is not None:
            raise self._target.fault
        self._clear_time_stamp()
        if self._format[0] == "OGG":
            fix_serial(self._atomic.fd)
        os.lseek(self._atomic.fd, 0, os.SEEK_SET)
        with soundfile.SoundFile(sound_file(self._atomic.fd), closefd=False) as file:
            found = (file.frames, file.samplerate, file.channels)
        if found != (wanted := (self.n_samples, *self._shape)):
            line = f"not written, verifying found (samples, Hz, channels) {found} and not {wanted}"
            raise self._failure(f"{line}; choose another format or disk", "unwritable")

    def _clear_time_stamp(self) -> None:
        """Make equal samples give equal bytes: the PEAK chunk of float files tells when it was written."""
        if self._format[1] not in {"FLOAT", "DOUBLE"} or self._format[0] == "CAF":
            return
        os.lseek(self._atomic.fd, 0, os.SEEK_SET)
        chunk = os.read(self._atomic.fd, 4096).find(b"PEAK")
        if chunk > 0:
            os.lseek(self._atomic.fd, chunk + 12, os.SEEK_SET)
            os.write(self._atomic.fd, bytes(4))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _faults(self) -> tuple[type[BaseException], ...]:
        return _WRITE_ERRORS
