"""Promise: in a real browser the local page takes many recordings and never loses or confuses one."""

from __future__ import annotations

import functools
import http.server
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="the extra ui is not installed")
pytest.importorskip("uvicorn", reason="the extra ui is not installed")

from audiodiff import Denoiser
from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import sidecar_path
from audiodiff.inference.engine import Samples
from audiodiff.model.config import ModelConfig
from audiodiff.model.model import Model
from audiodiff.ui.jobs import Desk
from tests.browser.conftest import Browser
from tests.ui.served import Served, gated

pytestmark = pytest.mark.slow  # starts a browser

HOSTILE = "<img src=x onerror=alert(1)>.wav"
RATE = 16000


@pytest.fixture
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def served(folder: Path, denoiser: Denoiser) -> Iterator[Served]:
    with Served(Desk(folder, lambda: denoiser), max_bytes=1 << 30) as server:
        yield server


@pytest.fixture
def gate() -> threading.Semaphore:
    """Permits for the pieces of work of `slow`."""
    return threading.Semaphore(0)


@pytest.fixture
def slow(folder: Path, toy_config: ModelConfig, gate: threading.Semaphore) -> Iterator[Served]:
    """A server whose model works piece by piece, as the gate lets it."""
    held = gated(toy_config, gate)
    with Served(Desk(folder, lambda: held), max_bytes=1 << 30) as server:
        yield server
        gate.release(10_000)


@pytest.fixture
def talks(tmp_path: Path, recording: Callable[..., Samples]) -> list[Path]:
    """Three recordings; the first is longer than one piece of work."""
    paths = [tmp_path / name for name in ("one.wav", HOSTILE, "three.flac")]
    for path, seconds in zip(paths, (20.0, 1.0, 1.0), strict=True):
        soundfile.write(path, recording(seconds, RATE).T, RATE)
    return paths


def choose(browser: Browser, paths: Sequence[Path]) -> None:
    browser.find("#file").send_keys("\n".join(map(str, paths)))


def states(browser: Browser) -> list[str]:
    """What the page shows of every row."""
    found: list[str] = browser.run(
        "return [...document.querySelectorAll('.row')].map((row) => row.dataset.state ?? 'sending')"
    )
    return found


def reaches(browser: Browser, *wanted: str) -> None:
    browser.wait(lambda: states(browser) == list(wanted), str(wanted))


def titles(browser: Browser) -> list[str]:
    return [title.text for title in browser.all(".row .title")]


def share(browser: Browser) -> float:
    return float(browser.find(".row[data-state='working'] progress").get_attribute("value"))


def press(browser: Browser, place: int, name: str) -> None:
    # found and pressed in one go: the page may draw the row anew between two commands
    browser.run(f"document.querySelectorAll('.row')[{place}].querySelector('.{name}').click()")


def number(browser: Browser, selector: str) -> float:
    return float(browser.find(selector).get_attribute("value"))


def test_a_queue_its_progress_a_stop_a_reload_and_a_second_tab(
    browser: Browser, slow: Served, gate: threading.Semaphore, talks: list[Path]
) -> None:
    browser.open(slow.address)
    choose(browser, talks)
    reaches(browser, "working", "waiting", "waiting")
    assert titles(browser) == ["one.wav", HOSTILE, "three.flac"]
    assert browser.find(".row .facts").text == "0:20 · 16 kHz · mono · balanced, strength 100 %"
    gate.release()
    first = browser.wait(lambda: share(browser), "progress")
    assert 0 < first < 1
    browser.driver.refresh()
    reaches(browser, "working", "waiting", "waiting")
    browser.wait(lambda: share(browser) == first, "the same progress")
    press(browser, 1, "stop")
    reaches(browser, "working", "stopped", "waiting")
    tab = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    try:
        browser.open(slow.address)
        reaches(browser, "working", "stopped", "waiting")
        press(browser, 0, "stop")
        gate.release(100)  # the piece of work that had begun ends, and so does the last recording
        reaches(browser, "stopped", "stopped", "done")
    finally:
        browser.driver.close()
        browser.driver.switch_to.window(tab)
    reaches(browser, "stopped", "stopped", "done")
    press(browser, 1, "again")
    reaches(browser, "stopped", "done", "done")
    assert browser.all("img") == []
    assert browser.run("return alerts") == []
    assert all(url.startswith(slow.address) for url in browser.requests())
    assert browser.errors() == []


