"""Items by number, batches by step, and fixed mixtures to choose designs by.

Item i is a pure function of (store, configuration, seed, epoch, i), and batch k of (.., seed, k): a training
that resumes at step k sees what it would have seen.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch

from audiodiff.data.manifest import Split
from audiodiff.data.mixing import Item, Meta, MixConfig, draw_item
from audiodiff.data.sources import Sources, open_sources
from audiodiff.data.store import Store
from audiodiff.errors import DataError
from audiodiff.signal.types import Audio

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# A draw is silent only where a long pause fills the whole segment: a few in a thousand.
LARGEST_ATTEMPTS = 20
BATCHES_AHEAD = 6
DEV_SECONDS = (4.0, 8.0)
DEV_NARROW_HZ = 8000
DevKind = Literal["everyday", "podcast"]
DEV_KINDS: tuple[DevKind, ...] = ("everyday", "podcast")
FULL_BAND_CLASSES, NARROW_CLASSES = ("A", "B", "C"), ("a", "b", "c")


def item(sources: Sources, config: MixConfig, seed: int, epoch: int, index: int, segment: int) -> Item:
    """One training example."""
    for attempt in range(LARGEST_ATTEMPTS):
        rng = np.random.default_rng([seed, epoch, index, attempt])
        drawn = draw_item(sources, config, rng, segment)
        if drawn is not None:
            return drawn
    raise DataError(
        f"{sources.store.folder}: {LARGEST_ATTEMPTS} draws of {segment} samples gave silence only; "
        "take longer segments or pack speech with fewer pauses"
    )


def epoch_items(sources: Sources, segment: int) -> int:
    """Items of a pass: as many as the speech is long."""
    return max(1, round(sources.seconds * sources.store.sample_rate / segment))


def make_batch(
    sources: Sources,
    config: MixConfig,
    seed: int,
    step: int,
    batch: int,
    segment: int,
    wanted: slice = slice(None),
) -> Batch:
    """The batch of a step.

    Returns:
        noisy [B, T], clean [B, T] and bandwidth_hz [B], all float32.
    """
    a_pass = epoch_items(sources, segment)
    numbers = range(step * batch, (step + 1) * batch)[wanted]
    return batch_of([item(sources, config, seed, *divmod(number, a_pass), segment) for number in numbers])


def batch_of(items: Sequence[Item]) -> Batch:
    """Items side by side: noisy [B, T], clean [B, T] and bandwidth_hz [B], all float32."""
    return (
        torch.from_numpy(np.stack([each.noisy for each in items])),
        torch.from_numpy(np.stack([each.clean for each in items])),
        torch.tensor([float(each.bandwidth_hz) for each in items]),
    )


def batches(
    store: Store,
    config: MixConfig,
    seed: int,
    start_step: int,
    batch: int,
    segment: int,
    split: Split = "train",
    wanted: slice = slice(None),
) -> Generator[Batch, None, None]:
    """Endless batches from a step on, mixed ahead by one thread.

    Closing the iterator ends the thread.

    Yields:
        noisy [B, T], clean [B, T] and bandwidth_hz [B], all float32, as `make_batch` gives them.
    """
    sources = open_sources(store, split, config.class_weights)
    yield from ahead(lambda step: make_batch(sources, config, seed, step, batch, segment, wanted), start_step)


def ahead(make: Callable[[int], Batch], start_step: int) -> Generator[Batch, None, None]:
    """Endless batches from a step on, made ahead by one thread, which ends when the iterator is closed."""
    ready: queue.Queue[Batch | Exception] = queue.Queue(BATCHES_AHEAD)
    stop = threading.Event()

    def offer(result: Batch | Exception) -> None:
        while not stop.is_set():
            try:
                return ready.put(result, timeout=0.2)
            except queue.Full:
                continue

    def work() -> None:
        step = start_step
        while not stop.is_set():
            try:
                offer(make(step))
            except Exception as error:  # noqa: BLE001  handed to the consumer, who raises it
                return offer(error)
            step += 1

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            result = ready.get()
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class DevMixture:
    """A fixed mixture with its reference.

    Attributes:
        name: File name without suffix.
        noisy: Samples [T].
        clean: Samples [T].
        sample_rate: Hz.
        bandwidth_hz: Above it `clean` is not known.
        full_band: Full-band speech; otherwise noisy and clean end at 8 kHz, as a 16 kHz recording would.
        meta: How it came about.
        part: Which of the two dev sets it belongs to; the scores of a part are averaged.
    """

    name: str
    noisy: Audio
    clean: Audio
    sample_rate: int
    bandwidth_hz: int
    full_band: bool
    meta: Meta
    part: DevKind


def dev_config(full_band: bool, kind: DevKind) -> MixConfig:
    """Noises and sometimes a room, but nothing that changes the voice.

    ``everyday`` takes the noises as they are, at 0 to 20 dB; ``podcast`` makes each as dark as those of
    recorded rooms, 2 to 6 dB an octave, at the 8 to 25 dB of people who sit at a microphone.
    """
    podcast = kind == "podcast"
    unseen = NARROW_CLASSES if full_band else FULL_BAND_CLASSES
    return MixConfig(
        class_weights=dict.fromkeys(unseen, 0.0),
        snr_db=(8.0, 25.0) if podcast else (0.0, 20.0),
        p_tilt=1.0 if podcast else 0.0,
        tilt_db=(2.0, 6.0),
        p_quiet=0.0,
        p_clean=0.0,
        p_noise_only=0.0,
        p_room=0.2,
        p_speed=0.0,
        p_eq=0.0,
        p_high_pass=0.0,
        p_band_limit=0.0 if full_band else 1.0,
        cutoffs_hz=(DEV_NARROW_HZ,),
        p_drift=0.0,
        p_overload=0.0,
        p_codec=0.0,
        p_mu_law=0.0,
    )


def dev_set(store: Store, n: int, seed: int, kind: DevKind) -> list[DevMixture]:
    """Mixtures of the dev split, by turns full band and limited to 8 kHz; the same for the same arguments.

    They depend on the store's dev split alone: more training material leaves them as they are. Where all dev
    speech is full band, or none of it, so are all mixtures.
    """
    configs = {full_band: dev_config(full_band, kind) for full_band in (True, False)}
    sources = {}
    for full_band, config in configs.items():
        with contextlib.suppress(DataError):
            sources[full_band] = open_sources(store, "dev", config.class_weights)
    if not sources:
        raise DataError(
            f"{store.folder}: no speech of split dev to draw from; pack some, or weigh it above 0"
        )
    mixtures = []
    for number in range(n):
        full_band = (number % 2 == 0) if len(sources) == 2 else True in sources
        seconds = np.random.default_rng([seed, number]).uniform(*DEV_SECONDS)
        segment = round(float(seconds) * store.sample_rate)
        drawn = item(sources[full_band], configs[full_band], seed, 0, number, segment)
        name = f"{number:03d}_{'full' if full_band else 'narrow'}"
        mixtures.append(
            DevMixture(
                name,
                drawn.noisy,
                drawn.clean,
                store.sample_rate,
                drawn.bandwidth_hz,
                full_band,
                drawn.meta,
                kind,
            )
        )
    return mixtures


def without_clipping(mixture: Item | DevMixture) -> tuple[Audio, Audio]:
    """Noisy and clean with one gain for both, so that nothing clips in 16 bit."""
    peak = max(np.abs(mixture.noisy).max(), np.abs(mixture.clean).max())
    gain = np.float32(min(1.0, 0.99 / peak))
    return mixture.noisy * gain, mixture.clean * gain


def write_pairs(mixtures: list[DevMixture], folder: Path) -> None:
    """Write mixtures for scoring: `clean/NAME.flac`, `noisy/NAME.flac` (16 bit) and `pairs.json`."""
    for part in ("clean", "noisy"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rows = []
    for mixture in mixtures:
        for part, audio in zip(("noisy", "clean"), without_clipping(mixture), strict=True):
            path = folder / part / f"{mixture.name}.flac"
            soundfile.write(path, audio, mixture.sample_rate, subtype="PCM_16")
        rows.append(
            {
                "name": mixture.name,
                "bandwidth_hz": mixture.bandwidth_hz,
                "full_band": mixture.full_band,
                **asdict(mixture.meta),
            }
        )
    (folder / "pairs.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
