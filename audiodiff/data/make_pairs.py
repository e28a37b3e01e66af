"""Making pairs for a vocoder that starts from a mel inversion.

    truth -> mel -> degraded mel -> inversion = start
    phase of the start, magnitude of the truth -> fast Griffin-Lim = target

The start's phase has nothing to do with the truth's, so learning the truth from it would mean averaging over
phases. The target has the truth's magnitude and the phase that lies next to the start's: a function of the
start that can be learned.

Letters: M bands, N frames, T samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray

from audiodiff.data.packing import Progress
from audiodiff.data.pairs import (
    Degradation,
    Pair,
    PairFormat,
    PairSplit,
    Tracks,
    create,
    has_part,
    write_part,
)
from audiodiff.data.sources import Sources, draw_speech, open_sources
from audiodiff.data.store import Store
from audiodiff.errors import DataError
from audiodiff.signal.griffin_lim import fast_griffin_lim
from audiodiff.signal.level import active_db, gain_of
from audiodiff.signal.mel import from_linear_mel, mel, to_linear_mel
from audiodiff.signal.mel_inversion import invert
from audiodiff.signal.mel_presets import PRESETS
from audiodiff.signal.resample import fit_length, resample
from audiodiff.signal.stft import STFT
from audiodiff.signal.types import Audio

Bands: TypeAlias = NDArray[np.floating[Any]]
PairItem: TypeAlias = tuple[Tracks, Pair]

BAND_FLOOR = 1e-5
"""Band values are not taken to be smaller before their logarithm is degraded."""
LEVEL_DB = -25.0
"""Active level of every truth: mels are made at one level, as text-to-mel models give them."""
ATTEMPTS = 20
TARGET_STFT = STFT(1024, 256)
TRAIN_PAIRS, DEV_SEGMENTS = 15, 4
"""Pairs in a training part; segments in a dev part, each under every one of `DEV_DEGRADATIONS`."""
DEV_DEGRADATIONS = (Degradation(), Degradation(noise=0.2), Degradation(blur_frames=3, blur_bands=3))
DEV_PRESETS = ("bigvgan-24k", "hifigan")
DEV_ITERATIONS = 8
CLASS_WEIGHTS = {"A": 4.0, "B": 3.0, "C": 1.5, "a": 1.0, "b": 0.3, "c": 0.2}
DEV_CLASS_WEIGHTS = {"a": 0.0, "b": 0.0, "c": 0.0}


@dataclass(frozen=True)
class PairSettings:
    """How pairs are made.

    Attributes:
        sample_rate: Rate of the pairs, Hz.
        segment_s: Seconds of each.
        presets: Conventions with their weights.
        iterations: Fewest and most iterations of the inversion.
        target_iterations: Iterations of the target.
        p_degraded: Share of the training pairs with a degraded mel.
        seed: Everything follows from it.
    """

    sample_rate: int = 24_000
    segment_s: float = 4.0
    presets: dict[str, float] = field(
        default_factory=lambda: {"bigvgan-24k": 0.45, "hifigan": 0.35, "vocos": 0.2}
    )
    iterations: tuple[int, int] = (2, 16)
    target_iterations: int = 28
    p_degraded: float = 0.6
    seed: int = 0

    @property
    def layout(self) -> PairFormat:
        """Format of the store."""
        n_samples = round(self.segment_s * self.sample_rate)
        return PairFormat(self.sample_rate, n_samples, self.target_iterations, self.seed)


@dataclass(frozen=True)
class How:
    """How a start is made; see `Pair`."""

    preset: str
    degradation: Degradation
    iterations: int
    seed: int


def degrade(log_bands: Bands, degradation: Degradation, seed: int) -> Bands:
    """Blur a mel, then add noise to its cells and offsets to its bands.

    Args:
        log_bands: Natural logarithm of the bands [M, N].
        degradation: What to do.
        seed: Of noise and offsets.

    Returns:
        [M, N].
    """
    rng = np.random.default_rng(seed)
    size = (degradation.blur_bands, degradation.blur_frames)
    result = scipy.ndimage.uniform_filter(log_bands, size, mode="nearest") if max(size) > 1 else log_bands
    if degradation.noise:
        result = result + degradation.noise * rng.standard_normal(log_bands.shape)
    if degradation.offset:
        result = result + degradation.offset * rng.standard_normal((len(log_bands), 1))
    return np.asarray(result, dtype=np.float32)


def degraded_mel(truth: Audio, sample_rate: int, how: How) -> torch.Tensor:
    """The mel that a start is inverted from.

    Args:
        truth: Samples [T].
        sample_rate: Their rate, Hz.
        how: Convention and degradation.

    Returns:
        [M, N] in the numbers of the convention.
    """
    spec = PRESETS[how.preset]
    wave = resample(truth[np.newaxis], sample_rate, spec.sample_rate)[0]
    whole = fit_length(wave, -(-wave.size // spec.hop) * spec.hop)
    values = mel(torch.from_numpy(whole), spec)
    if how.degradation == Degradation():
        return values
    log_bands = to_linear_mel(values, spec).clamp_min(BAND_FLOOR).log().numpy()
    degraded = torch.from_numpy(degrade(log_bands, how.degradation, how.seed))
    return from_linear_mel(degraded.exp(), spec)


def make_start(truth: Audio, sample_rate: int, how: How) -> Audio:
    """The inversion of a possibly degraded mel of a recording, aligned with it.

    Args:
        truth: Samples [T].
        sample_rate: Their rate, Hz.
        how: Convention, degradation, iterations and seed.

    Returns:
        Samples [T] at `sample_rate`.
    """
    spec = PRESETS[how.preset]
    wave = invert(degraded_mel(truth, sample_rate, how), spec, how.iterations, how.seed).numpy()
    return fit_length(resample(wave[np.newaxis], spec.sample_rate, sample_rate)[0], truth.size)


def make_target(truth: Audio, start: Audio, iterations: int) -> Audio:
    """The signal next to a start that has the magnitude of the truth.

    Args:
        truth: Samples [T].
        start: Samples [T].
        iterations: Of fast Griffin-Lim.

    Returns:
        Samples [T].
    """
    magnitude = TARGET_STFT.forward(torch.from_numpy(truth)).abs()
    phase = TARGET_STFT.forward(torch.from_numpy(start)).angle()
    target: Audio = fast_griffin_lim(magnitude, phase, TARGET_STFT, truth.size, iterations).numpy()
    return target


def top_hz(preset: str) -> float:
    """Up to here a convention has bands."""
    spec = PRESETS[preset]
    return min(spec.f_max, spec.sample_rate / 2)


def draw_degradation(rng: np.random.Generator) -> Degradation:
    """A degradation of at least one kind: noise, blur, offsets."""
    kinds = rng.random(3) < (0.5, 0.55, 0.25)
    if not kinds.any():
        kinds[rng.integers(2)] = True
    sizes = [(3, 3), (1, 3), (3, 1), (5, 3), (5, 1)]
    blur = sizes[rng.choice(len(sizes), p=(0.4, 0.25, 0.15, 0.1, 0.1))] if kinds[1] else (1, 1)
    return Degradation(
        noise=round(float(rng.uniform(0.02, 0.3)), 4) if kinds[0] else 0.0,
        blur_frames=blur[0],
        blur_bands=blur[1],
        offset=round(float(rng.uniform(0.02, 0.3)), 4) if kinds[2] else 0.0,
    )


def draw_how(settings: PairSettings, rng: np.random.Generator) -> How:
    """How a training start is made."""
    names, weights = list(settings.presets), np.array(list(settings.presets.values()))
    preset = names[rng.choice(len(names), p=weights / weights.sum())]
    is_degraded = rng.random() < settings.p_degraded
    degradation = draw_degradation(rng) if is_degraded else Degradation()
    low, high = settings.iterations
    return How(preset, degradation, int(rng.integers(low, high + 1)), int(rng.integers(1 << 31)))


@dataclass(frozen=True)
class Truth:
    """A recording: samples [T] at the pairs' rate and at `LEVEL_DB`, and what is known of it (see `Pair`)."""

    audio: Audio
    speaker: str
    category: str
    bandwidth_hz: int


