"""``audiodiff models``: which models there are, what they state of themselves, and whether they are whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiodiff.cli._common import each
from audiodiff.cli._options import AllowCode
from audiodiff.errors import ConfigError, ModelError
from audiodiff.model.shipped import SHIPPED

if TYPE_CHECKING:
    from audiodiff.model.config import ModelConfig


models = typer.Typer(help="List, describe and verify models.", no_args_is_help=False, rich_markup_mode=None)

_COLUMNS = ("name", "task", "rate", "steps", "hash", "licence")


@models.command("list")
def list_models(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder that contains model folders; default: the shipped models.")
    ] = None,
) -> None:
    """List models.

    Prints task, rate in Hz, steps of fast/balanced/best, SHA-256 of the weights and licence.

    Example: audiodiff models list trained
    """
    place = SHIPPED if folder is None else folder
    if not place.is_dir():
        raise ModelError(f"{place}: is not a folder; name one that holds model folders", code="missing")
    found = [place] if _is_model(place) else sorted(filter(_is_model, place.iterdir()))
    if not found:
        raise ModelError(f"{place}: holds no model folders; name one that does", code="missing")
    rows = [dict(zip(_COLUMNS, _COLUMNS, strict=True))]

    def one(path: Path) -> None:
        config = _config(path)
        name = path.name if folder is None else str(path)
        rows.append({"name": name, **_brief(config), "hash": _digest(path)[:12], "licence": config.licence})

    try:
        each(found, one)
    finally:
        widths = [max(len(row[name]) for row in rows) for name in _COLUMNS]
        for row in rows:
            cells = (f"{row[name]:<{width}}" for name, width in zip(_COLUMNS, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())


@models.command("info")
def info(
    names: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Names of shipped models, or model folders.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per model.")] = False,
) -> None:
    """Describe models.

    The weights are neither loaded nor checked.

    Examples: audiodiff models info podcast; audiodiff models info --json trained/voice
    """

    def one(name: str) -> None:
        path = _find(name)
        config, digest = _config(path), _digest(path)
        if as_json:
            facts = {"folder": str(path), "sha256": digest, "config": config.model_dump(mode="json")}
            typer.echo(json.dumps({"v": 1, "model": path.name, **facts}))
        else:
            typer.echo("\n".join([path.name, *(f"  {key:<9} {text}" for key, text in _rows(path, config))]))

    each(names, one)


@models.command("inspect")
def inspect(
    names: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Names of shipped models, or model folders.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per model.")] = False,
    allow_code: AllowCode = False,
) -> None:
    """Count parameters and operations of models.

    Loads the network and counts the multiply-accumulates of its convolutions and matrix products for a second
    of audio: of the condition, once per recording; of one step; and of all that each preset does. The
    transform between audio and spectrum is not counted. Needs torch.

    Examples: audiodiff models inspect podcast; audiodiff models inspect --json trained/voice
    """

    def one(name: str) -> None:
        from audiodiff.model import folder
        from audiodiff.model.cost import cost

        path = folder.find(name)
        model = folder.load(path, allow_code)
        found, presets = cost(model), model.config.presets
        runs = {key: found.macs(getattr(presets, key).evaluations) for key in type(presets).model_fields}
        if as_json:
            typer.echo(json.dumps({"v": 1, "model": path.name, **asdict(found), "preset_macs": runs}))
            return
        typer.echo(f"{path.name}\n  {'parameters':<12} {found.parameters:,}")
        rows = {"condition": found.encode_macs, "step": found.step_macs, **runs}
        for key, macs in rows.items():
            typer.echo(f"  {key:<12} {macs / 1e9:.3f} GMAC for a second of audio")

    each(names, one)


@models.command("verify")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...", help="Names of shipped models, or model folders; default: all shipped."
        ),
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Verify models.

    Checks hashes, settings and weights, and runs the network once on silence. Prints one line per good model;
    the exit code is 2 if one is not.

    Examples: audiodiff models verify; audiodiff models verify trained/voice
    """
    from audiodiff.model import folder

    def one(name: str) -> None:
        digest = folder.verify(folder.find(name), allow_code).digest
        typer.echo(f"{name}: good, SHA-256 {digest}")

    each(names or [path.name for path in sorted(filter(_is_model, SHIPPED.iterdir()))], one)


def _is_model(path: Path) -> bool:
    return (path / "config.json").is_file()


def _find(name: str) -> Path:
    """The folder of a model, as `folder.find` finds it; torch is only imported to refuse a name."""
    for path in (SHIPPED / name, Path(name)):
        if _is_model(path) and (path.parent != SHIPPED or Path(name).name == name):
            return path
    from audiodiff.model.folder import find

    return find(name)


def _config(path: Path) -> ModelConfig:
    from audiodiff.model.config import ModelConfig
    from audiodiff.settings import load_json

    try:
        return load_json(ModelConfig, path / "config.json")
    except ConfigError as error:
        raise ModelError(str(error), code="refused") from None


def _digest(path: Path) -> str:
    """SHA-256 of the weights as the folder states it."""
    from audiodiff.settings import read_json

    try:
        digest = read_json(path / "hashes.json").get("weights.safetensors")
    except ConfigError as error:
        raise ModelError(str(error), code="damaged") from None
    if not isinstance(digest, str):
        raise ModelError(f"{path / 'hashes.json'}: lacks weights.safetensors; get the model again")
    return digest


def _brief(config: ModelConfig) -> dict[str, str]:
    presets = config.presets
    steps = (presets.fast.steps, presets.balanced.steps, presets.best.steps)
    return {"task": config.task, "rate": str(config.sample_rate), "steps": "/".join(map(str, steps))}


def _rows(path: Path, config: ModelConfig) -> list[tuple[str, str]]:
    def words(part: dict[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in part.items() if value is not None)

    rows = [
        ("folder", str(path)),
        ("task", config.task),
        ("rate", f"{config.sample_rate} Hz"),
        ("licence", config.licence),
        ("SHA-256", _digest(path)),
        ("format", f"version {config.format_version}"),
        ("process", words(config.process)),
        ("network", words(config.network)),
    ]
    if config.mel is not None:
        rows.append(("mel", words(config.mel)))
    rows += [
        (name, words(getattr(config.presets, name).model_dump()))
        for name in type(config.presets).model_fields
    ]
    rows.append(("card", str(path / "card.md")))
    return rows
