"""What the outputs of the denoiser tell of their origin: the line in their tags, and the sidecar."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audiodiff.batch.job_options import Options, Ready
from audiodiff.batch.loudness import Level
from audiodiff.batch.sidecar import (
    AudioFact,
    LoudnessFact,
    ModelFact,
    Sidecar,
    provenance_line,
    write_sidecar,
)
from audiodiff.io.formats import AudioInfo, display_path

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser

_PIECE = 1 << 20


@dataclass(frozen=True)
class Origin:
    """How a recording becomes an output.

    Attributes:
        info: The recording's header.
        target: The output.
        denoiser: What cleans.
        options: How the file is treated.
    """

    info: AudioInfo
    target: Path
    denoiser: Denoiser
    options: Options

    @property
    def line(self) -> str:
        """What the tags tell."""
        return provenance_line("denoise", self.denoiser.name)

    def write(
        self,
        descriptor: int,
        n_samples: int,
        warnings: Sequence[str],
        levels: Sequence[Level] = (),
        ready: Ready | None = None,
    ) -> Path:
        """Write the sidecar.

        Args:
            descriptor: The output, whole, before it has its name.
            n_samples: Its length in samples of one channel.
            warnings: Lines that the user will be told.
            levels: What a loudness target did, track by track.
            ready: Called for the sidecar before it gets its name.

        Returns:
            Path of the sidecar.

        Raises:
            OSError: A file cannot be read or written.
        """
        info, denoiser = self.info, self.denoiser
        facts = (info.sample_rate, info.channels)
        source = os.open(info.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            recording = _fact(info.path, _sha256(source), info.n_samples, facts)
        finally:
            os.close(source)
        sidecar = Sidecar(
            task="denoise",
            model=ModelFact(
                name=display_path(Path(Path(denoiser.name).name)),
                sha256=denoiser.model.digest or None,
                licence=denoiser.model.config.licence,
            ),
            options={**denoiser.decisions, **_decisions(self.options)},
            seed=denoiser.seed,
            input=recording,
            output=_fact(self.target, _sha256(descriptor), n_samples, facts),
            warnings=tuple(warnings),
            loudness=tuple(map(_level, levels)),
        )
        return write_sidecar(self.target, sidecar, ready)


def _decisions(options: Options) -> dict[str, float | None]:
    """Those about a file that change its samples, by their names on the command line."""
    found = {"start_s": options.start_s, "end_s": _finite(options.end_s)}
    if options.loudness is not None:
        found |= {"lufs": options.loudness.lufs, "true_peak": options.loudness.true_peak_db}
    return found


def _level(level: Level) -> LoudnessFact:
    before = level.before
    return LoudnessFact(
        lufs=before.lufs,
        true_peak_db=_finite(round(before.true_peak_db, 3)),
        gain_db=round(level.gain_db, 3),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _fact(path: Path, sha256: str, n_samples: int, facts: tuple[int, int]) -> AudioFact:
    rate, channels = facts
    name = display_path(Path(path.name))
    return AudioFact(name=name, sha256=sha256, seconds=n_samples / rate, sample_rate=rate, channels=channels)


def _sha256(descriptor: int) -> str:
    digest = hashlib.sha256()
    os.lseek(descriptor, 0, os.SEEK_SET)
    while piece := os.read(descriptor, _PIECE):
        digest.update(piece)
    return digest.hexdigest()
