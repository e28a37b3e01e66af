"""Promise: what is refused is refused by its code, in the words of one table, and nothing is left behind."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.golden import refusals

pytestmark = pytest.mark.slow


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_refusals_say_what_they_did(tmp_path: Path) -> None:
    used, untouched = tmp_path / "used", tmp_path / "untouched"
    used.mkdir()
    untouched.mkdir()
    assert refusals.table(used) == refusals.TABLE.read_text(encoding="utf-8")
    with contextlib.chdir(untouched):
        refusals.make_files()
    assert contents(used) == contents(untouched)
