"""Promise: what audiodiff made is known by its tags and its sidecar, whatever it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.batch.denoise_task import DenoiseSettings, denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import Place, place_of, residual_path, sidecar_path
from audiodiff.batch.own import is_own, is_own_preview
from audiodiff.batch.plan import plan
from audiodiff.errors import AudioFileError, ConfigError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.inference.engine import Samples
from audiodiff.io.folders import SIDECAR_SUFFIX

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]
DENOISE = DenoiseSettings()
WAYS = {
    "both": Options(residual=True, tag=True, sidecar=True),
    "tags": Options(residual=True, tag=True),
    "sidecars": Options(residual=True, sidecar=True),
}


@pytest.fixture(scope="module")
def denoiser(tiny_folder: Path) -> Denoiser:
    return Denoiser(tiny_folder, threads=1)


@pytest.fixture
def talk(tmp_path: Path, recording: Recording) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, recording(0.4, 16000).T, 16000)
    return path


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".aiff", ".caf"])
def test_results_and_residuals(tmp_path: Path, talk: Path, denoiser: Denoiser, suffix: str, way: str) -> None:
    target = tmp_path / f"any name{suffix}"
    denoise_file(talk, target, denoiser, WAYS[way])
    assert not is_own(talk, "denoise")
    for path in (target, residual_path(target)):
        assert is_own(path, "denoise")
        assert not is_own(path, "vocode")
        assert not is_own_preview(path, talk)
    x, y, z = (soundfile.read(path, dtype="float64")[0] for path in (talk, target, residual_path(target)))
    np.testing.assert_allclose(x - y, z, atol=2**-22)  # its tags do not touch it


def test_without_tags_another_content_is_another_file(talk: Path, denoiser: Denoiser) -> None:
    target = talk.with_name("talk.denoised.wav")
    denoise_file(talk, target, denoiser, WAYS["sidecars"])
    talk.replace(target)
    assert not is_own(target, "denoise")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    (tmp_path / "gone.wav").symlink_to("nowhere")
    for path in (*tmp_path.iterdir(), tmp_path):
        assert not is_own(path, "denoise")
        assert not is_own_preview(path, path)


def test_a_batch_takes_recordings_and_no_results(talk: Path, denoiser: Denoiser) -> None:
    folder = talk.parent
    denoise_file(talk, folder / "talk.denoised.wav", denoiser, WAYS["both"])
    denoise_file(talk, folder / "renamed.wav", denoiser, Options(tag=True))
    (folder / "other.denoised.wav").write_bytes(talk.read_bytes())  # by its name alone it is not ours
    (folder / f"odd{SIDECAR_SUFFIX}").write_bytes(talk.read_bytes())
    own = {"renamed.wav", "talk.denoised.wav", "talk.denoised.residual.wav"}
    for words in ([folder], [folder / "*"]):
        found = plan(words, None, Options(), DENOISE)
        assert {item.source.name for item in found.items} == {"talk.wav", "other.denoised.wav"}
        assert found.n_own == 3
    by_the_shell = sorted(path for path in folder.iterdir() if path.is_file())
    found = plan(by_the_shell, folder / "clean", Options(), DENOISE)
    names = {"talk.wav", "other.denoised.wav", f"odd{SIDECAR_SUFFIX}"}
    assert {item.source.name for item in found.items} == names
    assert found.n_own == 4  # its sidecar too
    for name in own:  # alone it is meant
        assert [item.source.name for item in plan([folder / name], None, Options(), DENOISE).items] == [name]
    with pytest.raises(ConfigError) as caught:
        plan([folder / name for name in own], None, Options(), DENOISE)
    assert caught.value.code == "no_input"


def preview(start: float, tag: bool = False, sidecar: bool = False, residual: bool = False) -> Options:
    return Options(
        start_s=start, end_s=start + 0.1, preview=True, tag=tag, sidecar=sidecar, residual=residual
    )


@pytest.mark.parametrize("way", [{"tag": True}, {"sidecar": True}, {"tag": True, "sidecar": True}])
def test_a_preview_replaces_the_last_one(talk: Path, denoiser: Denoiser, way: dict[str, bool]) -> None:
    target = talk.with_name("talk.denoised.preview.wav")
    denoise_file(talk, target, denoiser, preview(0.0, **way))
    first = target.read_bytes()
    denoise_file(talk, target, denoiser, preview(0.2, **way))
    second = target.read_bytes()
    assert second != first
    target.unlink()
    sidecar_path(target).unlink(missing_ok=True)
    denoise_file(talk, target, denoiser, preview(0.2, **way))
    assert target.read_bytes() == second


def test_a_residual_of_a_preview_goes_with_it(talk: Path, denoiser: Denoiser) -> None:
    target = talk.with_name("talk.denoised.preview.wav")
    residual = residual_path(target)
    denoise_file(talk, target, denoiser, preview(0.0, residual=True, tag=True, sidecar=True))
    first = residual.read_bytes()
    denoise_file(talk, target, denoiser, preview(0.2, residual=True, tag=True, sidecar=True))
    assert residual.read_bytes() != first
    target.unlink()
    residual.write_bytes(talk.read_bytes())
    with pytest.raises(AudioFileError) as caught:
        denoise_file(talk, target, denoiser, preview(0.2, residual=True, tag=True, sidecar=True))
    assert caught.value.code == "exists"
    assert residual.read_bytes() == talk.read_bytes()
    assert not target.exists()


@pytest.mark.parametrize(
    "case", ["a full result", "an excerpt", "foreign", "changed", "of another", "untold"]
)
def test_a_preview_replaces_nothing_else(talk: Path, denoiser: Denoiser, case: str) -> None:
    target = talk.with_name("out.wav")
    ours = {"tag": True, "sidecar": True}
    match case:
        case "a full result":
            denoise_file(talk, target, denoiser, Options(tag=True, sidecar=True))
        case "an excerpt":
            denoise_file(talk, target, denoiser, Options(start_s=0.1, end_s=0.2, tag=True, sidecar=True))
        case "foreign":
            target.write_bytes(talk.read_bytes())
        case "changed":
            denoise_file(talk, target, denoiser, preview(0.0, **ours))
            target.write_bytes(target.read_bytes() + bytes(8))
        case "of another":
            other = talk.with_name("other.wav")
            other.write_bytes(talk.read_bytes())
            denoise_file(other, target, denoiser, preview(0.0, **ours))
        case "untold":
            denoise_file(talk, target, denoiser, preview(0.0))
    before = {path: path.read_bytes() for path in talk.parent.iterdir() if path.is_file()}
    with pytest.raises(AudioFileError) as caught:
        denoise_file(talk, target, denoiser, preview(0.2, **ours))
    assert caught.value.code == "exists"
    assert {path: path.read_bytes() for path in talk.parent.iterdir() if path.is_file()} == before


def test_a_preview_that_became_something_else_meanwhile_stays(talk: Path, denoiser: Denoiser) -> None:
    target = talk.with_name("talk.denoised.preview.wav")
    denoise_file(talk, target, denoiser, preview(0.0, tag=True))

    def replaced(*_: float) -> None:
        target.write_bytes(talk.read_bytes())

    with pytest.raises(AudioFileError) as caught:
        denoise_file(talk, target, denoiser, preview(0.2, tag=True), replaced)
    assert caught.value.code == "exists"
    assert target.read_bytes() == talk.read_bytes()


def test_which_words_name_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.wav").mkdir()
    (tmp_path / "bare").touch()
    folders = {"clean/": True, "clean": False, "a/b/": True, "a.wav/": True, "there.wav": False, ".": False}
    for text, slashed in folders.items():
        assert place_of(text) == Place(Path(text), is_folder=True, slashed=slashed)
    for text in ("clean.flac", "a/b.v2", "-", "bare"):
        assert place_of(text) == Place(Path(text), is_folder=False, slashed=False)
