"""Promise: an output's sidecar tells how it was made, equal bytes for equal work, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from audiodiff import __version__
from audiodiff.batch.naming import sidecar_path
from audiodiff.batch.sidecar import (
    AudioFact,
    ModelFact,
    Sidecar,
    provenance_line,
    read_sidecar,
)
from audiodiff.errors import DataError
from tests.errors import refused

HASH = "0123456789abcdef" * 4


def sidecar() -> Sidecar:
    return Sidecar(
        task="denoise",
        model=ModelFact(name="podcast", sha256=HASH, licence="Apache-2.0"),
        options={"strength": 0.8, "quality": "balanced", "steps": None},
        seed=7,
        input=AudioFact(name="talk.wav", sha256=HASH, seconds=1.5, sample_rate=48_000, channels=2),
        output=AudioFact(name="talk.denoised.wav", seconds=1.5, sample_rate=48_000, channels=2),
        warnings=("talk.wav: cut short",),
    )


def written(target: Path) -> Path:
    """The path of a sidecar that a job has written."""
    path = sidecar_path(target)
    path.write_bytes(sidecar().to_bytes())
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    target = tmp_path / "talk.denoised.wav"
    assert read_sidecar(target) is None
    path = written(target)
    assert path == tmp_path / "talk.denoised.wav.audiodiff.json"
    assert read_sidecar(target) == sidecar()
    told = json.loads(path.read_text())
    assert (told["v"], told["tool"], told["version"]) == (1, "audiodiff", __version__)
    assert told["model"] == {"name": "podcast", "sha256": HASH, "licence": "Apache-2.0"}
    assert told["options"]["strength"] == 0.8


def test_equal_work_writes_equal_bytes() -> None:
    assert sidecar().to_bytes() == sidecar().to_bytes()


@pytest.mark.parametrize(
    "name", ["n" * 251 + ".wav", "é" * 125 + ".wav", b"caf\xe9.wav".decode("utf-8", "surrogateescape")]
)
def test_names_of_any_kind_have_one(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    path = written(target)
    assert len(os.fsencode(path.name)) <= 255
    assert read_sidecar(target) == sidecar()
    assert path != sidecar_path(target.with_name("x" + name[1:]))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"v": 2}', '{"v": 1, "tool": "other"}', "\x00"])
def test_a_damaged_one_is_told_in_a_line(tmp_path: Path, text: str) -> None:
    target = tmp_path / "a.wav"
    sidecar_path(target).write_text(text)
    with refused(DataError, "data", "a.wav.audiodiff.json"):
        read_sidecar(target)


def test_the_schema_is_closed() -> None:
    schema = Sidecar.model_json_schema()
    assert schema["additionalProperties"] is False
    assert {"task", "model", "options", "seed", "input", "output"} <= set(schema["required"])
    with pytest.raises(ValidationError):
        Sidecar.model_validate({**sidecar().model_dump(), "path": "/home/somebody"})
    with pytest.raises(ValidationError):
        ModelFact(name="a", sha256="no hash", licence="")


def test_the_line_names_no_folder() -> None:
    assert (
        provenance_line("denoise", "podcast")
        == f"processed with audiodiff {__version__} (denoise, model podcast)"
    )
    assert "somebody" not in provenance_line("denoise", "/home/somebody/models/mine")
    assert "model voice; speech re-synthesised by a model)" in provenance_line("vocode", "voice")
    assert "re-synthesised by a model)" in provenance_line("vocode", "/home/somebody/inversion")
    assert "re-synthesised by mel inversion)" in provenance_line("vocode", "inversion")
