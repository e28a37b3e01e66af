"""The Gaussian toy world as fixtures (test modules cannot import their siblings by name)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.diffusion.toy import Toy


def _load() -> ModuleType:
    name = "audiodiff_toy_world"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("toy.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


_TOY = _load()


@pytest.fixture(scope="session")
def toy() -> Toy:
    world: Toy = _TOY.Toy(_TOY.make_world(), _TOY.make_processes())
    return world
