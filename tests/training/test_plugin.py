"""Promise: code of one's own trains and runs where it is allowed, as it was, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiodiff import cli, load_model
from audiodiff.batch.batch_spec import JobSpec
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.errors import AudiodiffError, ConfigError, ModelError
from audiodiff.model.folder import save_presets
from audiodiff.model.plugin import FOREIGN_CODE
from audiodiff.training.prepare import make_task
from audiodiff.training.ranks import ALONE
from audiodiff.training.recipe import load_recipe
from audiodiff.training.run import new_state

ROOT = Path(__file__).parents[2]
PLUGIN = (ROOT / "examples" / "own_plugin.py").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "pages" / "extending.md").read_text(encoding="utf-8")
RECIPE = re.findall(r"```toml\n(plugin = .*?)```", PAGE, flags=re.DOTALL)[0]
QUICK = ["optim.steps=2", "optim.lr=1e-9", "run.validate_minutes=0", 'run.bf16="off"', 'run.device="cpu"']
PROCESS = (ROOT / "examples" / "own_process.py").read_text(encoding="utf-8").partition("\n\n\ny = ")[0]


def written(folder: Path, code: str = PLUGIN, *more: str) -> Path:
    """The page's recipe, with its plug-in beside it."""
    (folder / "mine.py").write_text(code + "".join(more), encoding="utf-8")
    path = folder / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    rng = np.random.default_rng(0)
    soundfile.write(path, 0.1 * rng.standard_normal(16000), 16000, subtype="FLOAT")
    return path


def trained(recipe: Path, *overrides: str) -> Path:
    run = recipe.parent / "run"
    assert cli.run(["train", str(recipe), *QUICK, *overrides, "-o", str(run), "--allow-code"]) == 0
    return run / "model"


def denoised(noisy: Path, model: Path, *options: str) -> int:
    return cli.run(["denoise", str(noisy), "--model", str(model), "-q", "--threads", "1", *options])


@pytest.mark.slow
def test_the_pages_recipe_trains_and_its_model_denoises(tmp_path: Path, noisy: Path) -> None:
    model = trained(written(tmp_path), "network.gain=0.7")
    assert denoised(noisy, model, "--allow-code") == 0
    before, after = (soundfile.read(path)[0] for path in (noisy, tmp_path / "talk.denoised.wav"))
    inner = slice(2000, -2000)  # what its edges hear of silence is the front end's
    # a gain on |z|^0.5 is its square on z
    assert np.abs(after - 0.49 * before)[inner].max() < 1e-3
    presets = load_model(model, allow_code=True).config.presets
    assert presets.best.times == pytest.approx([(1 - i / 4) ** 3 for i in range(5)])


@pytest.mark.slow
def test_without_leave_nothing_of_it_runs(
    tmp_path: Path, noisy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = f"\nfrom pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    model = trained(written(tmp_path, PLUGIN, mark))
    (tmp_path / "ran").unlink()
    moved = model.rename(tmp_path / "moved")  # not yet seen by this process under its name
    capsys.readouterr()
    assert denoised(noisy, moved) == 2
    assert "--allow-code" in capsys.readouterr().err
    assert cli.run(["train", str(tmp_path / "recipe.toml"), "-o", str(tmp_path / "b")]) == 2
    assert "--allow-code" in capsys.readouterr().err
    assert not (tmp_path / "talk.denoised.wav").exists()
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ModelError) as refused:
        load_model(moved)
    assert refused.value.code == FOREIGN_CODE
    with pytest.raises(ConfigError) as unread:
        load_recipe(tmp_path / "recipe.toml")
    assert unread.value.code == FOREIGN_CODE


