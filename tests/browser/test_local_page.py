"""Promise: in a real browser a recording is sent, heard as a preview, cleaned and downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("starlette", reason="the extra ui is not installed")
pytest.importorskip("uvicorn", reason="the extra ui is not installed")

from audiodiff import Denoiser
from audiodiff.batch.denoise_task import denoise_file
from audiodiff.inference.engine import Samples
from audiodiff.model.model import Model
from audiodiff.ui.jobs import Desk
from tests.browser.conftest import Browser
from tests.ui.served import Served

HOSTILE = "<img src=x onerror=alert(1)>.wav"


@pytest.fixture
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model)


@pytest.fixture
def served(tmp_path: Path, denoiser: Denoiser) -> Iterator[Served]:
    (tmp_path / "desk").mkdir()
    with Served(Desk(tmp_path / "desk", lambda: denoiser), max_bytes=1 << 30) as server:
        yield server


def test_send_preview_clean_download(
    browser: Browser,
    served: Served,
    denoiser: Denoiser,
    tmp_path: Path,
    recording: Callable[..., Samples],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("app", "jobs"):
        monkeypatch.setattr(f"audiodiff.ui.{module}.PREVIEW_S", 1.0)
    talk = tmp_path / HOSTILE
    soundfile.write(talk, recording(3.0, 16000).T, 16000)
    browser.open(served.address)
    browser.find("#file").send_keys(str(talk))
    browser.wait(lambda: browser.find("#work").is_displayed(), "the recording")
    assert browser.find("#name").text == HOSTILE
    assert browser.find("#facts").text == "0:03 · 16 kHz · mono"
    assert browser.find("#from").get_attribute("max") == "2"
    browser.run(
        "for (const [id, value] of [['strength', 50], ['from', 2]]) {"
        "const box = document.getElementById(id); box.value = value; box.dispatchEvent(new Event('input')); }"
    )
    assert browser.find("#strength-text").text == "50 %"
    browser.find("#preview").click()
    browser.wait(lambda: browser.all("#card .player.live"), "the preview")
    assert browser.find("#card .excerpt").get_attribute("data-seconds") == "1.000"
    browser.find("#card .play").click()
    browser.wait(lambda: browser.run("return Boolean(window.ear)"), "sound")
    browser.find("#clean").click()
    (link,) = browser.wait(lambda: browser.all("#saved:not([hidden]) #download"), "the result")
    name = link.get_attribute("download")
    link.click()
    got = browser.wait(lambda: [p for p in tmp_path.glob("*denoised*") if p.suffix == ".wav"], "the download")
    denoise_file(talk, tmp_path / "truth.wav", Denoiser(denoiser.model, strength=0.5))
    assert got[0].read_bytes() == (tmp_path / "truth.wav").read_bytes()
    assert name == "<img src=x onerror=alert(1)>.denoised.wav"
    assert browser.all("img") == []
    assert browser.run("return alerts") == []
    assert all(url.startswith(served.address) for url in browser.requests())
    assert browser.errors() == []


def test_a_named_file_and_its_errors(
    browser: Browser, served: Served, tmp_path: Path, recording: Callable[..., Samples]
) -> None:
    talk = tmp_path / "talk.flac"
    soundfile.write(talk, recording(1.0, 16000).T, 16000)
    browser.open(served.address)
    browser.find("#path").send_keys(str(tmp_path / "missing.wav") + "\n")
    browser.wait(lambda: "missing.wav: cannot be opened" in browser.find("#fault").text, "the error")
    browser.find("#path").clear()
    browser.find("#path").send_keys(str(talk) + "\n")
    browser.wait(lambda: browser.find("#work").is_displayed(), "the recording")
    assert not browser.find("#fault").is_displayed()
    browser.find("#clean").click()
    target = talk.with_name("talk.denoised.flac")
    browser.wait(lambda: browser.find("#saved-text").text == f"Saved as {target}", "the result")
    assert soundfile.info(target).frames == 16000
