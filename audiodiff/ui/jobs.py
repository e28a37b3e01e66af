"""What the page does with recordings: one job at a time, in a thread, on files of a folder of its own."""

from __future__ import annotations

import secrets
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import default_target
from audiodiff.errors import AudiodiffError, AudioFileError
from audiodiff.inference.arguments import Quality
from audiodiff.inference.denoiser import Denoiser
from audiodiff.io.formats import AUDIO_SUFFIXES
from audiodiff.io.reader import AudioInfo, probe
from audiodiff.report import ReportEntry, fragment

PREVIEW_S = 20.0

_LONGEST_NAME = 150
_LEAVING_S = 5.0

State: TypeAlias = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Recording:
    """A recording that was dropped or named.

    Attributes:
        path: Where it is.
        info: Its header.
        own: Whether it is a copy in the page's folder; otherwise the result is saved beside it.
    """

    path: Path
    info: AudioInfo
    own: bool


@dataclass(frozen=True)
class Wish:
    """What to do with a recording.

    Attributes:
        strength: 0 to 1.
        quality: Preset of the model.
        preview_s: Second at which a preview starts; None cleans the whole recording.
        overwrite: Whether a result beside the recording may be replaced.
    """

    strength: float
    quality: Quality
    preview_s: float | None = None
    overwrite: bool = False


@dataclass
class Job:
    """A job and how far it is.

    Attributes:
        state: What became of it.
        share: Part that is done, 0 to 1.
        step: What is being done.
        error: Why it failed.
        html: Its recording as a piece of a page.
        result: The output of a whole recording.
        saved: Whether the output lies beside the recording.
    """

    state: State = "running"
    share: float = 0.0
    step: str = "loading the model"
    error: str = ""
    html: str = ""
    result: Path | None = None
    saved: bool = False
    leave: threading.Event = field(default_factory=threading.Event)


class Busy(AudiodiffError):
    """Another job is running."""

    default_code = "busy"


class _Left(Exception):
    """The user does not want the job any more."""


class Desk:
    """Recordings and jobs of one page.

    Args:
        folder: For copies and results; the caller removes it.
        load: Makes the denoiser; called once, in the thread of the first job.
    """

    def __init__(self, folder: Path, load: Callable[[], Denoiser]) -> None:
        self._folder = folder
        self._load = load
        self._denoiser: Denoiser | None = None
        self._recordings: dict[str, Recording] = {}
        self._jobs: dict[str, Job] = {}
        self._thread: threading.Thread | None = None

    def place_for(self, name: str) -> Path:
        """Where to put a recording that is sent."""
        cleaned = "".join("_" if c in "/\\:\0" else c for c in name).lstrip(".")
        stem, suffix = Path(cleaned).stem, Path(cleaned).suffix
        if suffix.lower() not in AUDIO_SUFFIXES:
            known = " ".join(sorted(AUDIO_SUFFIXES))
            line = f"{cleaned or 'the file'}: not a name of an audio file; expected one of {known}"
            raise AudioFileError(line, code="unsupported")
        short = stem.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir()
        return folder / f"{short or 'recording'}{suffix}"

    def add(self, path: Path, own: bool) -> str:
        """Take a recording."""
        recording = Recording(path, probe(path), own)
        number = secrets.token_hex(8)
        self._recordings[number] = recording
        return number

    def recording(self, number: str) -> Recording | None:
        """The recording of a number."""
        return self._recordings.get(number)

    def job(self, number: str) -> Job | None:
        """The job of a number."""
        return self._jobs.get(number)

    def start(self, recording: Recording, wish: Wish) -> str:
        """Begin a job."""
        if self._thread is not None and self._thread.is_alive():
            raise Busy("another job is running; wait for it or stop it")
        number, job = secrets.token_hex(8), Job()
        self._jobs[number] = job
        self._thread = threading.Thread(target=self._run, args=(job, recording, wish), daemon=True)
        self._thread.start()
        return number

    def close(self) -> None:
        """Stop what is running and wait for it, so that no file is left half written."""
        for job in self._jobs.values():
            job.leave.set()
        if self._thread is not None:
            self._thread.join(_LEAVING_S)

    def _run(self, job: Job, recording: Recording, wish: Wish) -> None:
        try:
            self._work(job, recording, wish)
            job.state = "done"
        except _Left:
            job.state = "cancelled"
        except AudiodiffError as error:
            job.error, job.state = str(error), "failed"
        except Exception as error:  # noqa: BLE001  the boundary of the thread: the page must hear of it
            traceback.print_exc()
            job.error = f"internal fault, please report it: {type(error).__name__}: {error}"
            job.state = "failed"

    def _work(self, job: Job, recording: Recording, wish: Wish) -> None:
        if self._denoiser is None:
            self._denoiser = self._load()
        denoiser = Denoiser(
            self._denoiser.model,
            quality=wish.quality,
            strength=wish.strength,
            seed=self._denoiser.seed,
            device=self._denoiser.device,
        )

        def progress(done: float, announced: float) -> None:
            job.share = min(1.0, done / announced) if announced else 0.0
            if job.leave.is_set():
                raise _Left

        job.step = "cleaning"
        if wish.preview_s is None:
            target = self._target(recording)
            result = denoise_file(
                recording.path, target, denoiser, Options(overwrite=wish.overwrite), progress
            )
            job.result, job.saved = target, not recording.own
            start_s = 0.0
        else:
            start_s = wish.preview_s
            target = self._folder / secrets.token_hex(8)
            target.mkdir()
            target = target / f"preview{recording.path.suffix}"
            options = Options(start_s=start_s, end_s=start_s + PREVIEW_S)
            result = denoise_file(recording.path, target, denoiser, options, progress)
        job.step = "drawing"
        entry = ReportEntry(recording.path, target, result.status, result.warnings, start_s=start_s)
        title = "Result" if wish.preview_s is None else "Preview"
        job.html = fragment(entry, title, paths=job.saved)

    def _target(self, recording: Recording) -> Path:
        if not recording.own:
            return default_target(recording.path, None)
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir()
        return folder / default_target(recording.path, None).name
