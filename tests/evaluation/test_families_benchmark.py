"""Promise: the families are trained alike, go on as if never stopped, and are measured by what they claim."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from audiodiff import networks
from audiodiff.data.manifest import Clip
from audiodiff.data.packing import PackSettings, pack
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.training import checkpoint
from audiodiff.training.recipe import Recipe, load_recipe
from tests.training import toy_training

ROOT = Path(__file__).parents[2]
MODULES = (
    "_families_own",
    "_families_training",
    "_families_sampling",
    "_families_scores",
    "_families_table",
    "families",
)
OWN = ("gan", "vae", "ar")
SMALL = {"channels": [4, 4, 4], "squeeze": 2, "width": 8, "layers": 1, "head": 4, "detail": 4}


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """`benchmarks/families.py` and its parts, with their folder on the path."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


def recipe(**sections: dict[str, Any]) -> Recipe:
    return toy_training.recipe(network=SMALL, **sections)


def tensors(state: checkpoint.State) -> dict[str, Tensor]:
    moments = {
        f"{number}.{name}.{kind}": torch.as_tensor(value)
        for number, optimiser in enumerate(state.optimisers)
        for name, parameter in state.net.named_parameters()
        for kind, value in optimiser.state.get(parameter, {}).items()
    }
    return {**state.net.state_dict(), **{f"ema.{k}": v for k, v in state.average.items()}, **moments}


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_a_resumed_training_equals_an_undisturbed_one(
    modules: dict[str, ModuleType], name: str, tmp_path: Path
) -> None:
    training, settings = modules["_families_training"], recipe()
    run = training.Run(name, tmp_path, 0, tmp_path)

    def advance(state: checkpoint.State, n: int) -> list[float]:
        batches = toy_training.toy_batches(state.progress.step)
        return list(islice(training.steps(run, settings, state, batches), n))

    whole = training.first_state(run, settings)
    before = {name: value.clone() for name, value in whole.net.state_dict().items()}
    losses = advance(whole, 4)
    first = training.first_state(run, settings)
    begun = advance(first, 2)
    second = training.first_state(run, settings)
    checkpoint.load(checkpoint.save(tmp_path / "checkpoints", first, {}, 0), second)
    assert begun + advance(second, 2) == losses
    expected, found = tensors(whole), tensors(second)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    changed = {key for key, value in before.items() if not torch.equal(value, whole.net.state_dict()[key])}
    assert {key.split(".")[0] for key in changed} == {
        key.split(".")[0] for key in before
    }  # every part learns


def family(modules: dict[str, ModuleType], name: str) -> Any:
    settings = recipe()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        made = modules["_families_own"].OWN[name](dict(settings.network), False)
        for parameter in made.parameters():  # untrained masks are all but 0
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return made.eval()


def spectra(seed: int, n_frames: int) -> Tensor:
    return torch.randn((2, 33, n_frames, 2), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OWN)
