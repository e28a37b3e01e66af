"""A tiny model of a real kind, which worker processes can load too, and folders of recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from audiodiff.batch.batch_spec import JobSpec
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.job_options import Options
from audiodiff.inference.engine import Samples
from audiodiff.model.folder import save
from tests import builders

Recording = Callable[..., Samples]
MakeSpec = Callable[..., JobSpec]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with an untrained network."""
    model = builders.spectral_model()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(folder, model.config, model.net.state_dict(), "# tiny\n")
    return folder


@pytest.fixture(scope="session")
def tiny_digest(tiny_folder: Path) -> str:
    return DenoiseSettings().load(str(tiny_folder)).digest


@pytest.fixture(scope="session")
def make_spec(tiny_folder: Path, tiny_digest: str) -> MakeSpec:
    """Makes a spec of the tiny model from decisions and options."""

    def make(settings: DenoiseSettings | None = None, options: Options | None = None) -> JobSpec:
        return JobSpec(settings or DenoiseSettings(), str(tiny_folder), tiny_digest, options or Options())

    return make


@pytest.fixture
def shows(tmp_path: Path, recording: Recording) -> Path:
    """A folder with four recordings in two places, a text file, and a broken recording."""
    folder = tmp_path / "shows"
    (folder / "old").mkdir(parents=True)
    soundfile.write(folder / "a.wav", recording(0.8, 16000, 2).T, 16000)
    soundfile.write(folder / "b.flac", recording(0.5, 44100).T, 44100)
    soundfile.write(folder / "old" / "a.wav", recording(0.4, 8000).T, 8000)
    soundfile.write(folder / "old" / "c.ogg", recording(0.6, 16000).T, 16000)
    (folder / "notes.txt").write_text("not a recording")
    (folder / "old" / "broken.wav").write_text("no audio " * 40)
    return folder
