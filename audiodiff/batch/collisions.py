"""Which targets of a plan would be one file, or an input."""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from audiodiff import system
from audiodiff.batch.batch_spec import Item
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import outputs
from audiodiff.errors import AudioFileError
from audiodiff.io.formats import display_path


def check(items: Sequence[Item], options: Options) -> None:
    """Refuse a plan in which a file would be written twice, or an input written at all."""
    sources = {key: item.source for item in items if (key := _identity(item.source))}
    owner = _Owners()
    for item in items:
        for target in outputs(item.target, options):
            other = owner.of(real_place(target), item.source)
            if other != item.source:
                raise AudioFileError(
                    f"{display_path(target)}: would be the result of both {display_path(other)} and "
                    f"{display_path(item.source)}; "
                    "rename one, or give them different folders",
                    code="collision",
                )
            there = _identity(target)
            input_there = None if there is None else sources.get(there)
            if input_there is not None:
                raise AudioFileError(
                    f"{display_path(target)}: is the input {display_path(input_there)}, which is never "
                    "overwritten; "
                    "choose another folder with -o",
                    code="same_file",
                )


class _Owners:
    """Which recording has a target, where two names may be one file."""

    def __init__(self) -> None:
        self._exact: dict[Path, Path] = {}
        self._folded: dict[str, tuple[Path, Path]] = {}
        self._folds = functools.cache(system.folds_case)

    def of(self, place: Path, source: Path) -> Path:
        """The recording that has a place already, else this one, which has it from now on."""
        other = self._exact.setdefault(place, source)
        folded = unicodedata.normalize("NFC", os.fspath(place)).casefold()
        known, near = self._folded.setdefault(folded, (place, source))
        return near if known != place and self._folds(place.parent) else other


def real_place(target: Path) -> Path:
    """A target whose folder is spelled without links and detours."""
    return Path(os.path.realpath(target.parent)) / target.name


def _identity(path: Path) -> tuple[int, int] | None:
    """What stays the same through links and other spellings of a name; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
