"""What to do with many recordings, as plain values that travel to any worker, and the function that does it.

`run_one` never raises for what is wrong with one file: a batch goes on. It looks at the journal, keeps others
away from the target, works, and notes what it did.
"""

from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from audiodiff import __version__
from audiodiff.batch.job import Fault, Options, Progress, Ready, Result, outputs, process_file
from audiodiff.batch.journal import Record, key_of, locked
from audiodiff.batch.preflight import check_sidecar
from audiodiff.batch.vocode_job import Vocoding, announced, output_kind, process_vocoding
from audiodiff.batch.vocode_job import digest_of as digest_of_vocoder
from audiodiff.errors import AudiodiffError, AudioFileError, ModelError
from audiodiff.io.formats import display_path
from audiodiff.io.reader import probe
from audiodiff.io.recording_copy import check_format

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.inference.vocoder import Vocoder
    from audiodiff.model.model import Model

BYTES_FORMAT = 1
"""Counts up when a new audiodiff gives other bytes for the same model and decisions."""

Task: TypeAlias = Callable[[Path, Path, Options, Progress | None, Ready | None], Result]
"""Turns a source into a target."""


@dataclass(frozen=True)
class Cleaning:
    """Decisions for the denoiser, as `Denoiser` and `Denoiser.tuned` explain them.

    Attributes:
        quality: Preset of the model.
        steps: Steps in place of the preset's, or None.
        strength: 0 to 1.
        max_reduction_db: Limit per bin in dB, infinity for none.
        channels: ``each`` or ``linked``.
        seed: Seed of the noise.
        device: Where to compute; does not count as a decision about the result.
        threads: CPU threads of each worker; the same for every number of workers, so that bytes are too.
    """

    quality: Literal["fast", "balanced", "best"] = "balanced"
    steps: int | None = None
    strength: float = 1.0
    max_reduction_db: float = math.inf
    channels: Literal["each", "linked"] = "each"
    seed: int = 0
    device: str = "auto"
    threads: int | None = 1

    def load(self, model: str) -> Denoiser:
        """Make the denoiser.

        Args:
            model: Name of a shipped model or path of a model folder.

        Raises:
            ModelError: The model is missing, damaged or refused.
            ConfigError: A decision is out of range.
        """
        from audiodiff.inference.denoiser import Denoiser

        denoiser = Denoiser(
            model,
            steps=self.steps,
            strength=self.strength,
            seed=self.seed,
            device=self.device,
            threads=self.threads,
        )
        return denoiser.tuned(
            quality=self.quality, max_reduction_db=self.max_reduction_db, channels=self.channels
        )


