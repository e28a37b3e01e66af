"""What the page does with its recordings: one after the other, in a thread, in the order of the list."""

from __future__ import annotations

import contextlib
import math
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import default_target
from audiodiff.batch.sidecar import bare_names, read_sidecar
from audiodiff.errors import AudiodiffError, AudioFileError, DataError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.io.loudness import Target
from audiodiff.report import ReportEntry, ReportRun, write
from audiodiff.ui.listening import write_listening
from audiodiff.ui.rows import FINISHED, Row, RowStore, Wish
from audiodiff.ui.words import error_text, plain

PREVIEW_S = 20.0

_LEAVING_S = 5.0
_GUESS_FROM = 0.02
"""From this share on the time that is left is guessed."""


@dataclass
class Work:
    """The recording in work and how far it is.

    Attributes:
        row: Its row.
        share: Part that is done, 0 to 1.
        step: What is being done.
        begun: When the cleaning began, on the monotonic clock.
        leave: Set when the user or the end of the server wants it no more.
    """

    row: Row
    share: float = 0.0
    step: str = "loading the model"
    begun: float = 0.0
    leave: threading.Event = field(default_factory=threading.Event)

    @property
    def left_s(self) -> float | None:
        """About how many seconds are left; None while that cannot be told."""
        if not _GUESS_FROM < self.share < 1:
            return None
        return (time.monotonic() - self.begun) * (1 - self.share) / self.share

    def check(self) -> None:
        """Leave if that is wanted."""
        if self.leave.is_set():
            raise _Left

    def heard(self, done: float, announced: float) -> None:
        """Take the seconds that are done, and those announced."""
        self.share = min(1.0, done / announced) if announced else 0.0
        self.check()


class _Left(Exception):
    """The recording in work is not wanted any more."""


