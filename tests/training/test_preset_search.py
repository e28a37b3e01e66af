"""Promise: the descent never loses, grids and presets follow their rules, trials are remembered."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiodiff import Denoiser, cli
from audiodiff.diffusion import time_grids
from audiodiff.diffusion.bridges import BrownianBridge
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, ModelError
from audiodiff.evaluation.pesq import Pesq
from audiodiff.inference.sampling import way_of
from audiodiff.model.config import ModelConfig, Presets, SamplerPreset
from audiodiff.model.folder import load, save_presets
from audiodiff.model.model import Model
from audiodiff.settings import parse
from audiodiff.training.preset_search import (
    Candidate,
    Sampler,
    Trial,
    candidates,
    choose,
    descend,
    grids,
    noise_variants,
)
from audiodiff.training.preset_trials import Bench, read_pairs
from tests.conftest import Recording

START = (1.0, 0.75, 0.5, 0.25, 0.0)


def closeness(target: tuple[float, ...], times: tuple[float, ...]) -> float:
    return -sum((t - u) ** 2 for t, u in zip(times, target, strict=True))


@given(
    inner=st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3, unique=True),
    trials=st.integers(0, 30),
    seed=st.integers(0, 9),
)
def test_the_descent_never_ends_below_its_start_nor_takes_more_trials(
    inner: list[float], trials: int, seed: int
) -> None:
    target = (1.0, *sorted(inner, reverse=True), 0.0)
    tried: list[tuple[float, ...]] = []

    def value(times: tuple[float, ...]) -> float:
        tried.append(times)
        return closeness(target, times)

    best, found = descend(START, value, trials, seed)
    assert found == max(closeness(target, times) for times in tried) == closeness(target, best)
    assert found >= closeness(target, START)
    assert len(tried) <= trials + 1
    for times in tried:
        assert (times[0], times[-1]) == (1.0, 0.0)
        assert all(u < t for t, u in pairwise(times))


def test_the_descent_finds_a_known_best_grid() -> None:
    target = (1.0, 0.6, 0.3, 0.1, 0.0)
    best, _ = descend(START, lambda times: closeness(target, times), 400)
    assert best == pytest.approx(target, abs=0.03)


def test_a_grid_without_inner_times_stays() -> None:
    assert descend((1.0, 0.0), lambda _: 0.0, 5) == ((1.0, 0.0), 0.0)


@pytest.mark.parametrize("process", [BrownianBridge(rho=0.5), VP.cosine(zero_terminal=True), VP.diffwave()])
def test_candidates_hold_their_grids_and_the_first_is_the_default(process: Process) -> None:
    for steps in (2, 5):
        found = grids(process, steps, 1.0)
        assert list(next(iter(found.values()))) == time_grids.default(process, steps, 1.0)
        assert len(set(found.values())) == len(found)
    tried = list(candidates(process, 1.0, (4, 1, 4)))
    assert len({candidate.preset for candidate in tried}) == len(tried)
    assert [c.preset.steps for c in tried][:2] == [1, 4]
    assert {c.preset.sampler for c in tried if c.preset.steps == 4} == {"ddim", "dpmpp_2m", "heun"}


def test_fresh_noise_is_tried_only_where_it_has_a_part() -> None:
    bridge, plain = BrownianBridge(rho=0.5), VP.cosine()
    one, ddim, heun = (
        Candidate("tau2", preset)
        for preset in (
            SamplerPreset(steps=1, start_noise=0.0),
            SamplerPreset(steps=3, start_noise=0.0),
            SamplerPreset(steps=3, sampler="heun", start_noise=0.0),
        )
    )
    assert not list(noise_variants(bridge, 1.0, one))
    assert {(c.preset.eta, c.preset.start_noise) for c in noise_variants(bridge, 1.0, ddim)} == {
        (eta, noise) for eta in (0.0, 0.5, 1.0) for noise in (0.0, 0.5, 1.0)
    } - {(0.0, 0.0)}
    assert {c.preset.start_noise for c in noise_variants(bridge, 1.0, heun)} == {0.5, 1.0}
    assert {(c.preset.eta, c.preset.start_noise) for c in noise_variants(plain, 1.0, ddim)} == {
        (0.5, 0.0),
        (1.0, 0.0),
    }


def trial(steps: int, score: float | None, sampler: Sampler = "ddim") -> Trial:
    preset = SamplerPreset(steps=steps, sampler=sampler)
    return Trial(Candidate("tau2", preset), {"si_sdr": score}, 0.1)


def test_presets_are_the_cheapest_the_enough_and_the_best() -> None:
    trials = [
        trial(8, 11.0),
        trial(1, 1.0),
        trial(4, 10.5),
        trial(2, 5.0),
        trial(16, None),
        trial(1, 0.0, "heun"),
    ]
    presets = choose(trials, "si_sdr")
    assert [preset.steps for preset in (presets.fast, presets.balanced, presets.best)] == [1, 4, 8]
    assert presets.fast.sampler == "ddim"
    with pytest.raises(ConfigError):
        choose([trial(1, None)], "si_sdr")


@pytest.mark.parametrize(
    "times",
    [
        (1.0, 0.0),  # too few
        (1.0, 0.5, 0.5, 0.0),
        (1.0, 0.2, 0.5, 0.0),
        (1.0, 0.5, 0.2, 0.1),
        (1.5, 0.5, 0.2, 0.0),
        (1.0, math.nan, 0.2, 0.0),
    ],
)
def test_times_that_do_not_fall_to_0_are_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError):
        parse(SamplerPreset, {"steps": 3, "times": list(times)})
    with pytest.raises(ConfigError):
        parse(SamplerPreset, {"steps": 1, "times": [1.0, 0.0], "sampler": "diffwave", "betas": [0.5]})


def test_times_begin_at_the_start_of_the_model(toy_config: ModelConfig, toy_model: Model) -> None:
    plain = toy_config.model_dump(mode="json")
    times = {"steps": 2, "times": [0.8, 0.3, 0.0]}
    presets = plain["presets"] | {"best": times}
    with pytest.raises(ConfigError):
        parse(ModelConfig, plain | {"presets": presets})
    assert parse(ModelConfig, plain | {"presets": presets, "start": 0.8}).presets.best.times == (
        0.8,
        0.3,
        0.0,
    )
    with pytest.raises(ConfigError):
        Denoiser(toy_model).with_preset(parse(SamplerPreset, times))


def test_the_default_grid_spelt_out_gives_the_same_bytes(toy_model: Model, recording: Recording) -> None:
    x, denoiser = recording(0.5)[0], Denoiser(toy_model)
    plain = SamplerPreset(steps=3)
    spelt = SamplerPreset(steps=3, times=tuple(way_of(toy_model, plain).grid))
    other = SamplerPreset(steps=3, times=(1.0, 0.9, 0.8, 0.0))
    by_default = denoiser.with_preset(plain).denoise(x, 16000)
    np.testing.assert_array_equal(denoiser.with_preset(spelt).denoise(x, 16000), by_default)
    assert np.abs(denoiser.with_preset(other).denoise(x, 16000) - by_default).max() > 1e-4
    assert way_of(toy_model, other).grid == [1.0, 0.9, 0.8, 0.0]


def test_other_steps_than_the_presets_leave_its_times_behind(toy_model: Model, recording: Recording) -> None:
    own = SamplerPreset(steps=3, times=(1.0, 0.9, 0.8, 0.0))
    presets = Presets(fast=own, balanced=own, best=own)
    tuned = toy_model.config.model_copy(update={"presets": presets})
    x = recording(0.5)[0]
    model = Model(tuned, toy_model.make_net, toy_model.process, toy_model.representation)
    expected = Denoiser(toy_model, steps=4).denoise(x, 16000)
    np.testing.assert_array_equal(Denoiser(model, steps=4).denoise(x, 16000), expected)


@pytest.fixture
def pairs_folder(tmp_path: Path, recording: Recording) -> Path:
    folder = tmp_path / "dev"
    for kind, seconds in (("noisy", 1.0), ("clean", 1.0)):
        (folder / kind).mkdir(parents=True)
        for name, channels in (("a", 1), ("b", 2)):
            x = recording(seconds, 16000, channels)
            voice = 0.2 * np.sin(np.arange(x.shape[1]) * 0.1)
            soundfile.write(folder / kind / f"{name}.wav", (x if kind == "noisy" else 0 * x + voice).T, 16000)
    return folder


def run(folder: Path, data: Path, *more: str) -> int:
    words = ["--metric", "si_sdr", "--threads", "1", "--steps", "1", "--steps", "3", "--sampler", "ddim"]
    return cli.run(["schedule", str(folder), "--data", str(data), *words, "--descend", "3", *more])


@pytest.mark.slow
def test_a_search_is_resumed_and_its_copy_gives_what_was_measured(
    toy_folder: Path, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tuned = tmp_path / "out", tmp_path / "tuned"
    assert run(toy_folder, pairs_folder, "--trials", "3", "-o", str(out), "--save", str(tuned)) == 0
    first = capsys.readouterr().out.splitlines()[:-1]
    journal = out / "trials.jsonl"
    lines = journal.read_text().splitlines()
    trials = [json.loads(line) for line in lines[1:]]
    assert (out / "quality.png").stat().st_size > 1000

    scores = {json.dumps(each["preset"], sort_keys=True): each["scores"] for each in trials}
    assert len(scores) == len(trials)
    model = load(tuned)
    assert model.digest == load(toy_folder).digest
    best = model.config.presets.best
    with Pesq() as pesq:
        metrics = tuple(trials[0]["scores"])
        bench = Bench(Denoiser(tuned, threads=1), read_pairs(pairs_folder), metrics, tmp_path / "j", pesq)
        for preset in (model.config.presets.fast, best):
            again = bench.measure(Candidate("", preset)).scores
            assert again == scores[json.dumps(preset.model_dump(mode="json"), sort_keys=True)]
    assert scores[json.dumps(best.model_dump(mode="json"), sort_keys=True)]["si_sdr"] == max(
        each["si_sdr"] for each in scores.values()
    )

    # killed in the middle of a line, and gone on with
    journal.write_text("\n".join([*lines[:4], lines[4][:20]]))
    assert run(toy_folder, pairs_folder, "--trials", "3", "-o", str(out)) == 0
    after = [json.loads(line) for line in journal.read_text().splitlines() if line != lines[4][:20]]
    assert [each["preset"] for each in after[1:]] == [each["preset"] for each in trials]
    assert [each["scores"] for each in after[1:]] == [each["scores"] for each in trials]
    capsys.readouterr()
    assert run(toy_folder, pairs_folder, "--trials", "3", "-o", str(out)) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(first)
    assert len(journal.read_text().splitlines()) == len(lines) + 1  # nothing was measured a second time


@pytest.mark.slow
def test_what_does_not_fit_is_refused(toy_folder: Path, pairs_folder: Path, tmp_path: Path) -> None:
    out, tuned = tmp_path / "out", tmp_path / "tuned"
    few = ("--trials", "0", "-o", str(out))
    assert run(toy_folder, pairs_folder, *few, "--save", str(toy_folder)) == 2
    assert run(toy_folder, pairs_folder, *few) == 0
    assert run(toy_folder, pairs_folder, *few, "--seed", "1") == 2  # the journal is of another search
    (pairs_folder / "clean" / "a.wav").unlink()
    assert run(toy_folder, pairs_folder, "--trials", "0", "-o", str(tmp_path / "other")) == 2
    presets = load(toy_folder).config.presets
    strange = presets.model_copy(update={"best": SamplerPreset(steps=1, times=(0.5, 0.0))})
    with pytest.raises(ModelError):
        save_presets(toy_folder, tuned, strange, "")
    assert not tuned.exists()
