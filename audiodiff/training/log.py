"""The record of a training: JSON lines in a file, a bar on a terminal.

Every line of the log has a ``kind``: ``start``, ``step`` (means over the steps since the last such line),
``valid``, ``note`` and ``end``. A resumed run cuts the file back to where its checkpoint stood, so that no
step appears twice.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from audiodiff.errors import DataError

if TYPE_CHECKING:
    from audiodiff.training.loop import StepRecord
    from audiodiff.training.mirrors import Mirror


class RunLog:
    """An append-only JSON-lines file, one flushed line an entry.

    Attributes:
        mirrors: What else takes every entry from here on; closed with the log.
    """

    def __init__(self, path: Path | None, keep_bytes: int = 0) -> None:
        """Open the log and cut it to its first `keep_bytes` bytes (0: start anew)."""
        self._file: BinaryIO = io.BytesIO() if path is None else path.open("ab")
        self._file.truncate(min(keep_bytes, self._file.tell()))
        self._file.seek(0, 2)
        self.mirrors: list[Mirror] = []

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """Append one entry and flush it."""
        self._file.write(json.dumps({"kind": kind, **values}).encode() + b"\n")
        self._file.flush()
        for mirror in self.mirrors:
            mirror.write(kind, values)

    @property
    def n_bytes(self) -> int:
        """Length of the file now."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        for mirror in self.mirrors:
            mirror.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the entries of a log; a last line cut short by a crash is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the log.jsonl of a run") from error
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise DataError(f"{path}: line {number} is not JSON; remove that line") from error
    return entries


def summary(records: Sequence[StepRecord]) -> dict[str, Any]:
    """Means over some steps, ready for the log."""
    n = len(records)
    wall = sum(record.wall_s for record in records)
    trivial = [record.trivial for record in records if record.trivial is not None]
    return {
        "step": records[-1].step,
        "loss": sum(record.loss for record in records) / n,
        "terms": {name: sum(record.terms[name] for record in records) / n for name in records[-1].terms},
        "trivial": sum(trivial) / len(trivial) if trivial else None,
        "lr": records[-1].lr,
        "grad_norm": sum(record.grad_norm for record in records) / n,
        "audio_per_s": sum(record.audio_s for record in records) / max(wall, 1e-9),
        "data_wait": sum(record.wait_s for record in records) / max(wall, 1e-9),
        "minutes": records[-1].minutes,
    }


def tell_scores(entry: Mapping[str, Any]) -> None:
    """Print the scores of a validation on stderr, each beside that of what the model was given."""
    noisy = entry["noisy"]
    names = {"si_sdr": "SI-SDR {:.1f} dB (from {:.1f})", "pesq_wb": "PESQ-WB {:.2f} (from {:.2f})"}
    names["estoi"] = "ESTOI {:.2f} (from {:.2f})"
    words = [
        text.format(entry[name], noisy[name])
        for name, text in names.items()
        if {name} <= entry.keys() & noisy
    ]
    with contextlib.suppress(OSError, ValueError, AttributeError):  # the terminal was closed, or never was
        sys.stderr.write(f"step {entry['step']}: {', '.join(words) or 'nothing could be scored'}\n")


class Bar:
    """A progress bar on stderr, only where stderr is a terminal; otherwise every call does nothing."""

    def __init__(self, total: int, wanted: bool = True) -> None:
        """Prepare a bar over `total` steps, unless it is not wanted."""
        self._total = total
        self._wanted = wanted
        self._progress: Any = None

    def __enter__(self) -> Self:
        if self._wanted and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._progress.start()
            self._progress.add_task("", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            with contextlib.suppress(OSError):  # the terminal was closed: the checkpoint must still be made
                self._progress.stop()

    def show(self, record: StepRecord) -> None:
        """Move the bar to a record's step; names the loss and the seconds of audio a second."""
        if self._progress is not None:
            rate = record.audio_s / max(record.wall_s, 1e-9)
            text = f"loss {record.loss:.4f}, {rate:.0f} s audio/s"
            with contextlib.suppress(OSError):
                self._progress.update(0, completed=record.step, description=text)
