"""What the outputs of the denoiser tell of their origin: the line in their tags, and the sidecar."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audiodiff.batch.sidecar import AudioFact, ModelFact, Sidecar, provenance_line, write_sidecar
from audiodiff.signal.formats import AudioInfo, shown

if TYPE_CHECKING:
    from audiodiff.tasks.denoise import Denoiser

_PIECE = 1 << 20


@dataclass(frozen=True)
class Origin:
    """How a recording becomes an output.

    Attributes:
        info: The recording's header.
        target: The output.
        denoiser: What cleans.
        stretch: Seconds of the recording at which the output starts and ends; None for the end.
    """

    info: AudioInfo
    target: Path
    denoiser: Denoiser
    stretch: tuple[float, float | None]

    @property
    def line(self) -> str:
        """What the tags tell."""
        return provenance_line("denoise", self.denoiser.name)

    def write(self, descriptor: int, n_samples: int, warnings: list[str]) -> Path:
        """Write the sidecar.

        Args:
            descriptor: The output, whole, before it has its name.
            n_samples: Its length in samples of one channel.
            warnings: Lines that the user will be told.

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
                name=shown(Path(Path(denoiser.name).name)),
                sha256=denoiser.model.digest or None,
                licence=denoiser.model.config.licence,
            ),
            options={**denoiser.decisions, "start_s": self.stretch[0], "end_s": self.stretch[1]},
            seed=denoiser.seed,
            input=recording,
            output=_fact(self.target, _sha256(descriptor), n_samples, facts),
            warnings=tuple(warnings),
        )
        return write_sidecar(self.target, sidecar)


def _fact(path: Path, sha256: str, n_samples: int, facts: tuple[int, int]) -> AudioFact:
    rate, channels = facts
    name = shown(Path(path.name))
    return AudioFact(name=name, sha256=sha256, seconds=n_samples / rate, sample_rate=rate, channels=channels)


def _sha256(descriptor: int) -> str:
    digest = hashlib.sha256()
    os.lseek(descriptor, 0, os.SEEK_SET)
    while piece := os.read(descriptor, _PIECE):
        digest.update(piece)
    return digest.hexdigest()
