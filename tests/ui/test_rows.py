"""Promise: rows outlive their server; half a recording is none; names stay in their folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("starlette", reason="the extra ui is not installed")

from audiodiff.errors import AudioFileError
from audiodiff.inference.engine import Samples
from audiodiff.ui.rows import RowStore, Wish


@pytest.fixture
def store(tmp_path: Path) -> RowStore:
    return RowStore(tmp_path)


def sent(store: RowStore, sound: Samples, name: str = "talk.wav") -> str:
    place = store.place_for(name)
    soundfile.write(place, sound.T, 16000)
    row = store.made(place, Wish(strength=0.5), own=True)
    store.add(row)
    return row.id


def test_a_new_store_has_the_same_rows(store: RowStore, recording: Callable[..., Samples]) -> None:
    numbers = [sent(store, recording(0.5), f"{name}.wav") for name in "bac"]
    again = RowStore(store.folder)
    assert list(again.rows) == numbers
    assert again.rows == store.rows


def test_what_was_in_work_waits_and_a_missing_result_is_told(
    store: RowStore, recording: Callable[..., Samples]
) -> None:
    working, done = (store.rows[sent(store, recording(0.5))] for _ in range(2))
    working.state = "working"
    done.state, done.target = "done", "talk.denoised.wav"
    for row in (working, done):
        store.save(row)
    again = RowStore(store.folder)
    assert again.rows[working.id].state == "waiting"
    assert (again.rows[done.id].state, again.rows[done.id].target) == ("failed", "")


def test_half_a_recording_is_removed_and_strange_folders_stay(
    store: RowStore, recording: Callable[..., Samples]
) -> None:
    store.place_for("half.wav").write_bytes(b"RIFF")
    (store.folder / "mine").mkdir()
    damaged = sent(store, recording(0.5))
    (store.folder / damaged / "row.json").write_text("{}")
    again = RowStore(store.folder)
    assert again.rows == {}
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([damaged, "mine"])
    assert (store.folder / damaged / "talk.wav").exists()


def test_a_twin_outlives_its_first(store: RowStore, recording: Callable[..., Samples]) -> None:
    first = store.rows[sent(store, recording(0.5))]
    content = store.source_of(first).read_bytes()
    twin = store.twin(first, Wish())
    store.add(twin)
    store.remove(first)
    assert store.source_of(twin).read_bytes() == content
    assert not store.folder_of(first).exists()


@pytest.mark.parametrize(
    "name",
    ["../../x.wav", "/etc/x.wav", "..\\x.wav", ".wav.wav", "a\0b.wav", "ä" * 300 + ".wav", "\ud800.wav"],
)
def test_names_stay_in_the_folder(store: RowStore, name: str) -> None:
    place = store.place_for(name)
    assert place.resolve().parent.parent == store.folder.resolve()
    place.write_bytes(b"x")


def test_a_suffix_is_needed(store: RowStore) -> None:
    with pytest.raises(AudioFileError) as error:
        store.place_for("notes.txt")
    assert error.value.code == "unsupported"
    assert list(store.folder.iterdir()) == []