class Desk:
    """Recordings, their queue and their results.

    Args:
        folder: Where they are kept; recordings that waited there wait again.
        load: Makes the denoiser; called once, in the thread, for the first recording.
    """

    def __init__(self, folder: Path, load: Callable[[], Denoiser]) -> None:
        self.store = RowStore(folder)
        self._load = load
        self._denoiser: Denoiser | None = None
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._writing = threading.Lock()
        self._closing = False
        self.work: Work | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def rows(self) -> list[Row]:
        """All rows, in order."""
        with self._lock:
            return list(self.store.rows.values())

    def row(self, number: str) -> Row | None:
        """The row of an id."""
        return self.store.rows.get(number)

    def add(self, path: Path, wish: Wish, own: bool) -> Row:
        """Put a recording at the end of the queue; see `RowStore.made`."""
        return self._listed(self.store.made(path, wish, own))

    def again(self, row: Row, wish: Wish) -> Row:
        """Clean a recording once more: in its row, or in a new one if it has a result, which stays."""
        if row.target:
            return self._listed(self.store.twin(row, wish))
        with self._changed:
            if row.state in FINISHED:
                row.wish, row.state, row.error, row.warnings = wish, "waiting", "", ()
                self.store.save(row)
            self._changed.notify_all()
        return row

    def _listed(self, row: Row) -> Row:
        with self._changed:
            self.store.add(row)
            self._changed.notify_all()
        return row

    def stop(self, row: Row) -> None:
        """Take a recording out of the queue or out of work; it stays in the list."""
        with self._lock:
            if self.work is not None and self.work.row is row:
                self.work.leave.set()
                self.work.step = "stopping"
            elif row.state == "waiting":
                row.state = "stopped"
                self.store.save(row)

    def remove(self, row: Row) -> None:
        """Remove a recording and its result."""
        with self._lock:
            if self.work is not None and self.work.row is row:
                self.work.leave.set()
                self.store.rows.pop(row.id, None)  # its files go when the thread has let go of them
            else:
                self.store.remove(row)

    def remove_finished(self) -> None:
        """Remove every row that neither waits nor is in work."""
        with self._lock:
            for row in self.rows():
                if row.state in FINISHED:
                    self.store.remove(row)

    def wait(self) -> None:
        """Until nothing waits and nothing is in work."""
        with self._changed:
            self._changed.wait_for(lambda: self.work is None and self._next() is None)

    def close(self) -> None:
        """Stop what is running and wait for it; it is begun again by the next desk of this folder."""
        with self._changed:
            self._closing = True
            if self.work is not None:
                self.work.leave.set()
            self._changed.notify_all()
        self._thread.join(_LEAVING_S)

    def report(self, row: Row) -> Path | None:
        """The report page of a result, made when it is asked for first."""
        target = self.store.target_of(row)
        if target is None:
            return None
        path = target.with_name("report.html")
        with self._writing:
            if not path.exists():
                write(path, [self._entry(row, target)], _run_of(target))
        return path

    def _next(self) -> Row | None:
        return next((row for row in self.store.rows.values() if row.state == "waiting"), None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._next() is not None)
                row = self._next()
                if self._closing or row is None:
                    return
                row.state = "working"
                work = self.work = Work(row)
            self._do(work)
            with self._changed:
                self.work = None
                if row.id not in self.store.rows:
                    self.store.remove(row)
                self._changed.notify_all()

    def _do(self, work: Work) -> None:
        row = work.row
        try:
            self._clean(work)
            self._prepare(work)
            row.state = "done"
        except _Left:
            row.state = "waiting" if self._closing else "done" if row.target else "stopped"
        except AudiodiffError as error:
            row.error, row.state = error_text(error, self.store.folder), "failed"
        except OSError as error:
            row.error = f"cannot be stored ({error.strerror}); make room on the disk, then press Clean again"
            row.state = "failed"
        except Exception as error:  # noqa: BLE001  the boundary of the thread: the page must hear of it
            traceback.print_exc()
            row.error = f"internal fault, please report it: {type(error).__name__}: {error}"
            row.state = "failed"
        with contextlib.suppress(OSError):  # a full disk: what the page shows is right all the same
            if row.id in self.store.rows:
                self.store.save(row)

    def _clean(self, work: Work) -> None:
        """The recording's result, unless it was finished before the server ended."""
        row, wish = work.row, work.row.wish
        if row.target:
            return
        if self._denoiser is None:
            self._denoiser = self._load()
        denoiser = Denoiser(
            self._denoiser.model,
            quality=wish.quality,
            strength=wish.strength,
            max_reduction_db=math.inf if wish.max_reduction_db is None else wish.max_reduction_db,
            seed=self._denoiser.seed,
            device=self._denoiser.device,
        )
        work.step, work.begun = "cleaning", time.monotonic()
        work.check()
        source = self.store.source_of(row)
        label = ".denoised" if wish.preview_s is None else ".denoised.preview"
        target = default_target(self.store.folder_of(row) / row.name, label)
        result = denoise_file(source, target, denoiser, _options(wish), work.heard)
        lines = bare_names(result.warnings, source, target)
        row.warnings = tuple(plain(line, self.store.folder) for line in lines)
        row.copied, row.gain_db, row.target = result.status == "copied", result.gain_db, target.name
        self.store.save(row)

    def _prepare(self, work: Work) -> None:
        """What the players read; a result that cannot be heard here is a result all the same."""
        row = work.row
        target = self.store.target_of(row)
        assert target is not None
        work.step, work.share = "preparing the players", 1.0
        folder = target.with_name("listen")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)  # on Windows what is being played stays
        try:
            row.listening = write_listening(self._entry(row, target), folder, work.check)
        except (AudioFileError, OSError):
            row.warnings += ("it cannot be played on this page; download it to hear it",)

    def _entry(self, row: Row, target: Path) -> ReportEntry:
        status: Literal["copied", "done"] = "copied" if row.copied else "done"
        start_s = row.wish.preview_s or 0.0
        return ReportEntry(
            self.store.source_of(row), target, status, row.warnings, start_s=start_s, gain_db=row.gain_db
        )


def _options(wish: Wish) -> Options:
    """What the command would be asked for; a target that is there was never told of, so it is replaced."""
    loudness = None if wish.lufs is None else Target(wish.lufs)
    usual = Options(overwrite=True, tag=True, sidecar=True, loudness=loudness)
    if wish.preview_s is None:
        return usual
    return replace(usual, start_s=wish.preview_s, end_s=wish.preview_s + PREVIEW_S, preview=True)


def _run_of(target: Path) -> ReportRun:
    """What the sidecar of a result tells about its making."""
    made = read_sidecar(target)
    if made is None:
        raise DataError("its notes are gone; press Clean again")
    options = tuple((name.replace("_", " "), str(value)) for name, value in made.options.items())
    started = datetime.fromtimestamp(target.stat().st_mtime).astimezone()
    return ReportRun(
        made.model.name, made.model.sha256 or "", made.model.licence, made.seed, options, started
    )
