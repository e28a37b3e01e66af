"""Promise: table and JSON lines show the report; the exit code says if a file has no score."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from audiodiff.cli.evaluate import evaluate
from audiodiff.errors import AudioFileError, ConfigError
from audiodiff.evaluation.dnsmos import FILE
from audiodiff.evaluation.metrics import METRICS
from audiodiff.evaluation.opinion import distill_mos
from tests.evaluation.test_dnsmos import write_network

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
    assert len(rows) == len(METRICS)
    for row in rows:  # an estimate with a tenth of the noise is the better one
        gain = float(row.split()[-5])
        assert gain == 0 or (gain > 0) == row.endswith("higher is better"), row
    assert max(map(len, lines)) <= 80


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


def test_several_systems_are_compared_and_written(folders: list[str], tmp_path: Path) -> None:
    clean, est, _, noisy = folders
    targets = {kind: tmp_path / f"systems.{kind}" for kind in ("csv", "markdown", "html")}
    words = [w for kind, path in targets.items() for w in (f"--{kind}", str(path))]
    result = CliRunner().invoke(app, [clean, noisy, est, "--json", *words])
    assert result.exit_code == 0, result.output
    *files, total = (json.loads(line) for line in result.output.splitlines())
    assert [file["system"] for file in files] == total["systems"] == ["noisy", "est"]
    (row,) = (r for r in total["rows"] if (r["metric"], r["system"]) == ("si_sdr_db", "est"))
    assert row["difference"]["mean"] == pytest.approx(20, abs=0.2)
    assert (row["wins"], row["clips"], row["better"]) == (1, 1, "higher")
    single = CliRunner().invoke(app, [clean, est, "--json"]).output.splitlines()[0]
    assert json.loads(single) == {k: v for k, v in files[1].items() if k != "system"}
    assert all(path.stat().st_size for path in targets.values())
    with_noisy = CliRunner().invoke(app, [clean, est, est + "/.", "--noisy", noisy])
    assert isinstance(with_noisy.exception, ConfigError)  # one system twice
    again = CliRunner().invoke(app, [clean, noisy, est, *words])
    assert isinstance(again.exception, AudioFileError)
    assert again.exception.code == "exists"


def test_files_of_several_systems_are_one_clip(folders: list[str], tmp_path: Path) -> None:
    ref, est, noisy = (str(next(Path(place).iterdir())) for place in (folders[0], folders[1], folders[3]))
    other = Path(est).rename(tmp_path / "cleaned.wav")
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, [ref, noisy, str(other), "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert "2 cleaned.wav" in result.output
    assert "1 of 1" in result.output
    assert "cleaned.wav" in page.read_text(encoding="utf-8")


def test_words_are_scored_alone_and_beside_the_sound(folders: list[str], tmp_path: Path) -> None:
    for name, text in (("said", "One, two three!"), ("heard", "one two tree"), ("worse", "one")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "talk.txt").write_text(text)
    texts = ["--transcripts", str(tmp_path / "said"), "--hypotheses", str(tmp_path / "heard")]
    alone = CliRunner().invoke(app, [*texts, "--hypotheses", str(tmp_path / "worse"), "--json"])
    assert alone.exit_code == 0, alone.output
    rows = {(r["metric"], r["system"]): r for r in json.loads(alone.output)["rows"]}
    assert rows["wer", "heard"]["mean"] == pytest.approx(100 / 3)
    assert rows["wer", "worse"]["difference"]["mean"] == pytest.approx(100 / 3)
    beside = CliRunner().invoke(app, [*folders[:2], *texts, "--json"])
    assert json.loads(beside.output.splitlines()[-1])["texts"]["wer"] == {
        "edits": 1, "total": 3, "percent": pytest.approx(100 / 3),
    }  # fmt: skip
    table = CliRunner().invoke(app, [*folders[:2], *texts]).output
    assert "1 errors in 3" in table
    for words in (texts[:2], texts[2:], [*folders[:2], *texts[:2]], [folders[0], *texts], [], [folders[0]]):
        assert isinstance(CliRunner().invoke(app, words).exception, ConfigError), words


def test_an_opinion_needs_its_package(folders: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "distillmos" else find(name)
    )
    error = CliRunner().invoke(app, [*folders[:2], "--mos"]).exception
    assert isinstance(error, ConfigError)
    assert error.code == "missing_extra"


@pytest.mark.skipif(importlib.util.find_spec("distillmos") is None, reason="distillmos is not installed")
def test_distill_mos_is_a_column(folders: list[str]) -> None:
    result = CliRunner().invoke(app, [*folders[:2], "--mos", "--json"])
    assert result.exit_code == 0, result.output
    scores = json.loads(result.output.splitlines()[0])["scores"]
    assert list(scores)[-1] == "distill_mos"
    sound, rate = soundfile.read(sorted(Path(folders[1]).iterdir())[0])
    assert scores["distill_mos"] == pytest.approx(distill_mos(sound, rate), abs=1e-4)


def test_opinions_of_the_users_network_are_columns(folders: list[str], tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    write_network(tmp_path / FILE)
    result = CliRunner().invoke(app, [*folders[:2], "--dnsmos", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    scores = json.loads(result.output.splitlines()[0])["scores"]
    assert list(scores)[-3:] == ["dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl"]
    assert scores["dnsmos_bak"] == pytest.approx(-0.396, abs=0.05)  # of a mean of almost 0
