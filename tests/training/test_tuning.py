"""Promise: a search that was stopped goes on as if nothing had happened, and finds what its trials say."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from audiodiff import cli
from audiodiff.cli.tune import grid_of, range_of
from audiodiff.errors import ConfigError
from audiodiff.settings import read_json
from audiodiff.training import tuning
from audiodiff.training.log import read_log
from audiodiff.training.recipe import load_recipe

pytestmark = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="needs the extra [tune]")

ROOT = Path(__file__).parents[2]
PLUGIN = (ROOT / "examples" / "own_plugin.py").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "pages" / "extending.md").read_text(encoding="utf-8")
RECIPE = re.findall(r"```toml\n(plugin = .*?)```", PAGE, flags=re.DOTALL)[0]
SHORT = ["optim.steps=2", "run.validate_items=1", 'run.bf16="off"', 'run.device="cpu"', "run.log_every=1"]
STOP = """
import os, signal
from pathlib import Path

FLAG = Path({flag!r})

@dataclass(frozen=True)
class Stopping(Tones):
    trial: int = 0

    def draw(self, *arguments):
        if FLAG.exists() and FLAG.read_text() == str(self.trial):
            FLAG.unlink()
            os.kill(os.getpid(), signal.SIGTERM)
        return super().draw(*arguments)

