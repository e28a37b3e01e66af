"""Promise: info tells true length and origin of recordings, without torch, and goes on past bad ones."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import JsonValue

from audiodiff.batch.naming import sidecar_path
from audiodiff.batch.sidecar import AudioFact, ModelFact, Sidecar
from audiodiff.cli import run
from audiodiff.extras import install_hint
from audiodiff.inference.engine import Samples
from tests.io.containers import Recipe as RecipeOfFile
from tests.io.containers import make, packets, png

Recording = Callable[..., Samples]
SHA = "0123456789abcdef" * 4


@pytest.fixture
def talk(tmp_path: Path, recording: Recording) -> Path:
    path = tmp_path / "talk.wav"
    with soundfile.SoundFile(path, "w", 16000, 2, "PCM_24") as file:
        file.comment = "processed with audiodiff 0.1.0 (denoise, model podcast)"
        file.write(recording(1.0, 16000, 2, peak=0.25).T)
    return path


def facts(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["info", "--json", str(path)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def sidecar(path: Path, sha256: str) -> None:
    made = AudioFact(name=path.name, sha256=sha256, seconds=1.0, sample_rate=16000, channels=2)
    model = ModelFact(name="podcast", sha256=SHA, licence="CC0-1.0")
    options: dict[str, JsonValue] = {"strength": 0.5, "steps": None}
    told = Sidecar(task="denoise", model=model, options=options, seed=7, input=made, output=made)
    sidecar_path(path).write_bytes(told.to_bytes())


def test_the_header_the_samples_and_the_tag(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(talk, capsys)
    assert (found["container"], found["subtype"]) == ("WAV", "PCM_24")
    assert (found["sample_rate"], found["channels"], found["samples"]) == (16000, 2, 16000)
    assert found["peak"] == pytest.approx(0.25, abs=1e-6)
    assert "(denoise, model podcast)" in found["made_by"]
    assert found["sidecar"] is found["as_written"] is None
    assert found["warnings"] == []


def sine(seconds: float = 2.0, peak: float = 0.25, rate: int = 48000) -> Samples:
    """[T]: 997 Hz, the tone of BS.1770-4, of whole periods a second."""
    return np.asarray(peak * np.sin(2 * np.pi * 997 * np.arange(round(seconds * rate)) / rate), np.float32)


def test_levels_are_those_of_a_sine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sine.wav"
    soundfile.write(path, np.stack([sine(), 0 * sine()], 1), 48000, "FLOAT")
    found = facts(path, capsys)
    assert found["peak_db"] == pytest.approx(20 * np.log10(0.25), abs=0.01)
    assert found["rms_db"] == pytest.approx(10 * np.log10(0.25**2 / 2 / 2), abs=0.01)  # one channel of two
    assert found["lufs"] == pytest.approx(-3.01 + 20 * np.log10(0.25), abs=0.05)  # BS.1770-4: 0 dB is -3.01
    assert found["true_peak_db"] == pytest.approx(found["peak_db"], abs=0.1)
    assert found["bit_rate"] is None
    assert run(["info", str(path)]) == 0
    text = capsys.readouterr().out
    for row in ("peak       -12.0 dBFS", "RMS        -18.1 dBFS", "loudness   -15.1 LUFS"):
        assert row in text


def test_silence_has_no_decibels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 16000)
    found = facts(tmp_path / "silence.wav", capsys)
    assert found["peak"] == 0.0
    assert {found[name] for name in ("peak_db", "rms_db", "lufs", "true_peak_db")} == {None}


def test_without_pyav_the_rest_is_told(
    talk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = facts(talk, capsys)
    monkeypatch.setitem(sys.modules, "av", None)
    found = facts(talk, capsys)
    assert found == whole | {"lufs": None, "true_peak_db": None, "made_by": found["made_by"]} | {
        "tags": found["tags"]
    }
    assert run(["info", str(talk)]) == 0
    assert install_hint("media") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "codec", "muxer", "video", "cover"),
    [
        ("a.mp3", "libmp3lame", "mp3", False, png() + bytes(200_000)),
        ("a.m4a", "aac", "mp4", False, png()),
        ("a.mp4", "aac", "mp4", True, b""),
        ("a.mkv", "flac", "matroska", True, b""),
    ],
)
def test_bit_rate_cover_and_film(
    name: str, codec: str, muxer: str, video: bool, cover: bytes, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / name
    make(path, RecipeOfFile(muxer=muxer, codec=codec, seconds=2.0, video=video, cover=cover))
    found = facts(path, capsys)
    assert (found["film"], found["pictures"]) == (video, int(bool(cover)))
    if codec == "flac":
        assert found["bit_rate"] is None
        return
    n_bytes = sum(len(data) for data, *_ in packets(path, "audio"))
    assert found["bit_rate"] == round(8 * n_bytes / found["seconds"])
    assert 8_000 < found["bit_rate"] < 400_000
    assert run(["info", str(path)]) == 0
    assert f"{found['bit_rate'] / 1000:.0f} kbit/s" in capsys.readouterr().out


def test_a_folder_is_a_table_with_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old").mkdir()
    soundfile.write(tmp_path / "one.wav", sine(9.0), 48000)
    soundfile.write(tmp_path / "old" / "two.flac", sine(3.0, rate=16000), 16000)
    soundfile.write(tmp_path / "three.wav", sine(6.0), 48000)
    (tmp_path / "notes.txt").touch()
    assert run(["info", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    place, _, *rows = out.splitlines()
    assert place == str(tmp_path)
    cells = [row.split() for row in rows[:3]]
    assert [row[0] for row in cells] == ["old/two.flac", "one.wav", "three.wav"]
    assert [row[-4] for row in cells] == ["0:00:03", "0:00:09", "0:00:06"]
    assert {row[-3] for row in cells} == {"-12.0"}
    assert [row.strip() for row in rows[3:]] == [
        "3 files, 0.005 h",
        "rates: 48000 Hz (2), 16000 Hz (1)",
        "formats: WAV PCM_16 (2), FLAC PCM_16 (1)",
    ]
    assert "passed over 1 text" in err
    assert run(["info", "--json", str(tmp_path)]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(record["file"]).name for record in records] == ["two.flac", "one.wav", "three.wav"]
    for record in records:
        assert record == facts(Path(record["file"]), capsys)


def test_a_folder_with_a_bad_file_shows_the_others(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk.with_name("empty.wav").touch()
    assert run(["info", str(talk.parent)]) == 1
    out, err = capsys.readouterr()
    assert "talk.wav" in out
    assert "  1 file, " in out
    assert err.splitlines()[0].startswith(f"audiodiff: {talk.with_name('empty.wav')}: ")
    talk.with_name("empty.wav").unlink()
    talk.unlink()
    assert run(["info", str(talk.parent)]) == 1


def test_a_sidecar_and_whether_it_is_still_true(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sidecar(talk, hashlib.sha256(talk.read_bytes()).hexdigest())
    assert facts(talk, capsys)["as_written"] is True
    assert run(["info", str(talk)]) == 0
    text = capsys.readouterr().out
    for words in ("strength 0.5", "seed       7", f"podcast, SHA-256 {SHA}", "as it was written"):
        assert words in text
    assert "steps" not in text
    sidecar(talk, SHA)
    assert facts(talk, capsys)["as_written"] is False


def test_a_file_that_is_cut_short(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk.write_bytes(talk.read_bytes()[:30_044])
    assert run(["info", str(talk)]) == 0
    out, err = capsys.readouterr()
    assert "cut short" in err
    assert "1.000 s" not in out
    assert facts(talk, capsys)["warnings"][0] in err


def test_bad_ones_do_not_stop_the_others(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = talk.with_name("empty.wav")
    empty.touch()
    assert run(["info", str(empty), str(talk)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(str(talk))
    assert err.startswith(f"audiodiff: {empty}: ")


def test_tags_cannot_steer_the_terminal(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with soundfile.SoundFile(talk, "w", 16000, 1) as file:
        file.title = "a\x1b[31mb\nc"
        file.write([0.0] * 100)
    assert run(["info", str(talk)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "a [31mb c" in out


def test_it_starts_without_torch(talk: Path) -> None:
    code = f"import sys; from audiodiff.cli import run; assert run(['info', {str(talk)!r}]) == 0"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("False\n")
