"""Promise: a target is always a whole, verified file or what it was before, with the samples bit for bit."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from audiodiff import system
from audiodiff.errors import AudioFileError, ShapeError
from audiodiff.io.formats import _SUBTYPES
from audiodiff.io.output_checks import check_existing
from audiodiff.io.reader import AtomicWriter, probe, read
from tests.errors import refused

RATE = 48000
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
BITS |= {"ALAC_16": 16, "ALAC_24": 24, "ALAC_32": 32, "ULAW": 16, "ALAW": 16}
LOSSLESS = [(c, s) for c, kept in sorted(_SUBTYPES.items()) for s in sorted(kept) if c not in {"OGG", "MP3"}]


@pytest.fixture(autouse=True, params=["unnamed", "named", "windows"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways to keep a file unfinished, without unnamed files, and without descriptors for libsndfile."""
    if request.param != "unnamed":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if request.param == "windows":
        monkeypatch.setattr(system, "IS_WINDOWS", True)
        monkeypatch.setattr(system, "_WAITS_S", ())
    return str(request.param)


def noise(n_samples: int = 5000, channels: int = 2) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (channels, n_samples)).astype(np.float32)


def write(
    path: Path, x: npt.NDArray[np.floating], container: str = "WAV", subtype: str = "PCM_16"
) -> AtomicWriter:
    with AtomicWriter(path, RATE, x.shape[0], container, subtype, overwrite=True) as writer:
        for start in range(0, x.shape[1], 1777):
            writer.write(x[:, start : start + 1777])
    return writer


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".audiodiff-")]


@pytest.mark.parametrize(("container", "subtype"), LOSSLESS)
def test_read_and_write_are_bit_exact_for_every_lossless_format(
    tmp_path: Path, container: str, subtype: str
) -> None:
    rng = np.random.default_rng(1)
    source, target = tmp_path / "in", tmp_path / "out"
    if subtype in BITS:
        codes = rng.integers(-(2**31), 2**31, (4000, 2), dtype=np.int64).astype(np.int32)
        codes[:4] = [[-(2**31), 2**31 - 1], [0, -1], [1 << 24, -(1 << 24)], [-(2**31), 0]]
        soundfile.write(source, codes, RATE, subtype, format=container)
    else:
        soundfile.write(source, 3 * rng.standard_normal((4000, 2)), RATE, subtype, format=container)
    info = probe(source)
    assert (info.container, info.subtype) == (container, subtype)
    x, _ = read(source, dtype=info.exact_dtype)
    writer = write(target, x, container, subtype)
    assert writer.clipped == 0
    kind = "float64" if subtype in {"FLOAT", "DOUBLE"} else "int32"
    before, _ = soundfile.read(source, dtype=kind, always_2d=True)
    after, _ = soundfile.read(target, dtype=kind, always_2d=True)
    assert np.array_equal(before, after)
    assert (probe(target).container, probe(target).subtype) == (container, subtype)


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [
        ("MP3", "MPEG_LAYER_III", 44100),
        ("OGG", "VORBIS", 44100),
        ("OGG", "OPUS", 48000),
        ("OGG", "OPUS", 16000),
    ],
)
@pytest.mark.parametrize("n_samples", [1, 700, 30_001])
def test_lossy_formats_keep_length_and_lag(
    tmp_path: Path, container: str, subtype: str, rate: int, n_samples: int
) -> None:
    t = np.arange(n_samples) / rate
    x = (0.3 * np.sin(2 * np.pi * (200 * t + 900 * t**2)))[None].astype(np.float32)
    with AtomicWriter(tmp_path / "x", rate, 1, container, subtype) as writer:
        writer.write(x)
    y, found = read(tmp_path / "x")
    assert found == rate
    assert y.shape == x.shape
    if n_samples > 1000:
        product = np.fft.rfft(x[0], 65536).conj() * np.fft.rfft(y[0], 65536)
        assert np.fft.irfft(product).argmax() == 0


