"""Packing: decode every clip once, bring it to the model's rate, write the store.

Speech is what a model learns to give back, so it loses what is below 70 Hz (amateur recordings carry hum and
rumble there) by a zero-phase filter. Noise and rooms stay as they are.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.signal

from audiodiff.data.manifest import Clip
from audiodiff.data.rooms import simulate_rooms
from audiodiff.data.store import Labels, StoreWriter
from audiodiff.data.survey import FileFacts, measure
from audiodiff.errors import AudioFileError, DataError
from audiodiff.extras import install_hint
from audiodiff.io.formats import display_path
from audiodiff.io.reader import read
from audiodiff.signal.level import active_db, mono_mix
from audiodiff.signal.resample import resample
from audiodiff.signal.types import Audio, Samples

Progress = Callable[[int, int], None]
Parts = list[tuple[Audio, Labels]]

HIGH_PASS_HZ = 70.0
DEV_ROOM_SHARE = 0.1
SIMULATED_ROOMS = "simulated"


@dataclass(frozen=True)
class PackSettings:
    """How a store is packed.

    Attributes:
        sample_rate: Rate of the model, Hz.
        n_rooms: Simulated rooms added to the measured ones; the last tenth is dev.
        seed: Of the simulated rooms.
    """

    sample_rate: int = 48_000
    n_rooms: int = 200
    seed: int = 0


@dataclass(frozen=True)
class PackReport:
    """What packing did.

    Attributes:
        n_clips: Clips in the store, rooms included.
        hours: Hours of speech and noise.
        left_out: Files that could not be used, each with its reason.
        notes: What is unusual about files that were used, one line each.
        packed: The clip behind every entry of the store that is no simulated room, in order.
        files: What the files of speech and noise are like, each once.
    """

    n_clips: int
    hours: float
    left_out: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...] = ()
    packed: tuple[Clip, ...] = ()
    files: tuple[FileFacts, ...] = ()


def decode(path: Path, sample_rate: int, warn: Callable[[str], None] = lambda _line: None) -> Audio:
    """Read a file as one channel at a rate.

    Args:
        warn: Told in one line if its channels cancel each other, so that one of them was taken.

    Returns:
        Samples [T], zero lag, T = ceil(n * sample_rate / rate of the file).
    """
    return _at_rate(path, read(path), sample_rate, warn)


def _at_rate(path: Path, sound: tuple[Samples, int], sample_rate: int, warn: Callable[[str], None]) -> Audio:
    samples, rate = sound
    mix = mono_mix([samples])
    if mix.note:
        warn(f"{display_path(path)}: {mix.note}")
    resampled: Audio = resample(mix.apply(samples), rate, sample_rate)[0]
    return resampled


def high_pass(x: Audio, sample_rate: int, cutoff_hz: float = HIGH_PASS_HZ) -> Audio:
    """Remove what is below a frequency without moving anything in time.

    Args:
        x: Samples [T].
        sample_rate: Hz.
        cutoff_hz: Where the filter has -6 dB: a second-order Butterworth run forwards and backwards.

    Returns:
        Samples [T].
    """
    sos = scipy.signal.butter(2, cutoff_hz, "highpass", fs=sample_rate, output="sos")
    padding = min(x.size - 1, sample_rate // 50)
    return np.asarray(scipy.signal.sosfiltfilt(sos, x, padlen=padding), dtype=np.float32)


def can_simulate_rooms() -> bool:
    """Whether the package that simulates rooms is installed."""
    return importlib.util.find_spec("pyroomacoustics") is not None


def pack(
    clips: Sequence[Clip],
    target: Path,
    settings: PackSettings,
    progress: Progress | None = None,
    noisy: Mapping[Path, Path] | None = None,
) -> PackReport:
    """Pack clips and a bank of simulated rooms into a store.

    The store appears under its name only when it is complete. Clips of the split `unused` are left out
    without a word; files that cannot be used are left out and reported.

    Args:
        clips: What to pack.
        target: Folder of the store.
        settings: How.
        progress: Told the clips done and in all.
        noisy: Of clean files, the recording with noise; it is packed right behind its clean side, and both
            stay as they are, without the high-pass.
    """
    if settings.n_rooms and not can_simulate_rooms():
        raise DataError(
            f"{target}: simulated rooms need pyroomacoustics; {install_hint('train')}, or take none"
        )
    wanted = [clip for clip in clips if clip.split != "unused"]
    left_out: list[tuple[Path, str]] = []
    notes: list[str] = []
    packed: list[Clip] = []
    files: dict[Path, FileFacts] = {}
    n_clips, n_samples = 0, 0
    with StoreWriter(target, settings.sample_rate) as writer:
        for done, clip in enumerate(wanted, start=1):
            sides = _sides(clip, noisy or {})
            try:
                parts, facts = _prepared(sides, settings.sample_rate, notes.append)
            except (AudioFileError, DataError) as error:
                left_out.append((clip.path, str(error)))
            else:
                entries = [writer.add(audio, labels) for audio, labels in parts]
                packed += sides
                files |= facts
                n_clips += len(entries)
                n_samples += sum(entry.length for entry in entries) if clip.kind != "room" else 0
            if progress is not None:
                progress(done, len(wanted))
        if n_clips == 0:
            raise DataError(f"{target}: none of {len(clips)} clips could be used; check the manifest's paths")
        for audio, labels in simulated_room_clips(settings):
            writer.add(audio, labels)
            n_clips += 1
    hours = n_samples / settings.sample_rate / 3600
    return PackReport(n_clips, hours, tuple(left_out), tuple(notes), tuple(packed), tuple(files.values()))


def _sides(clip: Clip, noisy: Mapping[Path, Path]) -> list[Clip]:
    """A clip alone, or a clean one and the same with noise."""
    partner = noisy.get(clip.path)
    return [clip] if partner is None else [clip, replace(clip, path=partner, kind="noisy")]


def _prepared(
    sides: Sequence[Clip], sample_rate: int, warn: Callable[[str], None]
) -> tuple[Parts, dict[Path, FileFacts]]:
    """The sides of a clip, decoded once each, and what their files are like."""
    parts: Parts = []
    facts = {}
    for side in sides:
        sound = read(side.path)
        parts.append(_labelled(side, _at_rate(side.path, sound, sample_rate, warn), sample_rate, len(sides)))
        if side.kind != "room":
            facts[side.path] = measure(side, *sound)
    lengths = [audio.size for audio, _ in parts]
    if max(lengths) - min(lengths) > 1:  # one sample is what two rates may round apart
        clean_s, noisy_s = (length / sample_rate for length in lengths)
        raise DataError(
            f"{display_path(sides[0].path)}: lasts {clean_s:.3f} s, its noisy side {noisy_s:.3f} s; "
            "cut both alike"
        )
    return [(audio[: min(lengths)], labels) for audio, labels in parts], facts


def prepare_clip(
    clip: Clip, sample_rate: int, warn: Callable[[str], None] = lambda _line: None
) -> tuple[Audio, Labels]:
    """Decode one clip for the store; for `warn` see `decode`.

    Returns:
        Samples [T] and labels.
    """
    return _labelled(clip, decode(clip.path, sample_rate, warn), sample_rate)


def _labelled(clip: Clip, audio: Audio, sample_rate: int, n_sides: int = 1) -> tuple[Audio, Labels]:
    """The part of a decoded file that a clip is, ready for the store."""
    begin, end = (round(share * audio.size) for share in clip.share)
    if begin == end:
        raise AudioFileError(f"{display_path(clip.path)}: too short to be used; leave it out", code="empty")
    audio = audio[begin:end]
    if clip.kind == "speech" and n_sides == 1:
        audio = high_pass(audio, sample_rate)
    is_room = clip.kind == "room"
    labels = Labels(
        kind=clip.kind,
        speaker=clip.speaker,
        bandwidth_hz=min(clip.bandwidth_hz, sample_rate // 2),
        category=clip.category,
        language=clip.language,
        split=clip.split,
        active_db=None if is_room else active_db(audio, sample_rate),
        # A measured response is at its loudest when the direct sound arrives.
        direct=int(np.argmax(np.abs(audio))) if is_room else 0,
    )
    return audio, labels


def simulated_room_clips(settings: PackSettings) -> Iterable[tuple[Audio, Labels]]:
    """The bank of simulated rooms, ready for the store.

    Yields:
        Impulse response [T] and labels; the last tenth of the bank belongs to dev.
    """
    first_dev = settings.n_rooms - math.ceil(settings.n_rooms * DEV_ROOM_SHARE)
    for position, room in enumerate(simulate_rooms(settings.n_rooms, settings.sample_rate, settings.seed)):
        yield (
            room.response,
            Labels(
                kind="room",
                speaker=f"{SIMULATED_ROOMS}/{position}",
                bandwidth_hz=settings.sample_rate // 2,
                category=SIMULATED_ROOMS,
                language="",
                split="train" if position < first_dev else "dev",
                active_db=None,
                direct=room.direct,
            ),
        )
