"""Word and character error rates: what a recogniser wrote down against what was said.

audiodiff holds no recogniser. Its text comes from files, or from any object that is a `Recogniser`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audiodiff.errors import ConfigError
from audiodiff.evaluation.bootstrap import Difference, mean_interval
from audiodiff.io.folders import audio_files
from audiodiff.io.reader import read
from audiodiff.signal.level import mono_mix

SUFFIX = ".txt"


class Recogniser(Protocol):
    """Turns speech into text; write one around whatever recogniser there is."""

    def transcribe(self, audio: NDArray[np.float32], sample_rate: int) -> str:
        """What is said.

        Args:
            audio: Recording ``[T]``, channels averaged, full scale 1.
            sample_rate: Hz, as the file has it.
        """
        ...


@dataclass(frozen=True)
class Errors:
    """Edits between texts; ``+`` pools clips, so that long ones count for more.

    Attributes:
        edits: Insertions, deletions and substitutions.
        total: Words or characters of the references.
    """

    edits: int = 0
    total: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.edits + other.edits, self.total + other.total)

    @property
    def percent(self) -> float | None:
        """Edits for 100 of the reference; may be more than 100. None where no reference holds text."""
        return 100 * self.edits / self.total if self.total else None


@dataclass(frozen=True)
class TextErrors:
    """Errors of a folder of hypotheses.

    Attributes:
        words: Of every clip, by name.
        characters: Likewise; spaces between words count as characters.
        missing: Names of transcripts without a hypothesis: all of their words count as errors.
    """

    words: Mapping[str, Errors]
    characters: Mapping[str, Errors]
    missing: tuple[str, ...] = ()

    def totals(self) -> dict[str, Errors]:
        """Of all clips together, by the names of the metrics."""
        return {"wer": pooled(self.words), "cer": pooled(self.characters)}


def normalise(text: str) -> str:
    """Text as it is compared.

    Unicode NFKC, case folded; apostrophes within words stay (``’`` as ``'``), everything else but letters,
    their marks, and digits becomes a space; one space between words. Numbers are not spelt out.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    kept = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return " ".join(re.sub(r"(?<!\w)'|'(?!\w)", " ", kept).split())


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Least number of insertions, deletions and substitutions between two sequences (Levenshtein 1966)."""
    numbers = {item: i for i, item in enumerate(dict.fromkeys([*first, *second]))}
    other = np.array([numbers[item] for item in second], dtype=np.int64)
    places = np.arange(len(second) + 1)
    row = places.copy()
    for item in first:
        best = row + 1  # without this item
        best[1:] = np.minimum(best[1:], row[:-1] + (other != numbers[item]))
        row = (
            np.minimum.accumulate(best - places) + places
        )  # and any number of items of the second in between
    return int(row[-1])


def compare_texts(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> TextErrors:
    """Errors of every reference; hypotheses of other names are left out."""
    words, characters = {}, {}
    for name, reference in references.items():
        said, heard = normalise(reference), normalise(hypotheses.get(name, ""))
        words[name] = Errors(edit_distance(said.split(), heard.split()), len(said.split()))
        characters[name] = Errors(edit_distance(said, heard), len(said))
    missing = tuple(name for name in references if name not in hypotheses)
    return TextErrors(words, characters, missing)


def compare_folders(references: Path, hypotheses: Path) -> TextErrors:
    """`compare_texts` of two folders of ``.txt`` files that are named alike.

    Raises:
        ConfigError: As `read_texts`, or no name is in both.
    """
    said, heard = read_texts(references), read_texts(hypotheses)
    if not said.keys() & heard.keys():
        raise ConfigError(f"{hypotheses}: no file has the name of one in {references}; give equal names")
    return compare_texts(said, heard)


def pooled(clips: Mapping[str, Errors]) -> Errors:
    """Of all clips together."""
    return sum(clips.values(), Errors())


def paired_difference(one: Mapping[str, Errors], other: Mapping[str, Errors]) -> Difference:
    """Mean over clips of the second's rate minus the first's, in percent, for clips with text."""
    both = [(a.percent, other[name].percent) for name, a in one.items() if name in other]
    return mean_interval([b - a for a, b in both if a is not None and b is not None])


def read_texts(folder: Path) -> dict[str, str]:
    """The ``.txt`` files below a folder, by relative path without suffix.

    Raises:
        ConfigError: There is none, or one is not UTF-8.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder; give a folder of {SUFFIX} files")
    texts = {}
    for path in audio_files(folder, frozenset({SUFFIX}))[0]:
        try:
            content = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
        texts[path.relative_to(folder).with_suffix("").as_posix()] = content
    if not texts:
        raise ConfigError(f"{folder}: holds no {SUFFIX} files; give one for every recording, of its name")
    return texts


def transcribe_folder(folder: Path, recogniser: Recogniser) -> dict[str, str]:
    """What a recogniser hears in the recordings below a folder, by relative path without suffix.

    Raises:
        AudioFileError: A recording cannot be read.
    """
    texts = {}
    for path in audio_files(folder)[0]:
        audio, sample_rate = read(path)
        mono = np.asarray(mono_mix([audio]).apply(audio)[0], dtype=np.float32)
        texts[path.relative_to(folder).with_suffix("").as_posix()] = recogniser.transcribe(mono, sample_rate)
    return texts
