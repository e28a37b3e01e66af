"""Provenance: one line for the tags of an output, and a JSON file beside it that tells how it was made.

The JSON of ``talk.denoised.wav`` is ``talk.denoised.wav.audiodiff.json``. It holds no date, no path and
nothing about the machine: the same work writes the same bytes. `Sidecar` is its schema;
`Sidecar.model_json_schema()` gives that as a JSON schema.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from audiodiff import __version__, system
from audiodiff.batch.naming import sidecar_path
from audiodiff.errors import DataError
from audiodiff.io.byte_edit import sha256_of
from audiodiff.io.formats import AudioInfo, display_path

if TYPE_CHECKING:
    from audiodiff.batch.loudness import Level


_MAX_BYTES = 1 << 20

Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelFact(_Part):
    """The model that worked.

    Attributes:
        name: Its name, without a folder.
        sha256: Of its weights file; None for a model made in memory, and for the inversion.
        licence: SPDX identifier or words of its card.
    """

    name: str
    sha256: Sha256 | None
    licence: str


class AudioFact(_Part):
    """A file.

    Attributes:
        name: Its name, without a folder; bytes that are not UTF-8 with a backslash.
        sha256: Of its content.
        seconds: Duration of the audio; 0 for an input whose header does not tell.
        sample_rate: Hz.
        channels: Number of channels.
    """

    name: str
    sha256: Sha256 | None = None
    seconds: float
    sample_rate: int
    channels: int


class LoudnessFact(_Part):
    """What a loudness target did to a track.

    Attributes:
        lufs: Integrated loudness before the gain; None if it could not be measured.
        true_peak_db: True peak before the gain in dBTP; None for digital silence.
        gain_db: The gain.
    """

    lufs: float | None
    true_peak_db: float | None
    gain_db: float


class Sidecar(_Part):
    """How an output was made.

    Attributes:
        v: Version of this format.
        tool: ``audiodiff``.
        version: Version of audiodiff.
        task: What was done.
        model: What with.
        options: Decisions by their names on the command line, seed included.
        seed: Seed of the noise.
        input: The recording.
        output: What was made; its hash may be missing where tags came later.
        warnings: Lines that the user was told, with the names of files alone.
        loudness: What a loudness target did, track by track; empty without one.
    """

    v: Literal[1] = 1
    tool: Literal["audiodiff"] = "audiodiff"
    version: str = __version__
    task: Literal["denoise", "vocode"]
    model: ModelFact
    options: dict[str, JsonValue]
    seed: int
    input: AudioFact
    output: AudioFact
    warnings: tuple[str, ...] = ()
    loudness: tuple[LoudnessFact, ...] = ()

    def to_bytes(self) -> bytes:
        """What stands in the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def provenance_line(task: Literal["denoise", "vocode"], model: str, *kind: str) -> str:
    """What the tags of an output tell; its kind, such as ``preview`` and ``residual``, follows the task."""
    maker = "mel inversion" if model == "inversion" else "a model"  # that name is no folder's, see `Vocoder`
    made = f"; speech re-synthesised by {maker}" if task == "vocode" else ""
    what, name = " ".join((task, *kind)), display_path(Path(Path(model).name))
    return f"processed with audiodiff {__version__} ({what}, model {name}{made})"


def input_fact(info: AudioInfo) -> AudioFact:
    """The fact about an input, with the hash of its content."""
    fd = system.open_to_read(info.path)
    try:
        return output_fact(info, sha256_of(fd))
    finally:
        os.close(fd)


def output_fact(info: AudioInfo, sha256: str) -> AudioFact:
    """The fact about a file of that hash."""
    return AudioFact(
        name=display_path(Path(info.path.name)),
        sha256=sha256,
        seconds=info.seconds,
        sample_rate=info.sample_rate,
        channels=info.channels,
    )


def loudness_fact(level: Level) -> LoudnessFact:
    """The fact about a track that a loudness target changed."""
    before = level.before
    return LoudnessFact(
        lufs=before.lufs,
        true_peak_db=finite(round(before.true_peak_db, 3)),
        gain_db=round(level.gain_db, 3),
    )


def bare_names(lines: Iterable[str], *paths: Path) -> tuple[str, ...]:
    """Lines about these files that name them without their folders: a sidecar goes where its output goes."""
    heads = {f"{display_path(path)}: ": f"{display_path(Path(path.name))}: " for path in paths}

    def bare(line: str) -> str:
        head = next(filter(line.startswith, heads), "")
        return heads.get(head, "") + line.removeprefix(head)

    return tuple(map(bare, lines))


def finite(value: float) -> float | None:
    """The value; None for infinity."""
    return value if math.isfinite(value) else None


def read_sidecar(target: Path) -> Sidecar | None:
    """Read the sidecar of an output; None where there is none."""
    path = sidecar_path(target)
    try:
        return Sidecar.model_validate_json(_text(path))
    except OSError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the text"
        raise DataError(
            f"{display_path(path)}: is no sidecar of this version ({place}: {first['msg']}); remove it"
        ) from None


def parse_sidecar(path: Path) -> Sidecar | None:
    """Read a sidecar by its own name; None where the file is none."""
    try:
        return Sidecar.model_validate_json(_text(path))
    except (OSError, ValidationError):
        return None


def _text(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES + 1)
