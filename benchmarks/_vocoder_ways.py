"""The ways from mel to speech that `vocoder.py` compares, and what they cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _vocoder_sets import Set

from audiodiff import Vocoder
from audiodiff.errors import ModelError
from audiodiff.model.folder import load_model
from audiodiff.signal.mel import MelSpec, filterbank, to_linear_mel
from audiodiff.signal.mel_inversion import ITERATIONS, invert, length

Method = Callable[[torch.Tensor], torch.Tensor]
"""Mel [M, N] in the convention's numbers to samples [T]."""

LIBROSA_ITERATIONS = 60


def librosa_griffin_lim(values: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Non-negative least squares and fast Griffin-Lim, all by librosa with the convention's frames."""
    import librosa

    linear = to_linear_mel(values, spec).numpy()
    magnitude = librosa.util.nnls(filterbank(spec).numpy(), linear) ** (1 / spec.power)
    wave = librosa.griffinlim(
        magnitude,
        n_iter=LIBROSA_ITERATIONS,
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        win_length=spec.win,
        center=False,
        random_state=0,
    )
    start = spec.n_fft // 2 - spec.first_centre
    return torch.from_numpy(wave[start : start + length(spec, values.shape[-1])])


@dataclass(frozen=True)
class Speaker:
    """A model behind `audiodiff.Vocoder`, as users run it: with the inversion that `voice` starts from."""

    label: str
    vocoder: Vocoder

    def speak(self, values: torch.Tensor, spec: MelSpec) -> torch.Tensor:
        waves = self.vocoder.stream([values], spec, self._warn)
        return torch.from_numpy(np.concatenate(list(waves)))

    def _warn(self, line: str) -> None:
        print(f"{self.label}: {line}", file=sys.stderr)


def speakers(name: str, steps: list[int] | None) -> list[Speaker]:
    """A model with several numbers of steps.

    Args:
        name: Shipped model or model folder.
        steps: Numbers of steps of a model of spectra; None takes those of its presets, and a model of
            waveforms has no others.

    Raises:
        ModelError: No such model, or no vocoder.
    """
    model = load_model(name)
    if model.config.task != "vocode":
        raise ModelError(f"{name}: this model denoises; name a vocoder")
    presets = model.config.presets
    counts = {preset.steps for preset in (presets.fast, presets.balanced, presets.best)}
    if steps and model.config.inversion is not None:
        counts = set(steps)
    path = Path(name).absolute()
    label = path.parent.name if path.name == "model" else path.name  # a training's folder holds `model`
    return [
        Speaker(f"{label}, {count} step{'s' if count > 1 else ''}", Vocoder(model, steps=count))
        for count in sorted(counts)
    ]


def methods(of: Set, models: list[Speaker]) -> dict[str, Method]:
    """All ways for the clips of a set.

    Raises:
        MelError: A model takes other mels.
    """
    for speaker in models:
        speaker.vocoder.accept(of.clips[0].values, of.spec)
    ways: dict[str, Method] = {
        f"librosa Griffin-Lim {LIBROSA_ITERATIONS}": partial(librosa_griffin_lim, spec=of.spec)
    }
    for name, count in ITERATIONS.items():
        ways[f"inversion {name} ({count})"] = partial(invert, spec=of.spec, preset=count)
    return ways | {speaker.label: partial(speaker.speak, spec=of.spec) for speaker in models}


def cpu_factor(of: Set, method: Method, threads: int) -> float:
    """CPU seconds of all threads per second of audio; the first clip is done once before, to compile."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    method(of.clips[0].values)
    begin = time.process_time()
    for clip in of.clips:
        method(clip.values)
    spent = time.process_time() - begin
    torch.set_num_threads(before)
    return spent / of.seconds
