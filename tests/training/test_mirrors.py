"""Promise: the table holds the numbers of the log, also after a run was cut back and resumed."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from audiodiff.training.log import RunLog, read_log
from audiodiff.training.mirrors import COLUMNS, open_mirrors

STEP = {"loss": 0.5, "terms": {"complex": 1.0}, "trivial": None, "lr": 1e-3, "minutes": 0.25}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected(folder: Path) -> list[dict[str, Any]]:
    return [entry for entry in read_log(folder / "log.jsonl") if entry["kind"] in ("step", "valid")]


def check(folder: Path) -> None:
    found, wanted = rows(folder), expected(folder)
    assert len(found) == len(wanted)
    for row, entry in zip(found, wanted, strict=True):
        assert tuple(row) == COLUMNS
        for name in COLUMNS[1:]:
            value = entry.get(name)
            assert row[name] == "" if value is None else float(row[name]) == value


def test_the_table_is_the_log_cut_back_and_gone_on_with(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.mirrors = open_mirrors(tmp_path, [], with_board=False)
    log.write("start", {"step": 0})
    log.write("step", {"step": 2} | STEP)
    kept = log.n_bytes
    log.write("valid", {"step": 3, "minutes": 0.3, "si_sdr": 4.5, "parts": {"a": {"si_sdr": 4.5}}})
    check(tmp_path)
    assert [row["kind"] for row in rows(tmp_path)] == ["step", "valid"]
    log.close()
    again = RunLog(tmp_path / "log.jsonl", kept)
    again.mirrors = open_mirrors(tmp_path, read_log(tmp_path / "log.jsonl"), with_board=False)
    again.write("step", {"step": 4} | STEP)
    again.close()
    check(tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4"]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="tensorboard is installed")
def test_a_missing_tensorboard_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mirror,) = open_mirrors(tmp_path, [], with_board=True)
    mirror.close()
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_reads_the_same_numbers(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    mirrors = open_mirrors(tmp_path, [], with_board=True)
    for mirror in mirrors:
        mirror.write("step", json.loads(json.dumps({"step": 2} | STEP)))
        mirror.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (scalar,) = events.Scalars("step/loss")
    assert (scalar.step, scalar.value) == (2, 0.5)
