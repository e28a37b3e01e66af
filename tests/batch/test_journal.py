"""Promise: done is what a record on the disk vouches for; a crash costs work, never a wrong file."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import soundfile

from audiodiff.batch.batch_spec import Item, JobSpec, foresee, run_one
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.job_options import Options, Result
from audiodiff.batch.journal import Journal, Record, end_run, key_of, run_key
from audiodiff.batch.naming import sidecar_path
from audiodiff.batch.target_lock import clear, locked
from audiodiff.errors import AudioFileError
from audiodiff.io.atomic import AtomicFile
from audiodiff.io.loudness import Target
from tests.errors import refused

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]
KEY = key_of({"strength": 1})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.wav"
    path.write_bytes(b"the recording")
    return path


def finished(source: Path, target: Path, content: bytes = b"result", key: str = KEY, run: str = "") -> Record:
    """Do what a job does."""
    record = Record((target,), key, run)
    record.begin(source, {})
    file = AtomicFile(target.parent)
    file.write(content)
    result = Result(source, target, "done", ("a warning",), 1.5)
    record.ready({target: file}, result)
    file.commit(target, replace=True)
    record.finish(result)
    return record


def test_done_is_done_for_this_input_and_this_work_only(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    assert Record((target,), KEY).standing(source) == "new"
    finished(source, target)
    record = Record((target,), KEY)
    assert record.standing(source) == "done"
    assert record.seconds == 1.5
    assert Record((target,), key_of({"strength": 0.5})).standing(source) == "foreign"
    os.utime(source, ns=(1, 1))
    assert record.standing(source) == "done"  # another time, the same content
    source.write_bytes(b"THE RECORDING")
    assert record.standing(source) == "foreign"


@pytest.mark.parametrize("step_s", [1, 2], ids=["whole seconds", "FAT"])
@pytest.mark.parametrize("changed", ["source", "target"])
def test_a_change_within_a_coarse_step_of_time_is_seen(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: int, changed: str
) -> None:
    """Another content of the same length, at the same time as the file system counts it."""
    target = tmp_path / "out.wav"
    now = time.time_ns() // (2 * 10**9) * (2 * 10**9)
    monkeypatch.setattr(time, "time_ns", lambda: now + step_s * 10**9 - 1)
    ready = Record.ready

    def coarse(record: Record, files: Mapping[Path, AtomicFile], result: Result) -> None:
        for file in files.values():
            os.utime(file.fd, ns=(now, now))
        ready(record, files, result)

    monkeypatch.setattr(Record, "ready", coarse)
    os.utime(source, ns=(now, now))
    finished(source, target)
    assert Record((target,), KEY).standing(source) == "done"
    path = source if changed == "source" else target
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(now, now))
    assert Record((target,), KEY).standing(source) == "foreign"


def test_an_old_time_of_whole_seconds_is_believed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archives set such times; nobody wants all of their files read again at every run."""
    os.utime(source, ns=(10**18, 10**18))
    finished(source, tmp_path / "out.wav")
    monkeypatch.setattr("audiodiff.batch.journal.sha256_of", lambda _: pytest.fail("read again"))
    assert Record((tmp_path / "out.wav",), KEY).standing(source) == "done"


def test_what_others_did_to_a_target_is_seen(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    finished(source, target)
    target.write_bytes(b"mine!!")  # as long as the result
    assert Record((target,), KEY).standing(source) == "foreign"
    target.unlink()
    assert Record((target,), KEY).standing(source) == "new"
    target.mkdir()
    assert Record((target,), KEY).standing(source) == "foreign"
    target.rmdir()
    target.symlink_to(tmp_path / "nowhere")
    assert Record((target,), KEY).standing(source) == "foreign"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"v": 2}',
        '{"v": 1, "target": "out.wav", "outputs": {}}\n',
        "{}\n[]\n3\n\xff\n",
        '{"v": 2',
    ],
)
def test_a_damaged_record_vouches_for_nothing(source: Path, tmp_path: Path, text: str) -> None:
    target = tmp_path / "out.wav"
    finished(source, target)
    (tmp_path / ".audiodiff" / "journal.jsonl").write_text(text, "latin-1")
    assert Record((target,), KEY).standing(source) == "foreign"


