"""One file from source to target: every command, worker and engine calls `process`.

The target appears only when it is whole; the input is never opened for writing. Nothing here imports torch.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from audiodiff.batch.job_options import Options, Progress, Result
from audiodiff.batch.journal import Record
from audiodiff.batch.naming import residual_path
from audiodiff.batch.preflight import check_outputs, check_unchanged, fingerprint, replacing
from audiodiff.batch.residual import write_residual
from audiodiff.batch.sidecar import provenance_line, write_sidecar
from audiodiff.io.byte_edit import sha256_of
from audiodiff.io.folders import made
from audiodiff.io.formats import display_path

if TYPE_CHECKING:
    from audiodiff.batch.task import FileTask

PLAIN = Options()
"""Nothing special."""


def process(
    task: FileTask,
    source: Path,
    target: Path,
    options: Options = PLAIN,
    progress: Progress | None = None,
    record: Record | None = None,
) -> Result:
    """Do one file; the folder of its target is made when everything has been looked at."""
    started = time.monotonic()
    asked, options = options, replacing(source, target, options)
    work = task.begin(source, target, options)
    before = fingerprint(source)
    with made(target.parent), cast(AbstractContextManager[object], work.output):
        work.fill(progress)
        check_unchanged(source, before)
        if asked is not options:  # the old preview may have become something else meanwhile
            check_outputs(source, target, asked)
        fd = work.output.finish()
        if work.output.clipped:
            work.warnings.append(_clipped(target, work.output.clipped))
        if options.sidecar:
            write_sidecar(target, work.sidecar(sha256_of(fd)), record)
        if record is not None:
            record.ready(target, fd)
        work.output.commit()
    residual = residual_path(target) if options.residual else None
    if residual is not None:
        line = provenance_line("denoise", task.name, *options.kind, "residual") if options.tag else None
        clipped = write_residual(source, target, residual, options, record, line)
        if clipped:
            work.warnings.append(_clipped(residual, clipped))
        check_unchanged(source, before)
    return Result(
        source,
        target,
        work.status,
        tuple(work.warnings),
        work.output.n_samples / work.sample_rate,
        time.monotonic() - started,
        residual,
        gain_db=work.gain_db,
        flags=tuple(work.flags),
    )


def _clipped(path: Path, count: int) -> str:
    return f"{display_path(path)}: {count} samples beyond full scale were clipped"
