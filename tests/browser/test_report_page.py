"""Promise: in a real browser a report plays, switches in place, fetches nothing and shows hostile names."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from audiodiff.report import ReportEntry, ReportRun, write
from tests.browser.conftest import Browser

pytestmark = pytest.mark.slow  # starts a browser

RATE = 16000
VOICE_HZ, NOISE_HZ = 500.0, 3000.0
LENGTH_S = 40.0
"""So long that it still plays when a busy machine comes to look."""
RUN = ReportRun("model", "ab" * 32, "CC0-1.0", 0, (("Strength", "1"),), datetime(2026, 1, 2, 3, 4))
HOSTILE = "<img src=x onerror=alert(1)>.wav"


def sine(hz: float, amplitude: float, seconds: float = LENGTH_S) -> npt.NDArray[np.float64]:
    return np.asarray(amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Before: a strong 3 kHz over a weak 500 Hz; after: 500 Hz, with a new sound from 5 s to 6 s."""
    folder = tmp_path_factory.mktemp("page")
    voice, noise = sine(VOICE_HZ, 0.1), sine(NOISE_HZ, 0.3)
    after = voice.copy()
    after[5 * RATE : 6 * RATE] += sine(1200.0, 0.2, 1.0)
    entries = []
    for name, seconds in (("first.wav", LENGTH_S), (HOSTILE, 9.0)):
        n = round(seconds * RATE)
        soundfile.write(folder / name, (voice + noise)[:n], RATE)
        soundfile.write(folder / f"out {name}", after[:n], RATE)
        entries.append(ReportEntry(folder / name, folder / f"out {name}", "done"))
    write(folder / "page.html", entries, RUN)
    return folder / "page.html"


def position(browser: Browser) -> float:
    return float(browser.find("#r1 .seek").get_attribute("value"))


def heard(browser: Browser, hz: float) -> None:
    browser.wait(lambda: abs(browser.run("return loudestHz()") - hz) < 15, f"{hz} Hz")


def breaches(browser: Browser) -> list[str]:
    return [line for line in browser.errors() if "Content Security Policy" in line]


def key(browser: Browser, name: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser.driver).send_keys(name).perform()


