"""Promise: tags, covers and chapters go over to a processed copy as the table says, format by format."""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("av", reason="PyAV, the extra [media], is not installed")

from audiodiff.errors import AudioFileError
from audiodiff.io import av_library, tag_behind, tag_flac, tag_id3, tag_vorbis
from audiodiff.io.reader import probe
from audiodiff.io.tag_copy import collect_tags
from audiodiff.io.tags import Chapter, Picture, Tags, read_tags
from tests.io.containers import CHAPTERS, RATE, TEXTS, Recipe, make, png

LINE = "processed with audiodiff 0 (denoise, model toy)"
TAGS = Tags(
    TEXTS | {"copyright": "somebody"},
    (Picture("image/png", png()),),
    tuple(Chapter(*chapter) for chapter in CHAPTERS),
)
X = np.random.default_rng(0).integers(-3000, 3000, (RATE, 1)) / 32768

FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".caf": ("CAF", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
}
WRITERS: dict[str, Callable[[int, Tags], None]] = {
    ".flac": lambda fd, tags: tag_flac.insert(fd, tag_flac.built(tags, None)),
    ".mp3": lambda fd, tags: tag_id3.insert(fd, tag_id3.built(tags, None)),
}


def write(path: Path) -> None:
    container, subtype = FORMATS[path.suffix]
    soundfile.write(path, X, RATE, format=container, subtype=subtype)


def edit(path: Path, change: Callable[[int], None]) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        change(fd)
    finally:
        os.close(fd)


def carry(source: Path, target: Path, line: str | None = LINE, whole: bool = True) -> tuple[str, ...]:
    """Give a new file what goes over from the source; its samples must stay as they are."""
    write(target)
    before = soundfile.read(target)[0]
    copied = collect_tags(probe(source), FORMATS[target.suffix][0], line, whole)
    edit(target, lambda fd: copied.write_to(target, fd))
    np.testing.assert_array_equal(soundfile.read(target)[0], before)
    return copied.notes


def tagged(tmp_path: Path, suffix: str, tags: Tags = TAGS) -> Path:
    path = tmp_path / f"source{suffix}"
    write(path)
    if suffix in {".ogg", ".opus"}:
        pytest.importorskip("mutagen", reason="mutagen, the extra [tags], is not installed")
        edit(path, lambda fd: tag_vorbis.insert(fd, tag_vorbis.built(tags, None)))
    elif suffix in WRITERS:
        edit(path, lambda fd: WRITERS[suffix](fd, tags))
    return path


@pytest.mark.parametrize("target", [".mp3", ".flac", ".ogg", ".opus"])
@pytest.mark.parametrize("source", [".mp3", ".flac", ".ogg", ".opus"])
def test_texts_cover_and_chapters_survive_between_all_tagged_formats(
    tmp_path: Path, source: str, target: str
) -> None:
    first, second = tagged(tmp_path, source), tmp_path / f"target{target}"
    if target in {".ogg", ".opus"}:
        pytest.importorskip("mutagen", reason="mutagen, the extra [tags], is not installed")
    assert read_tags(first).text == TAGS.text
    assert carry(first, second) == ()
    found = read_tags(second)
    assert dict(found.text) == {**TAGS.text, "audiodiff": LINE}
    assert found.pictures == TAGS.pictures
    assert [(c.start, c.title) for c in found.chapters] == [(c.start, c.title) for c in TAGS.chapters]
    # The last chapter of an Ogg file ends with the file, which for Opus counts its priming.
    np.testing.assert_allclose([c.end for c in found.chapters], [0.5, 1.0], rtol=0, atol=0.01)


@pytest.mark.parametrize("source", [".mp3", ".flac"])
@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (".wav", {"title", "artist", "album", "comment", "date", "genre", "track", "copyright"}),
        (".aiff", {"title", "artist", "comment", "copyright"}),
    ],
)
def test_wav_and_aiff_take_texts_and_tell_what_is_lost(
    tmp_path: Path, source: str, target: str, kept: set[str]
) -> None:
    first, second = tagged(tmp_path, source), tmp_path / f"target{target}"
    note = " ".join(carry(first, second))
    assert "no cover" in note
    assert "no chapters" in note
    assert ("tags album, date, genre, track" in note) is (target == ".aiff")
    with soundfile.SoundFile(second) as file:
        found = file.copy_metadata()
    found["track"] = found.pop("tracknumber", "")
    assert {key: found[key] for key in kept} == {key: TAGS.text[key] for key in kept}
    assert read_tags(second).text["title"] == TEXTS["title"]


