"""Makes small media files with real codecs, and reads them back, for the tests of media and tags."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

RATE = 48_000
CHAPTERS = ((0.0, 0.5, "Opening"), (0.5, 1.0, "Talk – größer"))
TEXTS = {
    "title": "Grüße ☃",
    "artist": "An Artist",
    "album": "An Album",
    "comment": "A comment",
    "date": "2024-05-17",
    "genre": "Podcast",
    "track": "3",
}


def png() -> bytes:
    """A picture of 4 x 4 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes(range(12 * y, 12 * y + 12)) for y in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tone(seconds: float, channels: int = 1, rate: int = RATE, seed: int = 0) -> Samples:
    """[C, T]: a sweep with a little noise, so that any shift is seen."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal((channels, len(time)))
    return (0.3 * np.sin(2 * np.pi * (200 + 400 * time) * time) + 0.02 * noise).astype(np.float32)


@dataclass(frozen=True)
class Recipe:
    """What a made file holds."""

    muxer: str = "mp4"
    codec: str = "aac"
    tracks: int = 1
    channels: int = 1
    rate: int = RATE
    seconds: float = 1.0
    start: float = 0.0
    video: bool = False
    subtitles: bool = False
    attachment: bool = False
    cover: bytes = b""
    chapters: bool = False
    texts: bool = False
    timescale: bool = True


_FORMATS = {
    "aac": "fltp",
    "libopus": "flt",
    "alac": "s16p",
    "flac": "s16",
    "pcm_s16le": "s16",
    "pcm_f32le": "flt",
    "libmp3lame": "fltp",
    "ac3": "fltp",
    "libopencore_amrnb": "s16",
}
_STYLES = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    b"Style: Default,Arial,16\n\n[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


def make(path: Path, recipe: Recipe) -> list[Samples]:
    """Write a media file; give the samples of its tracks."""
    options = (
        {"movie_timescale": str(recipe.rate)} if recipe.timescale and recipe.muxer in {"mp4", "mov"} else {}
    )
    with av.open(path, "w", format=recipe.muxer, container_options=options) as out:
        out_any: Any = out
        video = _add_video(out_any) if recipe.video else None
        audio = [_add_audio(out_any, recipe, number) for number in range(recipe.tracks)]
        subtitle = None
        if recipe.subtitles:
            subtitle = out_any.add_stream("subrip")
            subtitle.codec_context.subtitle_header = _STYLES
        cover = _add_cover(out_any, recipe)
        if recipe.attachment:
            out_any.add_attachment("font.ttf", "font/ttf", b"a font" * 20)
        if recipe.texts:
            out_any.metadata.update(TEXTS)
        if recipe.chapters:
            out_any.set_chapters(chapter_entries())
        out_any.start_encoding()
        if cover is not None:
            out_any.mux(cover)
        if video is not None:
            _encode_video(out_any, video, recipe.seconds)
        samples = [
            tone(recipe.seconds, recipe.channels, recipe.rate, number) for number in range(recipe.tracks)
        ]
        for stream, x in zip(audio, samples, strict=True):
            _encode_audio(out_any, stream, x, recipe)
        if subtitle is not None:
            for number in range(2):
                out_any.mux(packet_of(b"line %d" % number, subtitle, number * 400, Fraction(1, 1000), 300))
    return samples


def chapter_entries() -> list[dict[str, Any]]:
    """The chapters as PyAV wants them."""
    return [
        {
            "id": i,
            "start": round(1000 * start),
            "end": round(1000 * end),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": title},
        }
        for i, (start, end, title) in enumerate(CHAPTERS)
    ]


def packet_of(data: bytes, stream: Any, pts: int, time_base: Fraction, duration: int = 0) -> Any:
    packet: Any = av.Packet(data)
    packet.stream = stream
    packet.pts = packet.dts = pts
    packet.time_base = time_base
    packet.duration = duration
    packet.is_keyframe = True
    return packet


def _add_video(out: Any) -> Any:
    stream = out.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    # Frames that lean on later ones, so that times of decoding and showing differ.
    stream.codec_context.max_b_frames = 2
    return stream


def _encode_video(out: Any, stream: Any, seconds: float) -> None:
    for number in range(round(25 * seconds)):
        picture = np.full((48, 64, 3), (17 * number % 256, 99, 255 - 9 * number % 256), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _add_audio(out: Any, recipe: Recipe, number: int) -> Any:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[recipe.channels]
    stream = out.add_stream(recipe.codec, rate=recipe.rate, layout=layout)
    stream.format = _FORMATS[recipe.codec]
    stream.time_base = Fraction(1, recipe.rate)
    if recipe.muxer in {"mp4", "mov", "matroska", "webm"}:  # elsewhere a track's title is the file's
        stream.metadata["language"] = ("eng", "deu")[number]
        stream.metadata["title"] = f"track {number}"
    return stream


def _encode_audio(out: Any, stream: Any, x: Samples, recipe: Recipe) -> None:
    name = _FORMATS[recipe.codec]
    data: npt.NDArray[Any] = x if name.startswith("flt") else np.rint(x * 32767).astype(np.int16)
    for start in range(0, x.shape[1], 4000):
        part = data[:, start : start + 4000]
        rows = np.ascontiguousarray(part if name.endswith("p") else part.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(rows, format=name, layout=stream.layout.name)
        frame.sample_rate = recipe.rate
        frame.pts = round(recipe.start * recipe.rate) + start
        frame.time_base = Fraction(1, recipe.rate)
        out.mux(stream.encode(frame))
    out.mux([packet for packet in stream.encode(None) if packet.size])


def _add_cover(out: Any, recipe: Recipe) -> Any:
    if not recipe.cover:
        return None
    if recipe.muxer == "matroska":
        out.add_attachment("cover.png", "image/png", recipe.cover)
        return None
    stream = out.add_stream("png", rate=1)
    stream.width, stream.height, stream.pix_fmt = 4, 4, "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    return packet_of(recipe.cover, stream, 0, Fraction(1, 90_000))


def packets(path: Path, kind: str) -> list[tuple[bytes, float | None, float | None]]:
    """(bytes, shown at, decoded at) of all packets of the streams of a kind, in seconds."""
    found = []
    with av.open(path) as container:
        for packet in container.demux():
            if packet.stream.type == kind and packet.size:
                times = [None if t is None else float(t * packet.time_base) for t in (packet.pts, packet.dts)]
                found.append((bytes(packet), times[0], times[1]))
    return found


def starts(path: Path) -> list[float]:
    """Seconds at which the streams of a file begin, covers and subtitles left out."""
    with av.open(path) as container:
        return [
            float((stream.start_time or 0) * (stream.time_base or 0))
            for stream in container.streams
            if stream.type in {"audio", "video"} and not int(stream.disposition) & 1024
        ]


def lag(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], reach: int = 2000) -> int:
    """Samples by which y comes later than x, by the largest correlation."""
    n = min(len(x), len(y))
    spectrum = np.fft.rfft(y[:n], 2 * n) * np.conj(np.fft.rfft(x[:n], 2 * n))
    correlation = np.fft.irfft(spectrum)
    shifts = np.concatenate([np.arange(reach), np.arange(-reach, 0)])
    return int(shifts[np.argmax(correlation[shifts])])
