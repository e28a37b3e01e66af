"""The recordings of the page and their results: a folder each, which outlives the server and its page.

FOLDER/<id>/row.json                  what was asked for and what became of it
FOLDER/<id>/talk.mp3                  the recording, unless it was named and lies elsewhere
FOLDER/<id>/talk.denoised.mp3         the result, with its sidecar beside it
FOLDER/<id>/listen/                   what the players read
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audiodiff.errors import AudioFileError
from audiodiff.inference.arguments import Quality
from audiodiff.io.atomic import write_file
from audiodiff.io.formats import AUDIO_SUFFIXES
from audiodiff.io.reader import probe
from audiodiff.system import link_or_copy, usable
from audiodiff.ui.listening import Listening

State: TypeAlias = Literal["waiting", "working", "done", "failed", "stopped"]

FINISHED: frozenset[State] = frozenset({"done", "failed", "stopped"})

_NOTES = "row.json"
_ID = re.compile("[0-9a-f]{16}")
_LONGEST_NAME = 150


class Wish(BaseModel):
    """How a recording shall be cleaned.

    Attributes:
        quality: Preset of the model.
        strength: 0 to 1.
        lufs: Loudness of the result in LUFS; None leaves it as it is.
        max_reduction_db: Limit per bin in dB; None for no limit.
        preview_s: Second at which a preview of 20 s starts; None cleans the whole recording.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    quality: Quality = "balanced"
    strength: float = Field(default=1.0, ge=0, le=1)
    lufs: float | None = Field(default=None, ge=-50, le=0)
    max_reduction_db: float | None = Field(default=None, ge=0)
    preview_s: float | None = Field(default=None, ge=0)


class Row(BaseModel):
    """A recording, what was asked for, and what became of it.

    Attributes:
        id: 16 hex digits; name of its folder.
        source: Name in its folder, or the whole path of a recording elsewhere.
        seconds: Length; 0 if its header does not tell.
        sample_rate: Hz.
        channels: Number of channels.
        wish: How it shall be cleaned.
        place: Its place in the list and in the queue.
        state: How far it is.
        error: Why it failed.
        warnings: What the user must know of the result.
        target: Name of the result in its folder; empty before there is one.
        copied: Whether there was nothing to remove.
        gain_db: Gain of the result for its loudness.
        listening: What the players read, if they can.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    source: str
    seconds: float
    sample_rate: int
    channels: int
    wish: Wish
    place: int = 0
    state: State = "waiting"
    error: str = ""
    warnings: tuple[str, ...] = ()
    target: str = ""
    copied: bool = False
    gain_db: float = 0.0
    listening: Listening | None = None

    @property
    def name(self) -> str:
        """Name of the recording."""
        return Path(self.source).name

    @property
    def own(self) -> bool:
        """Whether the recording is a copy in the row's folder."""
        return self.name == self.source


class RowStore:
    """All rows of a folder, in order.

    Args:
        folder: Theirs; what lies in it already is read, and uploads that never came to their end are removed.

    Attributes:
        folder: Theirs.
        rows: By their ids.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = [row for path in folder.iterdir() if _ID.fullmatch(path.name) and (row := self._read(path))]
        self.rows = {row.id: row for row in sorted(found, key=lambda row: row.place)}

    def folder_of(self, row: Row) -> Path:
        """The folder of a row."""
        return self.folder / row.id

    def source_of(self, row: Row) -> Path:
        """The recording of a row."""
        return self.folder_of(row) / row.source  # a whole path stays what it is

    def target_of(self, row: Row) -> Path | None:
        """The result of a row, if there is one."""
        return self.folder_of(row) / row.target if row.target else None

    def place_for(self, name: str) -> Path:
        """Where to put a recording that is sent: a new folder without notes, so that nothing lists it yet."""
        cleaned = usable(name).lstrip(".")
        stem, suffix = Path(cleaned).stem, Path(cleaned).suffix
        if suffix.lower() not in AUDIO_SUFFIXES:
            known = " ".join(sorted(AUDIO_SUFFIXES))
            line = f"{cleaned or 'the file'}: not a name of an audio file; choose one of {known}"
            raise AudioFileError(line, code="unsupported")
        short = stem.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        return self._new_folder() / f"{short or 'recording'}{suffix}"

    def made(self, path: Path, wish: Wish, own: bool) -> Row:
        """A row, not yet in the list, for a recording that lies where `place_for` said, or elsewhere.

        Raises:
            AudioFileError: It is none; what `place_for` made is removed.
        """
        folder = path.parent if own else self._new_folder()
        try:
            info = probe(path)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Row(
            id=folder.name,
            source=path.name if own else str(path),
            seconds=info.seconds,
            sample_rate=info.sample_rate,
            channels=info.channels,
            wish=wish,
        )

    def twin(self, row: Row, wish: Wish) -> Row:
        """A row, not yet in the list, for the recording of another one, whose result stays."""
        source = self.source_of(row)
        if not row.own:
            return self.made(source, wish, own=False)
        copy = self._new_folder() / source.name
        try:
            link_or_copy(source, copy)
        except OSError:  # the recording is gone
            shutil.rmtree(copy.parent, ignore_errors=True)
            raise
        return self.made(copy, wish, own=True)

    def add(self, row: Row) -> None:
        """Put a row at the end of the list."""
        row.place = 1 + max((other.place for other in self.rows.values()), default=0)
        self.save(row)
        self.rows[row.id] = row

    def save(self, row: Row) -> None:
        """Write the notes of a row, whole or not at all."""
        write_file(self.folder_of(row) / _NOTES, row.model_dump_json(indent=1).encode())

    def remove(self, row: Row) -> None:
        """Remove a row with all its files; a named recording elsewhere is no file of its own."""
        self.rows.pop(row.id, None)
        folder = self.folder_of(row)
        with contextlib.suppress(OSError):
            (folder / _NOTES).unlink()  # first: what is left of a removal that was cut short is no row
        shutil.rmtree(folder, ignore_errors=True)

    def forget(self, place: Path) -> None:
        """Remove what `place_for` made for a recording that did not arrive."""
        shutil.rmtree(place.parent, ignore_errors=True)

    def _new_folder(self) -> Path:
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        return folder

    def _read(self, folder: Path) -> Row | None:
        notes = folder / _NOTES
        if not notes.exists():
            shutil.rmtree(folder, ignore_errors=True)
            return None
        try:
            row = Row.model_validate_json(notes.read_bytes())
        except (OSError, ValidationError):  # of another version: neither shown nor touched
            return None
        if row.id != folder.name:
            return None
        if row.state == "working":  # the server ended meanwhile
            row.state = "waiting"
        if row.target and not (folder / row.target).is_file():
            row.target, row.listening = "", None
            if row.state == "done":
                row.state, row.error = "failed", "its result is no longer in its folder; press Clean again"
        return row
