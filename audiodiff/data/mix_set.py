"""A fixed set of mixtures in folders, to evaluate denoisers on.

    OUT/noisy/00000.wav     16 bit, and OUT/clean/00000.wav: as VoiceBank+DEMAND lies
    OUT/records/00000.json  where speech and noise come from, their ratio, the seed
    OUT/mix.json            what the set follows from

Mixture i is a function of the sources, the settings and i alone. Its record is written last, so a set that
was interrupted goes on with the first mixture that is missing, and grows by asking for more.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soundfile

from audiodiff.data.batches import item, without_clipping
from audiodiff.data.manifest import Clip
from audiodiff.data.mixing import Item, MixConfig
from audiodiff.data.packing import Progress
from audiodiff.data.sources import Piece, Sources
from audiodiff.data.store import index_hash
from audiodiff.errors import DataError
from audiodiff.io.atomic import write_file
from audiodiff.io.formats import display_path
from audiodiff.signal.types import Audio

FORMAT_VERSION = 1
INDEX_NAME = "mix.json"
NOISY, CLEAN, RECORDS = "noisy", "clean", "records"
SUFFIXES = {NOISY: ".wav", CLEAN: ".wav", RECORDS: ".json"}


@dataclass(frozen=True)
class MixSettings:
    """What a set follows from, beside its sources.

    Attributes:
        seconds: Length of each mixture.
        seed: Of all draws.
        config: How speech and noise are mixed.
    """

    seconds: float
    seed: int
    config: MixConfig


def plain(snr_db: tuple[float, float]) -> MixConfig:
    """Speech and one to three recorded noises at a ratio drawn from a range, and nothing else."""
    never = {name: 0.0 for name in MixConfig.model_fields if name.startswith("p_")}
    return MixConfig.model_validate({**never, "p_recorded": 1.0, "snr_db": snr_db})


def for_scores(config: MixConfig, snr_db: tuple[float, float] | None = None) -> MixConfig:
    """A training's mixing, but with speech and noise in every mixture, so that each can be scored.

    Args:
        config: How a training mixes.
        snr_db: Range of the ratio in place of all of the training's.
    """
    changes: dict[str, Any] = {"p_clean": 0.0, "p_noise_only": 0.0}
    if snr_db is not None:
        changes |= {"snr_db": snr_db, "p_quiet": 0.0, "p_podcast": 0.0}
    fields = {name: getattr(config, name) for name in MixConfig.model_fields}
    return MixConfig.model_validate({**fields, **changes})


class MixSet:
    """A folder of mixtures.

    Args:
        folder: Where it lies; made by `write`.
        sources: What is mixed.
        settings: How.
        names: What the records call the clip at each position of the store.
    """

    def __init__(self, folder: Path, sources: Sources, settings: MixSettings, names: Sequence[str]) -> None:
        self.folder, self._sources, self._settings, self._names = folder, sources, settings, names
        self._index = {
            "format_version": FORMAT_VERSION,
            "sample_rate": sources.store.sample_rate,
            "sources": index_hash(sources.store.folder),
            "split": sources.split,
            "seconds": settings.seconds,
            "seed": settings.seed,
            "mixing": settings.config.model_dump(mode="json"),
        }

    def write(self, n: int, jobs: int = 1, overwrite: bool = False, progress: Progress | None = None) -> int:
        """Write what is missing of the first n mixtures.

        Args:
            n: Mixtures in all.
            jobs: How many are made at a time; of no effect on the files.
            overwrite: Whether files that lie there may be replaced.
            progress: Told the mixtures done and in all.

        Returns:
            How many were made now.

        Raises:
            DataError: Something else lies there, or a larger set, and it may not be replaced.
        """
        self._begin(n, overwrite)
        missing = [i for i in range(n) if not all(self._path(part, i).is_file() for part in SUFFIXES)]
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(self._make, i) for i in missing]
            try:
                for done, future in enumerate(as_completed(futures), start=n - len(missing) + 1):
                    future.result()
                    if progress is not None:
                        progress(done, n)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return len(missing)

    def _begin(self, n: int, overwrite: bool) -> None:
        """Make the folders, or make sure that the set there is the same."""
        path = self.folder / INDEX_NAME
        there = {part: sorted(self.folder.glob(f"{part}/*{suffix}")) for part, suffix in SUFFIXES.items()}
        same = path.is_file() and _read(path) == self._index
        if not overwrite and not same and (path.is_file() or any(there.values())):
            raise DataError(
                f"{display_path(self.folder)}: another set lies there; choose another folder, or --overwrite"
            )
        records = [file for file in there[RECORDS] if file.stem.isdigit()]
        extra = [file.stem for file in records if int(file.stem) >= n]
        if extra and not overwrite:
            raise DataError(
                f"{display_path(self.folder)}: holds {len(records)} mixtures, asked for {n}; "
                "ask for as many, choose another folder, or --overwrite"
            )
        for part in SUFFIXES:
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        if overwrite:
            for record in records:  # the records first, or what they tell of would seem complete
                record.unlink()
            for part, stem in ((part, stem) for part in (NOISY, CLEAN) for stem in extra):
                (self.folder / part / f"{stem}{SUFFIXES[part]}").unlink(missing_ok=True)
        write_file(path, _json(self._index))

    def _make(self, number: int) -> None:
        store = self._sources.store
        length = round(self._settings.seconds * store.sample_rate)
        mixture = item(self._sources, self._settings.config, self._settings.seed, 0, number, length)
        for part, audio in zip((NOISY, CLEAN), without_clipping(mixture), strict=True):
            write_file(self._path(part, number), _wav(audio, store.sample_rate))
        write_file(self._path(RECORDS, number), _json(self._record(mixture, number)))

    def _record(self, mixture: Item, number: int) -> dict[str, Any]:
        meta = mixture.meta
        generated = meta.noises[len(meta.recorded) :]
        return {
            "name": f"{number:05d}",
            "seed": self._settings.seed,
            "sample_rate": self._sources.store.sample_rate,
            "seconds": self._settings.seconds,
            "snr_db": meta.snr_db,
            "speaker": meta.speaker,
            "speech": [self._source(piece) for piece in meta.speech],
            "noise": [self._source(piece) for piece in meta.recorded],
            "generated": list(generated),
            "room": meta.room,
            "cutoff_hz": meta.cutoff_hz,
            "bandwidth_hz": mixture.bandwidth_hz,
        }

    def _source(self, piece: Piece) -> dict[str, Any]:
        """A stretch: its file, where in it and in the mixture it begins; in samples at the set's rate."""
        return {
            "file": self._names[piece.clip],
            "offset": piece.offset,
            "at": piece.at,
            "length": piece.length,
        }

    def _path(self, part: str, number: int) -> Path:
        return self.folder / part / f"{number:05d}{SUFFIXES[part]}"


def _wav(audio: Audio, sample_rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, indent=1).encode()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not ours, or damaged: another set


def in_one_split(clips: Sequence[Clip]) -> list[Clip]:
    """All clips as test material, whatever their names."""
    return [replace(clip, split="test") for clip in clips]


def packed_names(clips: Sequence[Clip], folders: Sequence[Path]) -> list[str]:
    """What records call the clips of a store packed from folders: folder's name and path below it."""
    return [
        next(_below(clip.path, folder) for folder in folders if folder in clip.path.parents) for clip in clips
    ]


def _below(path: Path, folder: Path) -> str:
    return display_path(Path(folder.name) / path.relative_to(folder))


def stored_names(sources: Sources) -> list[str]:
    """What records call the clips of a packed store, which does not know their files: speaker and number."""
    return [f"{entry.speaker}#{number}" for number, entry in enumerate(sources.store.entries)]
