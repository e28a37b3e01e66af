"""``audiodiff doctor``: whether this machine can do the work, and how fast."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

import audiodiff
from audiodiff import system
from audiodiff.cli._common import SOME_FAILED
from audiodiff.cli._options import AllowCode
from audiodiff.errors import AudiodiffError, ConfigError
from audiodiff.extras import CORE, NO_PORTAUDIO, install_hint

NEEDED = (
    "numpy", "onnxruntime", "soundfile", "soxr", "safetensors", "typer", "pydantic", "filelock", "jinja2",
)  # fmt: skip
"""Modules of the packages that audiodiff always needs."""

EXTRAS = {
    "vocode": (("torch", "numba"), "speech from mels; denoisers without graphs, GPUs"),
    "media": (("av",), "video, m4a and aac; covers and chapters"),
    "tags": (("mutagen",), "tags of ogg and opus files"),
    "ui": (("starlette", "uvicorn"), "the local page"),
    "live": (("sounddevice",), "microphones and loudspeakers"),
    "eval": (("torch", "librosa", "pesq", "pystoi", "matplotlib"), "scores"),
    "export": (("torch", "onnx", "onnxscript"), "graphs of models"),
    "tune": (("optuna",), "searches over recipes"),
    "board": (("tensorboard",), "curves in TensorBoard"),
    "mos": (("distillmos",), "a score without a reference"),
    "train": (("torch", "torchaudio", "scipy", "numba", "pyroomacoustics", "matplotlib"), "training"),
    "ray": (("ray",), "batches on a cluster"),
    "docs": (("mkdocs",), "building the documentation"),
}
"""Extra -> the modules that it brings, and what for."""

_PROBE_BYTES = 1 << 20
_FAULT = "FAULT: "


def doctor(
    model: Annotated[
        str, typer.Option("-m", "--model", help="Shipped model, or a model folder.")
    ] = "podcast",
    allow_code: AllowCode = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: one per core.")
    ] = None,
) -> None:
    """Check this installation and measure its speed.

    Prints what cannot be imported (with the line that installs it), versions, processor, temporary folder,
    extras, and the time that the model takes for an hour of audio; the model is verified first. The exit code
    is 1 if something does not work; a missing extra does not count.

    Examples: audiodiff doctor; audiodiff doctor --threads 1
    """
    checks: tuple[tuple[str, Callable[[], list[str]]], ...] = (
        ("packages", _packages),
        ("versions", _versions),
        ("processor", _processor),
        ("temporary folder", _temporary),
        ("extras", _extras),
        ("model", lambda: _model(model, threads, allow_code)),
    )
    failed = False
    for name, check in checks:
        try:
            lines = check()
        except (AudiodiffError, ImportError, OSError) as error:
            lines = [f"{_FAULT}{' '.join(str(error).split())}"]
        for line in lines:
            failed |= _FAULT in line
            typer.echo(f"{name:<17} {line}")
            name = ""
    if failed:
        raise typer.Exit(SOME_FAILED)


@dataclass(frozen=True)
class ImportFault:
    """Why a module cannot be imported.

    Attributes:
        kind: It or another module is missing, it is broken, or a library of the system is missing.
    """

    module: str
    text: str
    kind: Literal["missing", "broken", "system"]


def import_faults(modules: Iterable[str]) -> list[ImportFault]:
    """Import modules; what fails, whatever it raises."""
    faults = []
    for name in modules:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except ModuleNotFoundError as error:
            needs = "" if error.name == name else f" (it needs {error.name})"
            faults.append(ImportFault(name, f"missing {name}{needs}", "missing"))
        except Exception as error:  # noqa: BLE001  a broken package raises what it likes
            if name == "sounddevice" and isinstance(error, OSError):
                faults.append(ImportFault(name, NO_PORTAUDIO, "system"))
                continue
            why = " ".join(f"{type(error).__name__}: {error}".split())
            faults.append(ImportFault(name, f"{name} cannot be imported ({why})", "broken"))
    return faults


def _packages() -> list[str]:
    faults = import_faults(NEEDED)
    if faults:
        raise ConfigError(_with_hint(faults, CORE))
    return [f"all {len(NEEDED)} can be imported"]


def _with_hint(faults: list[ImportFault], extra: str) -> str:
    texts = ", ".join(fault.text for fault in faults)
    kinds = {fault.kind for fault in faults}
    if kinds == {"system"}:
        return texts
    again = () if "missing" in kinds else tuple(fault.module for fault in faults)
    return f"{texts}; {install_hint(extra, again)}"


def _versions() -> list[str]:
    import soundfile

    known = ("onnxruntime", "torch", "numpy", "soundfile", "soxr")
    packages = (
        f"{name} {importlib.metadata.version(name)}" for name in known if importlib.util.find_spec(name)
    )
    return [
        f"audiodiff {audiodiff.__version__}, Python {platform.python_version()} on {platform.platform()}",
        f"{', '.join(packages)}, libsndfile {soundfile.__libsndfile_version__}",
    ]


def _processor() -> list[str]:
    cores = system.cores()
    if importlib.util.find_spec("torch") is None:
        return [f"{cores} cores"]
    import torch

    able = torch.backends.cpu.get_cpu_capability()
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
        faults = import_faults(modules)
        mark = _FAULT if any(fault.kind == "broken" for fault in faults) else ""
        state = _with_hint(faults, extra) if faults else "there"
        lines.append(f"{extra} ({use}): {mark}{state}")
    return lines


def _model(name: str, threads: int | None, allow_code: bool) -> list[str]:
    from audiodiff.batch.denoise_task import DenoiseTask
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.model.folder import find, verify

    found = verify(find(name), allow_code)
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
