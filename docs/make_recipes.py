"""Writes the page of the recipes, docs/pages/recipes.md, from the recipes and from what a recipe may say.

    python docs/make_recipes.py

Run it after a change of a recipe's first line or of a key; a test compares the page with what this makes.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from audiodiff import networks
from audiodiff.data.noisy_clean import NoisyCleanData
from audiodiff.model import model
from audiodiff.settings import Settings, keys_of
from audiodiff.training import losses, model_sections, recipe, run_sections, wave_losses
from audiodiff.training.shipped_recipes import entries

PAGE = Path(__file__).parent / "pages" / "recipes.md"

HEAD = """\
# Recipes

A recipe is a TOML file that says all of a training: data, model, process, network, loss and schedule. These
come with audiodiff. The README beside each, which `audiodiff recipes show NAME` prints, has commands, cost
and scores.

    audiodiff recipes list
    audiodiff recipes copy folder my-voice            # the one for your own recordings
    audiodiff train my-voice/recipe.toml              # into runs/my-voice
    audiodiff train voicebank_demand/flow optim.steps=4000    # by name, a key changed

`train` takes a file, a folder that holds `recipe.toml`, a name of this list, or the `recipe.json` of an
earlier run. A file or a folder of yours goes before a name.

| name | what it trains |
|---|---|
"""

KEYS = """
## Keys

Seven sections, most with defaults. A key that does not exist, or a value out of range, is named before
anything is loaded. On the command line a key is changed by `section.key=value`, a whole section by
`'section={key=value, ...}'`.

This page is made from the recipes and from the code by `docs/make_recipes.py`.
"""

ENTRY = re.compile(r"(\w+): (.*)", re.DOTALL)
OF_SPECTRA = "of a model of spectra"
OF_WAVEFORMS = "of a denoiser of waveforms"
OF_VOCODERS = "of a vocoder of waveforms"


def sections() -> Iterator[tuple[str, type, str]]:
    """What a section may be: its heading, its class, and the kind that chooses it."""
    yield f"[model] {OF_SPECTRA}", model_sections.SpectralModel, ""
    yield f"[model] {OF_WAVEFORMS}", model_sections.NoisyWaveModel, ""
    yield f"[model] {OF_VOCODERS}", model_sections.WaveModel, ""
    for kind, prior in model._PRIORS.items():
        yield f"[model.prior] {kind}", prior, kind
    for kind, process in model._PROCESSES.items():
        yield f"[process] {kind}", process, kind
    for kind, (sizes, _) in networks._NETWORKS.items():
        yield f"[network] {kind}", sizes, kind
    for data in (recipe.MixData, NoisyCleanData, recipe.PairData, recipe.WaveData):
        kind = data.model_json_schema()["properties"]["kind"]["const"]
        yield f"[data] {kind}", data, ""
    yield f"[objective] {OF_SPECTRA}", losses.ObjectiveConfig, ""
    yield f"[objective] {OF_WAVEFORMS}", wave_losses.WaveObjective, ""
    yield f"[objective] {OF_VOCODERS}", losses.NoiseObjective, ""
    yield "[optim]", run_sections.TimedOptim, ""
    yield "[run]", run_sections.RunSection, ""


def page() -> str:
    """The whole page."""
    lines = [HEAD + "\n".join(f"| `{entry.name}` | {entry.summary} |" for entry in entries()), KEYS]
    for title, cls, kind in sections():
        lines += [f"### {title}\n", *table(cls, kind), ""]
    return "\n".join(lines)


def table(cls: type, kind: str) -> Iterator[str]:
    """A section's first line and its keys: default, what they take, what they mean."""
    yield plain((inspect.getdoc(cls) or "").split("\n\n")[0]) + "\n"
    yield "| key | default | takes | meaning |\n|---|---|---|---|"
    if kind:
        yield f"| `kind` | | `{kind}` | chooses this one |"
    schema = TypeAdapter(cls).json_schema()
    texts = meanings(cls)
    required = schema.get("required", ())
    for key in sorted(
        keys_of(cls), key=lambda key: (key not in ("kind", "representation"), key not in required)
    ):
        rules = schema["properties"][key]
        meaning = rules.get("description") or texts[key]
        yield f"| `{key}` | {default(cls, key, schema)} | {takes(rules)} | {plain(meaning)} |"


def meanings(cls: type) -> dict[str, str]:
    """What the docstrings of a class and of those it extends say of each key."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for block in inspect.cleandoc(base.__doc__ or "").split("\n\n"):
            head, *rest = block.split("\n")
            if head in ("Attributes:", "Args:"):
                body = inspect.cleandoc("\n".join(["", *rest]))
                found |= {
                    words[1]: words[2] for item in re.split(r"\n(?! )", body) if (words := ENTRY.match(item))
                }
    return found


def default(cls: type, key: str, schema: dict[str, Any]) -> str:
    """The default as TOML has it; nothing where there is none."""
    if key in schema.get("required", ()):
        return ""
    value = schema["properties"][key].get("default")
    if "default" not in schema["properties"][key] and issubclass(cls, Settings):
        value = cls.model_fields[key].get_default(call_default_factory=True)
    if isinstance(value, dict):
        return "`{" + ", ".join(f"{name} = {item}" for name, item in value.items()) + "}`"
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} numbers"
    return "none" if value is None else f"`{json.dumps(value)}`"


def takes(rules: dict[str, Any]) -> str:
    """What a value may be, by its JSON schema."""
    choices = [each for each in rules.get("anyOf", [rules]) if each.get("type") != "null"]
    return " or ".join(takes_one(each) for each in choices)


def takes_one(rules: dict[str, Any]) -> str:
    """The same of one alternative."""
    if "const" in rules or "enum" in rules:
        return ", ".join(f"`{value}`" for value in rules.get("enum", [rules.get("const")]))
    name = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text"}
    if rules.get("type") == "array":
        items = rules.get("prefixItems") or [rules["items"]]
        size = f"{len(items)} " if "prefixItems" in rules else ""
        return f"list of {size}{name.get(items[0].get('type'), 'value')}s{limits(items[0])}"
    return name.get(rules.get("type", ""), "table") + limits(rules)


def limits(rules: dict[str, Any]) -> str:
    """The range of a number, in words."""
    words = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    found = [text.format(f"{rules[name]:g}") for name, text in words.items() if name in rules]
    return f" {', '.join(found)}" if found else ""


def plain(text: str) -> str:
    """One paragraph in one line, with code marked as Markdown marks it, fit for a cell."""
    return " ".join(text.split()).replace("``", "`").replace("<", "&lt;").replace("|", "\\|")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