def test_full_scale_does_not_wrap_and_is_counted(tmp_path: Path) -> None:
    x = np.array([[1.0, 1.5, -1.0, -1.5, 0.5, 1e6, -3e38]], dtype=np.float32)
    writer = write(tmp_path / "x.wav", x)
    assert writer.clipped == 4
    y, _ = soundfile.read(tmp_path / "x.wav", dtype="int16")
    assert y.tolist() == [32767, 32767, -32768, -32768, 16384, 32767, -32768]
    writer = write(tmp_path / "f.wav", x, subtype="FLOAT")
    assert writer.clipped == 0
    assert np.array_equal(read(tmp_path / "f.wav")[0], x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_never_written(tmp_path: Path, bad: float) -> None:
    x = noise()
    x[1, 2400] = bad
    with (
        refused(AudioFileError, "nonfinite", "0.050 s"),
        AtomicWriter(tmp_path / "x.wav", RATE, 2, "WAV", "PCM_16") as writer,
    ):
        writer.write(x)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_any_exception_leaves_the_old_file_and_no_part(
    tmp_path: Path, fault: type[BaseException], way: str, has_unnamed_files: bool
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"old")
    writer = AtomicWriter(path, RATE, 2, "WAV", "PCM_16", overwrite=True)

    def fail() -> None:
        with writer:
            writer.write(noise())
            assert len(left_over(tmp_path)) == (0 if way == "unnamed" and has_unnamed_files else 1)
            raise fault

    with pytest.raises(fault):
        fail()
    assert path.read_bytes() == b"old"
    assert left_over(tmp_path) == []


def test_interrupt_while_finishing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "x.wav", noise())
    assert list(tmp_path.iterdir()) == []


def test_existing_target_needs_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"old")
    with (
        refused(AudioFileError, "exists", path, "--overwrite"),
        AtomicWriter(path, RATE, 2, "WAV", "PCM_16"),
    ):
        pytest.fail("entered")
    assert path.read_bytes() == b"old"
    write(path, noise())
    assert read(path)[0].shape == (2, 5000)
    assert left_over(tmp_path) == []


def test_target_that_appears_while_an_unnamed_file_gets_its_name_is_not_replaced(
    tmp_path: Path, way: str, has_unnamed_files: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != "unnamed" or not has_unnamed_files:
        pytest.skip("only unnamed files close this gap")
    path = tmp_path / "x.wav"
    real = os.link

    def late(*args: Any, **kwargs: Any) -> None:
        path.write_bytes(b"from another job")
        real(*args, **kwargs)

    monkeypatch.setattr(os, "link", late)
    with (
        refused(AudioFileError, "exists", path),
        AtomicWriter(path, RATE, 2, "WAV", "PCM_16") as writer,
    ):
        writer.write(noise())
    assert path.read_bytes() == b"from another job"
    assert left_over(tmp_path) == []


def test_rights_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "x.wav", noise())
        write(tmp_path / "x.wav", noise())
    finally:
        os.umask(before)
    assert (tmp_path / "x.wav").stat().st_mode & 0o777 == 0o640


def test_target_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    writer = AtomicWriter(path, RATE, 2, "WAV", "PCM_16")
    writer.__enter__()
    writer.write(noise())
    path.write_bytes(b"from another job")
    with refused(AudioFileError, "exists", path):
        writer.__exit__(None, None, None)
    assert path.read_bytes() == b"from another job"
    assert left_over(tmp_path) == []


