"""What is asked of a job and what comes back from it: plain values that travel to any worker."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from audiodiff.batch.flags import Flag
from audiodiff.errors import ConfigError
from audiodiff.io.loudness import Target

LOSSLESS = frozenset({"wav", "flac"})
"""Formats that take no bit rate."""

Progress: TypeAlias = Callable[[float, float], None]
"""Called with the seconds of audio done and the seconds announced (0 when the header does not tell)."""


@dataclass(frozen=True)
class Options:
    """How to treat files.

    Attributes:
        overwrite: Replace a target that exists.
        skip_existing: Leave a target that exists, whatever made it (for whole batches, see `spec`).
        strict: Refuse a file that is cut short (code ``truncated``) instead of a warning.
        start_s: Second of the input at which the output starts, 0 or more.
        end_s: Second at which it ends; infinity for the end. What lies between is as in the whole output.
        residual: Also write what was removed, see `residual`.
        max_hours: Longer recordings are refused (code ``too_long``).
        tag: Tell in the tags of outputs what processed them.
        sidecar: Tell in a JSON file beside the output how it was made, see `sidecar`.
        loudness: How loud the output shall be; None leaves that as it is.
        bit_rate: Bits a second of lossy outputs; 0 for those of the input, or what is usual.
        format: Suffix of outputs without its dot; "" for that of the input or the task.
        preview: Say in tags and sidecar that the output is a preview, and replace an older one of the same
            recording.
    """

    overwrite: bool = False
    skip_existing: bool = False
    strict: bool = False
    start_s: float = 0.0
    end_s: float = math.inf
    residual: bool = False
    max_hours: float = 24.0
    tag: bool = False
    sidecar: bool = False
    loudness: Target | None = None
    bit_rate: int = 0
    format: str = ""
    preview: bool = False

    def __post_init__(self) -> None:
        """Check what contradicts."""
        if self.overwrite and self.skip_existing:
            raise ConfigError("--overwrite and --skip-existing exclude each other; choose one")
        if self.residual and self.loudness is not None:
            raise ConfigError(
                "--residual and --lufs exclude each other: what was removed and an output at another level "
                "do not sum to the input; run twice, or use --report"
            )
        if self.bit_rate and self.format in LOSSLESS:
            raise ConfigError(
                f"--format {self.format} is lossless and takes no --bitrate; leave that out, or choose mp3"
            )

    @property
    def ending(self) -> str:
        """Suffix of outputs with its dot; "" for that of the input or the task."""
        return f".{self.format}" if self.format else ""

    @property
    def coding(self) -> dict[str, int | str]:
        """What was asked of the outputs' format, by the names on the command line."""
        asked: dict[str, int | str] = {"bitrate": self.bit_rate, "format": self.format}
        return {name: value for name, value in asked.items() if value}

    @property
    def kind(self) -> tuple[str, ...]:
        """What tags say of the outputs beside the task."""
        return ("preview",) if self.preview else ()

    @property
    def whole(self) -> bool:
        """Whether outputs have all samples of their input."""
        return self.start_s == 0 and math.isinf(self.end_s)


@dataclass(frozen=True)
class Fault:
    """Why a recording failed.

    Attributes:
        code: Stable name, as in `errors`; ``busy``, ``worker_died``, ``internal`` come from batches.
        message: One line.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Result:
    """What became of one recording.

    Attributes:
        source: Input.
        target: Output, a whole file unless the job failed.
        status: ``done``, ``copied`` when there was nothing to remove (nothing that sounds, or strength 0),
            ``skipped`` when it had been done before, ``failed``.
        warnings: Lines for the user.
        seconds: Seconds of audio in the output.
        elapsed_s: Seconds of work.
        residual: What was removed, if that was asked for.
        fault: Why it failed.
        gain_db: Gain of the (first track of the) output beside the cleaning, for a loudness target.
        flags: What concerns the whole recording and wants ears; told in `warnings` too.
    """

    source: Path
    target: Path
    status: Literal["done", "copied", "skipped", "failed"]
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    elapsed_s: float = 0.0
    residual: Path | None = None
    fault: Fault | None = None
    gain_db: float = 0.0
    flags: tuple[Flag, ...] = ()
