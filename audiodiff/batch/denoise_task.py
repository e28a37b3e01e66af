"""Cleaning recordings: same length to the sample, rate and channels; same depth in the same container.

Two passes over the input, both block by block: the first measures the level, the second cleans. All audio
tracks of a media file are cleaned where the output is one too, the first one otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from audiodiff.batch import flags
from audiodiff.batch.flags import Flag
from audiodiff.batch.job import PLAIN, process
from audiodiff.batch.job_options import Options, Progress, Result
from audiodiff.batch.journal import Record, key_of
from audiodiff.batch.loudness import Level, levelled, notes
from audiodiff.batch.preflight import beyond, check_length, check_outputs
from audiodiff.batch.sidecar import (
    ModelFact,
    Sidecar,
    bare_names,
    finite,
    input_fact,
    loudness_fact,
    output_fact,
    provenance_line,
)
from audiodiff.batch.stretch import bounded, cut, samples_of
from audiodiff.batch.task import Status, TaskName
from audiodiff.errors import AudioFileError
from audiodiff.io.folders import READABLE
from audiodiff.io.formats import AudioInfo, display_path
from audiodiff.io.reader import BlockReader, Truncated, probe, read_blocks
from audiodiff.io.recording_copy import RecordingCopy, check_format, in_turn
from audiodiff.signal.clipping import ClipMeter
from audiodiff.signal.level import ABSOLUTE_GATE_DB, LevelMeter

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser

Block: TypeAlias = npt.NDArray[np.floating[Any]]

_TRIAL_S = 8.0
"""Seconds of made-up sound by which the speed is measured: one chunk of work."""


@dataclass(frozen=True)
class DenoiseSettings:
    """Decisions for the denoiser, as `Denoiser` explains them.

    Attributes:
        quality: Preset of the model.
        steps: Steps in place of the preset's, or None.
        strength: 0 to 1.
        max_reduction_db: Limit per bin in dB, infinity for none.
        channels: ``each`` or ``linked``.
        seed: Seed of the noise.
        device: Where to compute; does not count as a decision about the result.
        threads: CPU threads of each worker; the same for every number of workers, so that bytes are too.
        runtime: What runs the network; does not count as a decision either.
        precision: ``float32`` or ``int8``, which is one.
        allow_code: Whether code of the model may run; nor does this.
    """

    task: ClassVar[TaskName] = "denoise"
    label: ClassVar[str] = ".denoised"
    ending: ClassVar[str] = ""
    suffixes: ClassVar[frozenset[str]] = READABLE

    quality: Literal["fast", "balanced", "best"] = "balanced"
    steps: int | None = None
    strength: float = 1.0
    max_reduction_db: float = math.inf
    channels: Literal["each", "linked"] = "each"
    seed: int = 0
    device: str = "auto"
    threads: int | None = 1
    runtime: Literal["auto", "onnx", "torch"] = "auto"
    allow_code: bool = False
    precision: Literal["float32", "int8"] = "float32"

    def load(self, model: str) -> DenoiseTask:
        """See `TaskSettings`."""
        from audiodiff.inference.denoiser import Denoiser
        from audiodiff.model.folder import open_model

        return DenoiseTask(
            Denoiser(
                open_model(model, self.allow_code),
                quality=self.quality,
                steps=self.steps,
                strength=self.strength,
                max_reduction_db=self.max_reduction_db,
                channels=self.channels,
                seed=self.seed,
                device=self.device,
                threads=self.threads,
                runtime=self.runtime,
                precision=self.precision,
            )
        )

    def look(self, source: Path) -> tuple[float, int]:
        """See `TaskSettings`."""
        info = probe(source)
        return info.seconds, info.channels

    def check(self, source: Path, target: Path, options: Options) -> None:
        """See `TaskSettings`."""
        check(source, target, options)

    def check_format(self, source: Path, target: Path, options: Options) -> None:
        """See `TaskSettings`."""
        check_format(probe(source), target.suffix, options.whole, options.bit_rate)


def check(source: Path, target: Path, options: Options) -> AudioInfo:
    """Everything that can be refused before a model is loaded."""
    info = probe(source)
    check_outputs(source, target, options)
    try:
        check_format(info, target.suffix, options.whole, options.bit_rate)
    except AudioFileError as error:
        code = "format" if error.code == "unsupported" else error.code
        raise AudioFileError(str(error), code=code) from None
    check_length(source, info.seconds, options)
    if info.n_samples and options.start_s >= info.seconds:
        raise beyond(source, options.start_s, info.seconds)
    return info


def denoise_file(
    source: Path,
    target: Path,
    denoiser: Denoiser,
    options: Options = PLAIN,
    progress: Progress | None = None,
    record: Record | None = None,
) -> Result:
    """Clean one recording; see `job.process`."""
    return process(DenoiseTask(denoiser), source, target, options, progress, record)


@dataclass(frozen=True)
class DenoiseTask:
    """A denoiser for files."""

    denoiser: Denoiser

    @property
    def name(self) -> str:
        """See `FileTask`."""
        return self.denoiser.name

    @property
    def digest(self) -> str:
        """See `FileTask`."""
        model = self.denoiser.model
        return key_of({"weights": model.digest, "config": model.config.model_dump(mode="json")})

    @property
    def on_cpu(self) -> bool:
        """See `FileTask`."""
        return self.denoiser.device == "cpu"

    @property
    def is_slow(self) -> bool:
        """See `FileTask`."""
        return False

    def seconds_per_second(self) -> float:
        """See `FileTask`."""
        rate = self.denoiser.model.sample_rate
        sound = 0.1 * np.random.default_rng(0).standard_normal(round(_TRIAL_S * rate)).astype(np.float32)
        self.denoiser.denoise(sound[: rate // 2], rate)  # the first call prepares things
        started = time.perf_counter()
        self.denoiser.denoise(sound, rate)
        return (time.perf_counter() - started) / _TRIAL_S

    def check(self, source: Path) -> None:
        """See `FileTask`: a denoiser takes every recording."""

    def remarks(self, sources: Sequence[Path], seconds: float) -> list[str]:  # noqa: ARG002  nothing to say
        """See `FileTask`."""
        return []

    def begin(self, source: Path, target: Path, options: Options) -> DenoiseWork:
        """See `FileTask`."""
        info = check(source, target, options)
        line = provenance_line("denoise", self.denoiser.name, *options.kind) if options.tag else None
        output = RecordingCopy(info, target, options.overwrite, line, options.whole, options.bit_rate)
        return DenoiseWork(self.denoiser, info, target, options, output)


@dataclass
class DenoiseWork:
    """One recording on its way; see `task.Work`."""

    denoiser: Denoiser
    info: AudioInfo
    target: Path
    options: Options
    output: RecordingCopy
    warnings: list[str] = field(default_factory=list)
    gains: list[float | None] = field(default_factory=list)
    levels: tuple[Level, ...] = ()
    flags: tuple[Flag, ...] = ()
    clips: list[ClipMeter] = field(default_factory=list)
    meters: list[LevelMeter] = field(default_factory=list)

    @property
    def sample_rate(self) -> int:
        """See `Work`."""
        return self.info.sample_rate

    @property
    def status(self) -> Status:
        """See `Work`."""
        changed = any(gain is not None for gain in self.gains) or any(level.gain_db for level in self.levels)
        return "done" if changed else "copied"

    @property
    def gain_db(self) -> float:
        """See `Work`."""
        return self.levels[0].gain_db if self.levels else 0.0

    def fill(self, progress: Progress | None) -> None:
        """See `Work`: the first pass, then the second."""
        source, denoiser = self.info.path, self.denoiser
        short = self._measure()
        self.warnings += self.output.notes
        if denoiser.strength > 0 and all(gain is None for gain in self.gains):
            self.warnings.append(
                f"{display_path(source)}: holds nothing above {ABSOLUTE_GATE_DB:g} dBFS; its samples were "
                "copied"
            )
        short = self._clean(progress) or short
        if short:
            if self.options.strict:
                raise short.refused()
            self.warnings.append(str(short))
        self.warnings += notes(source, self.levels)
        self.flags = self._flagged()
        told = {"half_missing"} if short else set()  # how much is missing was said just now
        self.warnings += [flag.line(source) for flag in self.flags if flag.code not in told]

    def _flagged(self) -> tuple[Flag, ...]:
        """What the two passes tell about the whole recording."""
        expected_s = max(0.0, min(self.info.seconds, self.options.end_s) - self.options.start_s)
        found = [
            next(filter(None, self._silent_tracks()), None),
            flags.half_missing(self.output.n_samples / self.sample_rate, expected_s),
            flags.clipped_input(sum(clip.runs for clip in self.clips)),
        ]
        return tuple(flag for flag in found if flag is not None)

    def _silent_tracks(self) -> Iterator[Flag | None]:
        """Of every track whose level was measured; that of a mere stretch was not, before it was cleaned."""
        for gain, meter in zip(self.gains, self.meters, strict=True):
            if gain is not None and self.options.whole:
                before_db = self.denoiser.model.level_db - 20 * math.log10(gain)
                yield flags.nearly_silent(before_db, meter.active_db())

    def _measure(self) -> Truncated | None:
        """First pass: the gain of every track; at strength 0 none is needed."""
        n_tracks = len(self.output.infos)
        if self.denoiser.strength == 0:
            self.gains = [None] * n_tracks
            return None
        short = None
        for track in range(n_tracks):
            with read_blocks(self.info.path, track=track) as reader:
                self.clips.append(ClipMeter())
                blocks = _past(self.clips[-1], bounded(reader, self.options))
                self.gains.append(self.denoiser.gain(blocks, reader.info.sample_rate))
                short = short or reader.truncated
        return short

    def _clean(self, progress: Progress | None) -> Truncated | None:
        """Second pass: all tracks, in turn."""
        options, infos, rate = self.options, self.output.infos, self.info.sample_rate
        announced = max(0.0, min(self.info.seconds, options.end_s) - options.start_s)
        with ExitStack() as stack:
            readers: list[BlockReader] = []
            for track, info in enumerate(infos):
                readers.append(read_blocks(self.info.path, dtype=info.exact_dtype, track=track))
                stack.callback(readers[-1].close)
            self.meters = [LevelMeter(info.sample_rate) for info in infos]
            streams = [
                _past(meter, self._cleaned(reader, gain))
                for reader, gain, meter in zip(readers, self.gains, self.meters, strict=True)
            ]
            heard = None if progress is None else (lambda seconds: progress(seconds, announced))
            if options.loudness is not None:
                streams, self.levels = levelled(streams, infos, options.loudness, stack, heard)
                heard = None
            for track, block in in_turn(streams, [each.sample_rate for each in infos]):
                self.output.write(block, track)
                if heard is not None:
                    heard(self.output.n_samples / rate)
        if self.output.n_samples == 0:
            raise beyond(self.info.path, options.start_s, self.info.seconds)
        return next((reader.truncated for reader in readers if reader.truncated), None)

    def _cleaned(self, reader: BlockReader, gain: float | None) -> Iterator[Block]:
        """The part of a track that is wanted, clean."""
        rate = reader.info.sample_rate
        wanted = samples_of(self.options, rate)
        return cut(self.denoiser.stream(bounded(reader, self.options), rate, gain, wanted), *wanted)

    def sidecar(self, output_sha256: str) -> Sidecar:
        """See `Work`."""
        denoiser, options, info = self.denoiser, self.options, self.info
        decisions: dict[str, JsonValue] = {
            **denoiser.decisions,
            **options.coding,
            "start_s": options.start_s,
            "end_s": finite(options.end_s),
        }
        decisions |= {name: True for name in ("preview", "residual") if getattr(options, name)}
        if options.loudness is not None:
            decisions |= {"lufs": options.loudness.lufs, "true_peak": options.loudness.true_peak_db}
        made = AudioInfo(self.target, info.sample_rate, info.channels, self.output.n_samples, "", "")
        return Sidecar(
            task="denoise",
            model=ModelFact(
                name=display_path(Path(Path(denoiser.name).name)),
                sha256=denoiser.model.digest or None,
                licence=denoiser.model.config.licence,
            ),
            options=decisions,
            seed=denoiser.seed,
            input=input_fact(info),
            output=output_fact(made, output_sha256),
            warnings=bare_names(self.warnings, info.path, self.target),
            loudness=tuple(map(loudness_fact, self.levels)),
        )


def _past(meter: ClipMeter | LevelMeter, blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks, each of which the meter takes as it goes by."""
    for block in blocks:
        meter.push(block.astype(np.float32, copy=False))
        yield block
