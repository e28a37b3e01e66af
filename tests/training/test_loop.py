"""A training learns, is a function of (seed, step), resumes bit for bit, and stops when it is broken."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from audiodiff.data.batches import Batch
from audiodiff.errors import ConfigError, ModelError
from audiodiff.training import checkpoint, ema
from audiodiff.training.checkpoint import State
from audiodiff.training.loop import BrokenRun, StepRecord, train
from audiodiff.training.prepare import prepare
from audiodiff.training.recipe import Recipe
from audiodiff.training.run_sections import Optim
from audiodiff.training.schedule import make_optimisers, rate_factor
from tests.training.toy_training import Toy, recipe, toy_batches

pytestmark = pytest.mark.slow  # trains

CPU = torch.device("cpu")


def new_state(config: Recipe) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        net = Toy()
    return checkpoint.fresh(net, make_optimisers(net, config.optim))


def steps(config: Recipe, state: State, batches: Iterator[Batch] | None = None) -> Iterator[StepRecord]:
    setup, _ = prepare(config, state, CPU)
    return train(config, setup, state, batches or toy_batches(state.progress.step))


def tensors(state: State) -> dict[str, Tensor]:
    """Every tensor that a training depends on, by name, copied."""
    found = {f"net.{name}": value for name, value in state.net.state_dict().items()}
    found |= {f"ema.{name}": value for name, value in state.average.items()}
    for name, parameter in state.net.named_parameters():
        for optimiser in state.optimisers:
            moments = optimiser.state.get(parameter, {})
            found |= {f"{kind}.{name}": value for kind, value in moments.items()}
    return {name: value.detach().clone() for name, value in found.items()}


def assert_same(left: State, right: State, moments: int = 3) -> None:
    first, second = tensors(left), tensors(right)
    assert first.keys() == second.keys()
    assert len(first) == 3 * (1 + 1 + moments)  # three parameters: itself, average, and AdamW's three
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(("kind", "moments"), [("adamw", 3), ("adam", 3), ("sgd", 1)])
def test_six_steps_equal_three_a_checkpoint_and_three(tmp_path: Path, kind: str, moments: int) -> None:
    config = recipe(optim={"kind": kind})
    straight = new_state(config)
    whole = list(steps(config, straight))
    first = new_state(config)
    half = list(islice(steps(config, first), 3))
    folder = checkpoint.save(tmp_path, first, config.model_dump(mode="json"), log_bytes=0)
    second = new_state(config)
    checkpoint.load(folder, second)
    rest = list(steps(config, second))
    assert_same(second, straight, moments)
    assert [record.loss for record in half + rest] == [record.loss for record in whole]
    assert second.progress.against_trivial == straight.progress.against_trivial


def test_another_seed_makes_other_steps() -> None:
    losses = [next(steps(config, new_state(config))).loss for config in (recipe(), recipe(run={"seed": 1}))]
    assert losses[0] != losses[1]


def test_the_loss_falls_below_the_trivial_predictor() -> None:
    config = recipe(optim={"steps": 120}, run={"trivial_after": 60})
    records = list(steps(config, new_state(config)))
    trivial = [record.trivial for record in records if record.trivial is not None]
    assert len(trivial) == 15
    assert sum(record.loss for record in records[-20:]) / 20 < 0.6 * sum(trivial) / len(trivial)


def test_bf16_learns_too() -> None:
    last = []
    for choice in ("on", "off"):
        config = recipe(optim={"steps": 40}, run={"bf16": choice})
        last.append(list(steps(config, new_state(config)))[-1].loss)
    assert last[0] != last[1]
    assert last[0] == pytest.approx(last[1], rel=0.02)  # bf16 has 8 bits: errors of 0.4 % an operation


def test_auto_measures_once_and_keeps_its_choice(tmp_path: Path) -> None:
    config = recipe(run={"bf16": "auto"})
    state = new_state(config)
    before = tensors_of_weights(state)
    setup, probes = prepare(config, state, CPU)
    assert probes["bf16"].other_wins == setup.bf16 == state.progress.bf16
    assert all(torch.equal(value, before[name]) for name, value in state.net.state_dict().items())
    state.progress.bf16 = not setup.bf16
    again, none = prepare(config, state, CPU)
    assert again.bf16 != setup.bf16
    assert not none


def tensors_of_weights(state: State) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.net.state_dict().items()}


def broken_batches(at: int) -> Iterator[Batch]:
    for step, (noisy, clean, bandwidth) in enumerate(toy_batches(0)):
        yield (noisy * math.nan if step == at else noisy), clean, bandwidth


def test_a_batch_that_is_not_finite_stops_the_run_before_the_weights_change() -> None:
    config = recipe()
    state = new_state(config)
    records = steps(config, state, broken_batches(at=2))
    done = [next(records), next(records)]
    before = tensors(state)
    with pytest.raises(BrokenRun, match=r"step 3: \w+ is not finite"):
        next(records)
    assert done[-1].step == state.progress.step == 2
    assert all(torch.equal(value, before[name]) for name, value in tensors(state).items())


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    config = recipe()
    state = new_state(config)
    state.net.get_parameter("mix.bias").register_hook(lambda grad: grad * math.inf)  # type: ignore[no-untyped-call]
    with pytest.raises(BrokenRun, match="step 1: the gradient is not finite"):
        next(steps(config, state))


def test_a_network_worse_than_the_noisy_input_stops_the_run() -> None:
    config = recipe(optim={"steps": 500, "lr": 1e-9}, run={"trivial_after": 32})
    state = new_state(config)
    with torch.no_grad():
        state.net.get_parameter("on_y").fill_(-20.0)  # a network that mutes
        state.net.get_parameter("mix.bias").fill_(3.0)
    with pytest.raises(BrokenRun, match="above that of the trivial predictor"):
        list(steps(config, state))
    assert state.progress.step == 32


@given(step=st.integers(0, 2000), warmup=st.integers(0, 300))
def test_the_learning_rate_is_linear_then_a_cosine(step: int, warmup: int) -> None:
    config = Optim(steps=1000, lr=0.1, lr_floor=0.05, warmup=warmup)
    rate = 0.1 * rate_factor(config, step)
    if step < warmup:
        assert rate == pytest.approx(0.1 * (step + 1) / warmup)
    else:
        middle, half = 0.5 * (0.1 + 0.005), 0.5 * (0.1 - 0.005)
        share = min(1.0, (step - warmup) / (1000 - warmup))
        assert rate == pytest.approx(middle + half * math.cos(math.pi * share))


@given(step=st.integers(0, 2000), tail=st.integers(0, 700))
def test_a_constant_rate_falls_in_a_straight_line_at_its_end(step: int, tail: int) -> None:
    config = Optim(steps=1000, lr=0.1, lr_floor=0.05, warmup=300, shape="constant", tail=tail)
    begin = 1000 - tail
    expected = (step + 1) / 300 if step < 300 else 1.0
    if tail and step > begin:
        expected = max(0.05, 0.05 + 0.95 * (1000 - step) / tail)
    assert rate_factor(config, step) == pytest.approx(expected)


def test_weight_decay_spares_gains_and_biases() -> None:
    config = Optim(steps=1, lr=0.1, weight_decay=0.5)
    (adamw,) = make_optimisers(Toy(), config)
    groups = adamw.param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.5, 1), (0.0, 2)]


def test_the_average_of_constant_weights_has_the_closed_form() -> None:
    net = nn.Linear(1, 1)
    average = ema.start(net)
    with torch.no_grad():
        net.weight.fill_(5.0)
    start = average["weight"].item()
    left = 1.0
    for k in range(30):
        ema.update(average, net, 0.8, k)
        left *= min(0.8, (1 + k) / (10 + k))
    assert average["weight"].item() == pytest.approx(5.0 + (start - 5.0) * left, rel=1e-5)


def test_only_the_last_two_checkpoints_stay_and_atomic_ones_do_not_count(tmp_path: Path) -> None:
    config = recipe()
    state = new_state(config)
    for _ in steps(config, state):
        checkpoint.save(tmp_path, state, {}, log_bytes=7)
    (tmp_path / ".step-00000099.1").mkdir()
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000005", "step-00000006"]
    newest = checkpoint.latest(tmp_path)
    assert newest is not None
    assert newest.name == "step-00000006"
    assert checkpoint.read_document(newest)["log_bytes"] == 7


def test_a_save_removes_what_killed_runs_left(tmp_path: Path) -> None:
    state = new_state(recipe())
    checkpoint.save(tmp_path, state, {}, log_bytes=7)
    for name in (".step-00000003.new", ".step-00000004.123", ".step-00000000.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.safetensors").write_bytes(b"half")
    checkpoint.save(tmp_path, state, {}, log_bytes=8)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000"]
    assert checkpoint.read_document(tmp_path / "step-00000000")["log_bytes"] == 8


def test_a_crash_while_a_step_is_saved_again_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = new_state(recipe())
    checkpoint.save(tmp_path, state, {}, log_bytes=7)
    rename = Path.rename

    def crash(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise SystemExit
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(SystemExit):
            checkpoint.save(tmp_path, state, {}, log_bytes=8)
    assert not list(tmp_path.glob("step-*"))
    newest = checkpoint.latest(tmp_path)
    assert newest == tmp_path / "step-00000000"
    assert checkpoint.load(newest, state)["log_bytes"] == 7


def test_a_checkpoint_whose_name_is_refused_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows while another program looks into the folder."""
    state = new_state(recipe())
    checkpoint.save(tmp_path, state, {}, log_bytes=7)
    rename = Path.rename

    def busy(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise PermissionError(errno.EACCES, "in use")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", busy)
        with pytest.raises(ModelError, match="in use") as caught:
            checkpoint.save(tmp_path, state, {}, log_bytes=8)
    assert caught.value.code == "unwritable"
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000"]
    assert checkpoint.load(tmp_path / "step-00000000", state)["log_bytes"] == 7


def test_an_old_checkpoint_that_is_read_stays_whole_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe()
    state = new_state(config)
    rename = Path.rename

    def busy(path: Path, target: Path) -> Path:
        if path.name == "step-00000001":
            raise PermissionError(errno.EACCES, "in use")
        return rename(path, target)

    made = steps(config, state)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", busy)
        for _ in range(3):
            next(made)
            checkpoint.save(tmp_path, state, {}, log_bytes=7)
    assert sorted(path.name[-1] for path in tmp_path.glob("step-*")) == ["1", "2", "3"]
    checkpoint.load(tmp_path / "step-00000001", new_state(config))
    next(made)
    checkpoint.save(tmp_path, state, {}, log_bytes=7)
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["3", "4"]


def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    config = recipe()
    state = new_state(config)
    next(steps(config, state))
    folder = checkpoint.save(tmp_path, state, {}, log_bytes=0)
    other = Toy(n_bins=17)
    with pytest.raises(ConfigError, match=r"should have shape \(17,\), found shape \(33,\)"):
        checkpoint.load(folder, checkpoint.fresh(other, make_optimisers(other, config.optim)))
    weights = folder / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match="damaged"):
        checkpoint.load(folder, new_state(config))
    (folder / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        checkpoint.load(folder, new_state(config))