@pytest.mark.parametrize("target", [".caf", ".w64"])
def test_containers_without_room_tell_so(tmp_path: Path, target: str) -> None:
    (note,) = carry(tagged(tmp_path, ".flac"), tmp_path / f"target{target}")
    assert "no cover" in note
    assert ("no tags" in note) is (target == ".w64")


def test_a_media_file_hands_its_tags_on(tmp_path: Path) -> None:
    source = tmp_path / "a.m4a"
    make(source, Recipe(cover=png(), texts=True, chapters=True))
    from audiodiff.io.av_tracks import tracks

    for suffix in (".mp3", ".flac"):
        target = tmp_path / f"b{suffix}"
        write(target)
        copied = collect_tags(tracks(source)[0].info, FORMATS[suffix][0], LINE)
        edit(target, lambda fd, copied=copied, target=target: copied.write_to(target, fd))  # type: ignore[misc]
        assert read_tags(target) == replace(TAGS, text={**TEXTS, "audiodiff": LINE})


def frame(name: bytes, content: bytes, version: int) -> bytes:
    if version == 2:
        return name + len(content).to_bytes(3, "big") + content
    return name + struct.pack(">I", len(content)) + b"\0\0" + content  # short enough for both kinds of sizes


@pytest.mark.parametrize("version", [2, 3, 4])
def test_frames_of_any_version_go_over_byte_for_byte(tmp_path: Path, version: int) -> None:
    names = (b"TT2", b"XYZ", b"PIC") if version == 2 else (b"TIT2", b"PRIV", b"XHD3")
    frames = b"".join(frame(name, b"\0content of " + name, version) for name in names)
    size = bytes([0, 0, (len(frames) + 50) >> 7, (len(frames) + 50) & 0x7F])
    source, target = tmp_path / "a.mp3", tmp_path / "b.mp3"
    write(source)
    edit(source, lambda fd: tag_id3.insert(fd, b"ID3" + bytes([version, 0, 0]) + size + frames + bytes(50)))
    carry(source, target)
    data = target.read_bytes()
    assert data[3] == version
    assert data[10:].startswith(frames)
    found = read_tags(target).text
    assert found["audiodiff"] == LINE
    assert found["title"] == "content of " + names[0].decode()
    carry(source, target, line=None)
    assert target.read_bytes()[10:].startswith(frames + bytes(100))


def test_a_tag_without_synchronisation_marks_is_restored(tmp_path: Path) -> None:
    content = b"\0\xff\x00\xe0 odd \xff"
    whole = frame(b"PRIV", content, 3) + frame(b"TIT2", b"\0Title", 3)
    unsynchronised = whole.replace(b"\xff\x00", b"\xff\x00\x00")
    unsynchronised = unsynchronised.replace(b"\xffT", b"\xff\x00T")
    source = tmp_path / "a.mp3"
    write(source)
    tag = b"ID3\x03\0\x80" + bytes([0, 0, 0, len(unsynchronised)]) + unsynchronised
    edit(source, lambda fd: tag_id3.insert(fd, tag))
    carry(source, tmp_path / "b.mp3")
    assert (tmp_path / "b.mp3").read_bytes()[10:].startswith(whole)


def test_processing_twice_tells_both_and_grows_little(tmp_path: Path) -> None:
    for suffix in (".mp3", ".flac", ".wav"):
        paths = [tagged(tmp_path, suffix), *(tmp_path / f"{i}{suffix}" for i in range(2))]
        for before, after in itertools.pairwise(paths):
            carry(before, after)
        assert paths[2].read_bytes().count(LINE.encode()) == 2
        assert abs(paths[2].stat().st_size - paths[1].stat().st_size) < 200


