"""Promise: a model folder loads to what was saved; a damaged, newer or unsafe one is refused in one line."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, ModelError
from audiodiff.model import folder as room
from audiodiff.model.config import ModelConfig
from audiodiff.model.folder import find, load, load_model, save, verify
from audiodiff.model.model import Model, assemble, build_process
from audiodiff.networks.contract import Network
from tests.errors import refused
from tests.networks.contract_checks import check

FILES = ["card.md", "config.json", "hashes.json", "weights.safetensors"]


def rehash(folder: Path) -> None:
    """Make the hashes right again after a file was changed on purpose."""
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in FILES
        if name != "hashes.json"
    }
    (folder / "hashes.json").write_text(json.dumps(hashes))


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    rehash(folder)


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / "weights.safetensors"
    state = safetensors.torch.load(path.read_bytes())
    change(state)
    path.write_bytes(safetensors.torch.save(state))
    rehash(folder)


def test_the_toy_keeps_the_network_contract(toy_net: Network) -> None:
    check(toy_net, n_bins=65)


def test_round_trip(toy_folder: Path, toy_model: Model) -> None:
    assert sorted(entry.name for entry in toy_folder.iterdir()) == FILES
    model = load(toy_folder)
    assert model.config == toy_model.config
    assert model.process == BrownianBridge(0.5)
    assert model.representation == toy_model.representation
    for name, value in toy_model.net.state_dict().items():
        assert torch.equal(model.net.state_dict()[name], value)
    digest = hashlib.sha256((toy_folder / "weights.safetensors").read_bytes()).hexdigest()
    assert verify(toy_folder).digest == digest


def test_half_precision_comes_back_as_float32(toy_folder: Path, toy_model: Model) -> None:
    save(toy_folder, toy_model.config, toy_model.net.state_dict(), "# toy\n")  # replaces the older folder
    assert [entry.name for entry in toy_folder.parent.iterdir()] == ["toy"]
    for name, value in load(toy_folder).net.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, toy_model.net.state_dict()[name].half().float())


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(toy_folder: Path, name: str) -> None:
    (toy_folder / name).unlink()
    with refused(ModelError, "missing", name):
        load(toy_folder)


@pytest.mark.parametrize("name", ["card.md", "config.json", "weights.safetensors"])
def test_one_changed_byte_is_noticed(toy_folder: Path, name: str) -> None:
    content = bytearray((toy_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (toy_folder / name).write_bytes(content)
    with refused(ModelError, "damaged", name, "SHA-256", "hashes.json"):
        load(toy_folder)


@pytest.mark.parametrize("version", [4, 0, "1", True, None])
def test_another_format_version_is_refused(toy_folder: Path, version: object) -> None:
    edit_config(toy_folder, format_version=version, from_the_future=True)
    with refused(ModelError, "version", version):
        load(toy_folder)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sampel_rate": 3}, "did you mean 'sample_rate'"),
        ({"reach_step": 9}, "(2, 9) but the network has (2, 1)"),
        ({"process": {"kind": "brown"}}, "did you mean 'brownian'"),
        ({"process": {"kind": "brownian", "roh": 1}}, "did you mean 'rho'"),
        ({"process": {"kind": "brownian", "rho": -1}}, "rho must be at least 0"),
        ({"stft": {"n_fft": 128, "hop": 60}}, "hop must divide n_fft"),
        ({"network": {"kind": "toy", "n_bins": 64}}, "n_bins is 64 but n_fft gives 65"),
        ({"stft": {"n_fft": 256, "hop": 64}}, "n_bins is 65 but n_fft gives 129"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    toy_folder: Path, changes: dict[str, object], line: str
) -> None:
    edit_config(toy_folder, **changes)
    with refused(ModelError, "refused", toy_folder.name, line):
        load(toy_folder)


def _spoil(state: dict[str, torch.Tensor]) -> None:
    state["time"][3] = float("nan")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_spoil, "parameter time"),
        (lambda state: state.pop("time"), '"time"'),
        (lambda state: state.update(extra=torch.zeros(1)), '"extra"'),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    toy_folder: Path, change: Callable[[dict[str, torch.Tensor]], None], line: str
) -> None:
    edit_weights(toy_folder, change)
    with refused(ModelError, "refused", toy_folder.name, line):
        verify(toy_folder)


def test_only_safetensors_is_read(toy_folder: Path) -> None:
    torch.save(torch.zeros(3), toy_folder / "weights.safetensors")
    rehash(toy_folder)
    with refused(ModelError, "damaged", "weights.safetensors"):
        load(toy_folder)


def test_names_and_paths(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SHIPPED", toy_folder.parent)
    assert load_model("toy").config == load_model(toy_folder).config == load_model(str(toy_folder)).config
    monkeypatch.chdir(toy_folder.parent)
    assert find("./toy") == Path("./toy")
    with refused(ModelError, "missing", "'toyy'", "'toy'"):
        find("toyy")
    with refused(ModelError, "missing", "card.md"):
        find(toy_folder / "card.md")


def test_saving_never_replaces_something_else(
    toy_folder: Path, toy_config: ModelConfig, toy_net: Network
) -> None:
    other = toy_folder.parent / "music"
    other.mkdir()
    (other / "song.txt").write_text("la")
    with refused(ModelError, "refused", "music"):
        save(other, toy_config, toy_net.state_dict(), "")
    assert (other / "song.txt").read_text() == "la"


def test_a_failed_save_leaves_the_old_model(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load(toy_folder)

    def full_disk(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        save(toy_folder, old.config, old.net.state_dict(), "")
    assert [entry.name for entry in toy_folder.parent.iterdir()] == ["toy"]
    assert load(toy_folder).digest == old.digest


def test_a_crash_between_the_two_renames_leaves_the_old_model(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load(toy_folder)
    weights = {name: value + 1 for name, value in old.net.state_dict().items()}
    rename = Path.rename

    def crash(path: Path, target: Path) -> Path:
        if target == toy_folder:
            raise SystemExit
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(SystemExit):
            save(toy_folder, old.config, weights, "")
    assert not toy_folder.exists()
    assert load(toy_folder).digest == load_model(str(toy_folder)).digest == old.digest
    save(toy_folder, old.config, weights, "")
    assert [entry.name for entry in toy_folder.parent.iterdir()] == ["toy"]
    assert load(toy_folder).digest != old.digest


def test_a_crash_after_the_swap_leaves_nothing_for_ever(toy_folder: Path) -> None:
    old = load(toy_folder)
    shutil.copytree(toy_folder, toy_folder.parent / ".toy.old")
    (toy_folder.parent / ".toy.old" / "card.md").unlink()  # its removal had begun
    assert load(toy_folder).digest == old.digest
    save(toy_folder, old.config, old.net.state_dict(), "")
    assert [entry.name for entry in toy_folder.parent.iterdir()] == ["toy"]


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path, toy_config: ModelConfig) -> None:
    with refused(ModelError, "refused", "parameter w"):
        save(tmp_path / "m", toy_config, {"w": torch.tensor([1e6])}, "")
    assert not (tmp_path / "m").exists()


def test_a_network_with_other_reaches_is_refused(toy_config: ModelConfig, toy_net: Network) -> None:
    with refused(ConfigError, "config", "(1, 1)", "(2, 1)"):
        assemble(toy_config.model_copy(update={"reach_encode": 1}), toy_net)


def test_processes_are_built_from_settings() -> None:
    assert build_process({"kind": "schroedinger", "k": 3}) == SchroedingerBridge(k=3.0)
    assert build_process({"kind": "flow", "sigma": 0.5, "to_y": True}).uses_y
    for kind in ("ouve", "brownian"):
        assert build_process({"kind": kind}).coeffs(0.0)[0] == 1.0
    for kind in ("vp", "cdiffuse"):
        assert build_process({"kind": kind, "betas": [0.1, 0.2]}).coeffs(0.0)[0] == 1.0
    with refused(ConfigError, "config", "None", "schroedinger"):
        build_process({})


@pytest.mark.parametrize(
    ("name", "table"), [("linear", VP.linear()), ("cosine", VP.cosine()), ("diffwave", VP.diffwave())]
)
def test_a_table_may_be_called_by_its_name(name: str, table: VP) -> None:
    assert build_process({"kind": "vp", "schedule": name}) == table
    assert build_process({"kind": "vp", "betas": list(table.betas)}) == table
    shifted = build_process({"kind": "vp", "schedule": name, "zero_terminal": True})
    assert shifted == VP(table.betas, zero_terminal=True)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "betas, each in (0, 1), or a schedule"),
        ({"betas": []}, "betas, each in (0, 1), or a schedule"),
        ({"betas": [0.1], "schedule": "linear"}, "betas and schedule"),
        ({"schedule": "linaer"}, "'linear', 'cosine', 'sigmoid' or 'diffwave', found 'linaer'"),
        ({"shedule": "linear"}, "'process.shedule'; did you mean 'schedule'"),
        ({"table": [0.5]}, "'process.table'; known: betas, schedule, zero_terminal"),
    ],
)
def test_a_table_is_given_in_one_way(settings: dict[str, object], line: str) -> None:
    with refused(ConfigError, "config", "process", line):
        build_process({"kind": "vp", **settings})


def test_a_copied_folder_is_the_same_model(toy_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_folder, tmp_path / "copy")
    assert load(tmp_path / "copy").digest == load(toy_folder).digest
