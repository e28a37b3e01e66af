"""``audiodiff info``: what recordings hold, whether they are whole, and how they were made."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiodiff.cli._common import each, say

if TYPE_CHECKING:
    from audiodiff.batch.sidecar import Sidecar

_MARK = "processed with audiodiff "


def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings.")],
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object per recording.")] = False,
) -> None:
    """Describe recordings: format, length, tags, origin.

    Prints format, true length, peak and tags, and how audiodiff made the file if it did. Every file is read
    to its end, so files that are cut short are noticed. Recordings that changed since audiodiff wrote them
    are reported too.

    Examples: audiodiff info talk.wav; audiodiff info --json clean/*.flac
    """
    each(files, lambda path: _show(path, json_lines))


def _show(path: Path, as_json: bool) -> None:
    facts = look(path)
    if as_json:
        typer.echo(json.dumps({"v": 1, **facts}))
        return
    for warning in facts["warnings"]:
        say(f"audiodiff: warning: {warning}")
    typer.echo("\n".join(_lines(path, facts)))


def look(path: Path) -> dict[str, Any]:
    """Read a recording to its end."""
    from audiodiff.batch.sidecar import read_sidecar
    from audiodiff.io.reader import read_blocks
    from audiodiff.io.tags import read_tags

    n_samples, peak = 0, 0.0
    with read_blocks(path) as reader:
        header = reader.info
        for block in reader:
            n_samples += block.shape[1]
            peak = max(peak, float(abs(block).max()))
        truncated = reader.truncated
    tags, sidecar = read_tags(path), read_sidecar(path)
    return {
        "file": os.fspath(path),
        "container": header.container,
        "subtype": header.subtype,
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "samples": n_samples,
        "seconds": round(n_samples / header.sample_rate, 6),
        "peak": round(peak, 6),
        "tags": dict(tags.text),
        "pictures": len(tags.pictures),
        "chapters": len(tags.chapters),
        "made_by": next((text for text in tags.text.values() if _MARK in text), None),
        "sidecar": sidecar.model_dump(mode="json") if sidecar is not None else None,
        "as_written": _as_written(path, sidecar),
        "warnings": [str(truncated)] if truncated is not None else [],
    }


def _as_written(path: Path, sidecar: Sidecar | None) -> bool | None:
    if sidecar is None or sidecar.output.sha256 is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sidecar.output.sha256


def _lines(path: Path, facts: dict[str, Any]) -> list[str]:
    from audiodiff.io.formats import display_path

    rows = [
        ("format", f"{facts['container']}, {facts['subtype']}"),
        ("length", f"{facts['seconds']:.3f} s, {facts['samples']} samples"),
        ("rate", f"{facts['sample_rate']} Hz"),
        ("channels", str(facts["channels"])),
        ("peak", f"{facts['peak']:.4f} of full scale"),
    ]
    rows += [(name, _plain(text)) for name, text in facts["tags"].items() if text != facts["made_by"]]
    rows += [(name, str(facts[name])) for name in ("pictures", "chapters") if facts[name]]
    if facts["made_by"]:
        rows.append(("made by", _plain(facts["made_by"])))
    if facts["sidecar"]:
        rows += _origin(facts["sidecar"], facts["as_written"])
    return [display_path(path), *(f"  {name:<10} {text}" for name, text in rows)]


def _origin(sidecar: dict[str, Any], as_written: bool | None) -> list[tuple[str, str]]:
    """What a sidecar tells, as rows."""
    model, source = sidecar["model"], sidecar["input"]
    hashed = f", SHA-256 {model['sha256']}" if model["sha256"] else ""
    options = ", ".join(f"{name} {value}" for name, value in sidecar["options"].items() if value is not None)
    state = {None: "unknown", True: "as it was written", False: "changed since it was written"}[as_written]
    return [
        ("origin", f"audiodiff {sidecar['version']}, {sidecar['task']}, from {source['name']}"),
        ("model", f"{model['name']}{hashed}, {model['licence']}"),
        ("seed", str(sidecar["seed"])),
        ("options", options),
        ("content", state),
        *(("warned", warning) for warning in sidecar["warnings"]),
    ]


def _plain(text: str) -> str:
    """A tag as one line of a terminal can show it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
