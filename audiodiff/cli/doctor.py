"""``audiodiff doctor``: whether this machine can do the work, and how fast."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from collections.abc import Callable
from typing import Annotated

import typer

import audiodiff
from audiodiff.cli._common import SOME_FAILED
from audiodiff.errors import AudiodiffError
from audiodiff.extras import install_hint

EXTRAS = {
    "media": (("av",), "video, m4a and aac; covers and chapters"),
    "tags": (("mutagen",), "tags of ogg and opus files"),
    "ui": (("starlette", "uvicorn"), "the local page"),
    "eval": (("librosa", "pesq", "pystoi", "matplotlib"), "scores"),
    "mos": (("distillmos",), "a score without a reference"),
    "train": (("torchaudio", "pyroomacoustics", "matplotlib"), "training"),
    "ray": (("ray",), "batches on a cluster"),
    "docs": (("mkdocs",), "building the documentation"),
}
"""Extra -> the modules that it brings, and what for."""

_PROBE_BYTES = 1 << 20


def doctor(
    model: Annotated[
        str, typer.Option("-m", "--model", help="Shipped model, or a model folder.")
    ] = "podcast",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: one per core.")
    ] = None,
) -> None:
    """Check this installation and measure its speed.

    Prints versions, processor, temporary folder, extras (with the line that installs a missing one), and the
    time that the model takes for an hour of audio; the model is verified first. The exit code is 1 if
    something does not work; a missing extra does not count.

    Examples: audiodiff doctor; audiodiff doctor --threads 1
    """
    checks: tuple[tuple[str, Callable[[], list[str]]], ...] = (
        ("versions", _versions),
        ("processor", _processor),
        ("temporary folder", _temporary),
        ("extras", _extras),
        ("model", lambda: _model(model, threads)),
    )
    failed = False
    for name, check in checks:
        try:
            lines = check()
        except (AudiodiffError, ImportError, OSError) as error:
            failed = True
            lines = [f"FAULT: {' '.join(str(error).split())}"]
        for line in lines:
            typer.echo(f"{name:<17} {line}")
            name = ""
    if failed:
        raise typer.Exit(SOME_FAILED)


def _versions() -> list[str]:
    import soundfile

    packages = (
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "soundfile", "soxr")
    )
    return [
        f"audiodiff {audiodiff.__version__}, Python {platform.python_version()} on {platform.platform()}",
        f"{', '.join(packages)}, libsndfile {soundfile.__libsndfile_version__}",
    ]


def _processor() -> list[str]:
    import torch

    able = torch.backends.cpu.get_cpu_capability()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    lines = [f"{cores} cores, torch uses {torch.get_num_threads()} threads and {able}"]
    if torch.cuda.is_available():
        lines.append(f"GPU {torch.cuda.get_device_name()}")
    return lines


def _temporary() -> list[str]:
    with tempfile.TemporaryFile(prefix="audiodiff-") as file:
        file.write(bytes(_PROBE_BYTES))
        file.flush()
    return [f"{tempfile.gettempdir()} can be written to"]


def _extras() -> list[str]:
    lines = []
    for extra, (modules, use) in EXTRAS.items():
        missing = [name for name in modules if not _there(name)]
        state = f"missing {', '.join(missing)}; {install_hint(extra)}" if missing else "there"
        lines.append(f"{extra} ({use}): {state}")
    return lines


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # of a module that something else put in its place
        return False


def _model(name: str, threads: int | None) -> list[str]:
    from audiodiff.batch.denoise_task import DenoiseTask
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.model.folder import find, verify

    found = verify(find(name))
    lines = [f"{name}: good, {found.sample_rate} Hz, SHA-256 {found.digest}"]
    if found.config.task != "denoise":
        return [*lines, "speed is measured for denoisers only"]
    denoiser = Denoiser(found, threads=threads)
    factor = DenoiseTask(denoiser).seconds_per_second()
    took = (
        f"{denoiser.steps} steps on {denoiser.device}: {factor:.3f} s a second of one channel, measured now"
    )
    return [*lines, took, f"an hour of one channel takes about {_minutes(3600 * factor)}"]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} minutes"