@dataclass(frozen=True)
class JobSpec:
    """What is done to every recording of a batch; plain values, the same in every worker.

    Attributes:
        settings: Which task, with its decisions.
        model: Name of a shipped model or path of a model folder.
        digest: What identifies the model (`digest_of`); a worker that finds another one refuses.
        options: How to treat files.
    """

    settings: Cleaning | Vocoding
    model: str
    digest: str
    options: Options = field(default_factory=Options)

    @property
    def key(self) -> str:
        """Identifies what is written for a given input, see `journal`."""
        decisions = asdict(self.settings)
        for name in ("device", "threads"):
            del decisions[name]
        files = self.options
        loudness = None if files.loudness is None else asdict(files.loudness)
        return key_of(
            {
                "format": BYTES_FORMAT,
                "task": type(self.settings).__name__,
                "model": self.digest,
                "decisions": decisions,
                "stretch": [files.start_s, files.end_s],
                "residual": files.residual,
                "tag": files.tag,
                "loudness": loudness,
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


def digest_of(model: Model) -> str:
    """Identify a model by its weights and all its settings.

    Args:
        model: A loaded model.

    Returns:
        SHA-256, hex.
    """
    return key_of({"weights": model.digest, "config": model.config.model_dump(mode="json")})


def run_one(spec: JobSpec, item: Item, progress: Progress | None = None) -> Result:
    """Do one recording of a batch, unless it has been done.

    Args:
        spec: What to do.
        item: The recording.
        progress: Called after every finished block.

    Returns:
        What became of it; status ``failed`` with a `Fault` for whatever went wrong with it.
    """
    try:
        return _recorded(spec, item, progress)
    except AudiodiffError as error:
        return failed(item, error.code, str(error))
    except OSError as error:
        line = (
            f"{display_path(item.source)}: {error.strerror or error}; check rights and space of "
            f"{display_path(item.target)}"
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
    """What `run_one` would do without working: the journal and the headers are read, nothing is written.

    Args:
        spec: What to do.
        item: The recording.

    Returns:
        A result with status ``skipped`` or ``failed``, or None if there is work to do.
    """
    options = spec.options
    try:
        look(spec.settings, item.source)
        record = Record(outputs(item.target, options), spec.key)
        standing = record.standing(item.source)
        if standing == "done" or (standing == "foreign" and options.skip_existing):
            return _skipped(item, record)
        if standing == "foreign" and not options.overwrite:
            line = f"{display_path(item.target)}: exists already; use --overwrite or another name"
            return failed(item, "exists", line)
        if standing != "ours":
            check_sidecar(item.target, options)
        if isinstance(spec.settings, Vocoding):
            output_kind(item.target)
        else:
            check_format(probe(item.source), item.target.suffix, options.whole)
    except AudiodiffError as error:
        return failed(item, error.code, str(error))
    return None


def look(settings: Cleaning | Vocoding, source: Path) -> tuple[float, int]:
    """What a source announces.

    Args:
        settings: What will be done with it.
        source: Recording, or for a vocoder also a mel file.

    Returns:
        Seconds and channels.

    Raises:
        AudioFileError: It is not usable.
        MelError: It follows no mel convention.
    """
    if isinstance(settings, Vocoding):
        return announced(source, settings)
    info = probe(source)
    return info.seconds, info.channels


def failed(item: Item, code: str, message: str) -> Result:
    """The result of a recording that went wrong.

    Args:
        item: The recording.
        code: Stable name of the fault.
        message: What to tell; becomes one line.

    Returns:
        The record.
    """
    return Result(item.source, item.target, "failed", fault=Fault(code, " ".join(message.split())))


def _skipped(item: Item, record: Record) -> Result:
    return Result(item.source, item.target, "skipped", seconds=record.seconds, gain_db=record.gain_db)


def _recorded(spec: JobSpec, item: Item, progress: Progress | None) -> Result:
    look(spec.settings, item.source)  # says in plain words what is wrong with it
    options = spec.options
    _make_folder(item.target.parent)
    with locked(item.target):
        record = Record(outputs(item.target, options), spec.key)
        standing = record.standing(item.source)
        if standing == "done" or (standing == "foreign" and options.skip_existing):
            return _skipped(item, record)
        if standing == "ours":
            options = replace(options, overwrite=True)
        decisions = {key: value for key, value in asdict(spec.settings).items() if value != math.inf}
        facts = {"audiodiff": __version__, "model": spec.model, "digest": spec.digest, "decisions": decisions}
        record.begin(item.source, facts)
        result = _task(spec)(item.source, item.target, options, progress, record.ready)
        record.finish(result.seconds, result.warnings, result.gain_db)
        return result


@functools.lru_cache(maxsize=1)
def _task(spec: JobSpec) -> Task:
    """The task of a spec with its model loaded: once in a process."""
    match spec.settings:
        case Cleaning() as cleaning:
            denoiser = cleaning.load(spec.model)
            found, task = digest_of(denoiser.model), _cleaner(denoiser)
        case Vocoding() as vocoding:
            vocoder = vocoding.load(spec.model)
            found, task = digest_of_vocoder(vocoder), _speaker(vocoder, vocoding)
    if found != spec.digest:
        raise ModelError(f"{spec.model}: changed since the batch began; start again", code="changed")
    return task


def _cleaner(denoiser: Denoiser) -> Task:
    def clean(
        source: Path, target: Path, options: Options, progress: Progress | None, ready: Ready | None
    ) -> Result:
        return process_file(source, target, denoiser, options, progress, ready)

    return clean


def _speaker(vocoder: Vocoder, settings: Vocoding) -> Task:
    def speak(
        source: Path, target: Path, options: Options, progress: Progress | None, ready: Ready | None
    ) -> Result:
        return process_vocoding(source, target, (vocoder, settings), options, progress, ready)

    return speak


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioFileError(
            f"{display_path(folder)}: this folder cannot be made ({error.strerror}); choose another with -o",
            code="unwritable",
        ) from None