DATA = {{"tones": Stopping}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe of the page about extending; its data stop the trial that the file `flag` names."""
    (tmp_path / "mine.py").write_text(PLUGIN + STOP.format(flag=str(tmp_path / "flag")), encoding="utf-8")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def tune(recipe: Path, name: str, *options: str) -> int:
    words = ["tune", str(recipe), *SHORT, "-o", str(recipe.parent / name), "--allow-code", *options]
    return cli.run(words)


def table(folder: Path) -> list[dict[str, str]]:
    """The trials as they were written, but for the time that they took."""
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return [{key: cell for key, cell in row.items() if key != "minutes"} for row in csv.DictReader(file)]


def starts(folder: Path) -> list[int]:
    """How often each trial was begun."""
    logs = sorted(folder.glob("trial-*/log.jsonl"))
    return [sum(entry["kind"] == "start" for entry in read_log(log)) for log in logs]


@pytest.mark.slow
def test_a_grid_that_was_stopped_goes_on_as_one_that_was_not(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--grid", "optim.lr=1e-3,0.3", "--grid", "data.trial=0,1"]
    straight, killed = recipe.parent / "straight", recipe.parent / "killed"
    assert tune(recipe, "straight", *grid) == 0
    printed = capsys.readouterr().out
    (recipe.parent / "flag").write_text("1", encoding="utf-8")
    assert tune(recipe, "killed", *grid) == 143
    assert not (killed / "trials.csv").exists()
    finished = (killed / "trial-000" / "log.jsonl").read_bytes()
    assert tune(recipe, "killed", *grid) == 0
    assert (killed / "trial-000" / "log.jsonl").read_bytes() == finished
    assert table(killed) == table(straight)
    assert starts(straight) == [1, 1, 1, 1]
    assert starts(killed) == [1, 2, 1, 1]
    rows = table(straight)
    values = {(row["optim.lr"], row["data.trial"]) for row in rows}
    assert values == {("1e-3", "0"), ("1e-3", "1"), ("0.3", "0"), ("0.3", "1")}
    scores = [float(row["SI-SDR dB"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    best = load_recipe(straight / "best.json", allow_code=True)
    assert best.optim.lr == float(rows[0]["optim.lr"])
    assert rows[0]["optim.lr"] in printed.splitlines()[-1]
    lines = (straight / "trials.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + len(rows)
    assert (straight / "trials.png").stat().st_size > 10_000


@pytest.mark.slow
def test_draws_in_a_range_do_not_depend_on_a_stop(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = ["--range", "optim.lr=1e-4:1e-1:log", "--range", "data.batch=2:5", "--trials", "3"]
    assert tune(recipe, "straight", *ranges) == 0

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    train = tuning._train
    monkeypatch.setattr(tuning, "_train", crash)  # what was asked for is on the disk, and nothing else
    assert tune(recipe, "killed", *ranges) == 130
    monkeypatch.setattr(tuning, "_train", train)
    assert tune(recipe, "killed", *ranges) == 0
    assert table(recipe.parent / "killed") == table(recipe.parent / "straight")
    rows = table(recipe.parent / "straight")
    assert len({row["optim.lr"] for row in rows}) == 3
    assert all(1e-4 <= float(row["optim.lr"]) <= 0.1 and 2 <= int(row["data.batch"]) <= 5 for row in rows)


@pytest.mark.slow
def test_a_trial_that_breaks_is_listed_and_does_not_end_the_search(recipe: Path) -> None:
    lines = ["optim.steps=40", "run.trivial_after=5", "optim.warmup=1", "optim.clip=0"]
    assert tune(recipe, "runs", *lines, "--grid", "optim.lr=1e9,1e-3") == 0
    rows = table(recipe.parent / "runs")
    assert [row["optim.lr"] for row in rows] == ["1e-3", "1e9"]
    assert rows[1]["failed"]
    assert rows[1]["SI-SDR dB"] == "-"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--grid", "optim.rl=1,2"],
        ["--grid", "optim.lr=1e-3,fast"],
        ["--grid", "optim.lr=1e-3,-1"],
        ["--grid", "optim.lr=1e-3", "--grid", "optim.lr=1e-4"],
        ["--grid", "optim.lr"],
        ["--grid", "optim.lr=1,,2"],
        ["--grid", "optim.lr=1,1"],
        ["--range", "optim.lr=1:0"],
        ["--range", "optim.lr=0:1:log"],
        ["--range", "optim.lr=1:2:ln"],
        ["--range", "optim.lr=-1:1"],
        ["--range", "optim.lr=nan:1"],
        ["--grid", "optim.lr=1,2", "run.validate_minutes=0"],
        ["--grid", f"optim.seed={','.join(map(str, range(1001)))}"],
    ],
)
def test_what_is_wrong_is_said_before_any_training(
    recipe: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(recipe, "runs", *options) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (recipe.parent / "runs").exists()


def test_a_folder_holds_one_search(recipe: Path) -> None:
    folder = recipe.parent / "runs"
    folder.mkdir()
    search = tuning.Search(
        recipe, tuple(SHORT), (tuning.Grid("optim.lr", ("1", "2")),), "si_sdr", allow_code=True
    )
    (folder / "search.json").write_text(json.dumps(search.plain()), encoding="utf-8")
    assert read_json(folder / "search.json") == search.plain()
    assert tune(recipe, "runs", "--grid", "optim.lr=1,3") == 2
    assert tune(recipe, "runs", "--grid", "optim.lr=1,2", "--metric", "estoi") == 2
    assert not list(folder.glob("trial-*"))


def test_values_keep_their_brackets() -> None:
    assert grid_of("optim.betas=[0.9,0.99],[0.8, 0.9]").values == ("[0.9,0.99]", "[0.8, 0.9]")
    assert grid_of('process={kind="vp", schedule="linear"},{kind="flow"}').values == (
        '{kind="vp", schedule="linear"}',
        '{kind="flow"}',
    )
    assert grid_of("model.licence='a,b',c").values == ("'a,b'", "c")
    found = range_of("data.batch=2:8")
    assert (found.low, found.high, found.log) == (2, 8, False)
    assert isinstance(found.low, int)
    with pytest.raises(ConfigError):
        range_of("data.batch")


@pytest.mark.slow
def test_a_trial_that_was_killed_before_it_had_its_values_is_made_all_the_same(tmp_path: Path) -> None:
    axes = (tuning.Grid("optim.lr", ("1", "2", "3")),)
    search = tuning.Search(tmp_path / "recipe.toml", (), axes, "si_sdr")
    made = []
    with tuning._study(tmp_path / "study.db") as study:
        for texts in search.corners():
            study.enqueue_trial(texts)
        study.ask()  # and no more: its values are not on the disk
        while (trial := tuning._next(search, study)) is not None:
            made.append(trial[1]["optim.lr"])
            study.tell(trial[0], 1.0)
    assert sorted(made) == ["1", "2", "3"]
