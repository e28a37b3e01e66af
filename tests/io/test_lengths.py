"""Promise: all sound that is in a file is read, to the sample, whatever length its header announces."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audiodiff.errors import AudioFileError
from audiodiff.io.lengths import count
from audiodiff.io.pieces import PiecedFile
from tests.io.counted import (
    APE,
    COVER,
    ID3V1,
    KINDS,
    RATE,
    got,
    made,
    mp3,
    n_frames,
    ogg,
    pages,
    put,
    replaced,
    sound,
    truth,
    whole,
    with_count,
)


@pytest.mark.parametrize(("container", "subtype"), KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_whole_file_is_read_as_it_is(tmp_path: Path, container: str, subtype: str, channels: int) -> None:
    data = made(container, subtype, channels=channels)
    path = put(tmp_path, data)
    with path.open("rb") as file:
        found = count(file.fileno())
    assert found.parts == ()
    assert found.missing == ""
    x = whole(path)
    assert x.shape == (channels, RATE)
    assert np.array_equal(x, truth(data))


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_of_every_version(tmp_path: Path, rate: int, mode: str, channels: int) -> None:
    """Tags behind a file make it a view of its frames, and that gives the same samples."""
    buffer = io.BytesIO()
    x = sound(2.0, channels, rate)
    soundfile.write(buffer, x, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)
    plain = whole(put(tmp_path, buffer.getvalue()))
    assert plain.shape == (channels, 2 * rate)
    assert np.array_equal(whole(put(tmp_path, buffer.getvalue() + bytes(1968) + APE + ID3V1)), plain)


def test_joined_mp3_is_both(tmp_path: Path) -> None:
    a, b = mp3(1.5), mp3(1.0, 1, quality=0.85)
    both = np.concatenate([truth(a), truth(b)], axis=1)
    assert both.shape == (1, 120_000)
    for between in (b"", COVER, ID3V1, ID3V1 + COVER):
        assert np.array_equal(whole(put(tmp_path, a + between + b)), both)


def test_joined_mp3_without_a_second_info_frame(tmp_path: Path) -> None:
    a, b = mp3(1.5), mp3(1.0, 1, info=False)
    x = whole(put(tmp_path, a + b))
    assert np.array_equal(x[:, :72_000], truth(a))
    assert x.shape[1] == 72_000 + 1152 * n_frames(mp3(1.0, 1))


@pytest.mark.parametrize("frames", [0, 1, 10, 1000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_info_frame_that_counts_wrongly(tmp_path: Path, frames: int) -> None:
    data = mp3(1.5)
    assert np.array_equal(whole(put(tmp_path, with_count(data, frames))), truth(data))


@pytest.mark.parametrize("front", [b"", COVER])
@pytest.mark.parametrize("behind", [b"", ID3V1, bytes(2000) + APE])
def test_mp3_without_info_frame_is_whole(tmp_path: Path, front: bytes, behind: bytes) -> None:
    data = mp3(3.0, info=False)
    x = whole(put(tmp_path, front + data + behind))
    assert x.shape == (1, 1152 * n_frames(mp3(3.0)))
    reference = truth(mp3(3.0))
    late = x.shape[1] - reference.shape[1]
    best = max(range(late + 1), key=lambda k: float(x[0, k : k + 40_000] @ reference[0, :40_000]))
    assert np.allclose(x[0, best + 3000 : best + 90_000], reference[0, 3000:90_000], atol=1e-4)


def test_mp3_whose_bitrate_falls(tmp_path: Path) -> None:
    loud, low = mp3(1.0, quality=0.0), mp3(4.0, 1, quality=0.85)
    assert len(loud) / 1.0 > 3.9 * len(low) / 4.0
    data = mp3(1.0, quality=0.0, info=False) + mp3(4.0, 1, quality=0.85, info=False)
    assert whole(put(tmp_path, data)).shape[1] == 1152 * (n_frames(loud) + n_frames(low))


def test_mp3_that_changes_its_rate_tells_what_is_missing(tmp_path: Path) -> None:
    a = mp3(1.5)
    x, note = got(put(tmp_path, a + mp3(2.0, 1, rate=44_100)))
    assert np.array_equal(x, truth(a))
    assert note is not None
    assert note.code == "truncated"
    assert "from 1.500 s on it has 44100 Hz" in str(note)
    assert "2.000 s are missing" in str(note)
    assert "\n" not in str(note)


def test_mp3_with_other_bytes_in_it(tmp_path: Path) -> None:
    data = mp3(3.0, info=False)
    n = 1152 * n_frames(mp3(3.0))
    frame = data.find(data[:3], 4)
    assert np.array_equal(whole(put(tmp_path, bytes(5000) + data)), whole(put(tmp_path, data)))
    x, _ = got(put(tmp_path, data[: 20 * frame] + bytes(3000) + data[20 * frame :]))
    assert n - 1152 <= x.shape[1] <= n
    x, note = got(put(tmp_path, data[20 * frame + 7 :]))
    assert n - 22 * 1152 <= x.shape[1] <= n - 20 * 1152
    assert note is None


def test_mp3_cut_in_a_frame_is_cut_short(tmp_path: Path) -> None:
    data = mp3(3.0, info=False)
    x, note = got(put(tmp_path, data[: len(data) * 2 // 3 + 5]))
    assert note is not None
    assert note.code == "truncated"
    assert x.shape[1] == pytest.approx(2 * RATE, abs=3000)


def test_mp3_cut_before_its_count_tells_the_seconds(tmp_path: Path) -> None:
    data = mp3(3.0)
    x, note = got(put(tmp_path, data[: len(data) * 2 // 3]))
    assert note is not None
    assert f"{3 - x.shape[1] / RATE:.3f} s are missing" in str(note)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("serials", [(11, 22, 33), (1, 1, 1)])
def test_chained_ogg_is_all_links(tmp_path: Path, subtype: str, serials: tuple[int, ...]) -> None:
    links = [made("OGG", subtype, seconds, i) for i, seconds in enumerate((1.0, 1.5, 0.3))]
    x = whole(put(tmp_path, b"".join(ogg(link, one) for link, one in zip(links, serials, strict=True))))
    assert np.array_equal(x, np.concatenate([truth(link) for link in links], axis=1))
    assert x.shape[1] == 2.8 * RATE


def test_chained_ogg_of_other_channels_tells_what_is_missing(tmp_path: Path) -> None:
    a, b = made("OGG", "VORBIS"), made("OGG", "VORBIS", 1.25, channels=2)
    x, note = got(put(tmp_path, ogg(a, 1) + ogg(b, 2)))
    assert np.array_equal(x, truth(a))
    assert "1.250 s are missing" in str(note)


def test_link_that_cannot_be_decoded_tells_what_is_missing(tmp_path: Path) -> None:
    a, b = made("OGG", "VORBIS"), pages(ogg(made("OGG", "VORBIS", 1.25), 2))
    b[1][40:] = bytes(len(b[1]) - 40)
    x, note = got(put(tmp_path, ogg(a, 1) + b"".join(map(bytes, b))))
    assert np.array_equal(x, truth(a))
    assert "1.250 s are missing" in str(note)


@pytest.mark.parametrize("rate", [48_000, 16_000])
@pytest.mark.parametrize("shift", [960, 48_000 * 3600])
def test_opus_from_the_middle_of_a_stream_is_not_late(tmp_path: Path, rate: int, shift: int) -> None:
    data = made("OGG", "OPUS", 2.0, rate=rate)
    x = whole(put(tmp_path, ogg(data, 1, shift)))
    assert x.shape[1] == 2 * rate
    assert np.allclose(x, truth(data), atol=1e-6)
    both = whole(put(tmp_path, ogg(data, 1, shift) + ogg(data, 2, 2 * shift)))
    assert np.allclose(both, np.tile(truth(data), 2), atol=1e-6)


def test_opus_of_one_page_from_the_middle_is_read(tmp_path: Path) -> None:
    """Without a page before it the cut of its end is unknown: all that its packets hold is given."""
    data = made("OGG", "OPUS", 0.3)
    assert len(pages(data)) == 3
    for shift in (960, 48_000 * 3600):
        x = whole(put(tmp_path, ogg(data, 1, shift)))
        assert 14_400 <= x.shape[1] < 14_400 + 960
        assert np.allclose(x[:, :14_400], truth(data), atol=1e-6)


@pytest.mark.parametrize("behind", [ID3V1, bytes(1968) + APE, bytes(1968) + APE + ID3V1, b"\xff\0 junk" * 90])
@pytest.mark.parametrize("known", [True, False])
def test_flac_with_bytes_behind_it(tmp_path: Path, behind: bytes, known: bool) -> None:
    data = bytearray(made("FLAC", "PCM_16", 1.1))
    reference = truth(bytes(data))
    if not known:
        data[21] &= 0xF0
        data[22:26] = bytes(4)
    x, note = got(put(tmp_path, bytes(data) + behind))
    if known or b"junk" not in behind:
        assert note is None
        assert np.array_equal(x, reference)


def test_joined_flac_is_both(tmp_path: Path) -> None:
    a, b = made("FLAC", "PCM_16", 1.1), made("FLAC", "PCM_16", 0.7, 1)
    both = np.concatenate([truth(a), truth(b)], axis=1)
    assert np.array_equal(whole(put(tmp_path, a + b + ID3V1)), both)
    assert np.array_equal(whole(put(tmp_path, a + a)), np.tile(truth(a), 2))


@pytest.mark.parametrize("total", [1, 4096, 40_000])
def test_flac_header_that_counts_too_little(tmp_path: Path, total: int) -> None:
    data = made("FLAC", "PCM_16", 1.1, channels=2)
    lying = data[:22] + total.to_bytes(4, "big") + data[26:]
    assert np.array_equal(whole(put(tmp_path, lying)), truth(data))


def test_flac_header_that_counts_more_than_its_bytes_can_hold(tmp_path: Path) -> None:
    data = made("FLAC", "PCM_16", 1.1)
    absurd = data[:21] + bytes([data[21] | 15]) + b"\xff" * 4 + data[26:]
    assert np.array_equal(whole(put(tmp_path, absurd)), truth(data))
    x, note = got(put(tmp_path, absurd[: len(absurd) * 2 // 3]))
    assert note is not None
    assert np.array_equal(x, truth(data)[:, : x.shape[1]])
    assert x.shape[1] > 0.6 * truth(data).shape[1]


HOSTILE = [
    b"\xff" * 300_000,
    b"\xff\xfb\x90\x00" * 75_000,
    b"OggS\0\2" * 50_000,
    (b"OggS\0\2" + bytes(21)) * 10_000,
    b"fLaC\0\0\0\x22" * 30_000,
    b"RIFF\0\0\0\0WAVE" * 20_000,
    b"RIFF\0\0\0\0WAVE" + b"data\0\0\0\0" * 30_000,
    b"ID3\3\0\0\x7f\x7f\x7f\x7f" * 1000,
    b"ID3\3\0\0\0\0\0\0" * 20_000,
    b".snd" + b"\xff" * 3000,
    b"caff\0\1\0\0data" + b"\xff" * 3000,
    b"FORM\0\0\0\0AIFF" + b"SSND\0\0\0\x09" * 1000,
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_bytes_end_in_our_error(tmp_path: Path, number: int) -> None:
    with contextlib.suppress(AudioFileError):
        got(put(tmp_path, HOSTILE[number]))


def samples_to_damage() -> list[bytes]:
    wav, opus = made("WAV", "PCM_16", 0.1), made("OGG", "OPUS", 0.3)
    a, plain, flac = mp3(0.3), mp3(0.3, info=False), made("FLAC", "PCM_16", 0.1)
    unwritten = wav[:4] + bytes(4) + wav[8:40] + bytes(4) + wav[44:]
    few = [
        replaced(made(kind, "PCM_16", 0.1), name, at, 1000, width, "big")
        for kind, name, at, width in (("AIFF", b"SSND", 4, 4), ("CAF", b"data", 4, 8), ("AU", b".snd", 8, 4))
    ]
    bw64 = b"BW64" + made("RF64", "PCM_16", 0.1)[4:]
    frames = [a + a, COVER + plain, bytes(900) + plain, opus + opus, ogg(opus, 1, 5000), flac + flac]
    return [*frames, flac + ID3V1, unwritten, wav + wav, bw64, *few]


DAMAGED = samples_to_damage()


def damaged(seed: int, which: int) -> bytes:
    rng = np.random.default_rng(seed)
    content = np.frombuffer(DAMAGED[which], dtype=np.uint8).copy()
    places = rng.integers(0, min(len(content), 300 if seed % 2 else len(content)), 1 + seed % 20)
    content[places] = rng.integers(0, 256, places.size)
    stop = int(rng.integers(1, len(content))) if seed % 5 == 0 else len(content)
    return content[:stop].tobytes()


SEEDS = st.builds(damaged, st.integers(0, 1 << 20), st.integers(0, len(DAMAGED) - 1))


@given(content=SEEDS)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_gives_samples_or_our_error(tmp_path: Path, content: bytes) -> None:
    with contextlib.suppress(AudioFileError):
        x, _ = got(put(tmp_path, content))
        assert np.isfinite(x).all()


ANY_BYTES = st.builds(
    bytes.__add__,
    st.sampled_from([b"", b"OggS", b"fLaC", b"RIFF0000WAVE", b"caff", b"\xff\xfb\x90"]),
    st.binary(max_size=400),
)


@given(content=ANY_BYTES | SEEDS | st.sampled_from(DAMAGED))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_counted_is_in_the_file_and_no_more_is_read(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, content)
    with path.open("rb") as file:
        found = count(file.fileno())
        for part in found.parts:
            view = PiecedFile(file.fileno(), part.pieces).read()
            spans = [piece for piece in part.pieces if not isinstance(piece, bytes)]
            assert all(0 <= start <= stop <= len(content) for start, stop in spans)
            taken = [piece if isinstance(piece, bytes) else content[slice(*piece)] for piece in part.pieces]
            assert view == b"".join(taken)
            assert part.n_samples >= -1
            assert math.isfinite(part.seconds)
            assert min(part.seconds, part.skip_s) >= 0
            assert part.stretch >= 1
    assert found.promised == 0 or (found.missing and 1 < found.promised < math.inf)
    with contextlib.suppress(AudioFileError):
        x, note = got(path)
        counted = [part.n_samples for part in found.parts]
        if counted and min(counted) >= 0:
            assert x.shape[1] <= sum(counted)
            assert note is not None or x.shape[1] == sum(counted)
        if found.missing:
            assert note is not None
