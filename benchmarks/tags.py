"""Measure which tags, covers and chapters survive, format by format, and what happens to pictures that move.

    python -m benchmarks.tags > benchmarks/tags.md

Recordings of one second with everything that their formats hold are made, copied through the writer that
`audiodiff denoise` uses, and looked at with PyAV. Needs the extras ``[media]`` and ``[tags]``.
"""

from __future__ import annotations

import os
import struct
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import av
import mutagen
import numpy as np
import soundfile

from audiodiff import __version__
from audiodiff.errors import AudioFileError
from audiodiff.io import tag_flac, tag_id3, tag_vorbis, wav_chunks
from audiodiff.io.reader import probe, read_blocks
from audiodiff.io.recording_copy import RecordingCopy, in_turn
from audiodiff.io.tags import Chapter, Picture, Tags, read_tags
from tests.io.containers import CHAPTERS, RATE, TEXTS, Recipe, make, packets, png, starts, tone

LINE = f"processed with audiodiff {__version__} (denoise, model podcast)"
TAGS = Tags(TEXTS, (Picture("image/png", png()),), tuple(Chapter(*one) for one in CHAPTERS))
MEDIA = {
    ".m4a": Recipe("mp4", "aac", cover=png(), texts=True, chapters=True),
    ".mkv": Recipe("matroska", "flac", cover=png(), texts=True, chapters=True),
    ".webm": Recipe("webm", "libopus", texts=True, chapters=True),
    ".mov": Recipe("mov", "pcm_s16le", texts=True, chapters=True),
}
SOUND = {
    ".wav": ("WAV", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".caf": ("CAF", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
}
VIDEOS = {
    "mp4, aac": (".mp4", Recipe("mp4", "aac")),
    "mp4, aac, audio 0.3 s late": (".mp4", Recipe("mp4", "aac", start=0.3)),
    "mp4, opus": (".mp4", Recipe("mp4", "libopus")),
    "mov, 16-bit pcm, audio 0.3 s late": (".mov", Recipe("mov", "pcm_s16le", start=0.3)),
    "mkv, 2 x aac stereo, subtitles, font": (
        ".mkv",
        Recipe("matroska", "aac", tracks=2, channels=2, subtitles=True, attachment=True),
    ),
    "mkv, aac, audio 0.3 s late": (".mkv", Recipe("matroska", "aac", start=0.3)),
    "mkv, flac 5.1": (".mkv", Recipe("matroska", "flac", channels=6)),
}


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


BROADCAST = {
    "bext": _chunk(b"bext", b"A description".ljust(602, b"\0") + b"A=PCM,F=48000\r\n"),
    "iXML": _chunk(b"iXML", b"<BWFXML><SCENE>1</SCENE></BWFXML>"),
    "cue": _chunk(b"cue ", struct.pack("<III4sIII", 1, 1, 4800, b"data", 0, 0, 4800)),
    "LIST adtl": _chunk(b"LIST", b"adtllabl" + struct.pack("<II", 8, 1) + b"here"),
    "smpl": _chunk(b"smpl", bytes(60)),
    "an unknown one": _chunk(b"abcd", b"12345"),
}


def source_of(folder: Path, suffix: str) -> Path:
    """A recording with everything that its format holds."""
    path = folder / f"source{suffix}"
    if suffix in MEDIA:
        make(path, MEDIA[suffix])
        return path
    container, subtype = SOUND[suffix]
    with soundfile.SoundFile(path, "w", RATE, 1, subtype, format=container) as file:
        if suffix == ".caf":
            for name, value in TEXTS.items():
                setattr(file, "tracknumber" if name == "track" else name, value)
        file.write(tone(1.0)[0])
    fd = os.open(path, os.O_RDWR)
    try:
        match suffix:
            case ".wav" | ".aiff":
                wav_chunks.insert(fd, wav_chunks.texts(TEXTS, suffix == ".wav"))
            case ".flac":
                tag_flac.insert(fd, tag_flac.built(TAGS, None))
            case ".mp3":
                tag_id3.insert(fd, tag_id3.built(TAGS, None))
            case ".ogg" | ".opus":
                tag_vorbis.insert(fd, tag_vorbis.built(TAGS, None))
    finally:
        os.close(fd)
    return path


def copied(source: Path, target: Path) -> RecordingCopy:
    """Send a recording through the writer, unchanged."""
    output = RecordingCopy(probe(source), target, line=LINE)
    with output:
        readers = [read_blocks(source, track=number) for number in range(len(output.infos))]
        for track, block in in_turn(readers, [info.sample_rate for info in output.infos]):
            output.write(block, track)
    return output


@dataclass(frozen=True)
class Kept:
    """What a file holds of that which its source holds."""

    texts: tuple[str, ...]
    cover: bool
    chapters: bool


def held(path: Path) -> Kept:
    tags = read_tags(path)
    found = dict(tags.text)
    with soundfile.SoundFile(path) if path.suffix == ".aiff" else read_blocks(path) as file:
        if isinstance(file, soundfile.SoundFile):
            found |= file.copy_metadata()
    # mov tells what processed it behind the comment
    texts = tuple(name for name, value in TEXTS.items() if found.get(name, "").startswith(value))
    chapters = [(round(c.start, 2), c.title) for c in tags.chapters] == [
        (start, t) for start, _, t in CHAPTERS
    ]
    return Kept(texts, [p.data for p in tags.pictures] == [png()], chapters)


def cell(before: Kept, after: Kept) -> str:
    parts = [f"{sum(name in after.texts for name in before.texts)}/{len(before.texts)}"]
    for there, kept, word in (
        (before.cover, after.cover, "cover"),
        (before.chapters, after.chapters, "chapters"),
    ):
        if there:
            parts.append(word if kept else f"~~{word}~~")
    return ", ".join(parts)


def pairs(folder: Path) -> list[str]:
    targets = [*SOUND, ".m4a", ".mka", ".webm", ".mov"]
    rows = ["| from \\ to | " + " | ".join(targets) + " |", "|---" * (len(targets) + 1) + "|"]
    for suffix in [*(each for each in SOUND if each != ".w64"), *MEDIA]:
        source = source_of(folder, suffix)
        before = held(source)
        cells = []
        for target in targets:
            path = folder / f"target{target}"
            try:
                copied(source, path)
            except AudioFileError as error:
                cells.append(error.code)
                continue
            cells.append(cell(before, held(path)))
            path.unlink()
        rows.append(f"| **{suffix}** | " + " | ".join(cells) + " |")
    return rows


def broadcast(folder: Path) -> list[str]:
    source = source_of(folder, ".wav")
    fd = os.open(source, os.O_RDWR)
    wav_chunks.insert(fd, wav_chunks.Carried(after=tuple(BROADCAST.values())))
    os.close(fd)
    rows = ["| chunk | wav to wav | wav to RF64 |", "|---|---|---|"]
    copied(source, folder / "chunks.wav")
    copied(source, folder / "chunks.rf64")
    for name, content in BROADCAST.items():
        same = [content in (folder / f"chunks{end}").read_bytes() for end in (".wav", ".rf64")]
        rows.append(f"| {name} | " + " | ".join("byte for byte" if each else "lost" for each in same) + " |")
    return rows


def samples_of(path: Path) -> int:
    with read_blocks(path) as reader:
        return sum(block.shape[1] for block in reader)


def videos(folder: Path) -> list[str]:
    rows = [
        "| file | video packets identical | subtitles | audio start moves by | length of the audio |",
        "|---|---|---|---|---|",
    ]
    for number, (name, (suffix, recipe)) in enumerate(VIDEOS.items()):
        source, target = folder / f"v{number}{suffix}", folder / f"w{number}{suffix}"
        make(source, replace(recipe, video=True, texts=True, chapters=True))
        copied(source, target)
        old, new = packets(source, "video"), packets(target, "video")
        subtitles = packets(source, "subtitle")
        kept = "-" if not subtitles else str(packets(target, "subtitle") == subtitles)
        moves = 1000 * float(np.max(np.abs(np.subtract(starts(target), starts(source)))))
        lengths = samples_of(source), samples_of(target)
        rows.append(
            f"| {name} | {sum(a == b for a, b in zip(old, new, strict=False))} of {len(old)} | {kept} "
            f"| {moves:.2f} ms | {lengths[0]} to {lengths[1]} samples |"
        )
    return rows


ABOUT = """A cell tells how many of the texts that the source holds (title, artist, album, comment, date,
genre, track) are in the copy, and whether its cover and chapters are; what is ~~struck~~ is lost, and a
warning says so. `unsupported`: the format cannot hold the recording. Lengths are kept to the sample
everywhere, but for the case named at the end. Within one format (wav, aiff, flac, mp3, Ogg) all other chunks,
blocks and frames go over too, byte for byte.

Needed: nothing for texts and for copies within wav, aiff, flac and mp3; the extra `[media]` for mp4, m4a,
mov, Matroska and webm, and for covers and chapters from one format to another; the extra `[tags]` for covers
and chapters in ogg and opus."""

LATE = """Audio that begins later than the picture, in an mp4 with aac or opus, gets its priming (21 ms
or 6.5 ms) in front and begins that much earlier: what is heard stays in place."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = (
            f"PyAV {av.__version__}, mutagen {mutagen.version_string}, soundfile {soundfile.__version__}"
        )
        print("# What survives of tags, covers, chapters and pictures\n")
        print(f"Written by `python -m benchmarks.tags`; audiodiff {__version__}, {versions}.\n")
        print(f"{ABOUT}\n")
        print("\n".join(pairs(folder)))
        print("\n## Chunks of broadcast wave\n")
        print("\n".join(broadcast(folder)))
        print("\n## Video\n")
        print("\n".join(videos(folder)))
        print(f"\n{LATE}")


if __name__ == "__main__":
    main()
