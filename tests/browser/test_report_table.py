"""Promise: in a real browser a report of many is sorted, filtered, looped, and walked through by keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.report import ReportEntry, write
from tests.browser.conftest import Browser
from tests.browser.test_report_page import NOISE_HZ, RATE, RUN, VOICE_HZ, heard, key, sine
from tests.report.test_flags import voice

pytestmark = pytest.mark.slow  # starts a browser

SECONDS = 12.0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calm recording; one of the same name that lost its voice; one with a new sound from 5 s to 6 s."""
    folder = tmp_path_factory.mktemp("table")
    speech = voice(SECONDS)
    hiss = 0.003 * np.random.default_rng(0).standard_normal(len(speech))
    before = {
        "monday/talk.wav": speech + hiss,
        "tuesday/talk.wav": speech + hiss + sine(NOISE_HZ, 0.1, SECONDS),
        "other.wav": speech + hiss,
    }
    new = speech.copy()
    new[5 * RATE : 6 * RATE] += sine(VOICE_HZ, 0.2, 1.0)
    after = {"monday/talk.wav": speech, "tuesday/talk.wav": 0.01 * speech, "other.wav": new}
    entries = []
    for name, samples in before.items():
        source, target = folder / name, folder / "clean" / name
        for path, x in ((source, samples), (target, after[name])):
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, x, RATE)
        entries.append(ReportEntry(source, target, "done"))
    write(folder / "page.html", entries, RUN)
    return folder / "page.html"


def names(browser: Browser, selector: str) -> list[str]:
    return [element.text for element in browser.all(selector) if element.is_displayed()]


def rows(browser: Browser) -> list[str]:
    return names(browser, ".summary tbody th")


def playing(browser: Browser) -> list[str]:
    found: list[str] = browser.run(
        "return [...document.querySelectorAll('.play[aria-pressed=true]')].map(b => b.closest('article').id)"
    )
    return found


def position(browser: Browser, card: str) -> float:
    return float(browser.find(f"#{card} .seek").get_attribute("value"))


MONDAY, TUESDAY, OTHER = "monday/talk.wav", "tuesday/talk.wav", "other.wav"


