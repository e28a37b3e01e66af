"""Guards: `audiodiff prepare` packs folders, writes and unpacks shards, and says what it left out."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from audiodiff.cli.prepare import prepare
from audiodiff.data.store import Store
from audiodiff.errors import DataError
from audiodiff.extras import install_hint

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
    result = CliRunner().invoke(app, [str(folder / "store"), "--speech", str(folder / "speech")])
    assert isinstance(result.exception, DataError)
    assert install_hint("train") in str(result.exception)
    assert not (folder / "store").exists()


def test_nothing_to_pack(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "store")])
    assert result.exit_code == 2


def test_a_speaker_left_out_is_not_packed(folder: Path) -> None:
    arguments = [str(folder / "store"), "--speech", str(folder / "speech"), "--sample-rate", "16000"]
    arguments += ["--rooms", "0", "--leave-out", "speech/0.wav", "--leave-out", "speech/2.wav"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert [entry.speaker for entry in Store(folder / "store").entries] == ["speech/1.wav"]


@pytest.mark.parametrize("origin", [["--shard", "a.zip"], ["--write-shards", "1"]])
def test_nothing_can_be_left_out_of_what_is_packed_already(tmp_path: Path, origin: list[str]) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "store"), *origin, "--leave-out", "ann"])
    assert result.exit_code == 2
    assert "--leave-out" in result.output
