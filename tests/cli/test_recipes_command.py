"""Promise: recipes are found by name, copied without overwriting anything, and a name never hides a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audiodiff.cli import run
from audiodiff.errors import ConfigError
from audiodiff.training import shipped_recipes as shipped
from audiodiff.training.recipe import load_recipe

HOME = Path(__file__).parents[2] / "recipes"


def test_the_list_has_every_recipe_and_the_folders_of_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    files = {path.relative_to(HOME).with_suffix("").as_posix() for path in HOME.glob("*/*.toml")}
    assert found.keys() == {name.removesuffix("/recipe") for name in files} | {"text"}
    assert all(summary.endswith(".") for summary in found.values())


def test_a_name_shows_its_readme_and_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    for name, file in {
        "folder": "folder/README.md",
        "folder/recipe": "folder/recipe.toml",
        "voicebank_demand/flow": "voicebank_demand/flow.toml",
        "text": "text/README.md",
    }.items():
        assert run(["recipes", "show", name]) == 0
        assert capsys.readouterr().out == (HOME / file).read_text(encoding="utf-8")


def test_a_copy_is_whole_and_tells_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine"
    assert run(["recipes", "copy", "voicebank_demand/flow", str(target)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{target}: ")
    assert f"audiodiff train {target / 'flow.toml'}" in err
    source = HOME / "voicebank_demand"
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir() if path.is_file()
    }
    assert run(["recipes", "copy", "text", str(tmp_path / "text")]) == 0
    assert "audiodiff train" not in capsys.readouterr().err
    assert (tmp_path / "text" / "model" / "weights.safetensors").is_file()


def test_a_copy_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    for there in (target, target / "file"):
        assert run(["recipes", "copy", "folder", str(there)]) == (2 if there == target else 0)
    with pytest.raises(ConfigError) as caught:
        shipped.copy("folder", target / "file")
    assert caught.value.code == "exists"
    assert sorted(path.name for path in target.rglob("*")) == [
        "README.md",
        "file",
        "recipe.toml",
        "vocoder.toml",
    ]


def test_a_name_is_taken_where_no_file_or_folder_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.find(Path("podcast")) == HOME / "podcast" / "recipe.toml"
    assert shipped.find(Path("podcast/recipe")) == HOME / "podcast" / "recipe.toml"
    assert load_recipe(Path("voicebank_demand/flow")).process["kind"] == "flow"
    Path("podcast").mkdir()  # recordings, say
    assert shipped.find(Path("podcast")) == HOME / "podcast" / "recipe.toml"
    Path("podcast/recipe.toml").touch()
    assert shipped.find(Path("podcast")) == Path("podcast/recipe.toml")
    Path("tiny").touch()
    assert shipped.find(Path("tiny")) == Path("tiny")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("podcats", "did you mean 'podcast'?"),
        ("voicebank_demand/flo", "did you mean 'voicebank_demand/flow'?"),
        ("voicebank_demand", "name one of bridge.toml, cdiffuse.toml"),
        ("text", "no recipe has this name"),
        ("podcast.toml", "check the path"),
        ("podcast.json", "check the path"),
    ],
)
def test_what_is_no_recipe_is_refused_with_what_to_do(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(Path(name))
    assert said in str(caught.value)


@pytest.mark.parametrize("words", [["show", "podcats"], ["copy", "podcats"], ["show", "podcast/resipe"]])
def test_an_unknown_name_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [("mine/recipe.toml", "mine"), ("mine/flow.toml", "flow"), ("runs/flow/recipe.json", "flow")],
)
def test_a_run_is_named_by_its_recipe(path: str, name: str) -> None:
    assert shipped.run_name(Path(path)) == name


def test_recipes_are_listed_and_copied_without_torch(tmp_path: Path) -> None:
    code = (
        "import json, sys; from audiodiff.cli import run; "
        "codes = [run(['recipes', 'list']), run(['recipes', 'copy', 'tiny', 'tiny'])]; "
        "print(json.dumps([*codes, 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 0, False]
