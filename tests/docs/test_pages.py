"""Promise: the pages are up to date, build into static files, and every name and link leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from audiodiff.cli import app
from docs import draw_bridge, make_api, make_cli, make_recipes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "pages").glob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE_LINES = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return CODE_LINES.sub("", FENCE.sub("", text))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs both make them."""
    titles = re.findall(r"^#+ (.*)$", prose(path.read_text(encoding="utf-8")), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower() for title in titles)
    return {re.sub(r"\s+", "-", title) for title in plain}


def test_the_page_of_the_command_line_is_up_to_date() -> None:
    assert make_cli.PAGE.read_text(encoding="utf-8") == make_cli.page(), "run python docs/make_cli.py"


def test_the_page_of_the_python_names_is_up_to_date() -> None:
    assert make_api.PAGE.read_text(encoding="utf-8") == make_api.page(), "run python docs/make_api.py"


def test_the_page_of_the_recipes_is_up_to_date() -> None:
    page = make_recipes.page()
    assert make_recipes.PAGE.read_text(encoding="utf-8") == page, "run python docs/make_recipes.py"
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert not [row for row in rows if not row[-1].strip(" |")]  # every key is explained


def words_of(command: Any) -> Iterator[str]:
    """Every word of a command's options, its own and those of all below it."""
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts) if parameter.opts[0].startswith("-") else ()
    for below in getattr(command, "commands", {}).values():
        yield from words_of(below)


def test_every_command_and_option_is_on_the_page() -> None:
    text = make_cli.PAGE.read_text(encoding="utf-8")
    root = typer.main.get_command(app)
    for words, command in make_cli.commands(root):
        section = text.split(f"## {' '.join(words)}\n")[1].split("\n## ")[0]
        own = {word for p in command.params if p.opts[0].startswith("-") for word in p.opts}
        assert not {word for word in own if word not in section}, words
    assert not {word for word in words_of(root) if word not in text}


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    text = prose(path.read_text(encoding="utf-8"))
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)
    for link in links:
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = path.parent / place if place else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(
        re.findall(
            r"(?<![\w/-])(?:samples|recipes|benchmarks|audiodiff|tests|examples|docs)/[\w/.-]*\w", text
        )
    )
    assert not sorted(name for name in named if not (ROOT / name).exists())


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_extras_that_are_named_exist(path: Path) -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"\.\[([a-z,]+)\]", text) + re.findall(r"audiodiff\[([a-z,]+)\]", text)
    assert {extra for group in named for extra in group.split(",")} <= extras.keys()


def test_every_extra_is_explained() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = (DOCS / "pages" / "index.md").read_text(encoding="utf-8")
    assert not {extra for extra in extras.keys() - {"dev"} if f"`{extra}`" not in text}


def test_the_code_on_the_page_about_extending_is_that_of_the_examples() -> None:
    text = (DOCS / "pages" / "extending.md").read_text(encoding="utf-8")
    examples = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("own_*.py"))
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(snippets) == 5
    assert not [snippet for snippet in snippets if snippet not in examples]


def test_the_picture_is_that_of_the_samples() -> None:
    here, there = (folder / "before_after.png" for folder in (DOCS / "pages", ROOT / "samples"))
    assert here.read_bytes() == there.read_bytes()


def test_the_bridge_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw_bridge, "PICTURE", tmp_path / "bridge.png")
    draw_bridge.main()
    assert (tmp_path / "bridge.png").stat().st_size > 10_000


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs, the extra [docs]")
def test_the_site_builds_and_needs_no_other_machine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(DOCS / "mkdocs.yml")]
    done = subprocess.run([*command, "-d", str(tmp_path / "site")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {path.stem for path in PAGES} <= {page.stem for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//[^"]*"', text)


def test_every_page_is_in_the_navigation() -> None:
    text = (DOCS / "mkdocs.yml").read_text(encoding="utf-8")
    assert {path.name for path in PAGES} == set(re.findall(r": (\w[\w-]*\.md)$", text, flags=re.MULTILINE))


def test_the_readme_is_short_and_its_scores_are_those_of_the_pages() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    scores = [line for line in lines if line.startswith("|") and "±" in line]
    assert len(scores) == 3
    choosing = (DOCS / "pages" / "choosing.md").read_text(encoding="utf-8")
    table = [line for line in lines if line.startswith("|") and re.search(r"\d\.\d\d", line)]
    assert not [line for line in table if line not in choosing]
