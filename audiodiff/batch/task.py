"""What a task makes of one file: the part that differs between denoising and vocoding.

`job.process` owns everything that is the same: it opens the output, fills it, writes sidecar and journal
between its completion and its name, and reports. A task decides what is refused, what goes into the output,
and what stands in the sidecar.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeAlias

from audiodiff.batch.flags import Flag
from audiodiff.batch.job_options import Options, Progress
from audiodiff.batch.sidecar import Sidecar
from audiodiff.io.atomic import AtomicFile

Status: TypeAlias = Literal["done", "copied"]
TaskName: TypeAlias = Literal["denoise", "vocode"]


class Output(Protocol):
    """A file on its way to its name: `AtomicWriter`, `MediaWriter` or `RecordingCopy`."""

    @property
    def n_samples(self) -> int: ...  # noqa: D102
    @property
    def clipped(self) -> int: ...  # noqa: D102
    def finish(self) -> AtomicFile: ...  # noqa: D102
    def commit(self) -> None: ...  # noqa: D102


class Work(Protocol):
    """One source on its way to its target; made by `FileTask.begin`, which refused what can be refused."""

    @property
    def sample_rate(self) -> int:
        """Rate of the output in Hz."""
        ...

    @property
    def output(self) -> Output:
        """The output, a context manager; nothing is on the disk before it is entered."""
        ...

    def fill(self, progress: Progress | None) -> None:
        """Write all samples; warnings collect in `warnings`."""
        ...

    @property
    def warnings(self) -> list[str]:
        """Lines for the user, in order."""
        ...

    def sidecar(self, output_sha256: str) -> Sidecar:
        """How the output was made."""
        ...

    @property
    def status(self) -> Status:
        """``copied`` where there was nothing to do."""
        ...

    @property
    def gain_db(self) -> float:
        """Gain for a loudness target."""
        ...

    @property
    def flags(self) -> Sequence[Flag]:
        """What about the whole file wants ears, also told in `warnings`."""
        ...


class FileTask(Protocol):
    """A loaded model that turns files into files."""

    @property
    def digest(self) -> str:
        """Identifies what decides the bytes: weights and settings."""
        ...

    @property
    def name(self) -> str:
        """Name or path of the model."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether the network computes on the CPU."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether the user should know beforehand how long it will take."""
        ...

    def seconds_per_second(self) -> float:
        """Seconds of work for a second of one channel, measured now."""
        ...

    def check(self, source: Path) -> None:
        """Refuse a source that only the loaded model can refuse."""
        ...

    def remarks(self, sources: Sequence[Path], seconds: float) -> list[str]:
        """Lines for the user before the work begins."""
        ...

    def begin(self, source: Path, target: Path, options: Options) -> Work:
        """Make ready for one file."""
        ...


class TaskSettings(Protocol):
    """Decisions of a task: plain values that travel to any worker."""

    task: ClassVar[TaskName]
    label: ClassVar[str]
    """What names of results get beside their inputs, such as ``.denoised``."""
    ending: ClassVar[str]
    """Suffix of results, empty for that of the input."""
    suffixes: ClassVar[frozenset[str]]
    """Of the files that are meant in a folder, in lower case."""

    def load(self, model: str) -> FileTask:
        """Load the model."""
        ...

    def look(self, source: Path) -> tuple[float, int]:
        """Seconds (0 if unknown) and channels that a source announces."""
        ...

    def check(self, source: Path, target: Path, options: Options) -> None:
        """Refuse by header and names what can be refused before a model is loaded."""
        ...

    def check_format(self, source: Path, target: Path, options: Options) -> None:
        """Refuse a target whose suffix names no format that can hold the result."""
        ...
