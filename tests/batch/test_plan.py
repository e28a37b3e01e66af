"""Promise: a batch is planned before any work; no file is written twice, and no input is written."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiodiff import system
from audiodiff.batch.batch_spec import Item
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.job_options import Options
from audiodiff.batch.plan import check_folder, is_single, measured, plan, shard, spool
from audiodiff.errors import AudiodiffError, AudioFileError, ConfigError
from audiodiff.inference.engine import Samples
from tests.errors import refused

DENOISE = DenoiseSettings()


def pairs(items: list[Item], root: Path) -> list[tuple[str, str]]:
    return [(str(i.source.relative_to(root)), str(i.target.relative_to(root))) for i in items]


def test_a_folder_is_mirrored(shows: Path) -> None:
    items = plan([shows], shows.parent / "clean", Options(), DENOISE).items
    assert pairs(items, shows.parent) == [
        ("shows/a.wav", "clean/a.wav"),
        ("shows/b.flac", "clean/b.flac"),
        ("shows/old/a.wav", "clean/old/a.wav"),
        ("shows/old/broken.wav", "clean/old/broken.wav"),
        ("shows/old/c.ogg", "clean/old/c.ogg"),
    ]
    assert not (shows.parent / "clean").exists()
    times = [item.seconds for item in measured(items, DENOISE)]
    assert times == pytest.approx([0.8, 0.5, 0.4, 0.0, 0.6])


def test_several_inputs_keep_their_names(shows: Path) -> None:
    words = [shows / "old", shows / "a.wav"]
    items = plan(words, shows.parent / "clean", Options(), DENOISE).items
    assert [str(item.target.relative_to(shows.parent)) for item in items] == [
        "clean/old/a.wav",
        "clean/old/broken.wav",
        "clean/old/c.ogg",
        "clean/a.wav",
    ]


def test_a_folder_that_is_named_twice_is_done_once(shows: Path) -> None:
    link = shows.parent / "link"
    link.symlink_to(shows)
    for output in (None, shows.parent / "clean"):
        once = plan([shows / "old", shows / "a.wav"], output, Options(), DENOISE).items
        words = [shows / "old", shows / "a.wav", shows / ".." / "shows" / "old", link / "a.wav"]
        assert plan(words, output, Options(), DENOISE).items == once


def test_patterns(shows: Path) -> None:
    clean = shows.parent / "clean"
    assert not is_single([shows / "*.wav"])
    assert pairs(plan([shows / "**" / "*.wav"], clean, Options(), DENOISE).items, shows.parent) == [
        ("shows/a.wav", "clean/a.wav"),
        ("shows/old/a.wav", "clean/old/a.wav"),
        ("shows/old/broken.wav", "clean/old/broken.wav"),
    ]
    assert [item.source.name for item in plan([shows / "*"], clean, Options(), DENOISE).items] == [
        "a.wav",
        "b.flac",
        "a.wav",
        "broken.wav",
        "c.ogg",
    ]
    odd = shows / "take[1].wav"
    odd.write_bytes((shows / "a.wav").read_bytes())
    assert is_single([odd])
    assert plan([odd, shows / "a.wav"], clean, Options(), DENOISE).items[0].source == odd


def test_loops_hidden_names_and_odd_things(shows: Path) -> None:
    (shows / "loop").symlink_to(shows)
    (shows / "old" / "up").symlink_to("..")
    (shows / "linked.wav").symlink_to(shows / "a.wav")
    (shows / ".audiodiff").mkdir()
    (shows / ".audiodiff" / "x.wav").touch()
    (shows / "._a.wav").touch()
    (shows / "folder.wav").mkdir()
    (shows / "folder.wav" / "in.flac").touch()
    os.mkfifo(shows / "pipe.wav")
    (shows / os.fsdecode(b"caf\xe9.wav")).touch()
    for words in ([shows], [shows / "**"], [shows / "**" / "*"]):
        items = plan(words, shows.parent / "clean", Options(), DENOISE).items
        names = "a.wav b.flac old/a.wav old/broken.wav old/c.ogg linked.wav pipe.wav folder.wav/in.flac"
        assert {item.name for item in items} == {*names.split(), os.fsdecode(b"caf\xe9.wav")}


def test_an_output_folder_in_the_input_is_not_read(shows: Path) -> None:
    clean = shows / "clean"
    clean.mkdir()
    (clean / "a.wav").write_bytes((shows / "a.wav").read_bytes())
    for words in ([shows], [shows / "**" / "*"]):
        assert len(plan(words, clean, Options(), DENOISE).items) == 5


def test_two_inputs_with_one_target_are_refused(shows: Path) -> None:
    with refused(AudioFileError, "collision", shows / "a.wav", shows / "old" / "a.wav"):
        plan([shows / "a.wav", shows / "old" / "a.wav"], shows.parent / "clean", Options(), DENOISE)
    content = (shows / "a.wav").read_bytes()
    (shows / "a.residual.wav").write_bytes(content)
    plan([shows], shows.parent / "clean", Options(), DENOISE)
    with refused(AudioFileError, "collision", "a.residual.wav"):
        plan([shows], shows.parent / "clean", Options(residual=True), DENOISE)
    # the same recording twice is one recording
    assert (
        len(plan([shows / "a.wav", shows / "a.wav"], shows.parent / "clean", Options(), DENOISE).items) == 1
    )


@pytest.mark.parametrize(
    ("names", "meet"),
    [
        (("Talk.wav", "talk.wav"), True),
        (("STRASSE.wav", "stra\u00dfe.wav"), True),
        (("caf\u00e9.wav", "cafe\u0301.wav"), True),
        (("talk.wav", "tale.wav"), False),
    ],
    ids=["case", "sharp s", "accent", "another name"],
)
def test_targets_that_differ_in_case_meet_where_the_disk_says_so(
    shows: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str], meet: bool
) -> None:
    content = (shows / "a.wav").read_bytes()
    words = []
    for number, name in enumerate(names):
        (shows / str(number)).mkdir()
        words.append(shows / str(number) / name)
        words[-1].write_bytes(content)
    assert (
        len(plan(words, shows.parent / "clean", Options(), DENOISE).items) == 2
    )  # this disk tells them apart
    asked: list[Path] = []

    def folds_case(folder: Path) -> bool:
        asked.append(folder)
        return True

    monkeypatch.setattr(system, "folds_case", folds_case)
    if meet:
        with pytest.raises(AudioFileError, match="result of both") as caught:
            plan(words, shows.parent / "clean", Options(sidecar=True), DENOISE)
        assert caught.value.code == "collision"
    else:
        assert len(plan(words, shows.parent / "clean", Options(), DENOISE).items) == 2
    assert asked == [shows.parent / "clean"] * meet  # the disk is asked only where it matters


@pytest.mark.parametrize("way", ["same", "symlink", "hardlink", "linked folder"])
def test_an_input_as_a_target_is_refused(shows: Path, way: str) -> None:
    clean = shows.parent / "clean"
    if way == "same":
        clean = shows
    elif way == "linked folder":
        clean.symlink_to(shows)
    else:
        clean.mkdir()
        link = clean / "b.flac"
        link.symlink_to(shows / "a.wav") if way == "symlink" else link.hardlink_to(shows / "a.wav")
    with refused(AudioFileError, "same_file", "a.wav"):
        plan([shows], clean, Options(overwrite=True), DENOISE)


def test_outputs_that_are_no_folder(shows: Path) -> None:
    for output, line in (
        (shows / "a.wav", "a.wav"),
        (shows / "new.flac", "new.flac"),
        (shows / "a.wav" / "new" / "where", "a.wav"),
        (Path("/proc/x"), "/proc"),
    ):
        if output.parent == Path("/proc") and os.access("/proc", os.W_OK):
            continue
        with refused(AudioFileError, "unwritable", line):
            check_folder(output)
    for output in (shows / "no" / "where", shows / "new.v2"):
        check_folder(output)
    check_folder(shows / "new.flac", slashed=True)
    assert sorted(path.name for path in shows.iterdir()) == ["a.wav", "b.flac", "notes.txt", "old"]


def test_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    for word in (tmp_path, tmp_path / "*.wav", tmp_path / "no*" / "*.wav"):
        with refused(ConfigError, "no_input"):
            plan([word], None, Options(), DENOISE)


@given(names=st.lists(st.text(min_size=1, max_size=9), unique=True, max_size=40), count=st.integers(1, 7))
def test_shards_share_out_everything_whatever_the_order(names: list[str], count: int) -> None:
    items = [Item(Path("s"), Path("t"), name) for name in names if name.isprintable()]
    parts = [shard(items, k, count) for k in range(1, count + 1)]
    assert sorted(item.name for part in parts for item in part) == sorted(item.name for item in items)
    again = [shard(items[::-1], k, count) for k in range(1, count + 1)]
    assert [set(part) for part in again] == [set(part) for part in parts]


def test_the_shard_of_a_name_never_changes() -> None:
    names = ["a.wav", "old/a.wav", "shows/2024/ep 1.flac", "ä.wav"]
    parts = [[k for k in (1, 2, 3) if shard([Item(Path(), Path(), name)], k, 3)] for name in names]
    assert parts == [[1], [2], [1], [1]]
    with refused(ConfigError, "config", 4, 3):
        shard([], 4, 3)


def test_a_pipe_becomes_a_file_with_a_suffix(tmp_path: Path, recording: object) -> None:
    x: Samples = recording(0.2)  # type: ignore[operator]
    for container, subtype, suffix in (
        ("WAV", None, ".wav"),
        ("OGG", "OPUS", ".opus"),
        ("MP3", None, ".mp3"),
    ):
        stream = io.BytesIO()
        soundfile.write(stream, x.T, 16000, subtype, format=container)
        stream.seek(0)
        path = spool(stream, tmp_path)
        assert path.name == f"standard-input{suffix}"
        assert path.read_bytes() == stream.getvalue()
    with pytest.raises(AudiodiffError):
        spool(io.BytesIO(b""), tmp_path)


def test_a_sidecar_never_replaces_an_input(shows: Path) -> None:
    clean = shows.parent / "clean"
    clean.mkdir()
    odd = (shows / "b.flac").rename(clean / "a.taste.wav.audiodiff.json")
    words = [shows / "a.wav", odd]
    assert len(plan(words, clean, Options(overwrite=True), DENOISE, ".taste").items) == 2
    with refused(AudioFileError, "same_file"):
        plan(words, clean, Options(overwrite=True, sidecar=True), DENOISE, ".taste")
