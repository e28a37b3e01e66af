"""Promise: the well-known sets are recognised by their paths, and the paths tell who speaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.cli import run
from audiodiff.data.layouts import Layout, places
from audiodiff.data.manifest import hold_out, read_folder
from audiodiff.data.store import Store
from audiodiff.errors import DataError

pytestmark = pytest.mark.slow  # packs stores

TREES: dict[Layout, dict[str, str]] = {
    "vctk": {
        "wav48_silence_trimmed/p225/p225_001_mic1.flac": "p225",
        "wav48_silence_trimmed/p225/p225_001_mic2.flac": "",
        "wav48_silence_trimmed/p280/p280_002_mic2.flac": "p280",
        "wav48_silence_trimmed/s5/s5_400_mic1.flac": "s5",
    },
    "libritts": {
        "train-clean-100/103/1241/103_1241_000000_000001.wav": "103",
        "train-clean-100/103/1242/103_1242_000010_000000.wav": "103",
        "dev-clean/84/121123/84_121123_000007_000001.wav": "84",
        "test-other/1688/142285/1688-142285-0000.flac": "1688",
    },
    "ljspeech": {"wavs/LJ001-0001.wav": "LJ", "wavs/LJ050-0278.wav": "LJ"},
    "dns": {
        "read_speech/book_00000_chp_0009_reader_06709_0.wav": "reader_06709",
        "read_speech/book_00012_chp_0001_reader_06709_12_x.wav": "reader_06709",
        "read_speech/book_00000_chp_0009_reader_10000_3.wav": "reader_10000",
    },
    "folders": {"ann/1.wav": "ann", "ann/more/2.wav": "ann", "solo.wav": "solo.wav"},
}


@pytest.mark.parametrize("layout", TREES)
def test_a_layout_is_recognised_and_tells_the_speakers(layout: Layout) -> None:
    root, tree = Path("/set"), TREES[layout]
    expected = {root / name: speaker for name, speaker in tree.items() if speaker}
    for asked in ("auto", layout):
        found, files = places(root, [root / name for name in tree], asked)
        assert found == layout
        assert {place.path: place.speaker for place in files} == expected


def test_a_few_other_files_do_not_hide_a_layout() -> None:
    root = Path("/set")
    names = [f"wav48/p225/p225_{number:03d}.wav" for number in range(19)] + ["extra/intro.wav"]
    found, files = places(root, [root / name for name in names])
    assert found == "vctk"
    assert {place.speaker for place in files} == {"p225", "extra"}
    assert places(root, [root / name for name in names[15:]])[0] == "folders"


def test_a_layout_that_nothing_fits_is_refused() -> None:
    with pytest.raises(DataError):
        places(Path("/set"), [Path("/set/ann/1.wav")], "vctk")


def written(root: Path, layout: Layout) -> Path:
    for number, name in enumerate(TREES[layout]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(number).standard_normal(4000)
        soundfile.write(path, noise, 16_000)
    return root


def test_splits_that_a_set_states_are_kept(tmp_path: Path) -> None:
    clips = hold_out(read_folder(written(tmp_path / "LibriTTS", "libritts"), "speech", "libritts"))
    splits = {clip.speaker: clip.split for clip in clips}
    assert splits["LibriTTS/84"] == "dev"
    assert splits["LibriTTS/1688"] == "test"
    assert splits["LibriTTS/103"] == "train"


@pytest.mark.parametrize(("layout", "speakers"), [("vctk", 3), ("ljspeech", 1), ("dns", 2), ("libritts", 3)])
def test_prepare_reads_a_set(
    tmp_path: Path, layout: Layout, speakers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "set", layout)
    arguments = ["prepare", str(tmp_path / "store"), "--speech", str(folder), "--sample-rate", "16000"]
    assert run([*arguments, "--rooms", "0"]) == 0
    assert f"read as {layout}, " in capsys.readouterr().err
    entries = Store(tmp_path / "store").entries
    assert len({entry.speaker for entry in entries}) == speakers
    assert {"train", "dev"} <= {entry.split for entry in entries}
