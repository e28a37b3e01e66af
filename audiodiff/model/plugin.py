"""Code of one's own: a network, a process, a schedule or data by one Python file that a recipe names.

The file is a module; what it offers stands in dictionaries by kind:

    NETWORKS   kind -> (dataclass of the sizes, class that is made of it), as in `networks`
    PROCESSES  kind -> frozen dataclass, a `diffusion.process.Process`
    SCHEDULES  name -> function of the number of steps n; gives n + 1 falling times from 1 to 0
    DATA       kind -> dataclass with ``draw(rng, n_samples, sample_rate, split)``, see `data.own_data`

A model whose network or process is of such a kind holds the file as ``plugin.py`` and its SHA-256 in its
settings. The file runs only where the user allows it, and then exactly the bytes that were checked run.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from audiodiff.diffusion.process import Process
from audiodiff.errors import ConfigError

FILE = "plugin.py"
"""Its name in a model folder, and in the folder of a run."""

FOREIGN_CODE = "foreign_code"
"""Code of the error about a file that must not run without leave."""

Schedule: TypeAlias = Callable[[int], Sequence[float]]


@dataclass(frozen=True)
class Plugin:
    """What a plug-in offers, by kind; nothing where there is none.

    Attributes:
        content: The file's bytes.
        networks, processes, schedules, data: See the module.
    """

    content: bytes = b""
    networks: Mapping[str, tuple[type[Any], type[Any]]] = field(default_factory=dict)
    processes: Mapping[str, type[Process]] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    data: Mapping[str, type[Any]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hex."""
        return hashlib.sha256(self.content).hexdigest()

    def times(self, name: str, n_steps: int, start: float) -> list[float]:
        """A schedule's times from the start of sampling to 0.

        Raises:
            ConfigError: It fails, or does not give n + 1 falling times from 1 to 0.
        """
        try:
            shape = [float(t) for t in self.schedules[name](n_steps)]
        except Exception as error:
            line = f"the schedule {name!r} fails for {n_steps} steps: {type(error).__name__}: {error}"
            raise ConfigError(f"model.grid: {line}; correct the plug-in") from error
        fits = len(shape) == n_steps + 1 and shape[0] == 1 and shape[-1] == 0
        if not (fits and all(u < t for t, u in pairwise(shape))):
            raise ConfigError(
                f"model.grid: the schedule {name!r} must give {n_steps + 1} falling times from 1 to 0 for "
                f"{n_steps} steps, it gave {shape}"
            )
        return [start * t for t in shape]


NO_PLUGIN = Plugin()


def read(path: Path, allow_code: bool) -> Plugin:
    """Read and run a plug-in.

    Raises:
        ConfigError: It cannot be read, must not run (code ``foreign_code``), fails, or offers what does not
            fit.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); correct the key plugin") from None
    return load(content, path, allow_code)


def load(content: bytes, path: Path, allow_code: bool) -> Plugin:
    """The same of a file's bytes, which are not read again; the path is for messages."""
    if not allow_code:
        raise ConfigError(
            f"{path}: is Python code, which could do whatever you can: read, change and delete your files "
            "and use the network; look at it, and if you trust it, add --allow-code (Python: allow_code)",
            code=FOREIGN_CODE,
        )
    module = _module(content, path)
    names = ("NETWORKS", "PROCESSES", "SCHEDULES", "DATA")
    networks, processes, schedules, data = (_table(module, path, name) for name in names)
    if not (networks or processes or schedules or data):
        raise ConfigError(f"{path}: offers nothing; set {', '.join(names[:-1])} or {names[-1]} in it")
    return Plugin(content, networks, processes, schedules, data)


class _Held(importlib.abc.ExecutionLoader):
    """Runs source that is in memory; tracebacks name the file that it came from."""

    def __init__(self, content: bytes, path: Path) -> None:
        self._content, self._path = content, path

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002  the loader's signature
        """See `importlib`."""
        return str(self._path)

    def get_source(self, fullname: str) -> str:  # noqa: ARG002
        """See `importlib`."""
        return importlib.util.decode_source(self._content)


def _module(content: bytes, path: Path) -> ModuleType:
    """The module of some source: the same one for the same bytes, so that its classes are the same, too."""
    name = f"audiodiff_plugin_{hashlib.sha256(content).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, _Held(content, path), origin=str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"{path}: {_fault(error, path)}; correct the file") from error
    return module


def _fault(error: Exception, path: Path) -> str:
    """What went wrong while a plug-in ran, and in which of its lines."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"line {lines[-1] if lines else 1}: {type(error).__name__}: {error}"


def _table(module: ModuleType, path: Path, name: str) -> dict[str, Any]:
    """One dictionary of a plug-in, empty where it has none."""
    table = getattr(module, name, {})
    fits, what = _RULES[name]
    if not isinstance(table, dict) or not all(
        isinstance(kind, str) and fits(of) for kind, of in table.items()
    ):
        raise ConfigError(f"{path}: {name} must be a dictionary from names to {what}; correct the file")
    return table


def _is_network(entry: Any) -> bool:
    is_pair = isinstance(entry, tuple) and len(entry) == 2 and all(isinstance(part, type) for part in entry)
    return is_pair and is_dataclass(entry[0]) and callable(getattr(entry[1], "encode", None))


def _is_process(entry: Any) -> bool:
    return (
        isinstance(entry, type)
        and issubclass(entry, Process)
        and is_dataclass(entry)
        and not inspect.isabstract(entry)
    )


def _is_data(entry: Any) -> bool:
    return isinstance(entry, type) and is_dataclass(entry) and callable(getattr(entry, "draw", None))


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "NETWORKS": (_is_network, "pairs of a dataclass of sizes and a class with encode"),
    "PROCESSES": (_is_process, "dataclasses that derive from Process and have path and time_at"),
    "SCHEDULES": (callable, "functions of the number of steps"),
    "DATA": (_is_data, "dataclasses with draw"),
}
