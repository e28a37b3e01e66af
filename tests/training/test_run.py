"""The train command: a run killed by SIGTERM resumes bit for bit, and what is wrong is said in one line."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import audiodiff
from audiodiff import cli
from audiodiff.data.manifest import Split
from audiodiff.data.store import Labels, StoreWriter
from audiodiff.errors import ConfigError, ModelError
from audiodiff.model.folder import verify
from audiodiff.settings import parse
from audiodiff.signal.level import active_db
from audiodiff.training import curves
from audiodiff.training import run as run_module
from audiodiff.training.log import RunLog
from audiodiff.training.loop import BrokenRun, train
from audiodiff.training.ranks import Ranks
from audiodiff.training.recipe import Recipe, load_recipe
from audiodiff.training.run import run

pytestmark = pytest.mark.slow

RATE = 8000
RECIPE = """
[model]
sample_rate = 8000
n_fft = 128
hop = 64
exponent = 0.5
scale = 0.33
licence = "CC0-1.0"
[process]
kind = "brownian"
[network]
kind = "spectral"
low_bins = 32
high_pool = 4
channels = [8, 8, 8]
squeeze = 4
width = 16
layers = 1
head = 8
detail = 8
[data]
store = "STORE"
batch = 2
segment_s = 1.0
[objective]
[optim]
steps = 5
lr = 1e-3
warmup = 2
[run]
bf16 = "off"
device = "cpu"
log_every = 2
validate_minutes = 0.0
validate_items = 2
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe beside a store of bursts of harmonics, full band and narrow, train and dev."""
    folder = tmp_path_factory.mktemp("tiny")
    time = np.arange(12 * RATE) / RATE
    splits: tuple[Split, ...] = ("train", "dev")
    with StoreWriter(folder / "store", RATE) as writer:
        for number, split in enumerate(splits):
            for category in ("A", "a"):
                tones = sum(np.sin(2 * np.pi * (120 + 40 * number) * k * time) / k for k in range(1, 9))
                audio = (0.1 * tones * (np.sin(2 * np.pi * 1.5 * time) > -0.3)).astype(np.float32)
                level_db = active_db(audio, RATE)
                writer.add(audio, Labels("speech", split, RATE // 2, category, "", split, level_db))
    path = folder / "recipe.toml"
    path.write_text(RECIPE.replace("STORE", str(folder / "store")), encoding="utf-8")
    return path


def settings(recipe: Path, **sections: dict[str, Any]) -> Recipe:
    values = load_recipe(recipe).model_dump(mode="json")
    return parse(Recipe, {name: value | sections.get(name, {}) for name, value in values.items()}, "test")


def entries(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def newest_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted((folder / "checkpoints").glob("step-*"))[-1] / "state.safetensors")


def test_a_run_killed_by_sigterm_resumes_bit_for_bit(recipe: Path, tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    run(settings(recipe), straight)
    threads = str(torch.get_num_threads())
    script = Path(__file__).with_name("killed_run.py")
    command = [sys.executable, str(script), "train", str(recipe), "-o", str(killed), "--threads", threads]
    # the package may lie in the checkout without being installed
    places = [str(Path(audiodiff.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 143, done.stderr
    assert done.stderr.splitlines() == [f"{killed}: stopped at step 3; go on with --resume"]
    assert entries(killed, "end")[-1]["reason"] == "SIGTERM"
    assert not (killed / "model").exists()
    outcome = run(settings(recipe), killed, resume=True)
    assert outcome.finished
    first, second = newest_tensors(straight), newest_tensors(killed)
    assert first.keys() == second.keys()
    assert any(name.startswith("optimiser.exp_avg_sq") for name in first)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    weights = [(folder / "model" / "weights.safetensors").read_bytes() for folder in (straight, killed)]
    assert weights[0] == weights[1]


IN_TURN = """
import os, sys
from audiodiff import cli
for turn in sys.argv[1].split():  # in one process, which imports torch once
    os.environ["MASTER_PORT"], changed = turn.split(":")
    print(changed, flush=True)
    assert cli.run(["train", *sys.argv[2:], changed]) == 0
