"""One file from source to target: every command, worker and engine calls `process`.

The target appears only when it is whole; the input is never opened for writing. Nothing here imports torch.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from audiodiff.batch.job_options import Options, Progress, Result
from audiodiff.batch.journal import Record
from audiodiff.batch.naming import residual_path, sidecar_path
from audiodiff.batch.preflight import check_outputs, check_unchanged, fingerprint, replacing
from audiodiff.batch.residual import write_residual
from audiodiff.batch.sidecar import Sidecar, provenance_line
from audiodiff.io.atomic import AtomicFile, flush_together
from audiodiff.io.folders import made
from audiodiff.io.formats import display_path
from audiodiff.io.output_checks import writing_failed

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
        file = work.output.finish()
        if work.output.clipped:
            work.warnings.append(_clipped(target, work.output.clipped))
        residual = residual_path(target) if options.residual else None
        result = Result(
            source,
            target,
            work.status,
            tuple(work.warnings),
            work.output.n_samples / work.sample_rate,
            residual=residual,
            gain_db=work.gain_db,
            flags=tuple(work.flags),
        )
        sidecar = work.sidecar(file.sha256) if options.sidecar else None
        _bring_to_disk(file, result, sidecar, record)
        work.output.commit()
    if residual is not None:
        line = provenance_line("denoise", task.name, *options.kind, "residual") if options.tag else None
        clipped = write_residual(source, target, residual, options, record, line)
        if clipped:
            work.warnings.append(_clipped(residual, clipped))
        check_unchanged(source, before)
    return replace(result, warnings=tuple(work.warnings), elapsed_s=time.monotonic() - started)


def _bring_to_disk(file: AtomicFile, result: Result, sidecar: Sidecar | None, record: Record | None) -> None:
    """Output, sidecar and the record of both together; then the sidecar gets its name."""
    path = sidecar_path(result.target)
    files = {result.target: file}
    with AtomicFile(path.parent) if sidecar is not None else nullcontext() as beside:
        if sidecar is not None and beside is not None:
            beside.write(sidecar.to_bytes())
            files[path] = beside
        try:
            if record is None:
                flush_together(files.values())
            else:
                record.ready(files, result)
        except OSError as error:
            raise writing_failed(result.target, error.strerror or str(error)) from error
        if beside is not None:
            beside.name(path, replace=True)


def _clipped(path: Path, count: int) -> str:
    return f"{display_path(path)}: {count} samples beyond full scale were clipped"