def make_pair(truth: Truth, how: How, settings: PairSettings) -> PairItem | None:
    """Start and target of a recording."""
    rate = settings.sample_rate
    start = make_start(truth.audio, rate, how)
    start_db = active_db(start, rate)
    if start_db is None:
        return None
    target = make_target(truth.audio, start, settings.target_iterations)
    row = Pair(
        speaker=truth.speaker,
        category=truth.category,
        bandwidth_hz=int(min(truth.bandwidth_hz, top_hz(how.preset))),
        active_db=start_db,
        gain=1.0,
        preset=how.preset,
        iterations=how.iterations,
        seed=how.seed,
        degradation=how.degradation,
    )
    return Tracks(start, target, truth.audio), row


def _draw_truth(sources: Sources, settings: PairSettings, rng: np.random.Generator) -> Truth:
    rate, source_rate = settings.sample_rate, sources.store.sample_rate
    for _ in range(ATTEMPTS):
        speech = draw_speech(sources, rng, round(settings.segment_s * source_rate))
        audio = resample(speech.audio[np.newaxis], source_rate, rate, settings.layout.n_samples)[0]
        if (found_db := active_db(audio, rate)) is not None:
            bandwidth_hz = min(speech.bandwidth_hz, rate // 2)
            return Truth(audio * gain_of(LEVEL_DB - found_db), speech.speaker, speech.category, bandwidth_hz)
    raise DataError(f"{sources.store.folder}: {ATTEMPTS} draws gave silence only; take longer segments")


def train_part(sources: Sources, settings: PairSettings, number: int) -> list[PairItem]:
    """Training part `number`, a function of (sources, settings, number)."""
    rng = np.random.default_rng([settings.seed, 0, number])
    items: list[PairItem] = []
    while len(items) < TRAIN_PAIRS:
        truth = _draw_truth(sources, settings, rng)
        if (item := make_pair(truth, draw_how(settings, rng), settings)) is not None:
            items.append(item)
    return items


def dev_part(sources: Sources, settings: PairSettings, number: int) -> list[PairItem]:
    """Dev part `number`: each segment under all `DEV_DEGRADATIONS`, by turns from all `DEV_PRESETS`."""
    rng = np.random.default_rng([settings.seed, 1, number])
    items: list[PairItem] = []
    for segment in range(DEV_SEGMENTS):
        truth = _draw_truth(sources, settings, rng)
        seed = int(rng.integers(1 << 31))
        for degradation in DEV_DEGRADATIONS:
            how = How(DEV_PRESETS[segment % len(DEV_PRESETS)], degradation, DEV_ITERATIONS, seed)
            if (item := make_pair(truth, how, settings)) is not None:
                items.append(item)
    return items


def parts_of(settings: PairSettings, hours: float, dev_segments: int) -> tuple[int, int]:
    """Training and dev parts that hold at least so many hours and segments."""
    return math.ceil(hours * 3600 / settings.segment_s / TRAIN_PAIRS), math.ceil(dev_segments / DEV_SEGMENTS)


def prepare_pairs(
    store: Store,
    folder: Path,
    settings: PairSettings,
    parts: tuple[int, int],
    progress: Progress | None = None,
) -> int:
    """Make the parts that a pair store still lacks; may be stopped at any time and called again."""
    create(folder, settings.layout)
    wanted: list[tuple[PairSplit, int]] = [("dev", number) for number in range(parts[1])]
    wanted += [("train", number) for number in range(parts[0])]
    missing = [(split, number) for split, number in wanted if not has_part(folder, split, number)]
    sources = {
        "train": open_sources(store, "train", CLASS_WEIGHTS) if parts[0] else None,
        "dev": open_sources(store, "dev", DEV_CLASS_WEIGHTS) if parts[1] else None,
    }
    for done, (split, number) in enumerate(missing, start=len(wanted) - len(missing) + 1):
        make = dev_part if split == "dev" else train_part
        drawn_from = sources[split]
        assert drawn_from is not None  # a split without parts has no missing ones
        write_part(folder, split, number, make(drawn_from, settings, number))
        if progress is not None:
            progress(done, len(wanted))
    return len(missing)
