"""Promise: whatever a folder holds, each file ends as the fault table says, and the others are done."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.batch.batch_spec import Item, JobSpec
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.job_options import Options, Result
from audiodiff.batch.plan import plan
from audiodiff.batch.worker_pool import run
from audiodiff.inference.engine import Samples

DENOISE = DenoiseSettings()

Recording = Callable[..., Samples]
MakeSpec = Callable[..., JobSpec]
Make = Callable[[Path, Samples], object]


def write(name: str, subtype: str | None = None, rate: int = 16000, factor: float = 1.0) -> Make:
    return lambda folder, x: soundfile.write(folder / name, factor * x.T, rate, subtype)


def content(name: str, data: bytes) -> Make:
    return lambda folder, _: (folder / name).write_bytes(data)


def cut_short(name: str, share: float) -> Make:
    def make(folder: Path, x: Samples) -> None:
        path = folder / name
        soundfile.write(path, np.tile(x, 8).T, 16000)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return make


def samples(name: str, values: list[float], rate: int = 16000, subtype: str = "FLOAT") -> Make:
    return lambda folder, _: soundfile.write(folder / name, np.array(values), rate, subtype)


def lying_header(name: str, at: int, value: bytes) -> Make:
    """A wav file with some bytes of its header replaced."""

    def make(folder: Path, x: Samples) -> None:
        path = folder / name
        soundfile.write(path, x.T, 16000, "PCM_16")
        data = bytearray(path.read_bytes())
        data[at : at + len(value)] = value
        path.write_bytes(data)

    return make


FAULTS: dict[str, tuple[Make, str]] = {
    "0 bytes": (content("x.wav", b""), "empty"),
    "20 bytes of a header": (content("x.wav", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"), "unreadable"),
    "header only": (samples("x.wav", []), "empty"),
    "text": (content("x.wav", b"these are words " * 40), "unreadable"),
    "a device": (lambda folder, _: (folder / "x.wav").symlink_to("/dev/zero"), "unreadable"),
    "a pipe": (lambda folder, _: os.mkfifo(folder / "x.wav"), "unreadable"),
    "a dangling link": (lambda folder, _: (folder / "x.wav").symlink_to("gone"), "unreadable"),
    "NaN": (samples("x.wav", [0.1, float("nan")] * 500), "nonfinite"),
    "infinity": (samples("x.wav", [0.1, float("inf")] * 500), "nonfinite"),
    "rate 2147483647": (lying_header("x.wav", 24, b"\xff\xff\xff\x7f"), "unsupported"),
    "rate 0": (lying_header("x.wav", 24, bytes(4)), "unreadable"),
    "no channels": (lying_header("x.wav", 22, bytes(2)), "unreadable"),
    "64 channels": (lambda f, _: soundfile.write(f / "x.wav", np.zeros((9, 64)), 16000), "unsupported"),
    "longer than allowed": (
        lambda f, _: soundfile.write(f / "x.flac", np.zeros(1_600_000), 16000),
        "too_long",
    ),
    "cut short, wav": (cut_short("x.wav", 0.6), "cut short"),
    "cut short, flac": (cut_short("x.flac", 0.6), "cut short"),
    "cut short, mp3": (cut_short("x.mp3", 0.6), "cut short"),
    "cut short, ogg": (cut_short("x.ogg", 0.6), "cut short"),
    "data size of a stream": (lying_header("x.wav", 40, b"\xff\xff\xff\xff"), "done"),
    "1 sample": (samples("x.wav", [0.1]), "copied"),
    "shorter than a window": (samples("x.wav", [0.1, -0.1] * 40), "done"),
    "all zero": (samples("x.wav", [0.0] * 9000, subtype="PCM_16"), "copied"),
    "8 bits": (write("x.wav", "PCM_U8"), "done"),
    "24 bits": (write("x.wav", "PCM_24"), "done"),
    "float above full scale": (write("x.wav", "FLOAT", factor=5.0), "done"),
    "double": (write("x.wav", "DOUBLE"), "done"),
    "ulaw": (write("x.wav", "ULAW", 8000), "done"),
    "96 kHz": (write("x.flac", "PCM_24", 96000), "done"),
    "192 kHz": (write("x.wav", "PCM_24", 192000), "done"),
    "name with a line break": (write("a\nb.wav"), "done"),
    "name of a dash": (write("-o.wav"), "done"),
    "name of 255 bytes": (write("x" * 251 + ".wav"), "done"),
    "decomposed name": (write("Ga\u0308ste \U0001f399.wav"), "done"),
    "name that is not UTF-8": (
        lambda f, _: (f / os.fsdecode(b"caf\xe9.wav")).write_bytes((f / "good.wav").read_bytes()),
        "done",
    ),
}


def outcome(result: Result) -> str:
    if result.fault is not None:
        return result.fault.code
    return "cut short" if any("cut short" in line for line in result.warnings) else result.status


@pytest.mark.parametrize("name", FAULTS)
def test_the_table(tmp_path: Path, recording: Recording, make_spec: MakeSpec, name: str) -> None:
    make, expected = FAULTS[name]
    folder, clean = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    soundfile.write(folder / "good.wav", recording(0.2).T, 16000)
    make(folder, recording(0.3))
    options = Options(max_hours=0.02)
    results = list(run(make_spec(options=options), plan([folder], clean, options, DENOISE).items))
    assert {outcome(result) for result in results if result.source.name == "good.wav"} == {"done"}
    (found,) = (result for result in results if result.source.name != "good.wav")
    assert outcome(found) == expected
    assert all("\n" not in line for line in (*found.warnings, found.fault.message if found.fault else ""))
    there = sorted(path.name for path in clean.iterdir() if path.is_file())
    good = expected in {"done", "copied", "cut short"}
    assert there == sorted(["good.wav", found.source.name] if good else ["good.wav"])
    if not good:
        return
    with found.source.open("rb") as file:
        old = soundfile.info(file)
    with found.target.open("rb") as file:
        new = soundfile.info(file)
    assert (new.samplerate, new.channels, new.subtype) == (old.samplerate, old.channels, old.subtype)
    if expected != "cut short":
        assert new.frames == old.frames
    if name == "all zero":
        assert not soundfile.read(found.target)[0].any()


def test_what_the_system_refuses_fails_its_file_alone(
    tmp_path: Path, recording: Recording, make_spec: MakeSpec
) -> None:
    source, clean = tmp_path / "a.wav", tmp_path / "out"
    soundfile.write(source, recording(0.2).T, 16000)
    targets = (clean / (300 * "x" + ".wav"), clean / "a.wav")
    found = list(run(make_spec(), [Item(source, target, "a.wav") for target in targets]))
    assert [outcome(result) for result in found] == ["system", "done"]
    assert found[0].fault is not None
    assert str(source) in found[0].fault.message
    assert [path.name for path in clean.iterdir() if path.is_file()] == ["a.wav"]


def test_strict_refuses_what_is_cut_short(tmp_path: Path, recording: Recording, make_spec: MakeSpec) -> None:
    cut_short("x.wav", 0.6)(tmp_path, recording(0.3))
    options = Options(strict=True)
    (result,) = run(make_spec(options=options), plan([tmp_path], tmp_path / "out", options, DENOISE).items)
    assert outcome(result) == "truncated"
    assert not (tmp_path / "out" / "x.wav").exists()


@pytest.mark.parametrize("strict", [True, False])
def test_sound_that_cannot_be_read_is_told_in_seconds(
    tmp_path: Path, recording: Recording, make_spec: MakeSpec, strict: bool
) -> None:
    """Two flac files, one behind the other, of different rates: the second is not read."""
    with (tmp_path / "x.flac").open("wb") as file:
        for rate in (16000, 8000):
            one = tmp_path / "one.flac"
            soundfile.write(one, recording(1.0)[:, :16000].T, rate)
            file.write(one.read_bytes())
            one.unlink()
    options = Options(strict=strict)
    (result,) = run(make_spec(options=options), plan([tmp_path], tmp_path / "out", options, DENOISE).items)
    assert outcome(result) == ("truncated" if strict else "cut short")
    (line,) = [result.fault.message] if result.fault else result.warnings
    assert "2.000 s are missing" in line
    assert (tmp_path / "out" / "x.flac").exists() != strict


def test_wav_whose_sizes_were_never_written_is_done(
    tmp_path: Path, recording: Recording, make_spec: MakeSpec
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, recording(0.5).T, 16000, "PCM_16")
    data, n = path.read_bytes(), soundfile.info(path).frames
    path.write_bytes(data[:4] + bytes(4) + data[8:40] + bytes(4) + data[44:])
    options = Options(strict=True)
    (result,) = run(make_spec(options=options), plan([tmp_path], tmp_path / "out", options, DENOISE).items)
    assert outcome(result) == "done"
    assert not result.warnings
    assert soundfile.info(result.target).frames == n


def test_ten_hours_of_silence_in_a_small_file(tmp_path: Path, make_spec: MakeSpec) -> None:
    """The header alone tells; the limit works on what is read, too, where a header tells nothing."""
    path = tmp_path / "bomb.flac"
    silence = np.zeros(1 << 20, dtype=np.int16)
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(10):
            file.write(silence)
    assert path.stat().st_size < 100_000
    options = Options(max_hours=0.3)
    (result,) = run(
        make_spec(DenoiseSettings(), options), plan([tmp_path], tmp_path / "out", options, DENOISE).items
    )
    assert outcome(result) == "too_long"
