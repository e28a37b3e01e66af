"""What the writers of audio and of media files have in common."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from audiodiff.errors import AudioFileError
from audiodiff.io.atomic import AtomicFile
from audiodiff.io.formats import display_path
from audiodiff.io.output_checks import name_output, open_output, writing_failed


class OutputWriter(ABC):
    """Context manager that writes a file which gets its name when all is well.

    `finish` completes and verifies the file; `commit` flushes it to the disk and gives it its name. A
    clean exit does whatever was not done; any exception, Ctrl-C too, removes the file, so the old one or none
    stays.

    Args:
        path: The target; its folder must exist.
        overwrite: Whether an existing target may be replaced.

    Attributes:
        clipped: Sample values beyond full scale that were clipped.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self.clipped = 0
        self._path = path
        self._overwrite = overwrite
        self._finished = self._committed = False
        self._atomic: AtomicFile  # from entering on

    def __enter__(self) -> Self:
        """Create the unfinished file.

        Raises:
            AudioFileError: Codes ``exists``, ``unwritable``, ``unsupported``, and those of the source.
        """
        self._atomic = open_output(self._path, self._overwrite)
        try:
            self._begin()
        except BaseException:
            self._discard()
            raise
        return self

    def finish(self) -> AtomicFile:
        """Complete and verify the file, which has no name yet.

        Raises:
            AudioFileError: Codes ``empty`` (nothing was written), ``unwritable``.
        """
        if not self._finished:
            with self._plainly():
                self._complete()
            self._finished = True
        return self._atomic

    def commit(self) -> None:
        """Give the file its name, finished if it was not.

        Raises:
            AudioFileError: As `finish`, and ``exists``.
        """
        if self._committed:
            return
        self.finish()
        with self._plainly():
            name_output(self._atomic, self._path, self._overwrite)
        self._committed = True

    @contextlib.contextmanager
    def _plainly(self) -> Iterator[None]:
        """What the system refuses, in plain words."""
        try:
            yield
        except self._faults() as fault:
            raise writing_failed(self._path, self._reason(fault)) from fault

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and give it its name, or remove it.

        Raises:
            AudioFileError: Codes ``empty``, ``exists``, ``no_space``, ``unwritable``.
        """
        if kind is not None:
            self._discard()
            return
        try:
            self.commit()
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        """Close what is open, remove the unfinished file; must not hide the error it is called for."""
        with contextlib.suppress(*self._faults()):
            self._close()
        self._atomic.abort()

    def _failure(self, line: str, code: str) -> AudioFileError:
        return AudioFileError(f"{display_path(self._path)}: {line}", code=code)

    # What a kind of file decides for itself.

    @abstractmethod
    def _begin(self) -> None:
        """Open an encoder on the unfinished file."""

    @abstractmethod
    def _complete(self) -> None:
        """Write what remains, close the encoder and verify the file."""

    @abstractmethod
    def _close(self) -> None:
        """Close what is open, whatever state it is in."""

    @abstractmethod
    def _faults(self) -> tuple[type[BaseException], ...]:
        """What the encoder raises when the system refuses."""

    def _reason(self, fault: BaseException) -> str:
        """Its words."""
        return str(fault)