def test_a_device_or_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe.wav", tmp_path / "link.wav"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link):
        with pytest.raises(AudioFileError) as caught:
            check_existing(target, overwrite=True)
        assert caught.value.code == "exists"
    dangling = tmp_path / "dangling.wav"
    dangling.symlink_to("nowhere.wav")
    check_existing(dangling, overwrite=True)


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "x.wav", tmp_path / "file" / "x.wav"):
        with refused(AudioFileError, "unwritable"):
            write(path, noise())
    (tmp_path / "x.wav").mkdir()
    with refused(AudioFileError, "exists", tmp_path / "x.wav"):
        write(tmp_path / "x.wav", noise())


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")],
)
def test_disk_that_takes_no_more(tmp_path: Path, container: str, subtype: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with refused(AudioFileError, "unwritable", tmp_path / "x"):
            write(tmp_path / "x", noise(200_000), container, subtype)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_format_that_libsndfile_refuses(tmp_path: Path) -> None:
    for container, subtype in (("FLAC", "FLOAT"), ("NONE", "PCM_16"), ("MP3", "PCM_16")):
        with refused(AudioFileError, "unsupported", tmp_path / "x"):
            write(tmp_path / "x", noise(), container, subtype)
    with pytest.raises(AudioFileError):
        write(tmp_path / "x.flac", noise(channels=9), "FLAC", "PCM_16")
    assert list(tmp_path.iterdir()) == []


def test_nothing_written_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError) as caught:
        write(tmp_path / "x.wav", noise(0))
    assert caught.value.code == "empty"
    assert list(tmp_path.iterdir()) == []


def test_verification_catches_a_file_that_does_not_hold_what_was_written(tmp_path: Path) -> None:
    writer = AtomicWriter(tmp_path / "x.wav", RATE, 2, "WAV", "PCM_16")
    writer.__enter__()
    writer.write(noise())
    writer.n_samples += 1
    with pytest.raises(AudioFileError, match="verifying"):
        writer.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []


def test_empty_blocks_and_one_sample(tmp_path: Path) -> None:
    with AtomicWriter(tmp_path / "x.wav", RATE, 2, "WAV", "PCM_16") as writer:
        writer.write(noise(0))
        writer.write(noise(1))
        writer.write(noise(0))
    assert read(tmp_path / "x.wav")[0].shape == (2, 1)


def test_wrong_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError), AtomicWriter(tmp_path / "x.wav", RATE, 2, "WAV", "PCM_16") as writer:
        writer.write(noise(channels=3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.wav"), "x" * 251 + ".wav", "-\n.wav"])
def test_odd_names(tmp_path: Path, name: str, way: str) -> None:
    if way == "windows" and "\n" in name:
        pytest.skip("no file can have this name there")
    write(tmp_path / name, noise())
    assert read(tmp_path / name)[0].shape == (2, 5000)


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "FLOAT"), ("AIFF", "DOUBLE"), ("RF64", "FLOAT")])
def test_float_files_carry_no_time_of_writing(tmp_path: Path, container: str, subtype: str) -> None:
    write(tmp_path / "x", noise(), container, subtype)
    content = (tmp_path / "x").read_bytes()
    peak = content.find(b"PEAK")
    assert peak < 0 or content[peak + 12 : peak + 16] == bytes(4)


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_24"), ("WAV", "FLOAT")])
def test_equal_samples_give_equal_bytes(tmp_path: Path, container: str, subtype: str) -> None:
    write(tmp_path / "a", noise(), container, subtype)
    write(tmp_path / "b", noise(), container, subtype)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_many_channels(tmp_path: Path) -> None:
    x = noise(300, 32)
    write(tmp_path / "x.wav", x, "WAV", "FLOAT")
    assert np.array_equal(read(tmp_path / "x.wav")[0], x)


def test_a_finished_file_is_whole_and_nameless_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    with AtomicWriter(path, RATE, 2, "WAV", "PCM_16") as writer:
        writer.write(noise())
        fd = writer.finish().fd
        assert writer.finish().fd == fd
        os.lseek(fd, 0, os.SEEK_SET)
        assert soundfile.info(os.dup(fd)).frames == noise().shape[1]
        assert not path.exists()
    assert probe(path).n_samples == noise().shape[1]
