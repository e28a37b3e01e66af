"""Guards: all ways of naming audio give the same records; broken manifests name file, line and fault."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.data.manifest import (
    Clip,
    Kind,
    Split,
    gather,
    hold_out,
    leave_out,
    read_corpus,
    read_folder,
    read_library,
    stable_split,
)
from audiodiff.errors import DataError

ROW = {
    "path": "a/b.wav",
    "source": "set",
    "language": "de",
    "speaker": "Ann\u0085e",
    "seconds": 1.5,
    "sample_rate": 44100,
    "bandwidth_hz": 16000,
    "floor_db": -50.1,
    "class": "B",
    "licence": "CC0",
    "split": "dev",
}


def test_corpus_row(tmp_path: Path) -> None:
    # U+0085 is a line end for str.splitlines, and stands in real names.
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(ROW, ensure_ascii=False) for _ in range(3)) + "\n", encoding="utf-8")
    clips = read_corpus(path)
    assert len(clips) == 3
    assert (clips[0].path, clips[0].speaker) == (tmp_path / "a/b.wav", "set/Ann\u0085e")
    assert (clips[0].kind, clips[0].category, clips[0].split) == ("speech", "B", "dev")
    assert (clips[0].bandwidth_hz, clips[0].licence) == (16000, "CC0")


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"split": "eval"}, "split"), ({"class": 3}, "class"), ({"bandwidth_hz": None}, "bandwidth_hz")],
)
def test_corpus_fault_is_named(tmp_path: Path, change: dict[str, object], fault: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps(ROW) + "\n\n" + json.dumps(ROW | change), encoding="utf-8")
    with pytest.raises(DataError, match=rf"manifest\.jsonl: line 3: {fault}"):
        read_corpus(path)


def test_library_rows(tmp_path: Path) -> None:
    row = {"file": "n/x.opus", "seconds": 3.0, "bandwidth_hz": 22050, "licence": "CC0", "split": "train"}
    rows = [row | {"kind": "noise", "class": "rain"}, row | {"kind": "rir"}, row | {"kind": "speech"}]
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    clips = read_library(path)
    assert [clip.kind for clip in clips] == ["noise", "room"]
    assert clips[0].category == "rain"
    assert clips[0].path == tmp_path / "n/x.opus"


@pytest.mark.parametrize("text", ["", "[", "[]", '[{"file": "x"}]', "{}"])
def test_library_faults(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"list\.json"):
        read_library(path)


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    soundfile.write(tmp_path / "ann" / "1.wav", np.zeros(4000), 16000)
    soundfile.write(tmp_path / "ann" / "2.FLAC", np.zeros(44100), 44100, format="FLAC")
    soundfile.write(tmp_path / "bob.ogg", np.zeros(48000), 48000)
    (tmp_path / "notes.txt").write_text("no audio")
    one, two, three = read_folder(tmp_path, "speech")
    assert one.speaker == two.speaker != three.speaker
    assert one.split == two.split
    assert (one.bandwidth_hz, one.category) == (8000, "a")
    assert (two.bandwidth_hz, two.category) == (22050, "A")
    assert gather((), (), [tmp_path], [tmp_path])[0].kind == "noise"


def test_folder_faults(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_folder(tmp_path / "missing", "speech")
    with pytest.raises(DataError, match="no audio file"):
        read_folder(tmp_path, "speech")


def test_a_file_that_is_no_audio_is_left_to_packing(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("text")
    (clip,) = read_folder(tmp_path, "speech")
    assert (clip.path, clip.bandwidth_hz) == (tmp_path / "x.wav", 0)


def test_names_that_are_not_utf8_are_shown(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    with path.open("wb") as file:
        soundfile.write(file, np.zeros(4000), 16000, format="WAV")
    (clip,) = read_folder(tmp_path, "noise")
    assert clip.path == path
    assert clip.speaker == f"{tmp_path.name}/caf\\udce9.wav"


def test_split_shares() -> None:
    splits = [stable_split(f"speaker {number}") for number in range(4000)]
    # Binomial with p = 0.05: four standard deviations are 0.014.
    shares: tuple[tuple[Split, float], ...] = (("train", 0.9), ("dev", 0.05), ("test", 0.05))
    for split, share in shares:
        assert splits.count(split) / 4000 == pytest.approx(share, abs=0.02)


def test_a_speaker_is_left_out(clips: list[Clip]) -> None:
    rest = leave_out(clips, ["speaker3", "speaker0"])
    assert {clip.speaker for clip in clips} - {clip.speaker for clip in rest} == {"speaker3", "speaker0"}
    assert rest == [clip for clip in clips if clip.speaker not in {"speaker3", "speaker0"}]
    assert leave_out(clips, []) == clips


@pytest.mark.parametrize("name", ["speaker 3", "SPEAKER3", "3"])
def test_an_unknown_speaker_is_an_error_with_the_nearest_name(clips: list[Clip], name: str) -> None:
    with pytest.raises(DataError, match=rf"'{name}' .* did you mean 'speaker3'\?"):
        leave_out(clips, [name])


def test_a_noise_is_no_speaker(clips: list[Clip]) -> None:
    # Only voices can be left out: a noise by this name must not hide a misspelt voice.
    with pytest.raises(DataError, match=r"n0\.wav"):
        leave_out(clips, ["n0.wav"])
    with pytest.raises(DataError, match="no speech at all"):
        leave_out([clip for clip in clips if clip.kind == "noise"], ["speaker0"])


def _named(
    speaker: str, name: str = "1.wav", kind: Kind = "speech", split: Split | None = None, band: int = 8000
) -> Clip:
    """A clip as `read_folder` gives it, or, with a split, as a manifest states it."""
    found = split or stable_split(speaker)
    path = Path("/data") / speaker / name
    return Clip(path, kind, "data", f"data/{speaker}", "", band, "a", "", found, by_name=split is None)


def _splits(clips: list[Clip]) -> set[Split]:
    return {clip.split for clip in clips}


@pytest.mark.parametrize("kind", ["speech", "noise"])
@pytest.mark.parametrize("n_speakers", [2, 3, 5, 12])
def test_every_folder_has_a_dev_speaker(kind: Kind, n_speakers: int) -> None:
    # Many sets of names, so that all of one split, and the only dev speaker with the most clips, come up too.
    for trial in range(150):
        names = [f"{trial} {number}" for number in range(n_speakers)]
        clips = [
            _named(name, f"{k}.wav", kind) for i, name in enumerate(names) for k in range(1 + 3 * (i == 0))
        ]
        held = hold_out(clips)
        assert {"train", "dev"} <= _splits(held)
        assert [clip.path for clip in held] == [clip.path for clip in clips]
        splits_of: dict[str, set[Split]] = {}
        for clip in held:
            splits_of.setdefault(clip.speaker, set()).add(clip.split)
        assert all(len(splits) == 1 for splits in splits_of.values())  # nobody is in two splits
        if {"train", "dev"} <= _splits(clips):
            assert held == clips
        assert held == hold_out(held)


def test_the_speaker_of_most_clips_is_never_held_out_for_dev() -> None:
    clips = [_named("zed 7", f"{k}.wav") for k in range(9)] + [_named("ann 1"), _named("bob 2")]
    assert _splits(clips) == {"train"}
    assert {clip.speaker for clip in hold_out(clips) if clip.split == "dev"} <= {"data/ann 1", "data/bob 2"}


def test_one_speaker_is_split_by_file() -> None:
    clips = [_named("ann", f"{k}.wav") for k in range(6)]
    held = hold_out(clips)
    assert {"train", "dev"} <= _splits(held)
    assert [clip.path for clip in held] == [clip.path for clip in clips]
    same_names = [_named("ann", "a/1.wav"), _named("ann", "b/1.wav")]
    assert _splits(hold_out(same_names)) == {"train", "dev"}


def test_one_file_gives_its_end_to_dev() -> None:
    train, dev = hold_out([_named("ann")])
    assert (train.split, train.share) == ("train", (0.0, 0.9))
    assert (dev.split, dev.share) == ("dev", (0.9, 1.0))


def test_what_a_manifest_states_stays() -> None:
    stated = [_named("ann", split="train"), _named("bob", split="train")]
    assert hold_out(stated) == stated  # nobody wanted a dev split
    both = [_named("ann", split="train"), _named("bob", split="dev")]
    folder = [_named("train this"), _named("train that")]
    assert hold_out([*both, *folder]) == [*both, *folder]
    # A manifest of training speech beside a folder: the folder gives the dev speaker.
    held = hold_out([*stated, *folder])
    assert held[:2] == stated
    assert "dev" in _splits(held[2:])


def test_a_file_that_cannot_be_read_is_no_dev_clip() -> None:
    clips = [_named("ann"), _named("bob"), _named("eve", split=None, band=0)]
    held = hold_out(clips)
    assert _splits(held[:2]) == {"train", "dev"}
    assert held[2] == clips[2]


def test_a_byte_order_mark_in_a_manifest_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps(ROW), encoding="utf-8-sig")
    assert read_corpus(path)[0].source == "set"
    row = {"file": "n.wav", "kind": "noise", "bandwidth_hz": 8000, "licence": "CC0", "split": "train"}
    path.write_text(json.dumps([row]), encoding="utf-8-sig")
    assert read_library(path)[0].kind == "noise"
