"""Writes the page of the Python names, docs/pages/api.md, from the docstrings of `audiodiff.__all__`.

    python docs/make_api.py

Run it after a change of a public name or its docstring; a test compares the page with what this makes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import audiodiff

PAGE = Path(__file__).parent / "pages" / "api.md"

HEAD = """\
# Python names

Everything that `import audiodiff` offers. [Python](python.md) shows how to use it.
Letters in shapes: T samples, C channels, M mel bands, N frames.

This page is made from the docstrings by `docs/make_api.py`.
"""

SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):$")
ENTRY = re.compile(r"(\w+): (.*)", re.DOTALL)


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    errors = []
    for name in audiodiff.__all__:
        found = getattr(audiodiff, name)
        if inspect.isclass(found) and issubclass(found, audiodiff.AudiodiffError):
            errors.append(f"| `{name}` | `{found.default_code}` | {first_line(found)} |")
        elif inspect.isclass(found):
            lines += members(name, found)
        elif callable(found):
            lines += entry(f"audiodiff.{name}", name, found)
    lines += [
        "## Errors\n",
        "The text of an error is one line: what was expected, what was found, what to do.",
    ]
    lines += [
        "Its `code` is a stable name for programs.\n",
        "| error | usual code | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *errors, ""])


def members(name: str, found: type) -> Iterator[str]:
    """A class: its constructor, then its public methods and properties in the order of the source."""
    yield from entry(f"audiodiff.{name}", name, found)
    for member, value in vars(found).items():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            yield f"### {name}.{member}\n"
            yield f"{first_line(value)} (property)\n"
        elif callable(value):
            yield from entry(f"{name}.{member}", member, value, level=3)


def entry(title: str, name: str, found: Any, level: int = 2) -> Iterator[str]:
    """A heading, the signature as code, and the docstring."""
    yield f"{'#' * level} {title}\n"
    signature = inspect.signature(found)
    words = [parameter(p) for p in signature.parameters.values() if p.name != "self"]
    result = "" if inspect.isclass(found) else f" -> {signature.return_annotation}"
    one = f"{name}({', '.join(words)}){result}"
    many = f"{name}(\n        " + ",\n        ".join(words) + f",\n    ){result}"
    yield f"    {one if len(one) < 100 else many}\n"
    yield from docstring(inspect.getdoc(found) or "")


def parameter(found: inspect.Parameter) -> str:
    """A parameter as the source has it."""
    if found.default is inspect.Parameter.empty:
        return f"{found.name}: {found.annotation}"
    default = "..." if callable(found.default) else repr(found.default)
    return f"{found.name}: {found.annotation} = {default}"


def docstring(text: str) -> Iterator[str]:
    """A docstring in Google's style as Markdown."""
    for block in text.split("\n\n"):
        head, *rest = block.split("\n")
        if not SECTION.match(head):
            yield plain(block) + "\n"
            continue
        yield f"**{head.replace('Args', 'Arguments').rstrip(':')}**\n"
        body = inspect.cleandoc("\n".join(["", *rest]))
        if head in {"Returns:", "Yields:"}:
            yield plain(body) + "\n"
            continue
        for item in re.split(r"\n(?! )", body):
            words = ENTRY.match(item)
            yield f"- `{words[1]}`: {plain(words[2])}" if words else f"- {plain(item)}"
        yield ""


def plain(text: str) -> str:
    """One paragraph in one line, with code marked as Markdown marks it."""
    return " ".join(text.split()).replace("``", "`").replace("<", "&lt;")


def first_line(found: Any) -> str:
    """The first line of a docstring."""
    return plain((inspect.getdoc(found) or "").split("\n\n")[0])


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
