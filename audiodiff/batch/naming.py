"""How the files of a job are called."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from audiodiff.batch.job_options import Options
from audiodiff.errors import AudioFileError
from audiodiff.io.folders import SIDECAR_SUFFIX
from audiodiff.io.formats import MEDIA_SUFFIXES, WRITTEN_AS, display_path

_MAX_NAME = 255
_LOSSY = frozenset({".mp3", ".ogg", ".oga", ".opus"}) | MEDIA_SUFFIXES


@dataclass(frozen=True)
class Place:
    """Where results go, as a command names it.

    Attributes:
        path: A file or a folder.
        is_folder: Whether a result gets its own name in it.
        slashed: Whether it was written as a folder, with a slash at its end.
    """

    path: Path
    is_folder: bool
    slashed: bool


def place_of(text: str) -> Place:
    """Read the place of results.

    A folder is what is one, what ends with a slash, and what does not exist and has no suffix: as the suffix
    names the format, no result can have such a name.
    """
    path = Path(text)
    ends = tuple(f"{slash}{dots}" for slash in (os.sep, os.altsep) if slash for dots in ("", ".", ".."))
    slashed = text.endswith(ends)
    bare = not path.suffix and text != "-" and not os.path.lexists(path)
    return Place(path, slashed or path.is_dir() or bare, slashed)


def outputs(target: Path, options: Options) -> tuple[Path, ...]:
    """All files that a job writes: the target, then the residual and the sidecar if they are wanted."""
    paths = [target]
    if options.residual:
        paths.append(residual_path(target))
    if options.sidecar:
        paths.append(sidecar_path(target))
    return tuple(paths)


def default_target(source: Path, label: str = ".denoised") -> Path:
    """Where the result of a recording goes beside it."""
    if not source.name:
        raise AudioFileError(f"{display_path(source)}: not a regular file; name an audio file")
    suffix = WRITTEN_AS.get(source.suffix.lower(), source.suffix)
    return source.with_name(f"{source.stem}{label}{suffix}")


def residual_path(target: Path) -> Path:
    """Where the residual of an output goes."""
    suffix = ".wav" if target.suffix.lower() in _LOSSY else target.suffix
    return target.with_name(f"{target.stem}.residual{suffix}")


def targets_of_residual(path: Path) -> list[Path]:
    """The outputs whose residual would have this name."""
    stem = path.stem.removesuffix(".residual")
    names = [f"{stem}{suffix}" for suffix in {path.suffix, *_LOSSY}]
    return [target for name in names if residual_path(target := path.with_name(name)).name == path.name]


def sidecar_path(target: Path) -> Path:
    """Where the sidecar of an output is."""
    name = target.name + SIDECAR_SUFFIX
    if len(os.fsencode(name)) > _MAX_NAME:
        name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24] + SIDECAR_SUFFIX
    return target.with_name(name)


def is_sidecar(path: Path) -> bool:
    """Whether a path has the name of a sidecar."""
    return path.name.endswith(SIDECAR_SUFFIX)