@pytest.mark.slow
def test_changed_code_is_refused(tmp_path: Path) -> None:
    model = trained(written(tmp_path))
    code = model / "plugin.py"
    assert code.read_text(encoding="utf-8") == PLUGIN
    code.write_text(PLUGIN + "# changed\n", encoding="utf-8")

    def refusal() -> str:
        with pytest.raises(ModelError) as refused:
            load_model(model, allow_code=True)
        return refused.value.code

    assert refusal() == "damaged"
    hashes = json.loads((model / "hashes.json").read_text(encoding="utf-8"))
    assert hashes["plugin.py"] == hashlib.sha256(PLUGIN.encode()).hexdigest()
    hashes["plugin.py"] = hashlib.sha256(code.read_bytes()).hexdigest()
    (model / "hashes.json").write_text(json.dumps(hashes), encoding="utf-8")
    assert refusal() == "damaged"  # the settings name it, too
    code.unlink()
    assert refusal() == "missing"


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_code_only(tmp_path: Path) -> None:
    recipe = written(tmp_path)
    straight = load_model(trained(recipe, "optim.steps=4"), allow_code=True)
    run = tmp_path / "stopped"
    again = ["-o", str(run), "--allow-code", "--resume"]
    line = ["train", str(recipe), *QUICK, "optim.steps=4"]
    assert cli.run([*line[:-1], "optim.steps=2", *again]) == 0
    recipe.with_name("mine.py").write_text(PLUGIN + "# changed\n", encoding="utf-8")
    assert cli.run([*line, *again]) == 2
    recipe.with_name("mine.py").write_text(PLUGIN, encoding="utf-8")
    assert cli.run([*line, *again]) == 0
    resumed = load_model(run / "model", allow_code=True)
    assert load_recipe(run / "recipe.json", allow_code=True).code == load_recipe(recipe, (), True).code
    for one, other in zip(straight.net.parameters(), resumed.net.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_process_of_ones_own_travels_and_a_schedule_or_data_need_not(tmp_path: Path) -> None:
    recipe = written(tmp_path, PROCESS, '\n\nPROCESSES = {"sine": SineBridge}\n', PLUGIN)
    built_in = 'network={kind="transformer", width=8, layers=1, encode_layers=1, heads=1}'
    sine = 'process={kind="sine", rho=0.3}'
    model = load_model(trained(recipe, built_in, sine), allow_code=True)
    assert type(model.process).__name__ == "SineBridge"
    assert model.process.coeffs(0.5) == pytest.approx((0.5, 0.5, 0.15))
    (tmp_path / "run").rename(tmp_path / "first")
    plain = trained(recipe, built_in)
    assert not (plain / "plugin.py").exists()
    assert load_model(plain).config.presets.best.times is not None


@pytest.mark.slow
def test_copies_of_a_model_keep_its_code(tmp_path: Path) -> None:
    model = trained(written(tmp_path))
    save_presets(model, tmp_path / "copy", load_model(model, allow_code=True).config.presets, "same")
    assert load_model(tmp_path / "copy", allow_code=True).config == load_model(model, allow_code=True).config
    assert cli.run(["models", "verify", str(tmp_path / "copy"), "--allow-code"]) == 0


def test_batches_of_own_data_are_a_function_of_the_step(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path), QUICK, True)
    loader = make_task(recipe).loader(ALONE)
    first, later = loader.batches(0), loader.batches(2)
    third = [next(first) for _ in range(3)][2]
    assert all(torch.equal(one, other) for one, other in zip(third, next(later), strict=True))
    first.close()
    later.close()
    dev = loader.dev_items(3)
    assert len(dev) == 3
    assert not np.array_equal(dev[0].noisy, dev[1].noisy)
    assert [item.noisy.tolist() for item in loader.dev_items(3)] == [item.noisy.tolist() for item in dev]


@pytest.mark.parametrize(
    ("code", "overrides"),
    [
        ("def", []),
        ("1 / 0", []),
        ("x = 1", []),
        ("NETWORKS = [1]", []),
        ("NETWORKS = {'gains': 3}", []),
        (PLUGIN.replace('"gains"', '"spectral"'), []),
        (PLUGIN.replace('"tones"', '"mix"'), []),
        (PLUGIN.replace("** 3", "** -3"), []),
        (PLUGIN.replace("** 3", "** 0"), []),
        (PLUGIN.replace("(n + 1)", "(n)"), []),
        (PLUGIN, ["network.gian=1"]),
        (PLUGIN, ["data.low_khz=1"]),
        (PLUGIN, ["data.low_hz='deep'"]),
        (PLUGIN, ["model.grid=squares"]),
        (PLUGIN, ["process.kind=sine"]),
        (PLUGIN, ["data.kind=bells"]),
        (PLUGIN, ["plugin=other.py"]),
        (PLUGIN, ["plugin=3"]),
    ],
)
def test_what_does_not_fit_is_one_plain_error(tmp_path: Path, code: str, overrides: list[str]) -> None:
    recipe = written(tmp_path, code)
    with pytest.raises(ConfigError) as refused:
        load_recipe(recipe, overrides, allow_code=True)
    assert refused.value.code == "config"
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("reach_encode, reach_step = 0, 0", "pass"),
        ("reach_encode, reach_step = 0, 0", "reach_encode, reach_step = 0, 0.5"),
        (
            "reach_encode, reach_step = 0, 0",
            "reach_encode, reach_step, domain = 0, 0, WaveDomain('waveform')",
        ),
        ("super().__init__()", "undefined()"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_training(
    tmp_path: Path, right: str, wrong: str
) -> None:
    imported = "from torch import full, nn\nfrom audiodiff.networks import WaveDomain"
    code = PLUGIN.replace(right, wrong).replace("from torch import full, nn", imported)
    recipe = load_recipe(written(tmp_path, code), QUICK, True)
    with pytest.raises(ConfigError):
        new_state(recipe, torch.device("cpu"))


def test_a_fault_in_draw_is_one_plain_error(tmp_path: Path) -> None:
    code = PLUGIN.replace("rng.standard_normal(n_samples), clean", "missing, clean")
    loader = make_task(load_recipe(written(tmp_path, code), QUICK, True)).loader(ALONE)
    with pytest.raises(AudiodiffError, match="NameError"):
        next(loader.batches(0))


def test_recordings_of_another_length_are_refused(tmp_path: Path) -> None:
    short = PLUGIN.replace("rng.standard_normal(n_samples), clean", "0, clean[:-1]")
    loader = make_task(load_recipe(written(tmp_path, short), QUICK, True)).loader(ALONE)
    with pytest.raises(AudiodiffError, match="draw must give"):
        loader.dev_items(1)


def test_leave_is_no_decision_about_the_result() -> None:
    settings = DenoiseSettings()
    with_leave = replace(settings, allow_code=True)
    assert JobSpec(settings, "m", "d").key == JobSpec(with_leave, "m", "d").key
