"""Words of the command line that several commands share, turned into numbers and decisions."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from audiodiff.cli._help import BATCH, MODEL, OUTPUT
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from audiodiff.batch.naming import Place
    from audiodiff.batch.ray_engine import Cluster

_BIT_RATE = re.compile(r"(\d{1,7})(k?)", re.IGNORECASE)
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)s?")


class Engine(StrEnum):
    """What does a batch."""

    LOCAL = "local"
    RAY = "ray"


EngineName: TypeAlias = Annotated[
    Engine,
    typer.Option(
        help="Where a batch runs: on this machine or on a Ray cluster (needs the extra [ray]).",
        rich_help_panel=BATCH,
    ),
]


Address: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the Ray cluster, as printed by `ray start --head`; required with --engine ray.",
        rich_help_panel=BATCH,
    ),
]


MelAxes: TypeAlias = Annotated[
    Literal["bands-first", "frames-first"] | None,
    typer.Option(
        help="How bare arrays lie: [bands, frames] or [frames, bands]. Square ones need it.",
        rich_help_panel=MODEL,
    ),
]


AllowCode: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run the Python code that a model or a recipe brings. It can do whatever you can.",
        rich_help_panel=MODEL,
    ),
]
_FORMAT = typer.Option(
    "--format", help="Format of the outputs, and the suffix of their default names.", rich_help_panel=OUTPUT
)
FormatName: TypeAlias = Annotated[Literal["wav", "flac", "mp3", "ogg", "opus", "m4a"] | None, _FORMAT]
SpeechFormat: TypeAlias = Annotated[Literal["wav", "flac", "mp3", "ogg", "opus"] | None, _FORMAT]
"""Of `vocode`, whose outputs libsndfile writes: it has no m4a."""
BitRate: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--bitrate",
        metavar="RATE",
        help="Bits per second of mp3, ogg, opus and m4a outputs, for example 192k. Default: as the input.",
        rich_help_panel=OUTPUT,
    ),
]


def bit_rate_of(text: str | None) -> int:
    """Read a bit rate: ``192k`` or ``192000``; None is 0."""
    if text is None:
        return 0
    match = _BIT_RATE.fullmatch(text)
    rate = int(match[1]) * (1000 if match[2] else 1) if match else 0
    if rate < 1000:
        raise ConfigError(f"--bitrate {text!r}: expected bits per second, such as 192k or 192000")
    return rate


def place_of(text: str | None) -> Place | None:
    """Where results go; None for beside the inputs."""
    if text is None:
        return None
    from audiodiff.batch import naming

    return naming.place_of(text)


def time_of(text: str, option: str) -> float:
    """Read a time: ``90``, ``90s``, ``1:30``, ``1:02:03.5``."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{option} {text!r} is not a time; give seconds or minutes:seconds, such as 90 or 1:30"
        )
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def stretch(start: str | None, end: str | None, preview: str | None) -> tuple[float, float]:
    """The part of each recording that is wanted."""
    if preview is not None:
        if start is not None or end is not None:
            raise ConfigError("--preview sets the start and the end itself; leave out --start and --end")
        length, _, place = preview.partition("@")
        first = time_of(place, "--preview") if place else 0.0
        last = first + time_of(length, "--preview")
    else:
        first = time_of(start, "--start") if start is not None else 0.0
        last = time_of(end, "--end") if end is not None else math.inf
    if not first < last:
        raise ConfigError(f"the end, {last:g} s, is not after the start, {first:g} s; choose a later end")
    return first, last


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Read ``K/N``."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= numbers[0] <= numbers[1]:
        raise ConfigError(f"--shard {text!r}: expected K/N with K from 1 to N, such as 2/4")
    return numbers


def cluster_of(engine: Engine, address: str | None, jobs: int | None) -> Cluster | None:
    """Where to work: None for this machine alone."""
    if engine is Engine.LOCAL:
        if address is not None:
            raise ConfigError("--address names a Ray cluster; add --engine ray")
        return None
    if address in (None, "", "local"):
        raise ConfigError(
            "--engine ray needs a running cluster: start `ray start --head` and give its --address "
            "HOST:PORT, or use --jobs on this machine"
        )
    from audiodiff.batch.ray_engine import Cluster

    return Cluster(address, jobs)
