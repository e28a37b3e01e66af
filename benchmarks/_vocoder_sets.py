"""What `vocoder.py` scores on: recordings with mels of their own, damaged or not, or with predicted mels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch.nn import functional

from audiodiff.errors import AudioFileError, MelError
from audiodiff.evaluation.voicing import Voicing, track
from audiodiff.io.mel_file import read_mel
from audiodiff.signal.counter_noise import gaussian
from audiodiff.signal.mel import MelSpec, mel, to_linear_mel
from audiodiff.signal.mel_inversion import length
from audiodiff.signal.resample import resample

Damage = Callable[[torch.Tensor, int], torch.Tensor]
"""Log mel [M, N] in nepers and a seed to a damaged one."""

AUDIO = {".wav", ".flac"}
MELS = {".npz", ".safetensors"}
"""Mel files that bear their convention."""


@dataclass(frozen=True)
class Clip:
    """A recording, cut to the length that its mel spans, the mel to speak, and what is measured once."""

    samples: NDArray[np.float32]
    values: torch.Tensor
    voicing: Voicing


@dataclass(frozen=True)
class Set:
    """Clips of one convention, what is done to their mels, and a line that tells of them."""

    title: str
    spec: MelSpec
    clips: list[Clip]
    damages: dict[str, Damage]

    @property
    def seconds(self) -> float:
        return sum(clip.samples.size for clip in self.clips) / self.spec.sample_rate


def clean(log_mel: torch.Tensor, _seed: int) -> torch.Tensor:
    return log_mel


def noisy(log_mel: torch.Tensor, seed: int) -> torch.Tensor:
    noise = torch.from_numpy(gaussian(seed, 0, 0, 0, log_mel.numel()))
    return log_mel + 0.2 * noise.reshape(log_mel.shape)


def blurred(log_mel: torch.Tensor, _seed: int) -> torch.Tensor:
    padded = functional.pad(log_mel[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(padded, 3, 1)[0, 0]


DAMAGES: dict[str, Damage] = {
    "clean mels": clean,
    "mels + N(0, 0.2) neper": noisy,
    "mels, 3 x 3 blur": blurred,
}


def recordings(folder: Path, spec: MelSpec, at_most: int | None, damages: list[str]) -> Set:
    """A set of recordings, each with the mel of its own.

    Raises:
        MelError: Damages are wanted of a mel that is not in natural logarithms.
        AudioFileError: There is no recording.
    """
    if damages and (spec.log != "ln" or (spec.mean, spec.std) != (0, 1)):
        raise MelError(
            "damages are defined on natural logarithms, this convention has others; use --mels none"
        )
    clips = []
    for path in _files(folder, AUDIO)[:at_most]:
        x = _mono(path, spec.sample_rate)
        values = mel(torch.from_numpy(x), spec)
        clips.append(_clip(x, values, spec))
    return _described(folder.name, spec, clips, {name: DAMAGES[name] for name in damages})


def predictions(folder: Path, references: Path, at_most: int | None) -> Set:
    """A set of predicted mels with the recordings of the same names.

    Raises:
        MelError: The mels are of several conventions, or not as long as their recordings to a frame.
        AudioFileError: There is no mel, or one without its recording.
    """
    natural = {path.stem: path for path in _files(references, AUDIO)}
    clips, apart, uneven = [], [], 0
    spec: MelSpec | None = None
    for path in _files(folder, MELS)[:at_most]:
        found = read_mel(path, None)
        spec = spec or found.spec
        if found.spec.fingerprint != spec.fingerprint:
            raise MelError(f"{path}: not of the convention of the mels before it; score them apart")
        if path.stem not in natural:
            raise AudioFileError(f"{references}: holds no recording {path.stem}; add it or remove {path}")
        x = _mono(natural[path.stem], spec.sample_rate)
        true, values = mel(torch.from_numpy(x), spec), torch.from_numpy(found.values)
        lengths = (values.shape[1], true.shape[1])
        if abs(lengths[0] - lengths[1]) > 1:
            line = "{} frames, its recording {}; predict with the recording's own durations".format(*lengths)
            raise MelError(f"{path}: {line}")
        uneven += lengths[0] != lengths[1]
        values, true = values[:, : min(lengths)], true[:, : min(lengths)]
        apart.append(_apart(values, true, spec))
        clips.append(_clip(x, values, spec))
    if spec is None:
        raise AudioFileError(f"{folder}: holds no {' or '.join(sorted(MELS))} files; predict them first")
    name = f"predicted mels {folder.name}, log mel L1 {np.mean(apart):.3f} from those of the recordings"
    if uneven:
        name += f", {uneven} trimmed by a frame"
    return _described(name, spec, clips, {"predicted mels": clean})


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in suffixes)


def _mono(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """The first channel [T] at that rate."""
    x, rate = soundfile.read(path, dtype="float32", always_2d=True)
    first: NDArray[np.float32] = resample(np.ascontiguousarray(x.T[:1]), rate, sample_rate)[0]
    return first


def _clip(x: NDArray[np.float32], values: torch.Tensor, spec: MelSpec) -> Clip:
    x = x[: length(spec, values.shape[-1])]
    return Clip(x, values, track(x, spec.sample_rate))


def _apart(values: torch.Tensor, true: torch.Tensor, spec: MelSpec) -> float:
    """Mean distance in nepers, as `audiodiff.evaluation.spectral.log_mel_l1` has it."""
    first, second = (to_linear_mel(x, spec).clamp_min(spec.floor).log() for x in (values, true))
    return float((first - second).abs().mean())


def _described(name: str, spec: MelSpec, clips: list[Clip], damages: dict[str, Damage]) -> Set:
    if not clips:
        raise AudioFileError(f"{name}: holds no {' or '.join(sorted(AUDIO))} files")
    found = Set("", spec, clips, damages)
    title = f"{name}: {len(clips)} clips, {found.seconds:.1f} s; {spec.describe()}"
    return Set(title, spec, clips, damages)
