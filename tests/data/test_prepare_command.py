"""Guards: `audiodiff prepare` packs folders, writes and unpacks shards, and says what it left out."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from audiodiff.cli.prepare import prepare
from audiodiff.data import packing
from audiodiff.data.store import Store
from audiodiff.errors import DataError
from audiodiff.extras import install_hint

pytestmark = pytest.mark.slow  # packs stores

app = typer.Typer()
app.command()(prepare)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "speech").mkdir()
    for number in range(3):
        soundfile.write(tmp_path / "speech" / f"{number}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    return tmp_path


def test_pack_write_and_unpack(folder: Path) -> None:
    run = CliRunner().invoke
    packing = [
        str(folder / "store"),
        "--speech",
        str(folder / "speech"),
        "--sample-rate",
        "16000",
        "--rooms",
        "0",
    ]
    result = run(app, [*packing, "--write-shards", "1"])
    assert result.exit_code == 0, result.output
    assert "store: 3 clips" in result.output
    shard = folder / "store-shards" / "shard-000.zip"
    result = run(app, [str(folder / "back"), "--shard", str(shard)])
    assert result.exit_code == 0, result.output
    assert len(Store(folder / "back").entries) == 3


def test_left_out_files_are_named(folder: Path) -> None:
    soundfile.write(folder / "speech" / "empty.wav", np.zeros(0), 16_000)
    (folder / "speech" / "text.wav").write_text("no audio")
    named = folder / "speech" / os.fsdecode(b"caf\xe9.wav")
    (folder / "speech" / "2.wav").rename(named)
    arguments = [
        str(folder / "store"),
        "--speech",
        str(folder / "speech"),
        "--sample-rate",
        "16000",
        "--rooms",
        "0",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "empty.wav: the file holds no samples" in result.output
    assert "text.wav: cannot be read as audio" in result.output
    speakers = [entry.speaker for entry in Store(folder / "store").entries]
    assert speakers == ["speech/0.wav", "speech/1.wav", "speech/caf\\udce9.wav"]


def test_rooms_without_their_package_are_refused_before_anything_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    asked = [str(folder / "store"), "--speech", str(folder / "speech"), "--rooms", "5"]
    result = CliRunner().invoke(app, asked)
    assert isinstance(result.exception, DataError)
    assert install_hint("train") in str(result.exception)
    assert not (folder / "store").exists()


def test_rooms_that_nobody_asked_for_are_left_out_with_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "can_simulate_rooms", lambda: False)
    result = CliRunner().invoke(app, [str(folder / "store"), "--speech", str(folder / "speech")])
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0].startswith("no simulated rooms: they need pyroomacoustics")
    assert {entry.kind for entry in Store(folder / "store").entries} == {"speech"}


def test_the_splits_are_printed(folder: Path) -> None:
    rng = np.random.default_rng(1)
    soundfile.write(folder / "speech" / "wide.wav", 0.1 * rng.standard_normal(44_100), 44_100)
    (folder / "noise").mkdir()
    for number in range(2):
        soundfile.write(folder / "noise" / f"{number}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    arguments = [str(folder / "store"), "--speech", str(folder / "speech"), "--noise", str(folder / "noise")]
    result = CliRunner().invoke(app, [*arguments, "--rooms", "0", "--sample-rate", "16000"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    head, *rows = lines[1 : lines.index("")]
    assert head.split() == ["kind", "split", "band", "speakers", "clips", "hours"]
    cells = [row.split() for row in rows]
    assert {(kind, split) for kind, split, *_ in cells} == {
        (kind, split) for kind in ("speech", "noise") for split in ("train", "dev")
    }
    speech = [row for row in cells if row[0] == "speech"]
    assert {row[2] for row in speech} == {"full", "narrow"}
    assert sum(int(row[3]) for row in speech) == sum(int(row[4]) for row in speech) == 4
    assert {row[3] for row in cells if row[0] == "noise"} == {"-"}


def test_what_is_passed_over_in_a_folder_is_counted_in_one_line(folder: Path) -> None:
    speech = folder / "speech"
    (speech / "._0.wav").write_bytes(bytes.fromhex("0005160700020000") + bytes(100))
    (speech / ".nomedia").write_bytes(b"")
    (speech / ".old").mkdir()
    soundfile.write(speech / ".old" / "y.wav", np.ones(4000), 16_000)
    (speech / "x.wav").mkdir()
    (speech / "photo.JPG").write_bytes(b"x")
    (speech / "notes.txt").write_text("x", encoding="utf-8")
    (speech / "linked").symlink_to(folder, target_is_directory=True)
    (speech / "gone.wav").symlink_to("/nowhere.wav")
    (speech / "empty.wav").write_bytes(b"")
    arguments = [str(folder / "store"), "--speech", str(speech), "--rooms", "0", "--sample-rate", "16000"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1  # two were left out
    passed, *left_out = result.stderr.splitlines()
    assert passed.startswith(f"{speech}: passed over ")
    assert set(passed.partition("passed over ")[2].split(", ")) == {
        "3 hidden",
        "1 image",
        "1 text",
        "1 linked folder",
    }
    assert [line.split(": ")[1] for line in left_out] == [str(speech / "empty.wav"), str(speech / "gone.wav")]
    assert len(Store(folder / "store").entries) == 3


def test_what_phones_and_recorders_call_their_files_is_packed(folder: Path) -> None:
    (folder / "speech" / "0.wav").rename(folder / "speech" / "0.WAVE")
    with av.open(str(folder / "speech" / "memo.3gp"), "w", format="3gp") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        tone = 0.1 * np.sin(np.arange(16_384) / 5)
        frame = av.AudioFrame.from_ndarray(tone[None].astype("<f4"), format="fltp", layout="mono")
        frame.rate, frame.pts = 16_000, 0
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=16_000, frame_size=1024)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    arguments = [str(folder / "store"), "--speech", str(folder / "speech"), "--sample-rate", "16000"]
    result = CliRunner().invoke(app, [*arguments, "--rooms", "0"])
    assert result.exit_code == 0, result.output
    speakers = {entry.speaker for entry in Store(folder / "store").entries}
    assert speakers == {"speech/0.WAVE", "speech/1.wav", "speech/2.wav", "speech/memo.3gp"}


def test_nothing_to_pack(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "store")])
    assert result.exit_code == 2


def test_a_speaker_left_out_is_not_packed(folder: Path) -> None:
    arguments = [str(folder / "store"), "--speech", str(folder / "speech"), "--sample-rate", "16000"]
    arguments += ["--rooms", "0", "--leave-out", "speech/0.wav", "--leave-out", "speech/2.wav"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert {entry.speaker for entry in Store(folder / "store").entries} == {"speech/1.wav"}


@pytest.mark.parametrize("origin", [["--shard", "a.zip"], ["--write-shards", "1"]])
def test_nothing_can_be_left_out_of_what_is_packed_already(tmp_path: Path, origin: list[str]) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "store"), *origin, "--leave-out", "ann"])
    assert result.exit_code == 2
    assert "--leave-out" in result.output