def test_samples_follow_their_seed(modules: dict[str, ModuleType], name: str) -> None:
    made, y = family(modules, name), spectra(0, 9)
    with torch.no_grad():
        first, again, other = (made.sample(y, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == y.shape
    assert torch.equal(first, again)
    assert float((first - other).abs().mean()) > 1e-3


def test_the_autoregressive_model_hears_the_past_alone(modules: dict[str, ModuleType]) -> None:
    made, y, x = family(modules, "ar"), spectra(0, 12), spectra(1, 12)
    with torch.no_grad():
        changed = x.clone()
        changed[:, :, 5:] += 1.0
        before, after = made.means(x, y), made.means(changed, y)
        assert torch.equal(before[:, :, :6], after[:, :, :6])
        assert not torch.equal(before[:, :, 6], after[:, :, 6])
        # frame by frame, from few frames each: what comes out is what the whole says of it
        drawn = made.sample(y, torch.Generator(), 0.0)
        torch.testing.assert_close(made.means(drawn, y), drawn, rtol=1e-4, atol=1e-5)


def test_density_and_coverage_are_counted_as_published(modules: dict[str, ModuleType]) -> None:
    scores, rng = modules["_families_scores"], np.random.default_rng(0)
    real, fake = rng.standard_normal((40, 3)), 0.5 * rng.standard_normal((30, 3)) + 0.5
    scaled, moved = real / real.std(0), fake / real.std(0)
    density, covered = 0, 0
    for point in scaled:
        radius = sorted(np.linalg.norm(point - other) for other in scaled)[5]
        inside = sum(bool(np.linalg.norm(point - other) < radius) for other in moved)
        density, covered = density + inside, covered + (inside > 0)
    assert scores.density_coverage(real, fake) == pytest.approx((density / (5 * 30), covered / 40))
    assert scores.density_coverage(real, real)[1] == 1.0
    assert scores.density_coverage(real, real + 100) == (0.0, 0.0)


def test_the_spread_of_samples_that_might_be_the_truth_is_their_error(modules: dict[str, ModuleType]) -> None:
    scores, rng = modules["_families_scores"], np.random.default_rng(0)
    clean, *drawn = rng.standard_normal((5, 16000)).astype(np.float32)
    items = [scores.DevItem(clean, clean)]
    alike = scores.spread(items, [[wave] for wave in drawn], 16000)
    assert alike["spread_over_error"] == pytest.approx(1.0, abs=0.02)
    same = scores.spread(items, [[drawn[0]]] * 3, 16000)
    assert same["spread_db"] == 0.0
    assert same["error_db"] == pytest.approx(alike["error_db"], rel=0.05)


def test_cdiffuse_is_sampled_where_its_six_steps_end(modules: dict[str, ModuleType]) -> None:
    sampling = modules["_families_sampling"]
    for n in sampling.STEPS:
        betas = sampling.schedule(CDiffuSE(), n)
        assert len(betas) == n
        assert np.prod(1 - np.array(betas)) == pytest.approx(sampling.LAST_ALPHA_BAR)
        CDiffuSE(betas, inference=True)  # refuses a table that cannot be walked


def test_the_recipes_differ_in_a_few_lines(modules: dict[str, ModuleType]) -> None:
    training = modules["_families_training"]
    loaded = {name: load_recipe(training.RECIPES / f"{name}.toml") for name in training.DIFFUSION}
    plain = {name: each.model_dump(mode="json") for name, each in loaded.items()}
    for name, values in plain.items():
        of_target = {"start", "steps", "target"} | ({"scale"} if values["process"]["kind"] == "vp" else set())
        assert values["data"] == plain["bridge"]["data"]
        assert values["run"] == plain["bridge"]["run"]
        ours = {key: value for key, value in values["optim"].items() if not key.startswith("t_")}
        assert ours == {k: v for k, v in plain["bridge"]["optim"].items() if not k.startswith("t_")}
        sizes = {key: value for key, value in values["network"].items() if key != "passes"}
        if name != "cdiffuse":
            assert sizes == {k: v for k, v in plain["bridge"]["network"].items() if k != "passes"}
            same = plain["bridge"]["model"].items()
            assert {k: v for k, v in values["model"].items() if k not in of_target} == {
                k: v for k, v in same if k not in of_target
            }
            assert values["objective"] == plain["bridge"]["objective"]
    counts = [
        sum(parameter.numel() for parameter in networks.build(loaded[name].network).parameters())
        for name in ("bridge", "cdiffuse")
    ]
    assert counts[1] == pytest.approx(counts[0], rel=0.1)


def test_snapshots_are_due_at_their_marks_and_at_the_goal(modules: dict[str, ModuleType]) -> None:
    due = modules["_families_training"]._due
    assert [due(*times, 20.0) for times in ((3.9, 4.0), (4.0, 4.1), (7.5, 12.5), (19.9, 20.1))] == [
        4.0,
        None,
        12.0,
        20.0,
    ]
    assert due(0.0, 0.3, 0.2) == 0.2


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Voices and noises of both splits at 16 kHz."""
    import soundfile

    rng, clips = np.random.default_rng(0), []
    time = np.arange(5 * 16000) / 16000
    for number, split in enumerate(("train", "dev")):
        tone = sum(np.sin(2 * np.pi * (120 + 40 * number) * k * time) / k for k in range(1, 30))
        voice = 0.1 * tone * np.maximum(0, np.sin(2 * np.pi * 3 * time))
        noise = 0.05 * rng.standard_normal(time.size)
        for kind, wave in (("speech", voice), ("noise", noise)):
            path = tmp_path / f"{kind}-{split}.wav"
            soundfile.write(path, wave, 16000, subtype="FLOAT")
            clips.append(Clip(path, kind, "test", path.stem, "xx", 8000, "A", "CC0", split))  # type: ignore[arg-type]
    pack(clips, tmp_path / "store", PackSettings(sample_rate=16000, n_rooms=0))
    return tmp_path / "store"


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten seconds; the limit is for busy machines
def test_families_are_trained_scored_and_put_into_one_table(
    modules: dict[str, ModuleType], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, command = modules["_families_training"], modules["families"]
    for name in ("_families_sampling", "_families_table"):
        monkeypatch.setattr(modules[name], "STEPS", (1, 8))
    monkeypatch.setattr(modules["_families_scores"], "SAMPLE_SEEDS", 2)
    monkeypatch.setattr(modules["_families_scores"], "TIMED_S", 0.0)
    whole = training.Run.recipe

    def small(run: Any) -> Recipe:
        values = whole(run).model_dump(mode="json")
        values["data"] |= {"batch": 2, "segment_s": 0.5}
        values["run"]["bf16"] = "off"
        values["network"] |= SMALL
        return Recipe(**values)

    monkeypatch.setattr(training.Run, "recipe", small)
    names, out = ("bridge", "ar"), tmp_path / "out"

    def run(minutes: str, *more: str) -> dict[str, Any]:
        words = ["--store", str(store), "-o", str(out), "--family", *names, "--items", "1"]
        threads = torch.get_num_threads()
        try:
            assert command.main(["run", "--minutes", minutes, *words, *more]) == 0
        finally:
            torch.set_num_threads(threads)
        found: dict[str, Any] = json.loads((out / f"families-{minutes}.json").read_text())
        return found

    found = run("0.001")
    scored = {path: path.stat().st_mtime_ns for path in (out / "scores").iterdir()}
    assert run("0.001") == found
    assert {path: path.stat().st_mtime_ns for path in (out / "scores").iterdir()} == scored
    timed = run("0.001", "--timing")["families"]["bridge"]["1"]["times"]
    assert timed.keys() == {"1 step", "8 steps"}
    assert min(timed.values()) > 0
    before, after = (of["families"]["ar"]["1"]["about"]["step"] for of in (found, run("0.004")))
    assert before < after
    assert list(found["families"]) == list(names)
    bridge, ar = (found["families"][name]["1"]["ways"] for name in names)
    assert bridge["1 step"]["spread_db"] == 0.0 < bridge["8 steps"]["spread_db"]  # a bridge starts at y
    assert ar["frame by frame, means"]["spread_db"] == 0.0 < ar["frame by frame"]["spread_db"]
    table = (out / "families-0.001.md").read_text()
    assert "| Brownian bridge |" in table
    assert "| autoregressive |" in table
    picture = (out / "families-0.001.png").read_bytes()
    assert int.from_bytes(picture[16:20], "big") == 830