"""


def train_together(changes: list[str], *arguments: str) -> list[str]:
    """Run the train command as two processes, as torchrun would, once a change; what each printed."""
    with contextlib.ExitStack() as stack:  # all ports at once, or one would come twice
        sockets = [stack.enter_context(socket.socket()) for _ in changes]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        turns = [f"{free.getsockname()[1]}:{change}" for free, change in zip(sockets, changes, strict=True)]
    places = [str(Path(audiodiff.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", IN_TURN, " ".join(turns), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | shared | {"RANK": str(rank)},
        )
        for rank in range(2)
    ]
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    return printed


def test_two_processes_make_the_steps_of_one(recipe: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    run(settings(recipe), alone)
    turns = ["optim.steps=3", "optim.steps=5"]  # stopped and resumed, too
    first, second = train_together(turns, str(recipe), "-o", str(together), "--resume")
    assert first.count("model after") == 2
    assert second.split() == turns
    assert [entry["processes"] for entry in entries(together, "start")] == [2, 2]
    assert entries(together, "step")[-1]["step"] == 5
    expected, found = newest_tensors(alone), newest_tensors(together)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    Ranks(1, 2).check_batch(4)
    with pytest.raises(ConfigError, match="does not divide"):
        Ranks(1, 2).check_batch(3)


def test_a_closed_terminal_ends_with_a_checkpoint(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hung_up(*arguments: Any) -> Any:
        for record in train(*arguments):
            if record.step == 2:
                os.kill(os.getpid(), signal.SIGHUP)
            yield record

    monkeypatch.setattr(run_module, "train", hung_up)
    folder = tmp_path / "run"
    assert cli.run(["train", str(recipe), "-o", str(folder)]) == 129
    assert capsys.readouterr().err.splitlines() == [f"{folder}: stopped at step 2; go on with --resume"]
    assert entries(folder, "end")[-1]["reason"] == "SIGHUP"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000002"]


def test_the_folder_holds_recipe_log_curve_and_a_model_that_verifies(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert (
        cli.run(["train", str(recipe), "-o", str(folder), "run.validate_minutes=1000", "optim.steps=4"]) == 0
    )
    assert verify(folder / "model").sample_rate == RATE
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    table = (folder / "log.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + len(entries(folder, "step")) + len(entries(folder, "valid"))
    step = entries(folder, "step")[-1]
    assert step["step"] == 4
    assert step["terms"].keys() == {"complex", "magnitude"}
    assert step["trivial"] is None
    assert entries(folder, "step")[0]["trivial"] > 0
    assert {"lr", "grad_norm", "audio_per_s", "data_wait", "minutes"} <= step.keys()
    valid = entries(folder, "valid")[-1]
    assert valid["n"] == 4
    assert valid["parts"].keys() == {"everyday", "podcast"}
    assert np.isfinite(valid["si_sdr"])
    assert np.isfinite(valid["noisy"]["si_sdr"])
    again = tmp_path / "again"
    assert cli.run(["train", str(folder / "recipe.json"), "-o", str(again), "--max-minutes", "0"]) == 0
    assert not entries(again, "step")
    assert verify(again / "model").sample_rate == RATE


def test_the_best_model_stays_and_a_run_without_gain_ends_early(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    keys = ["run.validate_minutes=1e-9", "run.best=si_sdr", "run.patience=1", "optim.ema=0.0"]
    keys += ["optim.lr=0.03", "optim.warmup=0", "optim.steps=20", "run.validate_items=1"]
    assert cli.run(["train", str(recipe), "-o", str(folder), *keys]) == 0
    told = capsys.readouterr().out.splitlines()
    scores = [(entry["si_sdr"], entry["step"]) for entry in entries(folder, "valid")]
    best = max(scores)
    last = scores[-1][1]
    assert last == best[1] + 1 < 20
    assert entries(folder, "end")[-1]["reason"] != "finished"
    assert len(told) == 1
    assert str(last) in told[0]
    # the model that was kept scores what its validation said
    again = tmp_path / "again"
    more = ["--init", str(folder / "model-best"), "--max-minutes", "0"]
    assert cli.run(["train", str(folder / "recipe.json"), "-o", str(again), *more]) == 0
    assert entries(again, "valid")[-1]["si_sdr"] == pytest.approx(best[0], abs=1e-4)
    assert scores[-1][0] < best[0]
    # a resumed run knows the best of before
    assert cli.run(["train", str(folder / "recipe.json"), "-o", str(folder), "--resume"]) == 0
    after = [(entry["si_sdr"], entry["step"]) for entry in entries(folder, "valid")]
    assert after[: len(scores)] == scores
    assert len(after) == len(scores) + 1 or max(after) > best


def test_a_run_may_start_from_the_weights_of_a_model(recipe: Path, tmp_path: Path) -> None:
    run(settings(recipe), tmp_path / "first")
    config = settings(recipe, run={"seed": 5})
    run(config, tmp_path / "second", init=tmp_path / "first" / "model", max_minutes=0)
    folders = [tmp_path / name / "model" / "weights.safetensors" for name in ("first", "second")]
    first, second = (load_file(path) for path in folders)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    run(config, tmp_path / "second", resume=True, init=tmp_path / "first" / "model", max_minutes=0)
    notes = [entry["text"] for entry in entries(tmp_path / "second", "note")]
    assert notes[-1] == f"resume: --init {tmp_path}/first/model is ignored, the checkpoint's weights go on"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.stepz=3", "unknown key 'optim.stepz'; did you mean 'steps'?"),
        ("data.p_babbel=0.5", "did you mean 'p_babble'?"),
        ("network.widht=3", "unknown key 'network.widht'; did you mean 'width'?"),
        ("process.roh=3", "unknown key 'process.roh'; did you mean 'rho'?"),
        ("process.kind=vpp", "process: unknown kind 'vpp'; did you mean 'vp'?"),
        ("data.kind=wave", "data.kind: unknown kind 'wave'; did you mean 'waves'?"),
        ("network.kind=wavenet", 'does not go with data.kind = "mix"'),
        ("optm.lr=1.0", "unknown key 'optm'; did you mean 'optim'?"),
        ("network.n_bins=3", "network.n_bins must be 65, as the model says; leave it out"),
        ("optim.lr=-1.0", "optim.lr"),
        ("data.segment_s=0.05", "data.segment_s"),
        ("objective.perceptual=0.1", "at least 16000 Hz, it is 8000; set objective.perceptual = 0"),
        ("model.steps=[1, 2, 0]", "steps"),
        ("model.sample_rate=16000", "packed at 8000 Hz"),
        ("data.store=nowhere", "nowhere"),
        ("run.device=abacus", "abacus"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, said: str
) -> None:
    assert cli.run(["train", str(recipe), override, "-o", str(tmp_path / "run")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_a_folder_with_a_run_needs_resume_and_the_same_network(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    run(settings(recipe, optim={"steps": 1}), folder)
    command = ["train", str(recipe), "-o", str(folder)]
    assert cli.run(command) == 2
    assert "add --resume" in capsys.readouterr().err
    assert cli.run([*command, "--resume", "network.width=8"]) == 2
    assert "was trained with network" in capsys.readouterr().err
    assert cli.run([*command, "--resume", "optim.steps=2"]) == 0
    notes = [entry["text"] for entry in entries(folder, "note")]
    assert notes == ["resume: optim.steps is now 2, was 1"]
    assert [entry["step"] for entry in entries(folder, "step")] == [1, 2]


def test_a_broken_run_ends_with_code_1_and_its_reason(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object) -> Any:
        raise BrokenRun("step 7: the loss is not finite")
        yield

    monkeypatch.setattr(run_module, "train", train)
    folder = tmp_path / "run"
    assert cli.run(["train", str(recipe), "-o", str(folder)]) == 1
    assert capsys.readouterr().err.splitlines() == [f"{folder}: stopped, step 7: the loss is not finite"]
    assert entries(folder, "end")[-1]["reason"] == "step 7: the loss is not finite"


def _tones(path: Path, pitch_hz: float, seconds: float = 2.0) -> None:
    time = np.arange(round(seconds * 16_000)) / 16_000
    tones = sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 9))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * tones * (np.sin(2 * np.pi * 1.5 * time) > -0.3), 16_000)


@pytest.mark.parametrize(
    "names",
    [["one.wav"], ["a.wav", "b.wav", "c.wav"], ["ann/1.wav", "bob/1.wav"], ["ann/1.wav", "ann/2.wav"]],
    ids=["one file", "flat", "two speakers", "one speaker"],
)
def test_plain_folders_of_one_rate_class_train_by_two_commands(
    recipe: Path, tmp_path: Path, names: list[str]
) -> None:
    for number, name in enumerate(names):
        _tones(tmp_path / "speech" / name, 120 + 30 * number)
    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "fan.wav", 0.1 * rng.standard_normal(32_000), 16_000)
    store, folder = str(tmp_path / "store"), tmp_path / "run"
    own = ["--speech", str(tmp_path / "speech"), "--noise", str(tmp_path / "noise")]
    assert cli.run(["prepare", store, *own, "--sample-rate", str(RATE), "--rooms", "0"]) == 0
    changes = [f"data.store={store}", "optim.steps=2", "run.validate_minutes=60", "run.validate_items=1"]
    assert cli.run(["train", str(recipe), *changes, "-o", str(folder)]) == 0
    assert entries(folder, "valid")[-1]["n"] == 2  # one of each dev set
    assert verify(folder / "model").sample_rate == RATE


def test_a_store_without_dev_speech_trains_without_validations(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    time = np.arange(4 * RATE) / RATE
    audio = (0.1 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    with StoreWriter(tmp_path / "store", RATE) as writer:
        writer.add(audio, Labels("speech", "x", RATE // 2, "a", "", "train", active_db(audio, RATE)))
    config = settings(
        recipe,
        data={"store": str(tmp_path / "store")},
        optim={"steps": 2},
        run={"validate_minutes": 60.0},
    )
    assert run(config, tmp_path / "run").finished
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("audiodiff: no validations: ")
    assert "no speech of split dev" in line
    assert "audiodiff: " + entries(tmp_path / "run", "note")[-1]["text"] == line


def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_run_goes_on(recipe: Path, tmp_path: Path) -> None:
    folder, straight = tmp_path / "run", tmp_path / "straight"
    run(settings(recipe), straight)
    run(settings(recipe, optim={"steps": 3}), folder)
    (good,) = (folder / "checkpoints").glob("step-*")
    before = {path.name: path.read_bytes() for path in good.iterdir()}
    limit = (good / "state.safetensors").stat().st_size // 2  # a file may not become larger, as with a quota
    code = (
        "import resource, sys; from audiodiff import cli; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); sys.exit(cli.run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "train", str(recipe), "-o", str(folder), "--resume"]
    places = [str(Path(audiodiff.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"step-00000005: this checkpoint could not be written ({os.strerror(errno.EFBIG)})" in line
    assert line.endswith("make room on the disk, then go on with --resume from step-00000003")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [good.name]
    assert {path.name: path.read_bytes() for path in good.iterdir()} == before
    assert run(settings(recipe), folder, resume=True).finished
    first, second = newest_tensors(straight), newest_tensors(folder)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_full_disk_at_the_log_is_one_line(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunLog, "write", full)
    with pytest.raises(ModelError, match=r"no room to write \(No space left on device\); .* --resume"):
        run(settings(recipe), tmp_path / "run")


def test_no_room_for_a_model_costs_no_step(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, straight = tmp_path / "run", tmp_path / "straight"
    run(settings(recipe), straight)
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "save", full)
        with pytest.raises(ModelError, match=r"no room to write \(No space left on device\); .* --resume"):
            run(settings(recipe), folder)
    first, second = newest_tensors(straight), newest_tensors(folder)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    outcome = run(settings(recipe), folder, resume=True)
    assert (outcome.step, outcome.finished) == (5, True)
    weights = [(place / "model" / "weights.safetensors").read_bytes() for place in (straight, folder)]
    assert weights[0] == weights[1]


def test_no_room_for_the_picture_is_told_of_a_run_that_ends_well(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pytest.importorskip("matplotlib")
    folder = tmp_path / "run"
    assert run(settings(recipe, optim={"steps": 3}), folder).finished
    before = (folder / "curve.png").read_bytes()
    monkeypatch.setattr(curves, "write_file", full)
    assert run(settings(recipe), folder, resume=True).finished
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"audiodiff: {folder / 'curve.png'}: could not be written (No space left on device)"
    )
    assert (folder / "curve.png").read_bytes() == before
    verify(folder / "model")