def test_a_line_that_was_torn_is_passed_over(source: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    finished(source, first)
    journal = tmp_path / ".audiodiff" / "journal.jsonl"
    whole = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(whole[: len(whole) // 3])
    assert Record((first,), KEY).standing(source) == "done"
    finished(source, second)
    assert [Record((target,), KEY).standing(source) for target in (first, second)] == ["done", "done"]
    journal.write_bytes(whole)  # another journal now, as if it had come from a copy
    assert [Record((target,), KEY).standing(source) for target in (first, second)] == ["done", "foreign"]


def test_a_run_takes_what_it_has_made_itself_until_it_ends(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"

    def made_by(run: str) -> bool:
        return Record((target,), KEY, run).is_ours

    finished(source, target)
    assert made_by("")
    assert not made_by("one")
    finished(source, target, run="one")
    assert [made_by(run) for run in ("", "one", "two")] == [True, True, False]
    end_run("two", [tmp_path])
    assert made_by("one")
    end_run("one", [tmp_path, tmp_path / "nowhere"])
    assert [made_by(run) for run in ("", "one", "two")] == [True, False, False]
    finished(source, target, run="one")
    assert made_by("one")
    assert not (tmp_path / "nowhere").exists()


def test_which_commands_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    base = ("key", [Path("a"), Path("b")], Path("out"), (1, 2))
    assert run_key(*base) == run_key("key", [tmp_path / "a", Path("b")], tmp_path / "out", (1, 2))
    others = [
        run_key("other", *base[1:]),
        run_key("key", [Path("a")], *base[2:]),
        run_key("key", base[1], None, (1, 2)),
        run_key("key", [*base[1], Path("out")], None, (1, 2)),
        run_key(*base[:3], (2, 2)),
    ]
    assert len({run_key(*base), *others}) == len(others) + 1


def test_the_longest_name_and_names_that_are_not_utf8(source: Path, tmp_path: Path) -> None:
    for name in ("x" * 251 + ".wav", os.fsdecode(b"caf\xe9.wav"), "a\nb.wav"):
        finished(source, tmp_path / name)
        assert Record((tmp_path / name,), KEY).standing(source) == "done"


def test_a_lock_keeps_others_away(tmp_path: Path) -> None:
    with locked(tmp_path / "a.wav"):
        with locked(tmp_path / "b.wav"):
            pass
        with refused(AudioFileError, "busy", tmp_path / "a.wav"), locked(tmp_path / "a.wav"):
            pass
    with locked(tmp_path / "a.wav"):
        pass


def test_locks_that_come_and_go_with_their_folder(tmp_path: Path) -> None:
    """The last one to let go removes the folder, which another one may just have made."""
    faults: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for _ in range(60):
                with locked(tmp_path / "clean" / name) as is_held:
                    assert is_held
        except BaseException as fault:  # noqa: BLE001  it would end with its thread
            faults.append(fault)

    workers = [threading.Thread(target=work, args=(f"{n}.wav",)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults
    assert not list((tmp_path / "clean").iterdir())


def test_what_a_killed_worker_left_is_cleared_and_a_lock_that_is_held_is_not(tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    with locked(target):
        [lock] = (tmp_path / ".audiodiff").iterdir()
        clear(target)
        assert lock.exists()
    lock.parent.mkdir()
    for left in (lock, lock.with_name("journal.lock")):
        left.touch()
    clear(target)
    assert not lock.parent.exists()
    clear(target)
    assert not lock.parent.exists()


class Crash(BaseException):
    """Stands for the end of the process."""


def hashes(folder: Path) -> dict[str, str]:
    """Every visible file below a folder with its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".audiodiff" not in path.parts
    }


def test_all_is_on_the_disk_before_the_first_name_and_the_names_in_the_end(
    shows: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[int | str] = []
    flush, give_name = os.fsync, AtomicFile.name

    def flushing(fd: int) -> None:
        flush(fd)
        events.append(os.fstat(fd).st_ino)

    def naming(file: AtomicFile, path: Path, replace: bool) -> None:
        events.append(path.name)
        give_name(file, path, replace)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(AtomicFile, "name", naming)
    clean = shows.parent / "clean"
    item = Item(shows / "a.wav", clean / "a.wav", "a.wav")
    assert run_one(make_spec(options=Options(sidecar=True)), item).status == "done"
    names = ["a.wav.audiodiff.json", "a.wav"]
    files = [*(clean / name for name in names), clean / ".audiodiff" / "journal.jsonl"]
    first = events.index(names[0])
    assert {path.stat().st_ino for path in files} <= set(events[:first])
    assert events[first:] == [*names, clean.stat().st_ino]  # nothing is flushed twice


@pytest.mark.parametrize(
    ("overwrite", "sidecar"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_a_crash_at_any_naming_and_a_second_run(
    shows: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, overwrite: bool, sidecar: bool
) -> None:
    source, clean = shows / "a.wav", shows.parent / "clean"
    spec = make_spec(options=Options(residual=True, overwrite=overwrite, sidecar=sidecar))
    item = Item(source, clean / "a.wav", "a.wav")
    give_name, add = AtomicFile.name, Journal.add
    countdown = [0]

    def crashing(step: Callable[..., None], *words: object, **more: object) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise Crash
        step(*words, **more)
        if countdown[0] == -100:
            raise Crash

    assert run_one(spec, item).status == "done"
    truth = hashes(clean)
    assert sorted(truth) == ["a.residual.wav", "a.wav", *["a.wav.audiodiff.json"] * sidecar]
    monkeypatch.setattr(AtomicFile, "name", lambda *words, **more: crashing(give_name, *words, **more))
    monkeypatch.setattr(Journal, "add", lambda *words: crashing(add, *words))
    # Record, sidecar, target, record, residual.
    last = 5 if sidecar else 4
    for n in range(1, last + 1):
        for after in (False, True):
            shutil.rmtree(clean)
            if overwrite:
                clean.mkdir()
                (clean / "a.wav").write_bytes(b"an old result")
            countdown[0] = -100 + n if after else n
            with pytest.raises(Crash):
                run_one(spec, item)
            countdown[0] = 0
            for name, content in hashes(clean).items():
                old = overwrite and (clean / name).read_bytes() == b"an old result"
                assert old or content == truth[name]
            skipped = n == last and after
            assert run_one(spec, item).status == ("skipped" if skipped else "done")
            assert hashes(clean) == truth


def test_a_sidecar_is_part_of_what_is_done(shows: Path, make_spec: MakeSpec) -> None:
    spec, item = make_spec(options=Options(sidecar=True)), Item(shows / "a.wav", shows / "out.wav", "a.wav")
    sidecar = sidecar_path(item.target)
    assert run_one(spec, item).status == "done"
    truth = hashes(shows)
    assert foresee(spec, item) == run_one(spec, item)
    assert run_one(spec, item).status == "skipped"
    assert run_one(make_spec(), item).status == "skipped"  # without one nothing is missing either
    sidecar.unlink()
    assert run_one(make_spec(), item).status == "skipped"
    assert foresee(spec, item) is None
    assert run_one(spec, item).status == "done"
    assert hashes(shows) == truth
    item.target.unlink()  # a sidecar that was left alone does not stand in the way
    assert foresee(spec, item) is None
    assert run_one(spec, item).status == "done"
    assert hashes(shows) == truth
    sidecar.write_text("notes of mine")
    for found in (foresee(spec, item), run_one(spec, item)):
        assert found is not None
        assert found.fault is not None
        assert found.fault.code == "exists"
    assert run_one(make_spec(options=Options(sidecar=True, overwrite=True)), item).status == "done"
    assert hashes(shows) == truth


def test_what_is_no_sidecar_is_never_replaced_unasked(shows: Path, make_spec: MakeSpec) -> None:
    item = Item(shows / "a.wav", shows / "out.wav", "a.wav")
    sidecar_path(item.target).write_text("notes of mine")
    spec = make_spec(options=Options(sidecar=True))
    for found in (foresee(spec, item), run_one(spec, item)):
        assert found is not None
        assert found.fault is not None
        assert found.fault.code == "exists"
        assert "is no sidecar of audiodiff" in found.fault.message
    assert not item.target.exists()
    assert sidecar_path(item.target).read_text() == "notes of mine"
    assert run_one(make_spec(), item).status == "done"


def test_a_foreign_file_is_never_replaced_unasked(shows: Path, make_spec: MakeSpec) -> None:
    item = Item(shows / "a.wav", shows / "out.wav", "a.wav")
    item.target.write_bytes(b"mine")
    result = run_one(make_spec(), item)
    assert result.fault is not None
    assert result.fault.code == "exists"
    assert run_one(make_spec(options=Options(skip_existing=True)), item).status == "skipped"
    assert item.target.read_bytes() == b"mine"
    assert run_one(make_spec(options=Options(overwrite=True)), item).status == "done"


def test_what_decides_the_bytes_decides_what_is_done(shows: Path, make_spec: MakeSpec) -> None:
    item = Item(shows / "a.wav", shows / "out.wav", "a.wav")
    assert run_one(make_spec(DenoiseSettings(seed=1)), item).status == "done"
    same = (DenoiseSettings(seed=1, threads=2), DenoiseSettings(seed=1, device="cpu"))
    other = (
        DenoiseSettings(),
        DenoiseSettings(seed=1, strength=0.5),
        DenoiseSettings(seed=1, max_reduction_db=9),
    )
    assert [run_one(make_spec(settings), item).status for settings in same] == ["skipped"] * 2
    assert [run_one(make_spec(settings), item).status for settings in other] == ["failed"] * 3
    parts = (Options(start_s=0.1), Options(tag=True), Options(loudness=Target(-20)))
    for part in parts:
        assert run_one(make_spec(DenoiseSettings(seed=1), part), item).status == "failed"
    done = run_one(make_spec(options=Options(overwrite=True)), item)
    assert done.status == "done"
    assert run_one(make_spec(), item).status == "skipped"


def test_a_record_says_what_was_done(shows: Path, make_spec: MakeSpec) -> None:
    item = Item(shows / "a.wav", shows / "out.wav", "a.wav")
    result = run_one(make_spec(), item)
    [journal] = (shows / ".audiodiff").iterdir()
    record = json.loads(journal.read_text().splitlines()[-1])
    content = hashlib.sha256(item.target.read_bytes()).hexdigest()
    assert record["outputs"]["out.wav"]["sha256"] == content
    assert record["source"]["sha256"] == hashlib.sha256(item.source.read_bytes()).hexdigest()
    assert record["decisions"]["strength"] == 1.0
    assert record["seconds"] == result.seconds == 0.8


def test_faults_of_one_file_are_results(
    shows: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(result: Result) -> str:
        assert result.status == "failed"
        assert result.fault is not None
        assert "\n" not in result.fault.message
        return result.fault.code

    clean = shows.parent / "clean"
    broken = Item(shows / "old" / "broken.wav", clean / "broken.wav", "broken.wav")
    assert code(run_one(make_spec(), broken)) == "unreadable"
    assert not clean.exists()
    good = Item(shows / "a.wav", clean / "a.wav", "a.wav")
    clean.mkdir()
    with locked(good.target):
        assert code(run_one(make_spec(), good)) == "busy"
    below_a_file = Item(shows / "a.wav", shows / "b.flac" / "a.wav", "a.wav")
    assert code(run_one(make_spec(), below_a_file)) == "unwritable"
    assert code(run_one(make_spec(options=Options(max_hours=1e-5)), good)) == "too_long"
    assert code(run_one(make_spec(options=Options(start_s=9)), good)) == "range"
    monkeypatch.setattr("audiodiff.batch.batch_spec.process", lambda *_: 1 / 0)
    assert code(run_one(make_spec(), good)) == "internal"
    assert hashes(clean) == {}


def test_a_model_that_changed_meanwhile_is_refused(shows: Path, make_spec: MakeSpec) -> None:
    spec = make_spec()
    other = JobSpec(spec.settings, spec.model, "0" * 64, spec.options)
    result = run_one(other, Item(shows / "a.wav", shows / "out.wav", "a.wav"))
    assert result.fault is not None
    assert result.fault.code == "changed"


def test_excerpts_have_names_of_their_own_records(shows: Path, make_spec: MakeSpec) -> None:
    item = Item(shows / "a.wav", shows / "out.wav", "a.wav")
    result = run_one(make_spec(options=Options(start_s=0.25, end_s=0.5)), item)
    assert result.seconds == 0.25
    assert soundfile.info(item.target).frames == 4000


def test_without_locks_the_work_is_done_and_a_warning_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", lacking)
    with locked(tmp_path / "talk.wav") as is_held:
        assert not is_held
