"""Promise: a report is one whole file that fetches nothing, escapes every name and lists what failed."""

from __future__ import annotations

import base64
import hashlib
import html as html_module
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.errors import AudioFileError
from audiodiff.report import ReportEntry, ReportRun, fragment, write
from audiodiff.report.text import clock, distinct, printable, time_ticks
from tests.errors import refused

pytestmark = pytest.mark.slow

RATE = 16000
RUN = ReportRun(
    "<b>model</b>", "ab" * 32, "CC0-1.0", 7, (("<i>Strength</i>", "<u>0.5</u>"),), datetime(2026, 1, 2, 3, 4)
)
HOSTILE = (
    "<img src=x onerror=alert(1)>.wav",
    '"><script>alert(1)<!--script>.wav',
    "{{7*7}}{% for x in y %}.wav",
    "line\nbreak\u202egnp.wav",
)


class Reader(HTMLParser):
    """Collects what a page refers to and what it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "action", "srcset", "poster", "data"}:
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text += data


def make(folder: Path, name: str, status: str = "done") -> ReportEntry:
    rng = np.random.default_rng(0)
    before = rng.uniform(-0.3, 0.3, RATE)
    source, target = folder / name, folder / f"out_{len(list(folder.iterdir()))}.wav"
    with source.open("wb") as file:
        soundfile.write(file, before, RATE, format="WAV")
    soundfile.write(target, before / 2, RATE)
    return ReportEntry(source, target, "done", warnings=(f"<s>warning</s> {name}",))


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    return reader


def test_hostile_names_are_text_and_nothing_is_fetched(tmp_path: Path) -> None:
    entries = [make(tmp_path, name) for name in HOSTILE]
    write(tmp_path / "page.html", entries, RUN)
    page = read(tmp_path / "page.html")
    assert not page.handlers
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert not {"img", "s", "b", "i", "u", "link", "iframe", "object"} & set(page.tags)
    assert all(
        address.startswith(("data:image/png;base64,", "data:audio/", "#")) for address in page.addresses
    )
    for text in ("<img src=x onerror=alert(1)>.wav", "{{7*7}}", "line\\nbreak\\u202egnp.wav", "<u>0.5</u>"):
        assert text in page.text
    assert "\u202e" not in page.text


def test_the_policy_allows_the_pages_own_script_and_style_alone(tmp_path: Path) -> None:
    write(tmp_path / "page.html", [make(tmp_path, "a.wav")], RUN)
    html = tmp_path.joinpath("page.html").read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    allowed = html_module.unescape(policy.group(1))
    for tag in ("script", "style"):
        body = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert body is not None
        digest = base64.b64encode(hashlib.sha256(body.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in allowed
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed


def test_failures_and_missing_files_are_listed_and_stop_nothing(tmp_path: Path) -> None:
    gone = ReportEntry(tmp_path / "gone.wav", tmp_path / "gone_out.wav", "done")
    broken = ReportEntry(
        tmp_path / "broken.wav", tmp_path / "x.wav", "failed", error="broken.wav: <no> audio"
    )
    write(tmp_path / "page.html", [gone, broken, make(tmp_path, "good.wav")], RUN)
    page = read(tmp_path / "page.html")
    assert "broken.wav: <no> audio" in page.text
    assert "cannot be shown" in page.text
    assert page.tags.count("article") == 3
    assert page.tags.count("audio") == 3


def test_nothing_at_all(tmp_path: Path) -> None:
    write(tmp_path / "page.html", [], RUN)
    assert "0 recordings" in read(tmp_path / "page.html").text


def test_a_page_that_exists_stays(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with refused(AudioFileError, "exists", path):
        write(path, [], RUN)
    assert path.read_text() == "old"
    write(path, [], RUN, overwrite=True)
    assert path.read_text("utf-8").startswith("<!doctype html>")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with refused(AudioFileError, "unwritable", tmp_path / "no"):
        write(tmp_path / "no" / "page.html", [], RUN)


def test_many_recordings_get_short_excerpts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiodiff.report.page.AUDIO_S", 3.0)
    monkeypatch.setattr("audiodiff.report.page._SHORTEST_SHARE_S", 0.5)
    monkeypatch.setattr("audiodiff.report.page.LOSSLESS_S", 1.0)
    entry = make(tmp_path, "a.wav")
    write(tmp_path / "page.html", [entry] * 5, RUN)
    html = (tmp_path / "page.html").read_text("utf-8")
    lengths = [float(s) for s in re.findall(r'data-seconds="([\d.]+)"', html)]
    assert lengths == [0.6] * 5
    assert "audio/ogg" in html
    assert "audio/flac" not in html


def test_a_fragment_escapes_and_hides_paths(tmp_path: Path) -> None:
    html = fragment(make(tmp_path, HOSTILE[0]), "<b>Preview</b>", paths=False)
    reader = Reader()
    reader.feed(html)
    assert not {"img", "b", "s", "script", "html"} & set(reader.tags)
    assert str(tmp_path) not in reader.text.replace("<s>warning</s> " + HOSTILE[0], "")


@pytest.mark.parametrize(
    ("seconds", "tenths", "text"),
    [(0, False, "0:00"), (59.96, True, "1:00.0"), (61.25, True, "1:01.2"), (3725, False, "1:02:05")],
)
def test_clock(seconds: float, tenths: bool, text: str) -> None:
    assert clock(seconds, tenths) == text


def test_ticks_are_round_and_few() -> None:
    for length in (0.3, 1, 7.7, 60, 154, 3600, 86400):
        ticks = time_ticks(0.0, length)
        assert 2 <= len(ticks) <= 8
        assert all(0 <= at <= 1 for at, _ in ticks)
        assert len({label for _, label in ticks}) == len(ticks)


def test_printable_keeps_letters_and_emoji() -> None:
    assert printable("Gespräch 👩\u200d🎤 مرحبا.wav") == "Gespräch 👩\u200d🎤 مرحبا.wav"
    assert printable("a\u202eb\x00\ud800") == "a\\u202eb\\x00\\ud800"


def test_names_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    paths = [Path("/s/mon/a/x.wav"), Path("/s/tue/a/x.wav"), Path("/s/tue/y.wav"), Path("x.wav")]
    assert distinct(paths) == ["mon/a/x.wav", "tue/a/x.wav", "y.wav", "x.wav"]
    assert distinct([Path("/a/x.wav"), Path("/b/x.wav"), Path("/a/x.wav")]) == [
        "a/x.wav",
        "b/x.wav",
        "a/x.wav",
    ]


def test_of_many_recordings_those_that_want_ears_are_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audiodiff.report.page.MOST_HEARD", 1)
    entries = [make(tmp_path, name) for name in ("a.wav", "b.wav", "c.wav")]
    lost = entries[1].target
    soundfile.write(lost, np.zeros(RATE), RATE)
    found = write(tmp_path / "page.html", entries, RUN)
    assert [[flag.code for flag in each.flags] for each in found] == [
        ["much_removed"],
        ["nearly_silent"],
        ["much_removed"],
    ]
    page = read(tmp_path / "page.html")
    assert page.tags.count("audio") == 3
    assert len([address for address in page.addresses if address.startswith("./")]) == 4
    assert page.tags.count("article") == 3