def test_focus_and_a_playing_recording_survive_every_poll(
    browser: Browser, slow: Served, gate: threading.Semaphore, talks: list[Path]
) -> None:
    gate.release(100)
    slow.send(talks[0])
    slow.desk.wait()
    while gate.acquire(blocking=False):
        pass
    browser.open(slow.address)
    reaches(browser, "done")
    browser.find(".play").click()
    browser.run("window.kept = document.querySelector('.play'); kept.focus()")
    choose(browser, [talks[0], talks[2]])
    reaches(browser, "done", "working", "waiting")
    gate.release()
    browser.wait(lambda: share(browser), "progress")
    assert browser.run("return document.activeElement === kept && kept.isConnected")
    assert browser.find(".play").get_attribute("aria-label") == "Pause"
    position = number(browser, ".seek")
    browser.wait(lambda: number(browser, ".seek") > position, "playing on")
    browser.run("window.kept = document.querySelectorAll('.row')[2].querySelector('.remove'); kept.focus()")
    gate.release(100)
    reaches(browser, "done", "done", "done")
    assert browser.run("return document.activeElement === kept && kept.isConnected")


def test_the_keyboard_stays_where_a_button_went(
    browser: Browser, slow: Served, gate: threading.Semaphore, talks: list[Path]
) -> None:
    browser.open(slow.address)
    choose(browser, talks)
    reaches(browser, "working", "waiting", "waiting")
    browser.run("document.querySelectorAll('.row')[1].querySelector('.stop').focus()")
    press(browser, 1, "stop")
    reaches(browser, "working", "stopped", "waiting")
    assert focused(browser) == [HOSTILE, "again"]
    press(browser, 2, "remove")
    reaches(browser, "working", "stopped")
    browser.run("document.querySelectorAll('.row')[1].querySelector('.remove').focus()")
    press(browser, 1, "remove")
    reaches(browser, "working")
    assert focused(browser) == ["one.wav", "remove"]


def focused(browser: Browser) -> list[str]:
    """Row and class of the control that has the keyboard."""
    found: list[str] = browser.run(
        "const at = document.activeElement;"
        "return [at.closest('.row')?.querySelector('.title').textContent, at.className]"
    )
    return found


def test_the_download_is_the_file_of_the_command(
    browser: Browser, served: Served, denoiser: Denoiser, tmp_path: Path, talks: list[Path]
) -> None:
    browser.open(served.address)
    browser.run(
        "for (const [id, value] of [['strength', 50], ['max-reduction', 12]]) {"
        "const box = document.getElementById(id); box.value = value;"
        "box.dispatchEvent(new Event('change', { bubbles: true })); }"
    )
    browser.driver.refresh()  # the settings stay
    assert browser.find("#strength-text").text == "50 %"
    choose(browser, [talks[1]])
    reaches(browser, "done")
    truth = tmp_path / "truth" / HOSTILE.replace(".wav", ".denoised.wav")
    truth.parent.mkdir()
    same = Denoiser(denoiser.model, strength=0.5, max_reduction_db=12.0)
    denoise_file(talks[1], truth, same, Options(tag=True, sidecar=True))
    for link, file in (("download", truth), ("sidecar", sidecar_path(truth))):
        press(browser, 0, link)
        # a browser may replace the signs that some systems refuse in names
        got = browser.wait(
            lambda file=file: [p for p in tmp_path.glob("*denoised*") if p.suffix == file.suffix],  # type: ignore[misc]
            "the download",
        )
        assert got[0].read_bytes() == file.read_bytes()
    assert browser.find(".download").get_attribute("download") == truth.name
    browser.run("localStorage.clear()")


