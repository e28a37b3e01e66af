"""Promise: error rates are those of the edit distance, which is a distance, over normalised text."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from audiodiff.errors import ConfigError
from audiodiff.evaluation.transcripts import (
    Errors,
    Recogniser,
    compare_folders,
    compare_texts,
    edit_distance,
    normalise,
    paired_difference,
    read_texts,
    transcribe_folder,
)

short = st.text("abc", max_size=7)


def slow_distance(a: str, b: str) -> int:
    @cache
    def d(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return d(len(a), len(b))


@given(short, short)
def test_it_is_the_recursive_definition(a: str, b: str) -> None:
    assert edit_distance(a, b) == slow_distance(a, b)


@given(short, short, short)
def test_it_is_a_distance(a: str, b: str, c: str) -> None:
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


@given(st.text(max_size=30))
def test_normal_text_stays_as_it_is(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("It’s 5 o'clock - 'really'.", "it's 5 o'clock really"),
        ("Straße\tÉCOLE", "strasse école"),
        ("e\u0301cole ﬁne", "école fine"),
        ("...", ""),
    ],
)
def test_what_counts_as_equal(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_rates_pool_the_clips() -> None:
    found = compare_texts(
        {"a": "The cat sat.", "b": "yes"}, {"a": "the cat sat", "b": "no way", "c": "left out"}
    )
    assert found.words == {"a": Errors(0, 3), "b": Errors(2, 1)}
    assert found.totals()["wer"].percent == 50
    assert found.characters["b"] == Errors(6, 3)
    assert found.totals()["cer"] == Errors(6, 14)


def test_what_was_not_heard_is_wrong_and_what_was_not_said_has_no_rate() -> None:
    found = compare_texts({"a": "one two", "b": ""}, {"b": "noise"})
    assert found.missing == ("a",)
    assert found.words == {"a": Errors(2, 2), "b": Errors(1, 0)}
    assert found.words["b"].percent is None
    assert found.totals()["wer"].percent == 150


def test_differences_are_paired_over_clips_with_text() -> None:
    one = {"a": Errors(1, 4), "b": Errors(1, 2), "c": Errors(1, 0)}
    other = {"a": Errors(0, 4), "b": Errors(1, 2), "c": Errors(0, 0)}
    found = paired_difference(one, other)
    assert (found.mean, found.count) == (-12.5, 2)


class Counter:
    """A recogniser that says how many seconds it heard."""

    def transcribe(self, audio: NDArray[np.float32], sample_rate: int) -> str:
        return f"{audio.size // sample_rate} seconds"


def test_any_object_that_transcribes_is_a_recogniser(tmp_path: Path) -> None:
    recogniser: Recogniser = Counter()
    (tmp_path / "sub").mkdir()
    for name, seconds in (("one.wav", 1), ("sub/two.flac", 2)):
        soundfile.write(tmp_path / name, np.zeros((8000 * seconds, 2)), 8000)
    assert transcribe_folder(tmp_path, recogniser) == {"one": "1 seconds", "sub/two": "2 seconds"}


def test_folders_of_texts(tmp_path: Path) -> None:
    said, heard = tmp_path / "said", tmp_path / "heard"
    for folder in (said, heard):
        (folder / "sub").mkdir(parents=True)
        with pytest.raises(ConfigError):
            read_texts(folder)
    (said / "sub/a.txt").write_text("\ufeffGood morning", encoding="utf-8")
    (heard / "b.txt").write_text("x")
    with pytest.raises(ConfigError):
        compare_folders(said, heard)
    (heard / "sub/a.txt").write_text("good evening")
    assert compare_folders(said, heard).totals()["wer"] == Errors(1, 2)
    (heard / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        read_texts(heard)
