"""Promise: table and JSON lines show the report; the exit code says if a file has no score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from audiodiff.cli.evaluate import LABELS, evaluate
from audiodiff.errors import AudioFileError, ConfigError

pytestmark = pytest.mark.slow

RATE = 16000
Wave = NDArray[np.float32]

app = typer.Typer()
app.command()(evaluate)


@pytest.fixture
def folders(tmp_path: Path, speech: Wave, noisy: Wave) -> list[str]:
    for name, x in (("clean", speech), ("noisy", noisy), ("est", 0.1 * noisy + 0.9 * speech)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "talk.wav", x, RATE)
    return [str(tmp_path / "clean"), str(tmp_path / "est"), "--noisy", str(tmp_path / "noisy")]


def test_the_table_names_what_was_gained(folders: list[str]) -> None:
    result = CliRunner().invoke(app, folders)
    assert result.exit_code == 0, result.output
    assert "gain" in result.output
    assert "SI-SDR dB" in result.output
    assert "worse than noisy by more than 0.1 PESQ-WB: 0 of 1" in result.output


def test_the_direction_of_each_metric_is_told(folders: list[str]) -> None:
    lines = CliRunner().invoke(app, folders).output.splitlines()
    rows = [line for line in lines if line.endswith("is better")]
    assert len(rows) == len(LABELS)
    for row in rows:  # an estimate with a tenth of the noise is the better one
        gain = float(row.split()[-5])
        assert (gain > 0) == row.endswith("higher is better"), row


def test_the_json_lines_hold_every_number(folders: list[str]) -> None:
    result = CliRunner().invoke(app, [*folders, "--json"])
    file, total = (json.loads(line) for line in result.output.splitlines())
    assert file["file"] == "talk"
    assert total["summary"]["si_sdr_db"]["mean"] == file["scores"]["si_sdr_db"]
    assert total["gain"]["si_sdr_db"]["mean"] == pytest.approx(20, abs=0.2)
    assert total["unscored"] == []


def test_two_files_are_scored_as_in_folders_whatever_their_names(folders: list[str], tmp_path: Path) -> None:
    files = [str(next(Path(place).iterdir())) for place in (*folders[:2], folders[3])]
    other = Path(files[1]).rename(tmp_path / "cleaned.wav")
    words = [files[0], str(other), "--noisy", files[2]]
    single = CliRunner().invoke(app, [*words, "--json"])
    assert single.exit_code == 0, single.output
    file, total = (json.loads(line) for line in single.output.splitlines())
    other.rename(files[1])
    expected, of_all = (
        json.loads(line) for line in CliRunner().invoke(app, [*folders, "--json"]).output.splitlines()
    )
    assert file == expected | {"file": "cleaned.wav"}
    assert total == of_all
    Path(files[1]).rename(other)
    text = CliRunner().invoke(app, words).output
    assert "gain" in text
    assert "worst" not in text  # of one


def test_what_is_no_pair_is_refused(folders: list[str], tmp_path: Path) -> None:
    file = str(next(Path(folders[0]).iterdir()))
    empty = tmp_path / "empty.wav"
    empty.touch()
    for words, error in (
        ([file, folders[1]], ConfigError),
        ([folders[0], file], ConfigError),
        ([file, file, "--noisy", folders[3]], ConfigError),
        ([file, str(tmp_path / "nowhere.wav")], AudioFileError),
        ([file, str(empty)], AudioFileError),
    ):
        assert isinstance(CliRunner().invoke(app, words).exception, error), words


def test_a_file_without_a_score_gives_exit_code_1_and_no_number(folders: list[str], speech: Wave) -> None:
    soundfile.write(Path(folders[0]) / "lost.wav", speech, RATE)
    text = CliRunner().invoke(app, folders[:2])
    assert text.exit_code == 1
    assert "not scored: lost (all): there is no estimate of this name" in text.output
    lines = CliRunner().invoke(app, [*folders[:2], "--json"])
    assert lines.exit_code == 1
    assert set(json.loads(lines.output.splitlines()[0])["scores"].values()) == {None}


def test_a_name_with_a_line_break_is_told_in_one_line(folders: list[str], speech: Wave) -> None:
    soundfile.write(Path(folders[0]) / "lo\nst.wav", speech, RATE)
    text = CliRunner().invoke(app, folders[:2])
    assert "not scored: lo st (all): there is no estimate of this name" in text.output.splitlines()


def test_one_clip_of_20_ms_leaves_the_others_their_scores(folders: list[str], speech: Wave) -> None:
    for place in folders[:2]:
        soundfile.write(Path(place) / "tiny.wav", speech[3000:3320], RATE)
    result = CliRunner().invoke(app, [*folders[:2], "--json"])
    assert result.exit_code == 1, result.output
    talk, tiny, total = (json.loads(line) for line in result.output.splitlines())
    assert talk["reasons"] == {}
    assert set(tiny["scores"].values()) == {None}
    reason = {"code": "short", "text": "shorter than 32 ms"}
    assert total["unscored"] == [{"file": "tiny", "metric": "all", **reason}]
    assert {summary["count"] for summary in total["summary"].values()} == {1}