def test_flac_blocks_go_over_byte_for_byte(tmp_path: Path) -> None:
    source, target = tagged(tmp_path, ".flac"), tmp_path / "b.flac"
    application = (2, b"riff" + bytes(range(200)))
    lead_out = struct.pack(">QB", RATE, 255) + bytes(12 + 1 + 13 + 1)
    cuesheet = (5, bytes(128 + 8 + 259) + b"\1" + lead_out)
    back = struct.pack(">III", 4, 0, 0) + bytes(16) + struct.pack(">I", 4) + b"back"
    pictures = [(6, tag_flac.picture_block(TAGS.pictures[0])), (6, back)]
    comments = tag_flac.built(Tags({"title": "a", "anything": "b"}), None)
    edit(source, lambda fd: tag_flac.insert(fd, [*comments, application, cuesheet, *pictures]))
    carry(source, target, line=None)
    fd = os.open(target, os.O_RDONLY)
    try:
        assert tag_flac.copied(fd, None) == [*comments, application, cuesheet, *pictures]
        assert tag_flac.copied(fd, None, whole=False) == [*comments, application, *pictures]
    finally:
        os.close(fd)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg"])
def test_a_part_of_a_recording_has_no_chapters(tmp_path: Path, suffix: str) -> None:
    for source in (tagged(tmp_path, suffix), tagged(tmp_path, ".flac")):
        target = tmp_path / f"target{suffix}"
        carry(source, target, whole=False)
        found = read_tags(target)
        assert found.chapters == ()
        assert found.pictures == TAGS.pictures
        assert found.text["title"] == TEXTS["title"]


def test_without_the_extra_for_ogg_texts_go_by_libsndfile_and_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_vorbis, "available", lambda: False)
    copied = collect_tags(probe(tagged(tmp_path, ".flac")), "OGG", LINE)
    assert copied.strings["title"] == TEXTS["title"]
    assert copied.strings["tracknumber"] == TEXTS["track"]
    assert copied.strings["software"] == LINE
    (note,) = copied.notes
    assert "no cover" in note
    assert "[tags]" in note


def test_without_pyav_the_texts_that_libsndfile_reads_go_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise AudioFileError("no PyAV", code="missing_extra")

    source = tagged(tmp_path, ".flac")
    monkeypatch.setattr(av_library, "module", missing)
    found = read_tags(source)
    assert found == Tags(dict(TAGS.text))
    assert not av_library.available()
    carry(source, tmp_path / "a.mp3")
    with soundfile.SoundFile(tmp_path / "a.mp3") as file:
        assert file.title == TEXTS["title"]


