"""Speech from mel files, or from recordings through their mel (copy synthesis).

The output is one channel at the rate of the mel, 16 bits deep unless its suffix asks for something else. Its
tags and a sidecar state that its speech was made by a model or by mel inversion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from audiodiff.batch.flags import Flag
from audiodiff.batch.job import PLAIN, process
from audiodiff.batch.job_options import Options, Progress, Result
from audiodiff.batch.journal import Record, key_of
from audiodiff.batch.preflight import check_length, check_outputs
from audiodiff.batch.sidecar import ModelFact, Sidecar, bare_names, input_fact, output_fact, provenance_line
from audiodiff.batch.task import Status, TaskName
from audiodiff.errors import AudioFileError
from audiodiff.io.bit_rates import output_bit_rate
from audiodiff.io.folders import READABLE
from audiodiff.io.formats import display_path
from audiodiff.io.reader import AtomicWriter, AudioInfo, output_format, probe, read_blocks
from audiodiff.io.recording_copy import TaggedOutput
from audiodiff.io.tag_copy import collect_tags
from audiodiff.model.shipped import INVERSION
from audiodiff.signal.level import MonoMix, mono_mix
from audiodiff.signal.mel_presets import get_convention, names_of

if TYPE_CHECKING:
    from audiodiff.inference.mel_guard import Samples
    from audiodiff.inference.vocoder import Vocoder
    from audiodiff.io.mel_file import Axes, MelFile

MEL_SUFFIXES = frozenset({".npy", ".npz", ".safetensors"})

_PICKLES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


@dataclass(frozen=True)
class VocodeSettings:
    """Decisions for the vocoder, as `Vocoder` explains them.

    Attributes:
        quality: Preset.
        steps: Steps or iterations in place of the preset's, or None.
        mel: Convention of bare mel arrays and of copy synthesis; None to guess, and to take the model's.
        seed: Seed of noise and phases.
        device: Where to compute; does not count as a decision about the result.
        threads: CPU threads of each worker.
        mel_axes: How bare mel arrays lie; None lets their shape tell.
        allow_code: Whether code of the model may run; does not count as a decision either.
    """

    task: ClassVar[TaskName] = "vocode"
    label: ClassVar[str] = ".vocoded"
    ending: ClassVar[str] = ".wav"
    suffixes: ClassVar[frozenset[str]] = READABLE | MEL_SUFFIXES

    quality: Literal["fast", "balanced", "best"] = "balanced"
    steps: int | None = None
    mel: str | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = 1
    mel_axes: Axes | None = None
    allow_code: bool = False

    def load(self, model: str) -> VocodeTask:
        """See `TaskSettings`; the model may also be ``inversion``."""
        from audiodiff.inference.vocoder import Vocoder
        from audiodiff.model.folder import open_model

        vocoder = Vocoder(
            model if model == INVERSION else open_model(model, self.allow_code),
            quality=self.quality,
            steps=self.steps,
            seed=self.seed,
            device=self.device,
            threads=self.threads,
        )
        return VocodeTask(vocoder, self)

    def look(self, source: Path) -> tuple[float, int]:
        """See `TaskSettings`."""
        if is_mel(source):
            found = read(source, self.mel, self.mel_axes)
            return found.spec.span(found.values.shape[1]) / found.spec.sample_rate, 1
        info = probe(source)
        return info.seconds, info.channels

    def check(self, source: Path, target: Path, options: Options) -> None:
        """See `TaskSettings`."""
        if self.mel is not None:
            get_convention(self.mel)
        self.look(source)
        check_outputs(source, target, options)
        self.check_format(source, target, options)

    def check_format(self, source: Path, target: Path, options: Options) -> None:  # noqa: ARG002  any source
        """See `TaskSettings`."""
        output_kind(target, bit_rate=options.bit_rate)


def is_mel(source: Path) -> bool:
    """Whether a path has the suffix of a mel file."""
    suffix = source.suffix.lower()
    if suffix in _PICKLES:
        raise AudioFileError(
            f"{display_path(source)}: {suffix} files are pickles, which are not opened; save a mel as "
            ".npy, and "
            "make a model folder of a DiffWave checkpoint with `audiodiff convert`"
        )
    return suffix in MEL_SUFFIXES


def read(source: Path, preset: str | None, axes: Axes | None) -> MelFile:
    """Read a mel file, see `audiodiff.io.mel_file.read_mel`."""
    from audiodiff.io.mel_file import read_mel

    return read_mel(source, preset, axes)


def output_kind(target: Path, sample_rate: int = 24_000, bit_rate: int = 0) -> tuple[str, str, int]:
    """Container, sample format and bits a second (0 if it is lossless) of an output."""
    info = AudioInfo(target, sample_rate, 1, 0, "WAV", "PCM_16")
    try:
        container, subtype = output_format(info, target.suffix)
        return container, subtype, output_bit_rate(info, subtype, bit_rate)
    except AudioFileError as error:
        raise AudioFileError(str(error), code="format") from None


@dataclass(frozen=True)
class Source:
    """A source that was found usable.

    Attributes:
        info: The recording's header; of a mel file its length and rate, one channel.
        out_rate: Rate of the speech in Hz.
        notes: What was guessed, transposed or will be converted, one line each.
        mel: The mel, None for a recording.
    """

    info: AudioInfo
    out_rate: int
    notes: tuple[str, ...]
    mel: MelFile | None = None


def vocode_file(
    source: Path,
    target: Path,
    task: VocodeTask,
    options: Options = PLAIN,
    progress: Progress | None = None,
    record: Record | None = None,
) -> Result:
    """Make speech of one file; see `job.process`."""
    return process(task, source, target, options, progress, record)


@dataclass(frozen=True)
class VocodeTask:
    """A vocoder for files, and the decisions that it was made of."""

    vocoder: Vocoder
    settings: VocodeSettings

    @property
    def name(self) -> str:
        """See `FileTask`."""
        return self.vocoder.name

    @property
    def digest(self) -> str:
        """See `FileTask`: a model by its weights and settings, the inversion by its iterations."""
        model = self.vocoder.model
        if model is None:
            return key_of({"inversion": self.vocoder.steps})
        return key_of({"weights": model.digest, "config": model.config.model_dump(mode="json")})

    @property
    def on_cpu(self) -> bool:
        """See `FileTask`."""
        return self.vocoder.device == "cpu"

    @property
    def is_slow(self) -> bool:
        """See `FileTask`."""
        return self.vocoder.is_slow

    def seconds_per_second(self) -> float:
        """See `FileTask`."""
        return self.vocoder.speed()

    def check(self, source: Path) -> None:
        """See `FileTask`."""
        self.look(source)

    def remarks(self, sources: Sequence[Path], seconds: float) -> list[str]:
        """See `FileTask`: what happens to recordings, and how long a slow model will take."""
        lines, vocoder, mel = [], self.vocoder, self.settings.mel
        if not all(map(is_mel, sources)):
            spec = vocoder.convention if mel is None else get_convention(mel)
            name = mel or (names_of(spec) or ["the model's own mel"])[0]
            lines.append(f"recordings become one channel at {spec.sample_rate} Hz, through {name}")
        if vocoder.is_slow:
            speed = vocoder.speed()
            about = f", in all about {speed * seconds / 60:.1f} minutes" if seconds else ""
            lines.append(f"{vocoder.steps} steps take {speed:.2g} s a second of speech (measured now){about}")
        return lines

    def look(self, source: Path) -> Source:
        """Everything about a source that can be refused once the vocoder is there."""
        import torch

        from audiodiff.signal.mel import from_linear_mel

        vocoder, settings = self.vocoder, self.settings
        if not is_mel(source):
            info = probe(source)
            spec = vocoder.convention if settings.mel is None else get_convention(settings.mel)
            vocoder.accept(from_linear_mel(torch.ones(spec.n_mels, 8), spec), spec)
            return Source(info, spec.sample_rate, ())
        mel = read(source, settings.mel, settings.mel_axes)
        lines = [mel.note, vocoder.accept(torch.from_numpy(mel.values), mel.spec)]
        notes = tuple(f"{display_path(source)}: {line}" for line in lines if line)
        rate, n_samples = mel.spec.sample_rate, mel.spec.span(mel.values.shape[1])
        return Source(AudioInfo(source, rate, 1, n_samples, "", ""), rate, notes, mel)

    def begin(self, source: Path, target: Path, options: Options) -> VocodeWork:
        """See `FileTask`."""
        check_outputs(source, target, options)
        found = self.look(source)
        check_length(source, found.info.seconds, options)
        return VocodeWork(self, found, target, options, Speech(found, target, options, self.vocoder.name))


class Speech(TaggedOutput):
    """The output of a vocoder: an audio file with the texts of its recording, and who made the speech."""

    def __init__(self, found: Source, target: Path, options: Options, model: str) -> None:
        container, subtype, bits = output_kind(target, found.out_rate, options.bit_rate)
        # No container of its own: texts go over, what belongs to the recording's samples and rate does not.
        info = dataclasses.replace(found.info, n_samples=0, container="", subtype="")
        tags = collect_tags(info, container, provenance_line("vocode", model), whole=False)
        self.notes = tags.notes
        writer = AtomicWriter(target, found.out_rate, 1, container, subtype, options.overwrite, bits)
        super().__init__(target, writer, tags)

    def write(self, samples: Samples) -> None:
        """Append samples [n]."""
        self._writer.write(samples[np.newaxis])


@dataclass
class VocodeWork:
    """One source on its way; see `task.Work`."""

    task: VocodeTask
    found: Source
    target: Path
    options: Options
    output: Speech
    warnings: list[str] = field(default_factory=list)
    status: Status = "done"
    gain_db: float = 0.0
    flags: tuple[Flag, ...] = ()

    @property
    def sample_rate(self) -> int:
        """See `Work`."""
        return self.found.out_rate

    def fill(self, progress: Progress | None) -> None:
        """See `Work`."""
        self.warnings += [*self.found.notes, *self.output.notes]
        for samples in self._speech():
            self.output.write(samples)
            if progress is not None:
                progress(self.output.n_samples / self.found.out_rate, self.found.info.seconds)

    def _speech(self) -> Iterator[Samples]:
        import torch

        found, vocoder = self.found, self.task.vocoder
        if found.mel is not None:
            yield from vocoder.stream([torch.from_numpy(found.mel.values)], found.mel.spec, self._warn)
            return
        mix = MonoMix()
        if found.info.channels > 1:
            with read_blocks(found.info.path) as reader:
                mix = mono_mix(reader)
            if mix.note:
                self._warn(mix.note)
        with read_blocks(found.info.path) as reader:
            blocks = (mix.apply(block.astype(np.float32, copy=False)) for block in reader)
            mel = self.task.settings.mel
            yield from vocoder.resynthesise(blocks, found.info.sample_rate, mel, self._warn)
            if reader.truncated:
                if self.options.strict:
                    raise reader.truncated.refused()
                self.warnings.append(str(reader.truncated))

    def _warn(self, line: str) -> None:
        self.warnings.append(f"{display_path(self.found.info.path)}: {line}")

    def sidecar(self, output_sha256: str) -> Sidecar:
        """See `Work`."""
        vocoder, settings = self.task.vocoder, self.task.settings
        model = vocoder.model
        decisions = {
            name: value
            for name, value in dataclasses.asdict(settings).items()
            if name not in ("device", "threads") and value is not None
        }
        made = AudioInfo(self.target, self.found.out_rate, 1, self.output.n_samples, "", "")
        return Sidecar(
            task="vocode",
            model=ModelFact(
                name=Path(vocoder.name).name,
                sha256=model.digest or None if model else None,
                licence=model.config.licence if model else "no model",
            ),
            options={**decisions, **self.options.coding, "steps": vocoder.steps},
            seed=settings.seed,
            input=input_fact(self.found.info),
            output=output_fact(made, output_sha256),
            warnings=bare_names(self.warnings, self.found.info.path, self.target),
        )