def test_versions_switch_in_place_and_are_heard(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.find("#r1 .play").click()
    browser.wait(lambda: position(browser) > 0.2, "playing")
    heard(browser, NOISE_HZ)
    script = """
        const seek = document.querySelector("#r1 .seek"), before = Number(seek.value);
        document.querySelector('#r1 .versions [data-key="b"]').click();
        return [before, Number(seek.value)];
    """
    before, after = browser.run(script)
    assert before == after
    heard(browser, VOICE_HZ)
    assert browser.find("#r1 .player").get_attribute("data-active") == "b"
    browser.wait(lambda: position(browser) > after, "playing on")
    key(browser, "r")
    heard(browser, NOISE_HZ)
    assert browser.find('#r1 [data-key="r"]').get_attribute("aria-pressed") == "true"
    browser.run("document.activeElement.blur()")
    key(browser, " ")
    browser.wait(lambda: browser.find("#r1 .play").get_attribute("aria-label") == "Play", "a pause")
    browser.run(
        "const seek = document.querySelector('#r1 .seek');"
        "seek.value = 3; seek.dispatchEvent(new Event('input'));"
    )
    paused = position(browser)
    assert paused == 3
    for name in "abrb":
        key(browser, name)
        assert position(browser) == paused
    key(browser, "\ue014")  # arrow right
    assert position(browser) == pytest.approx(paused + 2, abs=0.02)
    key(browser, "\ue012")  # arrow left
    assert position(browser) == pytest.approx(paused, abs=0.02)
    assert browser.errors() == []


def test_what_a_vocoder_made_has_two_versions(browser: Browser, tmp_path: Path) -> None:
    heard_before, made = tmp_path / "before.wav", tmp_path / "made.wav"
    soundfile.write(heard_before, sine(NOISE_HZ, 0.2), RATE)
    soundfile.write(made, sine(VOICE_HZ, 0.2), RATE)
    entry = ReportEntry(tmp_path / "talk.npz", made, "done", heard=heard_before, aligned=False)
    write(tmp_path / "page.html", [entry], RUN)
    browser.open((tmp_path / "page.html").as_uri())
    browser.find("#r1 .play").click()
    heard(browser, NOISE_HZ)
    key(browser, "b")
    heard(browser, VOICE_HZ)
    key(browser, "r")
    assert browser.find("#r1 .player").get_attribute("data-active") == "b"
    heard(browser, VOICE_HZ)
    browser.find("#r1 .blind").click()
    browser.find("#r1 .blind").click()
    assert "before" in browser.find("#r1 .verdict").text
    assert browser.errors() == []


def test_equal_loudness_is_applied(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    assert "before −" in browser.find("#r1 .matched").text

    def level() -> float:
        return float(
            browser.run(
                "if (!window.ear) return -200;"
                "const x = new Float32Array(4096); ear.getFloatTimeDomainData(x);"
                "return Math.max(-200, 10 * Math.log10(x.reduce((sum, v) => sum + v * v, 0) / x.length))"
            )
        )

    browser.find("#r1 .play").click()
    heard(browser, NOISE_HZ)
    gain = float(browser.find('#r1 audio[data-key="a"]').get_attribute("data-gain"))
    raw = 10 * np.log10((0.3**2 + 0.1**2) / 2)
    browser.wait(lambda: abs(level() - raw - gain) < 0.5, "the matched level")
    browser.find("#r1 .match").click()
    browser.wait(lambda: abs(level() - raw) < 0.5, "the level as it is")


def test_only_one_player_sounds(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.find("#r1 .play").click()
    browser.wait(lambda: position(browser) > 0, "the first")
    browser.find("#r2 .play").click()
    assert browser.find("#r1 .play").get_attribute("aria-label") == "Play"
    assert browser.find("#r2 .play").get_attribute("aria-label") == "Pause"


def test_blind(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.find("#r1 .play").click()
    browser.find("#r1 .blind").click()
    assert [button.text.split()[-1] for button in browser.all("#r1 .versions button")] == [
        "X",
        "Y",
        "Removed",
    ]
    assert browser.find("#r1 .player").get_attribute("data-active") == "blind"
    assert not browser.find('#r1 [data-key="r"]').is_enabled()
    hz = (NOISE_HZ, VOICE_HZ)

    def sound(known: float = 0.0) -> float:
        now = browser.run("return loudestHz()")
        return next((h for h in hz if h != known and abs(now - h) < 15), 0.0)

    first = browser.wait(sound, "X")
    browser.run("document.querySelector('#r1 [data-key=b]').click()")
    second = browser.wait(lambda: sound(first), "Y")
    browser.find("#r1 .blind").click()
    names = {NOISE_HZ: "before", VOICE_HZ: "after"}
    assert browser.find("#r1 .verdict").text == f"X was {names[first]}, Y was {names[second]}."


def test_a_place_of_the_review_list_plays(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    (item,) = browser.all("#r1 .review li:not(.flagged) [data-go]")
    start = float(item.get_attribute("data-at"))
    assert start == pytest.approx(4, abs=0.1)  # a second before it
    item.click()
    browser.wait(lambda: position(browser) > start, "the place")


def test_nothing_is_fetched_and_names_are_harmless(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.find("#r2 .play").click()
    browser.wait(lambda: float(browser.find("#r2 .seek").get_attribute("value")) > 0, "playing")
    assert browser.find("#r2 h2").text == HOSTILE
    assert browser.all("img") == []
    assert browser.run("return alerts") == []
    assert browser.requests() == [page.as_uri()]
    assert browser.errors() == []


def test_the_policy_stops_what_a_page_must_not_do(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.run(
        "document.body.insertAdjacentHTML('beforeend',"
        "'<img src=http://127.0.0.1:9/x.png ><a href=\"javascript:alert(2)\" id=evil>x</a>')"
    )
    browser.run("document.getElementById('evil').click()")
    browser.wait(lambda: any("img-src" in line for line in breaches(browser)), "the refusal")
    assert browser.run("return alerts.includes(2)") is False


def test_everything_has_a_name_and_fits_a_phone(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    for control in browser.all("button, input, a"):
        if control.is_displayed():
            assert control.accessible_name.strip(), control.get_attribute("outerHTML")
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        assert browser.run("return document.scrollingElement.scrollWidth") <= 360
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
