"""Samples through pipes as they come: wav or bare, without an end that is known.

libsndfile decodes and encodes; here is only what a pipe lacks, a way back. Layout of wav: RIFF (1991).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from audiodiff.errors import AudioFileError
from audiodiff.io.formats import MAX_CHANNELS, MAX_RATE, MIN_RATE, AudioInfo
from audiodiff.io.lengths_pcm import unknown_size
from audiodiff.io.writer import codes_of
from audiodiff.signal.types import Samples

BARE = {"s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32", "f32": "FLOAT"}
"""Formats of samples without a header, little-endian, by their usual short names."""

BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}
"""Formats of samples that go through a pipe, with the bytes of one."""

_MOST_BEFORE = 1 << 24
"""Bytes before the samples of a wav at most."""


class PcmReader:
    """Reads samples from a descriptor, each as soon as it is there.

    Args:
        fd: Descriptor, open for reading; stays open.
        bare: Rate, channels and format of samples without a header; None for wav.

    Attributes:
        fd: The descriptor.
        info: What comes; of unknown length.

    Raises:
        AudioFileError: Code ``unreadable``: no wav, or it ends in its header; ``unsupported``.
    """

    def __init__(self, fd: int, bare: AudioInfo | None = None) -> None:
        self.fd = fd
        self._left: float = np.inf
        self.info = self._header() if bare is None else bare
        _check(self.info)
        self._frame = BYTES[self.info.subtype] * self.info.channels

    def blocks(self, most: int) -> Iterator[Samples]:
        """What comes, [C, n] with n at most `most`, until the end; bytes of half a sample there are dropped.

        In float32, or float64 where that does not hold every code.
        """
        rest = b""
        while self._left > 0:
            wanted = most * self._frame - len(rest)
            data = os.read(self.fd, int(min(wanted, self._left)))
            if not data:
                return
            self._left -= len(data)
            rest += data
            whole = len(rest) - len(rest) % self._frame
            if whole:
                yield self._decoded(rest[:whole])
                rest = rest[whole:]

    def _decoded(self, data: bytes) -> Samples:
        info = self.info
        form = {"format": "RAW", "subtype": info.subtype, "endian": "LITTLE"}
        x, _ = soundfile.read(
            io.BytesIO(data),
            dtype=info.exact_dtype,
            always_2d=True,
            samplerate=info.sample_rate,
            channels=info.channels,
            **form,
        )
        return np.ascontiguousarray(x.T)

    def _header(self) -> AudioInfo:
        """Read up to the first sample; what is wrong with the format, libsndfile tells."""
        head = self._exactly(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            line = "standard input: begins as no wav does; for samples without a header, say which with --raw"
            raise AudioFileError(line)
        while (chunk := self._exactly(8))[:4] != b"data":
            size = int.from_bytes(chunk[4:], "little")
            if len(head) + size > _MOST_BEFORE:
                raise AudioFileError("standard input: its wav header is damaged; send it anew")
            head += chunk + self._exactly(size + size % 2)
        size = int.from_bytes(chunk[4:], "little")
        if size and not unknown_size(size):
            self._left = size
        # as a file of no samples, whose sizes are whole
        header = b"RIFF" + (len(head)).to_bytes(4, "little") + head[8:] + b"data" + bytes(4)
        try:
            with soundfile.SoundFile(io.BytesIO(header)) as file:
                return AudioInfo(Path("-"), file.samplerate, file.channels, 0, "WAV", file.subtype)
        except soundfile.LibsndfileError as error:
            line = f"standard input: its wav header is not understood ({error.error_string}); send PCM"
            raise AudioFileError(line) from error

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = os.read(self.fd, count - len(data))
            if not more:
                raise AudioFileError(
                    "standard input: ended before the first sample; send wav or --raw samples"
                )
            data += more
        return data


def wav_header(info: AudioInfo) -> bytes:
    """The header of a wav stream whose end is not known, up to the first sample."""
    made = io.BytesIO()
    soundfile.SoundFile(made, "w", info.sample_rate, info.channels, info.subtype, format="WAV").close()
    unknown = b"\xff\xff\xff\xff"
    header = made.getvalue()
    return header[:4] + unknown + header[8:-4] + unknown


def pcm_bytes(block: Samples, subtype: str) -> bytes:
    """Samples [C, n] as little-endian bytes, rounded as those of files are."""
    made = io.BytesIO()
    x = codes_of(np.ascontiguousarray(block.T), subtype)
    soundfile.write(made, x, 48000, subtype, "LITTLE", "RAW")
    return made.getvalue()


def bare_info(subtype: str, sample_rate: int, channels: int) -> AudioInfo:
    """What is known of samples without a header."""
    return AudioInfo(Path("-"), sample_rate, channels, 0, "RAW", subtype)


def as_wav(info: AudioInfo) -> AudioInfo:
    """The same samples with a header."""
    return replace(info, container="WAV")


def _check(info: AudioInfo) -> None:
    what = None
    if info.subtype not in BYTES:
        what = f"{info.subtype} does not go through a live pipe; send PCM or float"
    elif not MIN_RATE <= info.sample_rate <= MAX_RATE:
        what = f"{info.sample_rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz; resample it"
    elif info.channels > MAX_CHANNELS:
        what = f"{info.channels} channels, at most {MAX_CHANNELS} are processed; send fewer"
    if what:
        raise AudioFileError(f"standard input: {what}", code="unsupported")