def test_a_server_that_goes_and_comes_back(
    browser: Browser,
    folder: Path,
    denoiser: Denoiser,
    toy_config: ModelConfig,
    gate: threading.Semaphore,
    talks: list[Path],
) -> None:
    held = gated(toy_config, gate)
    with Served(Desk(folder, lambda: denoiser), max_bytes=1 << 30) as first:
        browser.open(first.address)
        choose(browser, [talks[1]])
        reaches(browser, "done")
        result = browser.find(".row .path bdi").text
    content = Path(result).read_bytes()
    browser.wait(lambda: browser.find("#gone").is_displayed(), "the news that it is gone")
    assert str(folder) in browser.find("#gone").text
    assert states(browser) == ["done"]
    choose(browser, [talks[2]])  # kept by the page until the server is back
    browser.run("document.querySelectorAll('.row')[1].querySelector('.remove').focus()")
    with Served(Desk(folder, lambda: held), max_bytes=1 << 30, port=first.port):
        browser.wait(lambda: not browser.find("#gone").is_displayed(), "the reunion")
        reaches(browser, "done", "working")
        assert focused(browser) == ["three.flac", "remove"]
        gate.release(100)
        reaches(browser, "done", "done")
    assert Path(result).read_bytes() == content


def test_a_marked_part_is_looped_in_both_versions(
    browser: Browser, folder: Path, tmp_path: Path, denoiser: Denoiser
) -> None:
    time = np.arange(60 * RATE) / RATE
    hz = np.where(time < 20, 500.0, 3000.0)  # so long that it still plays when a busy machine comes to look
    soundfile.write(tmp_path / "tones.wav", 0.3 * np.sin(2 * np.pi * hz * time), RATE)
    with Served(Desk(folder, lambda: denoiser), max_bytes=1 << 30) as served:
        browser.open(served.address)
        choose(browser, [tmp_path / "tones.wav"])
        reaches(browser, "done")
        drag(browser, browser.find(".wave"), 0.5, 0.52)
        start, end = number(browser, ".from"), number(browser, ".to")
        assert (start, end) == pytest.approx((30, 31.2), abs=0.2)
        assert browser.find(".loop").is_selected()
        browser.find(".player .play").click()
        for key in "ab":
            browser.find(f".player [data-key={key}]").click()
            browser.wait(lambda: abs(browser.run("return loudestHz()") - 3000) < 15, "the tone of the part")
            seen = [number(browser, ".seek")]
            while not any(later < earlier for earlier, later in itertools.pairwise(seen)):
                seen.append(number(browser, ".seek"))
            assert all(start - 0.06 <= position <= end + 0.06 for position in seen)
            assert browser.find(".player").get_attribute("data-active") == key
        keys(browser, "l")
        assert not browser.find(".loop").is_selected()
        browser.wait(lambda: number(browser, ".seek") > end + 0.1, "playing on")
        assert browser.errors() == []


