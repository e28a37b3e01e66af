"""Words of the command line that several commands share, turned into numbers and decisions."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from audiodiff.batch.naming import Place
    from audiodiff.batch.ray_engine import Cluster

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)s?")


class Engine(StrEnum):
    """What does a batch."""

    LOCAL = "local"
    RAY = "ray"


EngineName: TypeAlias = Annotated[
    Engine,
    typer.Option(help="Where a batch runs: on this machine or on a Ray cluster (needs the extra [ray])."),
]


Address: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the Ray cluster, as printed by `ray start --head`; required with --engine ray.",
    ),
]


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
        raise ConfigError(f"{option} {text!r} is no time; write seconds or minutes:seconds, as 90 or 1:30")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def stretch(start: str | None, end: str | None, preview: str | None) -> tuple[float, float]:
    """The part of each recording that is wanted."""
    if preview is not None:
        if start is not None or end is not None:
            raise ConfigError("--preview names its own start; leave out --start and --end")
        length, _, place = preview.partition("@")
        first = time_of(place, "--preview") if place else 0.0
        last = first + time_of(length, "--preview")
    else:
        first = time_of(start, "--start") if start is not None else 0.0
        last = time_of(end, "--end") if end is not None else math.inf
    if not first < last:
        raise ConfigError(f"nothing lies between {first:g} s and {last:g} s; choose a later end")
    return first, last


def shard_of(text: str | None) -> tuple[int, int]:
    """Read ``K/N``; None is all of it, 1/1."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text or "1/1")
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
