"""What there is to learn from: three ways to name audio files, one record for each.

`read_corpus` reads a gathered corpus (JSON lines), `read_library` a list of noises and measured rooms,
`read_folder` any plain folder. All give `Clip`s; nothing here opens audio except `read_folder`,
which has to ask each file for its rate.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from audiodiff.data.layouts import Layout, Place, places
from audiodiff.errors import AudioFileError, DataError
from audiodiff.io.folders import audio_files, counted
from audiodiff.io.formats import display_path
from audiodiff.io.reader import probe

Kind = Literal["speech", "noise", "room", "noisy"]
Split = Literal["train", "dev", "test", "unused"]

DEV_PERCENT, TEST_PERCENT = 5, 5
DEV_SHARE = 0.1
"""Of a file that is all there is of its kind, so much at its end is dev."""


@dataclass(frozen=True)
class Clip:
    """One audio file and what is known about it.

    Attributes:
        path: The file.
        kind: What it serves as.
        source: The collection it comes from.
        speaker: Who speaks, unique within all sources; for noise and rooms the file's own name.
        language: Language code, empty where it does not apply.
        bandwidth_hz: Above this frequency the file holds nothing true.
        category: Speech: cleanliness class, A B C (full band) or a b c (narrower). Noise: what sounds.
        licence: As the source states it.
        split: Which part of the work may see it.
        by_name: Whether nobody stated the split, it only follows from a name; then `hold_out` may change it.
        share: Which part of the file it is, from and to, of its length.
    """

    path: Path
    kind: Kind
    source: str
    speaker: str
    language: str
    bandwidth_hz: int
    category: str
    licence: str
    split: Split
    by_name: bool = False
    share: tuple[float, float] = (0.0, 1.0)


class _CorpusRow(BaseModel):
    """One line of a corpus manifest; fields that are not needed here are ignored."""

    model_config = ConfigDict(extra="ignore")
    path: str
    source: str
    language: str
    speaker: str
    bandwidth_hz: int = Field(gt=0)
    category: str = Field(alias="class")
    licence: str
    split: Split


class _LibraryRow(BaseModel):
    """One entry of a noise and room list; fields that are not needed here are ignored."""

    model_config = ConfigDict(extra="ignore")
    file: str
    kind: str
    bandwidth_hz: int = Field(gt=0)
    category: str = Field(default="", alias="class")
    source: str = ""
    licence: str
    split: Split


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    return f"{'.'.join(str(part) for part in fault['loc']) or 'entry'}: {fault['msg']}"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a readable manifest ({error}); give the path of a manifest file"
        ) from error


def _corpus_rows(path: Path) -> Iterator[_CorpusRow]:
    # Not splitlines: names may hold control characters that it takes for line ends.
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _CorpusRow.model_validate_json(line)
        except ValidationError as error:
            raise DataError(f"{path}: line {number}: {_first_fault(error)}; correct or remove it") from error


def read_corpus(path: Path) -> list[Clip]:
    """Read a speech corpus manifest: JSON lines, one file each."""
    clips = [
        Clip(
            path=path.parent / row.path,
            kind="speech",
            source=row.source,
            speaker=f"{row.source}/{row.speaker}",
            language=row.language,
            bandwidth_hz=row.bandwidth_hz,
            category=row.category,
            licence=row.licence,
            split=row.split,
        )
        for row in _corpus_rows(path)
    ]
    if not clips:
        raise DataError(f"{path}: no entries; give a manifest with one JSON object a line")
    return clips


def read_library(path: Path) -> list[Clip]:
    """Read a list of noise recordings and measured rooms: one JSON array, kinds ``noise`` and ``rir``."""
    kinds: dict[str, Kind] = {"noise": "noise", "rir": "room"}
    try:
        rows = TypeAdapter(list[_LibraryRow]).validate_python(json.loads(_read_text(path)))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: expected a JSON array, found broken JSON ({error}); correct it") from error
    except ValidationError as error:
        raise DataError(f"{path}: entry {_first_fault(error)}; correct or remove it") from error
    clips = [
        Clip(
            path=path.parent / row.file,
            kind=kinds[row.kind],
            source=row.source,
            speaker=row.file,
            language="",
            bandwidth_hz=row.bandwidth_hz,
            category=row.category,
            licence=row.licence,
            split=row.split,
        )
        for row in rows
        if row.kind in kinds
    ]
    if not clips:
        raise DataError(f"{path}: no entry of kind noise or rir; give the list of a noise and room library")
    return clips


def stable_split(name: str) -> Split:
    """Split by the name alone, so that adding or removing files moves no other file."""
    bucket = _number(name) % 100
    if bucket < DEV_PERCENT:
        return "dev"
    return "test" if bucket < DEV_PERCENT + TEST_PERCENT else "train"


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def hold_out(clips: Sequence[Clip]) -> list[Clip]:
    """See to it that speech and noise from plain folders have something to train on and something for dev.

    Five in a hundred by name may be none at all. Where a kind has no dev clip, the speaker whose name has the
    smallest hash becomes dev, never the one with the most clips; likewise where there is nothing to train on.
    One speaker alone is split file by file, one file alone into its first nine tenths and its end. Splits
    that a manifest states are never changed, and where they suffice nothing is.
    """
    changed: dict[int, list[Clip]] = {}
    kinds: tuple[Kind, ...] = ("speech", "noise")
    for kind in kinds:
        usable = {i: clip for i, clip in enumerate(clips) if clip.kind == kind and clip.bandwidth_hz > 0}
        free = {i: clip for i, clip in usable.items() if clip.by_name}
        if free and not {"train", "dev"} <= {clip.split for clip in usable.values()}:
            stated: set[Split] = {clip.split for clip in usable.values() if not clip.by_name}
            changed |= _held_out(free, stated)
    return [clip for i, old in enumerate(clips) for clip in changed.get(i, [old])]


def _held_out(free: dict[int, Clip], stated: set[Split]) -> dict[int, list[Clip]]:
    """Clips that may be moved, with the splits that they need, beside those that a manifest states."""
    units = {i: (clip.speaker, "") for i, clip in free.items()}
    if len(set(units.values())) == 1:
        units = {i: (clip.path.name, str(clip.path)) for i, clip in free.items()}
    counts = Counter(units.values())
    most = max(counts, key=lambda unit: counts[unit])
    if len(counts) == 1:
        return {i: _cut(clip, stated) for i, clip in free.items()}
    by_file = most[1] != ""
    # by the name that `read_folder` splits by: what comes behind the source
    name = {unit: unit[0] if by_file else unit[0].split("/", 1)[-1] for unit in counts}
    splits = {unit: stable_split(name[unit]) for unit in counts}
    smallest = min((unit for unit in counts if unit != most), key=lambda unit: (_number(name[unit]), unit))
    order: tuple[Split, ...] = ("train", "dev", "train")  # the new dev speaker may have been the only one
    for needed in order:
        if needed not in {*splits.values(), *stated}:
            splits[smallest if needed == "dev" else most] = needed
    return {i: [replace(clip, split=splits[units[i]])] for i, clip in free.items()}


def _cut(clip: Clip, stated: set[Split]) -> list[Clip]:
    """The only file of its kind, as what is still needed."""
    if "dev" in stated:
        return [replace(clip, split="train")]
    if "train" in stated:
        return [replace(clip, split="dev")]
    begin, end = clip.share[0], clip.share[1]
    middle = end - DEV_SHARE * (end - begin)
    return [
        replace(clip, split="train", share=(begin, middle)),
        replace(clip, split="dev", share=(middle, end)),
    ]


def read_folder(folder: Path, kind: Kind, layout: Layout = "folders") -> list[Clip]:
    """Take every audio file under a plain folder.

    Hidden files and linked folders are passed over. Who speaks follows from the path, by the layout (see
    `layouts`): in plain folders the first folder below `folder` names the speaker; a file directly in
    `folder` is a speaker of its own. The bandwidth is the file's Nyquist frequency, the class is ``A`` from
    44.1 kHz on and ``a`` below, the split is `stable_split` of the speaker (see `hold_out` for few speakers)
    unless the set states it. A file that cannot be read is a clip of no bandwidth, so that packing leaves it
    out and names it with its reason.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give a folder of audio files")
    paths, passed = audio_files(folder)
    if not paths:
        raise DataError(
            f"{folder}: no audio file in it{f' ({counted(passed)})' if passed else ''}; put wav, flac, ogg, "
            "opus, mp3, aiff or caf files there"
        )
    return [_folder_clip(place, folder, kind) for place in places(folder, paths, layout)[1]]


