"""Promise: what users get is what they got, to 1e-4; a change on purpose is recorded anew and explained."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from audiodiff import cli
from tests.golden import record
from tests.golden.record import COMMANDS, FOLDER, Numbers

pytestmark = pytest.mark.slow

NUMBERS: dict[str, Numbers] = json.loads((FOLDER / "numbers.json").read_text(encoding="utf-8"))


def assert_same(found: Numbers, kept: Numbers, tolerance: float) -> None:
    assert found.keys() == kept.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, kept[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_the_denoiser_computes_what_it_did() -> None:
    assert_same(record.denoised(), NUMBERS["denoised"], 1e-4)


def test_the_vocoders_compute_what_they_did() -> None:
    assert_same(record.vocoded(), NUMBERS["vocoded"], 1e-4)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "audiodiff")
def test_help_says_what_it_did(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    found = record.help_of(words, lambda: capsys.readouterr().out)
    assert found == record.help_file(words).read_text(encoding="utf-8")


def test_every_command_is_among_them() -> None:
    commands: set[tuple[str, ...]] = {
        (command.name or command.callback.__name__,)
        for command in cli.app.registered_commands
        if command.callback
    }
    for group in cli.app.registered_groups:
        assert group.typer_instance is not None
        commands.add((str(group.name),))
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            commands.add((str(group.name), command.name or command.callback.__name__))
    assert commands | {()} == set(COMMANDS)
