"""What to do with many recordings, as plain values that travel to any worker, and the function that does it.

`run_one` never raises for what is wrong with one file: a batch goes on. It looks at the journal, keeps others
away from the target, works, and notes what it did.
"""

from __future__ import annotations

import functools
import math
import traceback
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from audiodiff import __version__
from audiodiff.batch.job import process
from audiodiff.batch.job_options import Fault, Options, Progress, Result
from audiodiff.batch.journal import Record, Standing, key_of
from audiodiff.batch.naming import outputs
from audiodiff.batch.preflight import check_sidecar, replacing
from audiodiff.batch.target_lock import NO_LOCKS, locked
from audiodiff.errors import AudiodiffError, ModelError
from audiodiff.io.folders import made
from audiodiff.io.formats import display_path
from audiodiff.io.output_checks import check_folder, target_exists

if TYPE_CHECKING:
    from audiodiff.batch.denoise_task import DenoiseSettings
    from audiodiff.batch.task import FileTask
    from audiodiff.batch.vocode_task import VocodeSettings

BYTES_FORMAT = 4
"""Counts up when a new audiodiff gives other bytes for the same model and decisions."""


@dataclass(frozen=True)
class JobSpec:
    """What is done to every recording of a batch; plain values, the same in every worker.

    Attributes:
        settings: Which task, with its decisions.
        model: Name of a shipped model or path of a model folder.
        digest: What identifies the model (`FileTask.digest`); a worker that finds another one refuses.
        options: How to treat files.
        run: With ``overwrite``, which command this is (`journal.run_key`): what it finished before it was
            interrupted is not done again.
    """

    settings: DenoiseSettings | VocodeSettings
    model: str
    digest: str
    options: Options = field(default_factory=Options)
    run: str = ""

    @property
    def key(self) -> str:
        """Identifies what is written for a given input, see `journal`."""
        decisions = asdict(self.settings)
        for name in ("device", "threads", "runtime", "allow_code"):  # how, not what
            decisions.pop(name, None)
        if decisions.get("precision") == "float32":  # what was made before there was a choice keeps its key
            del decisions["precision"]
        files = self.options
        loudness = None if files.loudness is None else asdict(files.loudness)
        return key_of(
            {
                "format": BYTES_FORMAT,
                "task": self.settings.task,
                "model": self.digest,
                "decisions": decisions,
                "stretch": [files.start_s, files.end_s],
                "residual": files.residual,
                "tag": files.tag,
                "preview": files.preview,
                "loudness": loudness,
                **files.coding,
            }
        )


@dataclass(frozen=True)
class Item:
    """One recording of a batch.

    Attributes:
        source: Input.
        target: Output.
        name: Its place in the batch, relative and with slashes; decides its shard.
        seconds: Announced duration, 0 if unknown.
        channels: Announced channels.
    """

    source: Path
    target: Path
    name: str
    seconds: float = 0.0
    channels: int = 1


def run_one(spec: JobSpec, item: Item, progress: Progress | None = None) -> Result:
    """Do one recording of a batch, unless it has been done."""
    try:
        return _recorded(spec, item, progress)
    except AudiodiffError as error:
        return failed(item, error.code, str(error))
    except OSError as error:
        line = (
            f"{display_path(item.source)}: {error.strerror or error}; check permissions and free space "
            f"of {display_path(item.target)}"
        )
        return failed(item, "system", line)
    except Exception as error:  # noqa: BLE001  a fault of ours in one file must not stop the others
        traceback.print_exc()
        return failed(
            item,
            "internal",
            f"{display_path(item.source)}: {type(error).__name__}: {error}; please report it",
        )


def foresee(spec: JobSpec, item: Item) -> Result | None:
    """What `run_one` would do without working: the journal and the headers are read, nothing is written."""
    options = spec.options
    try:
        spec.settings.look(item.source)
        check_folder(item.target.parent)
        record = Record(outputs(item.target, options), spec.key, spec.run)
        standing = record.standing(item.source)
        if _is_kept(standing, record, options):
            return _skipped(item, record)
        if standing == "foreign" and not replacing(item.source, item.target, options).overwrite:
            raise target_exists(item.target)
        if standing != "ours":
            check_sidecar(item.target, options)
        spec.settings.check_format(item.source, item.target, options)
    except AudiodiffError as error:
        return failed(item, error.code, str(error))
    return None


def failed(item: Item, code: str, message: str) -> Result:
    """The result of a recording that went wrong."""
    return Result(item.source, item.target, "failed", fault=Fault(code, " ".join(message.split())))


def _is_kept(standing: Standing, record: Record, options: Options) -> bool:
    """Whether what stands at a target stays."""
    return (standing == "done" and record.is_ours) or (standing == "foreign" and options.skip_existing)


def _skipped(item: Item, record: Record) -> Result:
    return Result(item.source, item.target, "skipped", seconds=record.seconds, gain_db=record.gain_db)


def _recorded(spec: JobSpec, item: Item, progress: Progress | None) -> Result:
    spec.settings.look(item.source)  # says in plain words what is wrong with it
    options = spec.options
    if not item.target.parent.is_dir():  # nothing can stand there; what is refused leaves no folder behind
        spec.settings.check(item.source, item.target, options)
    with made(item.target.parent), locked(item.target) as is_held:
        record = Record(outputs(item.target, options), spec.key, spec.run)
        standing = record.standing(item.source)
        if _is_kept(standing, record, options):
            return _skipped(item, record)
        if standing == "ours":
            options = replace(options, overwrite=True)
        decisions = {key: value for key, value in asdict(spec.settings).items() if value != math.inf}
        facts = {"audiodiff": __version__, "model": spec.model, "digest": spec.digest, "decisions": decisions}
        record.begin(item.source, facts)
        result = process(_task(spec), item.source, item.target, options, progress, record)
        if not is_held:
            result = replace(result, warnings=(*result.warnings, NO_LOCKS))
        record.finish(result)
        return result


@functools.lru_cache(maxsize=1)
def _task(spec: JobSpec) -> FileTask:
    """The task of a spec with its model loaded: once in a process."""
    task = spec.settings.load(spec.model)
    if task.digest != spec.digest:
        raise ModelError(f"{spec.model}: changed since the batch began; start again", code="changed")
    return task