def _folder_clip(place: Place, folder: Path, kind: Kind) -> Clip:
    try:
        rate = probe(place.path).sample_rate
    except AudioFileError:
        rate = 0
    # As messages show it: an index is UTF-8, a file's name need not be.
    source, speaker = display_path(Path(folder.name)), place.speaker
    return Clip(
        path=place.path,
        kind=kind,
        source=source,
        speaker=f"{source}/{speaker}",
        language="",
        bandwidth_hz=rate // 2,
        category=("A" if rate >= 44100 else "a") if kind == "speech" else "",
        licence="not stated",
        split=place.split or stable_split(speaker),
        by_name=place.split is None,
    )


def gather(
    corpora: Sequence[Path],
    libraries: Sequence[Path],
    speech: Sequence[Path],
    noise: Sequence[Path],
    layout: Layout = "folders",
) -> list[Clip]:
    """All clips of several origins; the layout is that of the folders of speech."""
    clips = [clip for path in libraries for clip in read_library(path)]
    clips += [clip for path in noise for clip in read_folder(path, "noise")]
    clips += [clip for path in corpora for clip in read_corpus(path)]
    return clips + [clip for path in speech for clip in read_folder(path, "speech", layout)]


def leave_out(clips: Sequence[Clip], speakers: Sequence[str]) -> list[Clip]:
    """Drop the speech of some speakers, for example of one whose voice a demonstration or a test uses."""
    known = {clip.speaker for clip in clips if clip.kind == "speech"}
    for name in speakers:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
            hint = f"did you mean {close[0]!r}?" if close else "there is no speech at all"
            raise DataError(f"speaker {name!r} to leave out is in none of the manifests and folders; {hint}")
    dropped = set(speakers)
    return [clip for clip in clips if clip.kind != "speech" or clip.speaker not in dropped]