def test_before_after_and_removed_are_heard(browser: Browser, served: Served, tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    soundfile.write(tone, 0.3 * np.sin(2 * np.pi * 500 * np.arange(30 * RATE) / RATE), RATE)
    browser.open(served.address)
    choose(browser, [tone])
    reaches(browser, "done")
    before, after = (soundfile.read(path)[0] for path in (tone, served.rows()[0]["path"]))
    browser.find(".match").click()
    browser.find(".player .play").click()
    for key, sound in (("a", before), ("b", after), ("r", before - after)):
        keys(browser, key)
        level = 10 * np.log10(np.mean(sound[RATE:-RATE] ** 2))
        browser.wait(lambda wanted=level: abs(browser.run(LEVEL) - wanted) < 0.3, key)  # type: ignore[misc]
    keys(browser, " ")
    assert browser.find(".play").get_attribute("aria-label") == "Play"
    paused = number(browser, ".seek")
    keys(browser, "\ue014")  # an arrow to the right
    assert number(browser, ".seek") == pytest.approx(paused + 2, abs=0.02)


LEVEL = """
if (!window.ear) return -200;
const x = new Float32Array(4096);
ear.getFloatTimeDomainData(x);
return Math.max(-200, 10 * Math.log10(x.reduce((sum, v) => sum + v * v, 0) / x.length));
"""
"""The level of what goes to the loudspeaker, in dB."""


def test_removing_asks_first_and_errors_are_in_the_words_of_the_page(
    browser: Browser, served: Served, folder: Path, tmp_path: Path, talks: list[Path]
) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    browser.open(served.address)
    choose(browser, [tmp_path / "notes.txt", tmp_path / "broken.wav", talks[1], talks[2]])
    reaches(browser, "done", "done")
    browser.wait(lambda: len(browser.all("#faults li")) == 2, "two errors")
    faults = browser.all("#faults li")
    assert [fault.text.split(":")[0] for fault in faults] == ["notes.txt", "broken.wav"]
    assert str(folder) not in faults[1].text
    press(browser, 0, "remove")
    browser.driver.switch_to.alert.dismiss()
    assert states(browser) == ["done", "done"]
    press(browser, 0, "remove")
    browser.driver.switch_to.alert.accept()
    reaches(browser, "done")
    assert titles(browser) == ["three.flac"]
    browser.find("#remove-finished").click()
    browser.driver.switch_to.alert.accept()
    reaches(browser)
    assert list(folder.iterdir()) == []


def test_a_named_file_and_its_errors(browser: Browser, served: Served, talks: list[Path]) -> None:
    browser.open(served.address)
    browser.find("#path").send_keys(str(talks[2].with_name("missing.wav")) + "\n")
    browser.wait(
        lambda: "missing.wav" in "".join(each.text for each in browser.all("#faults li")), "the error"
    )
    browser.find("#path").clear()
    browser.find("#path").send_keys(str(talks[2]) + "\n")
    reaches(browser, "done")
    assert browser.find("#path").get_attribute("value") == ""
    assert soundfile.info(browser.find(".row .path bdi").text).frames == RATE


def test_a_dropped_recording_and_the_report_of_a_result(
    browser: Browser, served: Served, talks: list[Path]
) -> None:
    first = served.send(talks[2])
    served.desk.wait()
    browser.open(served.address)
    reaches(browser, "done")
    browser.run(DROP, f"rows/{first}/result", ["one.flac", "two.flac"])
    reaches(browser, "done", "done", "done")
    assert titles(browser) == ["three.flac", "one.flac", "two.flac"]
    browser.open(browser.find(".report").get_attribute("href"))
    assert browser.all(".player.live")
    assert browser.errors() == []


DROP = """
return fetch(arguments[0]).then((answer) => answer.blob()).then((sound) => {
  const dataTransfer = new DataTransfer();
  for (const name of arguments[1]) dataTransfer.items.add(new File([sound], name));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
});
"""
"""Drops files of some names, with the sound at an address, on the page."""


def test_another_origin_cannot_change_or_read_anything(
    browser: Browser, served: Served, tmp_path: Path, talks: list[Path]
) -> None:
    kept = served.send(talks[2])
    served.desk.wait()
    target = f"{served.address}rows/{kept}/remove"
    (tmp_path / "evil.html").write_text(f"<form method=post action='{target}'><button>Win</button></form>")
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever).start()
        try:
            browser.open(f"http://127.0.0.1:{other.server_port}/evil.html")
            script = "return fetch(arguments[0]).then(() => true, () => false)"
            assert not browser.run(script, f"{served.address}state")
            browser.find("button").click()
            browser.wait(lambda: '"foreign"' in browser.find("body").text, "the refusal")
        finally:
            other.shutdown()
    assert [row["id"] for row in served.rows()] == [kept]


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and prints nothing."""

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.mark.parametrize("width", [390, 1280])
def test_everything_has_a_name_and_fits(
    browser: Browser, served: Served, talks: list[Path], width: int
) -> None:
    browser.open(served.address)
    choose(browser, [talks[1], talks[2]])
    reaches(browser, "done", "done")
    device = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    try:
        assert browser.run("return document.scrollingElement.scrollWidth") <= width
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for control in browser.all("button, input, a, select"):
        if control.is_displayed():
            assert control.accessible_name.strip(), control.get_attribute("outerHTML")


def keys(browser: Browser, text: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    browser.run("document.activeElement.blur()")
    ActionChains(browser.driver).send_keys(text).perform()


def drag(browser: Browser, element: Any, start: float, end: float) -> None:
    """Draw with the mouse over an element, from one share of its width to another."""
    from selenium.webdriver.common.action_chains import ActionChains

    width = element.size["width"]
    chain = ActionChains(browser.driver)
    chain.move_to_element_with_offset(element, round((start - 0.5) * width), 0).click_and_hold()
    chain.move_by_offset(round((end - start) * width / 2), 0).move_by_offset(
        round((end - start) * width / 2), 0
    )
    chain.release().perform()