def test_two_files_of_one_name_are_told_apart(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    assert rows(browser) == names(browser, "article h2") == [MONDAY, TUESDAY, OTHER]
    groups = [group.get_attribute("aria-label") for group in browser.all(".player")]
    assert [label.removeprefix("Player: ") for label in groups] == [MONDAY, TUESDAY, OTHER]


@pytest.mark.parametrize(
    ("column", "first", "again"),
    [
        ("review", [TUESDAY, OTHER, MONDAY], [MONDAY, OTHER, TUESDAY]),
        ("change", [TUESDAY, MONDAY, OTHER], [OTHER, MONDAY, TUESDAY]),
        ("removed", [TUESDAY, OTHER, MONDAY], [MONDAY, OTHER, TUESDAY]),
    ],
)
def test_the_table_is_sorted_and_the_recordings_with_it(
    browser: Browser, page: Path, column: str, first: list[str], again: list[str]
) -> None:
    browser.open(page.as_uri())
    for expected in (first, again):
        browser.find(f"[data-sort={column}] button").click()
        assert rows(browser) == names(browser, "article h2") == expected
    sorted_by = [heading.get_attribute("data-sort") for heading in browser.all("[aria-sort]")]
    assert sorted_by == [column]
    browser.find("[data-sort=name] button").click()
    assert rows(browser) == [MONDAY, TUESDAY, OTHER]
    assert browser.errors() == []


def test_only_what_is_to_be_reviewed_is_shown(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.find("#r1 .play").click()
    browser.find(".only").click()
    assert rows(browser) == names(browser, "article h2") == [TUESDAY, OTHER]
    assert playing(browser) == []
    browser.find(".only").click()
    assert rows(browser) == [MONDAY, TUESDAY, OTHER]


def test_space_plays_what_is_in_view_whatever_was_clicked(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    for selector, card in (
        ('#r1 [data-key="b"]', "r1"),
        ("#r1 .match", "r1"),
        ("#r1 .seek", "r1"),
        ("[data-sort=name] button", "r2"),  # now it stands between the other two the other way round
        ("details.keys summary", "r3"),
    ):
        browser.find(selector).click()
        shown = rows(browser)
        browser.run(f"document.querySelector('#{card}').scrollIntoView()")
        for expected in ([card], []):
            key(browser, " ")
            assert playing(browser) == expected
        assert rows(browser) == shown
    assert not browser.find("#r1 .match").is_selected()
    assert browser.find("details.keys").get_attribute("open") is not None


def test_space_ticks_a_box_that_the_tabulator_reached(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    browser.find(".only").click()
    browser.find("body").send_keys("\ue004")  # tabulator
    browser.run("document.querySelector('.only').focus()")
    key(browser, " ")
    assert rows(browser) == [MONDAY, TUESDAY, OTHER]
    assert playing(browser) == []


PRESS = """
    return [...arguments[0]].map((key) => {
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const card = document.querySelector("[aria-current]").closest("article");
      const pressed = [...document.querySelectorAll(".play[aria-pressed=true]")];
      const sounding = pressed.map((button) => button.closest("article").id);
      return [card.id, Number(card.querySelector(".seek").value), sounding];
    });
"""
"""Presses keys and tells after each where that led, before anything plays on."""


def test_the_next_and_the_previous_place_by_key(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    stops = browser.run(
        "return [...document.querySelectorAll('[data-go]')].map(b => [b.dataset.go, Number(b.dataset.at)])"
    )
    assert {card for card, _ in stops} == {"r2", "r3"}
    way = [*stops, *stops[-2::-1], stops[0]]  # there, back, and before the first there is none
    found = browser.run(PRESS, "n" * len(stops) + "p" * len(stops))
    assert [card for card, _, _ in found] == [card for card, _ in way]
    assert [at for _, at, _ in found[:-1]] == pytest.approx([at for _, at in way[:-1]], abs=0.011)
    assert all(sounding == [card] for card, _, sounding in found)
    browser.find("[data-sort=name] button").click()  # the order on the page counts
    assert [card for card, _, _ in browser.run(PRESS, "p")] == ["r3"]


def test_a_place_loops_before_and_after_in_turn(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    button = browser.find("#r3 .loop")
    start, stop = (float(button.get_attribute(f"data-{name}")) for name in ("from", "to"))
    assert start < 5 < 6 < stop <= SECONDS
    button.click()
    assert button.get_attribute("aria-pressed") == "true"

    def version() -> str:
        assert playing(browser) == [] or start - 0.1 <= position(browser, "r3") <= stop + 0.1
        return str(browser.find("#r3 .player").get_attribute("data-active"))

    for expected in "bab":
        browser.wait(lambda want=expected: version() == want, f"lap of {expected}")  # type: ignore[misc]
    key(browser, "a")  # from now on before alone
    key(browser, " ")
    paused = position(browser, "r3")
    assert start - 0.1 <= paused <= stop + 0.1
    key(browser, " ")
    assert button.get_attribute("aria-pressed") == "true"
    key(browser, "l")  # the key presses the same button: the end of the loop
    assert button.get_attribute("aria-pressed") == "false"
    assert playing(browser) == []
    key(browser, "l")
    assert button.get_attribute("aria-pressed") == "true"
    key(browser, "\ue014")  # to go elsewhere ends it too
    assert button.get_attribute("aria-pressed") == "false"
    assert browser.errors() == []


def test_equal_loudness_has_a_cap_and_says_so(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    gains = [float(each.get_attribute("data-gain")) for each in browser.all("#r2 audio")]
    assert gains[0] == -12
    assert gains[1] == 0
    assert "12.0 dB, the most" in browser.find("#r2 .matched").text
    browser.find("#r2 .play").click()
    heard(browser, NOISE_HZ)  # the loud one is still heard, though the other is 60 dB below


def test_the_keys_are_told(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    help_box = browser.find("details.keys")
    assert help_box.get_attribute("open") is None
    key(browser, "?")
    assert help_box.get_attribute("open") is not None
    told = "".join(each.text.lower() for each in browser.all("details.keys dt"))
    for name in ("space", "a", "b", "r", "n", "p", "l", "enter"):
        assert name in told


def test_a_recording_that_cannot_be_heard_links_to_its_files(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audiodiff.report.page.MOST_HEARD", 1)
    folder = tmp_path / "odd & #1 %20 ä"
    folder.mkdir()
    entries = []
    for name, gain in (("calm.wav", 1.0), ("lost.wav", 1e-4)):
        soundfile.write(folder / name, voice(5.0), RATE)
        soundfile.write(tmp_path / name, gain * voice(5.0), RATE)
        entries.append(ReportEntry(folder / name, tmp_path / name, "done"))
    write(tmp_path / "page.html", entries, RUN)
    browser.open((tmp_path / "page.html").as_uri())
    assert [card.get_attribute("id") for card in browser.all("article:has(.player)")] == ["r2"]
    before, after = browser.all("#r1 .note a")
    assert before.get_attribute("href") == (folder / "calm.wav").as_uri()
    assert after.get_attribute("href") == (tmp_path / "calm.wav").as_uri()
    assert browser.errors() == []
