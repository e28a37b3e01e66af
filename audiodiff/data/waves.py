"""Crops of clips with their mels, for vocoders of waveforms.

Letters: B items, M bands, N frames, T = N hop samples. A crop's frames are those of the whole clip's mel, so
its ends see what the clip has there, not the edge of a cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from audiodiff.data.batches import Batch
from audiodiff.data.manifest import Split
from audiodiff.data.store import FULL_SCALE, Store
from audiodiff.errors import DataError
from audiodiff.signal.mel import mel
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_inversion import invert
from audiodiff.signal.resample import fit_length
from audiodiff.signal.types import Audio

DEV_SECONDS = 4.0
DEV_ITERATIONS = 4
_ORDER, _CROP = 0, 1


@dataclass(frozen=True)
class Cut:
    """How clips are cut.

    Attributes:
        spec: Convention of the mel; its rate is the store's.
        n_frames: N, frames of a crop.
        peak: Each clip is scaled to this peak; None leaves it at its level.
    """

    spec: MelSpec
    n_frames: int
    peak: float | None = None


class WaveClips:
    """The speech clips of a split that are long enough for a crop.

    Args:
        store: A packed store.
        split: Which of its clips.
        cut: How they are cut.

    Raises:
        DataError: There is no such clip.

    Attributes:
        positions: Their places in the store.
    """

    def __init__(self, store: Store, split: Split, cut: Cut) -> None:
        self.store, self.cut = store, cut
        least = cut.n_frames * cut.spec.hop
        self.positions = [p for p in store.select("speech", split) if store.entries[p].length >= least]
        if not self.positions:
            seconds = least / cut.spec.sample_rate
            raise DataError(
                f"{store.folder}: no speech clip of split {split} lasts {seconds:.2f} s; pack longer ones, "
                "or take fewer frames"
            )

    def crop(self, index: int, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Some frames of a clip with their samples.

        Returns:
            Mel [M, N] and samples [N hop].
        """
        spec, n = self.cut.spec, self.cut.n_frames
        margin = -(-spec.n_fft // spec.hop)  # frames whose windows may see the edge of what is read
        whole = self.last_first(index) + n
        begin, end = max(0, first - margin), first + n + margin
        length = (
            (end - begin) * spec.hop if end < whole else None
        )  # else all, beyond the last whole frame too
        wave = torch.from_numpy(self.read(index, begin * spec.hop, length))
        values = mel(wave, spec)[:, first - begin : first - begin + n]
        return values, wave[(first - begin) * spec.hop :][: n * spec.hop]

    def last_first(self, index: int) -> int:
        """The last frame at which a crop of a clip may begin."""
        return self.store.entries[self.positions[index]].length // self.cut.spec.hop - self.cut.n_frames

    def read(self, index: int, start: int = 0, length: int | None = None) -> Audio:
        """Samples of a clip at the wanted level."""
        position = self.positions[index]
        audio = self.store.read(position, start, length)
        if self.cut.peak is None:
            return audio
        scaled: Audio = audio * np.float32(self.cut.peak / (self.store.entries[position].gain * FULL_SCALE))
        return scaled

    def bandwidth_hz(self, index: int) -> int:
        """Above it a clip holds nothing true."""
        return self.store.entries[self.positions[index]].bandwidth_hz


def wave_batch(clips: WaveClips, seed: int, batch: int, step: int) -> Batch:
    """The batch of a step, a function of its arguments alone: every pass takes every clip once.

    Returns:
        Mel [B, M, N], samples [B, N hop] and bandwidth_hz [B], all float32.
    """
    n_clips = len(clips.positions)
    orders: dict[int, NDArray[np.int64]] = {}
    items, bandwidths = [], []
    for number in range(step * batch, (step + 1) * batch):
        a_pass, place = divmod(number, n_clips)
        if a_pass not in orders:
            orders[a_pass] = np.random.default_rng([seed, _ORDER, a_pass]).permutation(n_clips)
        index = int(orders[a_pass][place])
        rng = np.random.default_rng([seed, _CROP, number])
        items.append(clips.crop(index, int(rng.integers(clips.last_first(index) + 1))))
        bandwidths.append(float(clips.bandwidth_hz(index)))
    values, waves = zip(*items, strict=True)
    return torch.stack(values), torch.stack(waves), torch.tensor(bandwidths)


@dataclass(frozen=True)
class DevWave:
    """A dev clip as a validation sees it.

    Attributes:
        noisy: Inversion of its mel [T], which a vocoder is compared with.
        clean: The clip [T].
        bandwidth_hz: Above it `clean` is not known.
        part: What it is scored together with.
    """

    noisy: Audio
    clean: Audio
    bandwidth_hz: int
    part: str = "copy"


def dev_waves(clips: WaveClips, n: int) -> list[DevWave]:
    """The beginnings of some clips, spread over all of them; the same for the same arguments."""
    spec = clips.cut.spec
    total = len(clips.positions)
    result = []
    for index in sorted({i * total // n for i in range(n)}):
        clean = clips.read(index, 0, round(DEV_SECONDS * spec.sample_rate))
        rough = invert(mel(torch.from_numpy(clean), spec), spec, DEV_ITERATIONS, seed=0).numpy()
        bandwidth_hz = int(min(clips.bandwidth_hz(index), spec.f_max))
        result.append(DevWave(fit_length(rough, clean.size), clean, bandwidth_hz))
    return result