@pytest.fixture(scope="module", params=[".mp3", ".flac"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("damaged") / f"a{request.param}"
    write(path)
    edit(path, lambda fd: WRITERS[request.param](fd, TAGS))
    return path, path.read_bytes()


@given(st.binary(max_size=200), st.integers(0, 120))
def test_damaged_tags_never_stop_the_work(sound: tuple[Path, bytes], content: bytes, at: int) -> None:
    path, data = sound
    path.write_bytes(data[:at] + content + data[at + len(content) :])
    fd = os.open(path, os.O_RDONLY)
    try:
        for whole in (True, False):
            made = (
                tag_id3.copied(fd, LINE, whole) if path.suffix == ".mp3" else tag_flac.copied(fd, LINE, whole)
            )
            assert LINE.encode() in (made if isinstance(made, bytes) else b"".join(one for _, one in made))
    finally:
        os.close(fd)


def size7(n: int) -> bytes:
    return bytes(n >> shift & 127 for shift in (21, 14, 7, 0))


def id3(frames: bytes, version: int = 4, flags: int = 0) -> bytes:
    return b"ID3" + bytes([version, 0, flags]) + size7(len(frames)) + frames


def text_frame(name: bytes, content: bytes, flags: bytes = b"\0\0") -> bytes:
    return name + size7(len(content)) + flags + content


FF = b"\x01\xff\xfe" + "Folge \u00ff1\u0100".encode("utf-16-le")
MARKED = b"\x01\xff\x00\xfe" + FF[3:].replace(b"\xff\x00", b"\xff\x00\x00")
V1 = b"TAG" + b"Title".ljust(30, b"\0") + b"Me".ljust(30, b"\0") + b"Show".ljust(30, b"\0") + b"2020"
V1 += bytes(28) + b"\0\x07\x0c"
ITEM = struct.pack("<II", 5, 0) + b"Title\0hello"
APE = ITEM + b"APETAGEX" + struct.pack("<IIII", 2000, len(ITEM) + 32, 1, 0) + bytes(8)


@pytest.mark.parametrize(
    ("front", "behind", "wanted"),
    [
        (b"", V1, {"title": "Title", "artist": "Me", "album": "Show", "date": "2020", "track": "7"}),
        (b"", APE, {"title": "hello"}),
        (b"", APE + V1, {"title": "hello", "artist": "Me"}),
        (id3(text_frame(b"TIT2", b"\x03One")), V1, {"title": "One", "artist": "Me", "date": "2020"}),
        (id3(b"TIT2\0\0\0\x04\0\0\0One", 3), V1, {"title": "One", "artist": "Me", "date": "2020"}),
        (
            id3(text_frame(b"TIT2", b"\x03One")) + id3(text_frame(b"TALB", b"\x03Two")),
            b"",
            {"title": "One", "album": "Two"},
        ),
        (id3(text_frame(b"TIT2", MARKED), flags=0x80), b"", {"title": "Folge \u00ff1\u0100"}),
        (id3(text_frame(b"TIT2", MARKED, b"\0\2"), flags=0x80), b"", {"title": "Folge \u00ff1\u0100"}),
        (id3(text_frame(b"TIT2", MARKED, b"\0\2")), b"", {"title": "Folge \u00ff1\u0100"}),
    ],
)
def test_tags_that_are_not_one_in_front_go_over(
    tmp_path: Path, front: bytes, behind: bytes, wanted: dict[str, str]
) -> None:
    source = tmp_path / "talk.mp3"
    write(source)
    source.write_bytes(front + source.read_bytes() + behind)
    carry(source, tmp_path / "out.mp3", line=None)
    found = read_tags(tmp_path / "out.mp3").text
    assert {key: found.get(key) for key in wanted} == wanted


def test_tags_behind_go_over_to_other_formats(tmp_path: Path) -> None:
    source = tmp_path / "talk.mp3"
    write(source)
    source.write_bytes(source.read_bytes() + APE + V1.replace(b"Title", b"hel\0\0"))
    carry(source, tmp_path / "out.flac", line=None)
    found = read_tags(tmp_path / "out.flac").text
    assert (found["title"], found["artist"], found["album"]) == ("hello", "Me", "Show")


@pytest.mark.parametrize("n", [0, 40, 127, 128, 200])
def test_damaged_tags_behind_are_no_tags(tmp_path: Path, n: int) -> None:
    path, texts = tmp_path / "x", list[dict[str, str]]()
    path.write_bytes((b"APETAGEX" + b"\xff" * 24 + V1)[-n:] if n else b"")
    edit(path, lambda fd: texts.append(tag_behind.texts_behind(fd)))
    path.write_bytes((ITEM[:9] + APE[len(ITEM) :])[:n])
    edit(path, lambda fd: texts.append(tag_behind.texts_behind(fd)))
    assert texts[0] == (
        {} if n < 128 else {"title": "Title", "artist": "Me", "album": "Show", "date": "2020", "track": "7"}
    )
    assert texts[1] == {}


def test_an_id3_tag_in_front_of_flac_goes_over(tmp_path: Path) -> None:
    source, target = tmp_path / "talk.flac", tmp_path / "out.flac"
    write(source)
    edit(source, lambda fd: tag_flac.insert(fd, tag_flac.built(Tags({"title": "Own"}), None)))
    front = text_frame(b"TIT2", b"\x03One") + text_frame(b"TALB", b"\x03Two")
    source.write_bytes(id3(front) + source.read_bytes())
    carry(source, target)
    found = read_tags(target).text
    assert (found["title"], found["album"], found["audiodiff"]) == ("Own", "Two", LINE)
