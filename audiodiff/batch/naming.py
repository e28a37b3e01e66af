"""How the files of a job are called."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from audiodiff.batch.job_options import Options
from audiodiff.errors import AudioFileError
from audiodiff.io.formats import MEDIA_SUFFIXES, display_path

SUFFIX = ".audiodiff.json"
"""What names of sidecars get behind the name of their output."""

_MAX_NAME = 255
_LOSSY = frozenset({".mp3", ".ogg", ".oga", ".opus"}) | MEDIA_SUFFIXES


def outputs(target: Path, options: Options) -> tuple[Path, ...]:
    """All files that a job writes: the target, then the residual and the sidecar if they are wanted."""
    paths = [target]
    if options.residual:
        paths.append(residual_path(target))
    if options.sidecar:
        paths.append(sidecar_path(target))
    return tuple(paths)


def default_target(source: Path, output: Path | None, label: str = ".denoised") -> Path:
    """Where the result of a recording goes."""
    if output is None and not source.name:
        raise AudioFileError(f"{display_path(source)}: not a regular file; name an audio file")
    if output is None:
        return source.with_name(f"{source.stem}{label}{source.suffix}")
    return output / source.name if output.is_dir() else output


def residual_path(target: Path) -> Path:
    """Where the residual of an output goes."""
    suffix = ".wav" if target.suffix.lower() in _LOSSY else target.suffix
    return target.with_name(f"{target.stem}.residual{suffix}")


def sidecar_path(target: Path) -> Path:
    """Where the sidecar of an output is."""
    name = target.name + SUFFIX
    if len(os.fsencode(name)) > _MAX_NAME:
        name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24] + SUFFIX
    return target.with_name(name)


def is_sidecar(path: Path) -> bool:
    """Whether a path has the name of a sidecar."""
    return path.name.endswith(SUFFIX)
