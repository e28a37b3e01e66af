"""Promise: a second run does what is meant: what is ours is known, kept or made anew; side files are few."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from audiodiff.batch.job import process
from audiodiff.cli import run
from audiodiff.inference.engine import Samples

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def talks(tmp_path: Path, recording: Recording) -> Path:
    """A folder with three recordings in two places."""
    folder = tmp_path / "talks"
    (folder / "old").mkdir(parents=True)
    for name in ("a.wav", "b.wav", "old/c.wav"):
        soundfile.write(folder / name, recording(0.2, 16000).T, 16000)
    return folder


@pytest.fixture
def denoise(toy_folder: Path, capsys: Output) -> Callable[..., tuple[int, list[dict[str, Any]], str]]:
    """Runs the command; gives its code, its events but the summary, and its standard error."""

    def command(*words: str | Path) -> tuple[int, list[dict[str, Any]], str]:
        capsys.readouterr()
        code = run(["denoise", *map(str, words), "-m", str(toy_folder), "--jobs", "1", "--json"])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()][:-1], err

    return command


Denoise = Callable[..., tuple[int, list[dict[str, Any]], str]]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "models" not in path.parts
    }


def statuses(events: list[dict[str, Any]]) -> list[str]:
    return [event["status"] for event in events]


@pytest.mark.parametrize("place", ["new/clean/talk.wav", "new/clean/", "new/clean"])
def test_a_place_that_is_not_there_is_made(talks: Path, denoise: Denoise, place: str) -> None:
    page = talks.parent / "pages" / "page.html"
    words = [talks / "a.wav", "-o", f"{talks.parent}/{place}", "--residual", "--report", page]
    code, events, _ = denoise(*words)
    assert code == 0
    (event,) = [each for each in events if each["event"] == "file"]
    target = talks.parent / "new" / "clean" / ("talk.wav" if place.endswith("talk.wav") else "a.wav")
    assert event["out"] == str(target)
    expected = {target, Path(event["residual"]), target.with_name(f"{target.name}.audiodiff.json"), page}
    assert {path for path in talks.parent.glob("[np]*/**/*") if path.is_file()} == expected


@pytest.mark.parametrize(
    ("place", "more", "code"),
    [
        ("new/b.xyz", [], "format"),
        ("new/", ["--start", "100"], "range"),
        ("new/", ["--max-hours", "0"], "too_long"),
        ("talks/a.wav/x/", [], "unwritable"),
        ("new/", ["--shard", "1/1", "--start", "100"], "range"),
    ],
)
def test_what_is_refused_leaves_no_folder(
    talks: Path, denoise: Denoise, place: str, more: list[str], code: str
) -> None:
    before = files(talks.parent)
    _, [event], _ = denoise(talks / "a.wav", "-o", f"{talks.parent}/{place}", *more)
    assert event["error"]["code"] == code
    assert files(talks.parent) == before
    assert not (talks.parent / "new").exists()


def test_a_recording_that_fails_at_work_leaves_no_folder(talks: Path, denoise: Denoise) -> None:
    for name in ("a.wav", "b.wav"):
        path = talks / name
        path.write_bytes(path.read_bytes()[:3000])
    for words in ([talks / "a.wav"], [talks / "a.wav", talks / "b.wav"]):
        code, events, _ = denoise(*words, "-o", talks.parent / "new" / "clean", "--strict")
        assert code == 1
        assert {event["error"]["code"] for event in events} == {"truncated"}
        assert not (talks.parent / "new").exists()
    assert denoise(talks, "-o", talks.parent / "new" / "clean", "--dry-run")[0] == 0
    assert not (talks.parent / "new").exists()


def test_side_files_are_one_journal_a_folder(talks: Path, denoise: Denoise) -> None:
    clean = talks.parent / "clean"
    assert denoise(talks, "-o", clean)[0] == 0
    assert {name for name in files(clean) if ".audiodiff/" in name} == {
        ".audiodiff/journal.jsonl",
        "old/.audiodiff/journal.jsonl",
    }
    assert denoise(talks / "a.wav", "-o", talks.parent / "alone")[0] == 0
    assert not (talks.parent / "alone" / ".audiodiff").exists()


class Crash(BaseException):
    """Stands for the end of the process."""


def test_overwrite_does_it_again_and_goes_on(
    talks: Path, denoise: Denoise, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [talks, "-o", talks.parent / "clean"]
    again = [*words, "--overwrite"]
    assert statuses(denoise(*words)[1]) == ["done"] * 3
    truth = files(talks)
    assert statuses(denoise(*words)[1]) == ["skipped"] * 3
    for _ in range(2):
        assert statuses(denoise(*again, "--dry-run")[1]) == ["to_do"] * 3
        assert statuses(denoise(*again)[1]) == ["done"] * 3
    done: list[Path] = []

    def crashing(*job: Any) -> Any:
        if len(done) == 2:
            raise Crash
        done.append(job[1])
        return process(*job)

    with monkeypatch.context() as patch:
        patch.setattr("audiodiff.batch.batch_spec.process", crashing)
        with pytest.raises(Crash):
            denoise(*again)
    assert len(done) == 2
    assert statuses(denoise(*again, "--dry-run")[1]) == ["skipped", "skipped", "to_do"]
    assert (
        statuses(denoise(talks / "a.wav", talks / "b.wav", *again[1:])[1]) == ["done"] * 2
    )  # another command
    with monkeypatch.context() as patch:
        done.clear()
        patch.setattr("audiodiff.batch.batch_spec.process", crashing)
        with pytest.raises(Crash):
            denoise(*again)
    assert statuses(denoise(*again)[1]) == ["skipped", "skipped", "done"]  # the same one goes on
    assert statuses(denoise(*again)[1]) == ["done"] * 3  # it had come to its end
    assert statuses(denoise(*words)[1]) == ["skipped"] * 3
    assert files(talks) == truth


@pytest.mark.parametrize("how", [[], ["--no-tag"], ["--no-sidecar"]])
def test_the_same_words_of_the_shell_twice(talks: Path, denoise: Denoise, how: list[str]) -> None:
    def words() -> list[Path]:
        return sorted(path for path in talks.iterdir() if path.is_file())  # what * means

    assert statuses(denoise(*words(), "--residual", *how)[1]) == ["done"] * 2
    assert denoise(talks / "a.wav", "--preview", "0.1", *how)[0] == 0
    results = files(talks)
    code, events, err = denoise(*words(), "--residual", *how)
    assert (code, statuses(events)) == (0, ["skipped"] * 2)
    assert files(talks) == results
    n_sidecars = 0 if how == ["--no-sidecar"] else 3
    assert (
        err.splitlines()[0]
        == f"audiodiff: {5 + n_sidecars} files were made by audiodiff denoise already, and left out"
    )
    code, events, _ = denoise(*words(), "--residual", "--overwrite", *how)
    assert (code, statuses(events)) == (0, ["done"] * 2)


def test_a_result_alone_is_meant_and_told(talks: Path, denoise: Denoise) -> None:
    assert denoise(talks / "a.wav")[0] == 0
    code, [event], err = denoise(talks / "a.denoised.wav")
    assert (code, event["out"]) == (0, str(talks / "a.denoised.denoised.wav"))
    assert len(event["warnings"]) == 1
    assert f"audiodiff: warning: {event['warnings'][0]}" in err
    code, events, _ = denoise(talks / "a.wav", "-o", talks.parent / "other")
    assert events[0]["warnings"] == []


def test_a_second_preview(talks: Path, denoise: Denoise) -> None:
    target = talks / "a.denoised.preview.wav"
    for start, n in (("0.1@0", 1600), ("0.05@0.1", 800)):
        code, [event], _ = denoise(talks / "a.wav", "--preview", start)
        assert (code, event["out"]) == (0, str(target))
        assert soundfile.info(target).frames == n
    for start in ("0.1@0", "0.05@0.1"):  # in a batch too
        assert statuses(denoise(talks / "a.wav", talks / "b.wav", "--preview", start)[1]) == ["done"] * 2
    assert soundfile.info(target).frames == 800
    assert denoise(talks / "a.wav", "-o", target)[0] == 2


def test_folders_are_counted_in_one_line(talks: Path, denoise: Denoise) -> None:
    for name in ("cover.jpg", "old/back.png", "notes.txt", "old/list.xyz", ".hidden"):
        (talks / name).touch()
    (talks / "b.wav").rename(talks / "b.wave")
    code, events, err = denoise(talks, "-o", talks.parent / "clean")
    assert (code, statuses(events)) == (0, ["done"] * 3)
    assert events[1]["out"].endswith("clean/b.wave")
    assert err.splitlines()[0].startswith("audiodiff: 5 other files left alone: ")
    denoise(talks)  # beside them: what it wrote is not counted
    assert denoise(talks)[2].splitlines()[1] == err.splitlines()[0]


def test_outputs_that_exist_are_one_line(talks: Path, denoise: Denoise) -> None:
    words = [talks, "-o", talks.parent / "clean"]
    assert denoise(*words)[0] == 0
    for quiet in ([], ["-q"]):
        code, events, err = denoise(*words, "--seed", "1", *quiet)
        assert code == 1
        assert [event["error"]["code"] for event in events] == ["exists"] * 3
        assert sum("exist" in line for line in err.splitlines() if line.startswith("audiodiff: ")) == 1


def test_a_disk_without_locks_is_told_once(
    talks: Path, denoise: Denoise, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", lacking)
    code, events, err = denoise(talks, "-o", talks.parent / "clean")
    assert (code, statuses(events)) == (0, ["done"] * 3)
    assert [len(event["warnings"]) for event in events] == [1, 0, 0]
    assert err.count(events[0]["warnings"][0]) == 1
