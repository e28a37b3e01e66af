"""One mel, or one recording for copy synthesis, from file to speech: as `job.process_file`, for vocoders.

The output is one channel at the rate of the mel, 16 bits deep unless its suffix asks for something else. It
tells in its tags, and in a sidecar, that its speech was made by a model or by mel inversion. Nothing here
imports torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from audiodiff.batch.job import Options, Progress, Ready, Result
from audiodiff.batch.journal import key_of
from audiodiff.batch.preflight import check_sidecar
from audiodiff.batch.sidecar import AudioFact, ModelFact, Sidecar, provenance_line, write_sidecar
from audiodiff.errors import AudioFileError
from audiodiff.io.formats import AUDIO_SUFFIXES, display_path
from audiodiff.io.output_checks import check_existing
from audiodiff.io.reader import AtomicWriter, AudioInfo, output_format, probe, read_blocks
from audiodiff.io.tag_copy import CopiedTags, collect_tags
from audiodiff.signal.mel_presets import get_convention

if TYPE_CHECKING:
    from audiodiff.inference.mel_guard import Samples
    from audiodiff.inference.vocoder import Vocoder
    from audiodiff.io.mel_file import MelFile

MEL_SUFFIXES = frozenset({".npy", ".npz", ".safetensors"})
SUFFIXES = AUDIO_SUFFIXES | MEL_SUFFIXES
"""What a vocoder reads, in lower case."""

ENDING = ".wav"
"""Suffix of outputs that are not named."""

PLAIN = Options()
"""Nothing special."""

_PICKLES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


@dataclass(frozen=True)
class Vocoding:
    """Decisions for the vocoder, as `Vocoder` explains them.

    Attributes:
        quality: Preset.
        steps: Steps or iterations in place of the preset's, or None.
        mel: Convention of bare mel arrays and of copy synthesis; None to guess, and to take the model's.
        seed: Seed of noise and phases.
        device: Where to compute; does not count as a decision about the result.
        threads: CPU threads of each worker.
    """

    quality: Literal["fast", "balanced", "best"] = "balanced"
    steps: int | None = None
    mel: str | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = 1

    def load(self, model: str) -> Vocoder:
        """Make the vocoder.

        Args:
            model: ``inversion``, name of a shipped model or path of a model folder.

        Raises:
            ModelError: The model is missing, damaged, refused, or no vocoder.
            ConfigError: A decision is out of range.
        """
        from audiodiff.inference.vocoder import Vocoder

        return Vocoder(model, self.steps, self.quality, self.seed, self.device, self.threads)


@dataclass(frozen=True)
class Found:
    """A source that was found usable.

    Attributes:
        source: Mel file or recording.
        sample_rate: Its rate, of a mel that of its convention, in Hz.
        seconds: Announced duration.
        channels: Announced channels.
        out_rate: Rate of the speech in Hz.
        notes: What was guessed, transposed or will be converted, one line each.
        mel: The mel, None for a recording.
    """

    source: Path
    sample_rate: int
    seconds: float
    channels: int
    out_rate: int
    notes: tuple[str, ...]
    mel: MelFile | None = None


def digest_of(vocoder: Vocoder) -> str:
    """Identify what makes the speech: a model by its weights and settings, the inversion by its iterations.

    Args:
        vocoder: Ready to work.

    Returns:
        SHA-256, hex.
    """
    model = vocoder.model
    if model is None:
        return key_of({"inversion": vocoder.steps})
    return key_of({"weights": model.digest, "config": model.config.model_dump(mode="json")})


def announced(source: Path, settings: Vocoding) -> tuple[float, int]:
    """Seconds and channels of a source, as far as they can be told without work.

    Args:
        source: Mel file or recording.
        settings: Decisions.

    Returns:
        Seconds (0 if a header does not tell) and channels.

    Raises:
        AudioFileError: It cannot be read.
        MelError: It follows no convention, or not the one that was named.
    """
    if is_mel(source):
        found = read(source, settings.mel)
        return found.spec.span(found.values.shape[1]) / found.spec.sample_rate, 1
    info = probe(source)
    return info.seconds, info.channels


def is_mel(source: Path) -> bool:
    """Whether a path has the suffix of a mel file.

    Args:
        source: Any path.

    Raises:
        AudioFileError: It has that of a pickle.
    """
    suffix = source.suffix.lower()
    if suffix in _PICKLES:
        raise AudioFileError(
            f"{display_path(source)}: {suffix} files are pickles, which are not opened; save a mel as "
            ".npy, and "
            "make a model folder of a DiffWave checkpoint with `audiodiff convert`"
        )
    return suffix in MEL_SUFFIXES


def read(source: Path, preset: str | None) -> MelFile:
    """Read a mel file, see `audiodiff.io.mel_file.read_mel`."""
    from audiodiff.io.mel_file import read_mel

    return read_mel(source, preset)


def check_source(source: Path, settings: Vocoding) -> None:
    """Refuse a source by its name or its header, before a model is loaded.

    Args:
        source: Mel file or recording.
        settings: Decisions.

    Raises:
        AudioFileError: It cannot be read.
        MelError: Unknown convention.
    """
    if settings.mel is not None:
        get_convention(settings.mel)
    announced(source, settings)


def check_target(source: Path, target: Path, overwrite: bool) -> None:
    """Refuse a target before any work.

    Args:
        source: Input.
        target: Output.
        overwrite: Whether it may be replaced.

    Raises:
        AudioFileError: Codes ``same_file``, ``exists``, ``unwritable``, ``format``.
    """
    if target.exists() and source.exists() and target.samefile(source):
        line = (
            f"{display_path(target)}: is the input itself, which is never overwritten; name another file "
            "with -o"
        )
        raise AudioFileError(line, code="same_file")
    check_existing(target, overwrite)
    if not target.parent.is_dir():
        line = f"{display_path(target.parent)}: is not an existing folder; make it first"
        raise AudioFileError(line, code="unwritable")
    output_kind(target)


def process_vocoding(
    source: Path,
    target: Path,
    work: tuple[Vocoder, Vocoding],
    options: Options = PLAIN,
    progress: Progress | None = None,
    ready: Ready | None = None,
) -> Result:
    """Make speech of one mel file, or of one recording through its mel.

    Args:
        source: Input; never changed. The channels of a recording are mixed to one.
        target: Output; appears when it is whole, or not at all.
        work: The vocoder and the decisions that it was made of.
        options: How to treat files; a vocoder has no use for a stretch or a residual.
        progress: Called after every finished block.
        ready: Called for the sidecar and the output before each gets its name.

    Returns:
        What became of it; what was guessed, transposed or converted is among the warnings.

    Raises:
        AudioFileError: The input is unusable, or the target is refused or not writable.
        MelError: The mel follows no convention, or not one that the vocoder takes.
        ShapeError: The mel spans no sample.
        ModelError: A model of waveforms gave NaN or infinity.
    """
    started = time.monotonic()
    vocoder, settings = work
    check_target(source, target, options.overwrite)
    check_sidecar(target, options)
    found = look_closely(source, vocoder, settings)
    if found.seconds > options.max_hours * 3600:
        most = f"{options.max_hours:g} hours"
        line = f"{display_path(source)}: longer than {most}; split it or raise --max-hours"
        raise AudioFileError(line, code="too_long")
    container, subtype = output_kind(target, found.out_rate)
    copied = _copied_tags(found, container, vocoder)
    warnings = [*found.notes, *copied.notes]

    def finish(fd: int) -> None:
        copied.write_to(target, fd)
        if writer.clipped:
            clipped = f"{writer.clipped} samples beyond full scale were clipped"
            warnings.append(f"{display_path(target)}: {clipped}")
        if options.sidecar:
            _tell(found, target, fd, work, writer.n_samples, warnings, ready)
        if ready is not None:
            ready(target, fd)

    writer = AtomicWriter(target, found.out_rate, 1, container, subtype, options.overwrite, finish)
    with writer:
        writer.describe(copied.strings)
        for block in _speech(found, vocoder, settings, options, warnings):
            writer.write(block[np.newaxis])
            if progress is not None:
                progress(writer.n_samples / found.out_rate, found.seconds)
    seconds = writer.n_samples / found.out_rate
    return Result(source, target, "done", tuple(warnings), seconds, time.monotonic() - started)


def look_closely(source: Path, vocoder: Vocoder, settings: Vocoding) -> Found:
    """Everything that can be refused once the vocoder is there.

    Args:
        source: Mel file or recording.
        vocoder: Ready to work.
        settings: The decisions that it was made of.

    Returns:
        What was found.

    Raises:
        AudioFileError: The source is unusable.
        MelError: The mel follows no convention, or not one that the vocoder takes.
        ShapeError: The mel spans no sample.
    """
    import torch

    from audiodiff.signal.mel import from_linear_mel

    if not is_mel(source):
        info = probe(source)
        spec = vocoder.convention if settings.mel is None else get_convention(settings.mel)
        vocoder.accept(from_linear_mel(torch.ones(spec.n_mels, 8), spec), spec)
        return Found(source, info.sample_rate, info.seconds, info.channels, spec.sample_rate, ())
    mel = read(source, settings.mel)
    lines = [mel.note, vocoder.accept(torch.from_numpy(mel.values), mel.spec)]
    notes = tuple(f"{display_path(source)}: {line}" for line in lines if line)
    rate = mel.spec.sample_rate
    return Found(source, rate, mel.spec.span(mel.values.shape[1]) / rate, 1, rate, notes, mel)


def _speech(
    found: Found, vocoder: Vocoder, settings: Vocoding, options: Options, warnings: list[str]
) -> Iterator[Samples]:
    import torch

    def warn(line: str) -> None:
        warnings.append(f"{display_path(found.source)}: {line}")

    if found.mel is not None:
        yield from vocoder.stream([torch.from_numpy(found.mel.values)], found.mel.spec, warn)
        return
    with read_blocks(found.source) as reader:
        blocks = (block.astype(np.float32, copy=False) for block in reader)
        yield from vocoder.resynthesise(blocks, found.sample_rate, settings.mel, warn)
        if reader.truncated:
            if options.strict:
                raise AudioFileError(f"{reader.truncated}; not with --strict", code="truncated")
            warnings.append(str(reader.truncated))


def output_kind(target: Path, sample_rate: int = 24_000) -> tuple[str, str]:
    """Container and sample format of an output.

    Args:
        target: The output.
        sample_rate: Its rate in Hz, as far as it is known.

    Returns:
        (container, subtype) for `AtomicWriter`.

    Raises:
        AudioFileError: Code ``format``: its suffix names no format, or one that cannot hold the rate.
    """
    try:
        return output_format(AudioInfo(target, sample_rate, 1, 0, "WAV", "PCM_16"), target.suffix)
    except AudioFileError as error:
        raise AudioFileError(str(error), code="format") from None


def _copied_tags(found: Found, container: str, vocoder: Vocoder) -> CopiedTags:
    """The texts of a recording, and a line of what made its speech anew."""
    # No container of its own: texts go over, what belongs to the recording's samples and rate does not.
    info = AudioInfo(found.source, found.sample_rate, found.channels, 0, "", "")
    return collect_tags(info, container, provenance_line("vocode", vocoder.name), whole=False)


def _tell(
    found: Found,
    target: Path,
    descriptor: int,
    work: tuple[Vocoder, Vocoding],
    n_samples: int,
    warnings: list[str],
    ready: Ready | None,
) -> None:
    """Write the sidecar of a whole output that has no name yet."""
    vocoder, settings = work
    licence = "no model" if vocoder.model is None else vocoder.model.config.licence
    options = {
        name: value
        for name, value in dataclasses.asdict(settings).items()
        if name not in ("device", "threads") and value is not None
    }
    sidecar = Sidecar(
        task="vocode",
        model=ModelFact(name=Path(vocoder.name).name, sha256=digest_of(vocoder), licence=licence),
        options={**options, "steps": vocoder.steps},
        seed=settings.seed,
        input=AudioFact(
            name=display_path(Path(found.source.name)),
            sha256=_sha256(found.source),
            seconds=found.seconds,
            sample_rate=found.sample_rate,
            channels=found.channels,
        ),
        output=AudioFact(
            name=display_path(Path(target.name)),
            sha256=_sha256(descriptor),
            seconds=n_samples / found.out_rate,
            sample_rate=found.out_rate,
            channels=1,
        ),
        warnings=tuple(warnings),
    )
    write_sidecar(target, sidecar, ready)


def _sha256(file: Path | int) -> str:
    """Of a path, or of all that an open descriptor has."""
    if isinstance(file, int):
        os.lseek(file, 0, os.SEEK_SET)
    with open(file, "rb", closefd=not isinstance(file, int)) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
