"""Promise: `live` gives what a file gives, whole, in time, and counts whatever was lost."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.cli import _live, run
from audiodiff.cli._live import Intake, Session
from audiodiff.inference.engine import Samples
from audiodiff.inference.live import gain_for
from audiodiff.interrupts import Stop
from audiodiff.io.devices import Loudspeaker
from audiodiff.io.formats import AudioInfo
from audiodiff.io.pcm_stream import bare_info
from audiodiff.model.model import Model
from audiodiff.signal.level import active_db
from tests.cli.fake_sounddevice import Card

Recording = Callable[..., Samples]
RATE = 16000
INFO = AudioInfo(Path("-"), RATE, 1, 0, "WAV", "FLOAT")
Piped = Callable[..., tuple[int, bytes]]


@pytest.fixture
def piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Piped]:
    """Runs ``audiodiff live`` with bytes in a real pipe; gives the exit code and what went out."""
    threads: list[threading.Thread] = []

    def piped(words: list[str], data: bytes, ending: int = 0) -> tuple[int, bytes]:
        read_end, write_end = os.pipe()
        finished = threading.Event()

        def feed() -> None:
            with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb", buffering=0) as pipe:
                for start in range(0, len(data), 1999):  # splits samples
                    pipe.write(data[start : start + 1999])
                if ending:
                    os.kill(os.getpid(), ending)
                    finished.wait(60)  # the pipe stays open

        threads.append(threading.Thread(target=feed))
        threads[-1].start()
        with os.fdopen(read_end, "rb", buffering=0) as source, (tmp_path / "stdout").open("w+b") as out:
            monkeypatch.setattr(sys, "stdin", source)
            monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
            code = run(["live", *words])
            sys.stdout.flush()
            finished.set()
            threads[-1].join()
            return code, (tmp_path / "stdout").read_bytes()

    yield piped
    for thread in threads:
        thread.join()


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """A sound card in place of the real one (there is none here)."""
    card = Card(RATE)
    monkeypatch.setitem(sys.modules, "sounddevice", card.module())
    monkeypatch.setattr(_live, "load_of", lambda *_: 0.1)  # whatever else this machine has to do
    return card


def wav_bytes(x: Samples, subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, x.T, rate, subtype, format="WAV")
    return file.getvalue()


def read(data: bytes | Path) -> tuple[Samples, int]:
    x, rate = soundfile.read(io.BytesIO(data) if isinstance(data, bytes) else data, always_2d=True)
    return x.T, rate


def in_order(denoiser: Denoiser, x: Samples, block_s: float, gain: float | None = None) -> Samples:
    live = denoiser.live(RATE, len(x), gain, block_s)
    return np.concatenate([live.push(x), live.flush()], axis=1)


@pytest.mark.parametrize(("subtype", "rate"), [("PCM_16", 44100), ("PCM_24", RATE), ("FLOAT", RATE)])
def test_a_pipe_gives_the_samples_of_a_file(
    piped: Piped, recording: Recording, toy_folder: Path, tmp_path: Path, subtype: str, rate: int
) -> None:
    noisy, filed = tmp_path / "noisy.wav", tmp_path / "filed.wav"
    noisy.write_bytes(wav_bytes(recording(9.0, rate), subtype, rate))  # two chunks
    assert run(["denoise", str(noisy), "-o", str(filed), "-m", str(toy_folder), "-q"]) == 0
    x = soundfile.read(noisy, dtype="float32", always_2d=True)[0].T
    words = ["-", "-", "-m", str(toy_folder), "--block", "8", "--level", repr(active_db(x, rate))]
    code, out = piped(words, noisy.read_bytes())
    assert code == 0
    found, expected = read(out), read(filed)
    assert found[1] == expected[1] == rate
    np.testing.assert_array_equal(found[0], expected[0])


def test_integers_go_live_too(piped: Piped, recording: Recording) -> None:
    x = recording(3.0, 48000)
    words = ["-", "-", "--precision", "int8", "--level", "-25", "-q"]
    code, out = piped(words, wav_bytes(x, "FLOAT", 48000))
    assert code == 0
    denoiser = Denoiser("podcast", precision="int8")
    live = denoiser.live(48000, 1, gain_for(denoiser.model, -25.0), 0.5)
    np.testing.assert_array_equal(read(out)[0], np.concatenate([live.push(x), live.flush()], axis=1))


@pytest.mark.parametrize(("raw", "subtype"), [("s16", "PCM_16"), ("s24", "PCM_24"), ("f32", "FLOAT")])
def test_samples_without_a_header_go_through_as_they_are(
    piped: Piped, recording: Recording, toy_folder: Path, raw: str, subtype: str
) -> None:
    # At strength 0 every code comes back; the clip shows that nothing wraps around.
    x = recording(0.7, RATE, 2, peak=1.0)
    made = io.BytesIO()
    soundfile.write(made, x.T, RATE, subtype, "LITTLE", "RAW")
    words = ["-", "-", "-m", str(toy_folder), "--strength", "0", "--raw", raw, "--rate", "16000"]
    code, out = piped([*words, "--channels", "2"], made.getvalue())
    assert code == 0
    assert out == made.getvalue()


def test_the_record_is_what_went_out_and_keeps_its_old_self(
    piped: Piped, recording: Recording, toy_folder: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.flac"
    data = wav_bytes(recording(1.0))
    words = ["-", "-", "-m", str(toy_folder), "--block", "0.1", "--record", str(kept)]
    code, out = piped(words, data)
    assert code == 0
    np.testing.assert_array_equal(read(kept)[0], read(out)[0])
    assert "audiodiff" in soundfile.SoundFile(kept).software
    before = kept.read_bytes()
    assert piped(words, data)[0] == 2
    assert kept.read_bytes() == before
    assert piped([*words, "--overwrite"], wav_bytes(recording(0.5)))[0] == 0
    assert read(kept)[0].shape == (1, RATE // 2)


def test_a_reader_that_outlives_its_command_reads_from_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as standard_input:
        monkeypatch.setattr(sys, "stdin", standard_input)
        source = _live.PipeSource(bare_info("PCM_16", RATE, 1))
        source.start()
    other_end, other_write_end = os.pipe()
    assert other_end == read_end  # the number is free again
    for end, data in ((other_write_end, b"ab"), (write_end, b"xy")):
        os.write(end, data)
        os.close(end)
    taken = [source.intake.take(60.0), source.intake.take(60.0)]
    assert taken[0] is not None
    assert (taken[0].size, taken[1]) == (1, None)
    assert os.read(other_end, 9) == b"ab"
    os.close(other_end)


def test_chunks_behind_the_samples_are_no_sound(piped: Piped, recording: Recording, toy_folder: Path) -> None:
    data = wav_bytes(recording(0.5)) + b"LIST" + (400).to_bytes(4, "little") + b"INFO" * 100
    code, out = piped(["-", "-", "-m", str(toy_folder)], data)
    assert code == 0
    assert read(out)[0].shape == (1, RATE // 2)


def test_a_stream_of_unknown_length_ends_with_the_pipe(
    piped: Piped, recording: Recording, toy_folder: Path
) -> None:
    data = bytearray(wav_bytes(recording(0.5)))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    code, out = piped(["-", "-", "-m", str(toy_folder)], bytes(data) + b"\0")  # half a sample more
    assert code == 0
    assert read(out)[0].shape == (1, RATE // 2)


@pytest.mark.parametrize(
    ("words", "data", "code"),
    [
        (["-", "-"], b"", 1),
        (["-", "-"], b"ID3\4 and an mp3 of many bytes", 1),
        (["-", "-"], wav_bytes(np.full((1, 9), 0.1, np.float32))[:30], 1),
        (["-", "-"], wav_bytes(np.full((1, 500), np.nan, np.float32), "FLOAT"), 1),
        (["-", "-", "--rate", "8000"], b"", 2),
        (["-", "-", "--raw", "s16"], b"", 2),
        (["-", "-", "--raw", "mp3", "--rate", "8000"], b"", 2),
        (["-", "-", "--input", "3"], b"", 2),
        (["-", "-", "--block", "0"], b"", 2),
    ],
)
def test_what_cannot_be_cleaned_is_told_in_a_line(
    piped: Piped,
    toy_folder: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    data: bytes,
    code: int,
) -> None:
    assert piped([*words, "-m", str(toy_folder), "-q"], data)[0] == code
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(("ending", "expected"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_pipe_in_good_order(
    piped: Piped, recording: Recording, toy_folder: Path, tmp_path: Path, ending: int, expected: int
) -> None:
    kept = tmp_path / "kept.wav"
    x = recording(2.0)
    words = ["-", "-", "-m", str(toy_folder), "--block", "0.1", "--record", str(kept)]
    code, out = piped(words, wav_bytes(x, "FLOAT"), ending)
    assert code == expected
    found = read(out)[0]
    assert 0 < found.shape[1] <= x.shape[1]
    np.testing.assert_array_equal(found, in_order(Denoiser(toy_folder), x[:, : found.shape[1]], 0.1))
    np.testing.assert_array_equal(read(kept)[0], found)


def test_a_reader_that_leaves_loses_nothing_of_the_record(
    recording: Recording, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, noisy = tmp_path / "kept.wav", tmp_path / "noisy.wav"
    x = recording(2.0)
    noisy.write_bytes(wav_bytes(x, "FLOAT"))
    read_end, write_end = os.pipe()
    os.close(read_end)
    out = io.TextIOWrapper(os.fdopen(write_end, "wb"))
    with noisy.open("rb") as source:
        monkeypatch.setattr(sys, "stdin", source)
        monkeypatch.setattr(sys, "stdout", out)
        words = ["live", "-", "-", "-m", str(toy_folder), "--block", "0.1", "--record", str(kept)]
        assert run(words) == 141
    with contextlib.suppress(BrokenPipeError):
        out.close()
    found = read(kept)[0]
    assert found.shape[1] > 0
    np.testing.assert_array_equal(found, in_order(Denoiser(toy_folder), x[:, : found.shape[1]], 0.1))


def test_a_microphone_is_heard_cleaned_and_kept(
    card: Card, recording: Recording, toy_folder: Path, tmp_path: Path
) -> None:
    card.sound = recording(1.5)
    kept = tmp_path / "kept.wav"
    words = ["live", "-m", str(toy_folder), "--block", "0.1", "--record", str(kept)]
    assert run(words) == 0  # the card sends Ctrl-C at the end of its sound
    expected = in_order(Denoiser(toy_folder), card.sound, 0.1)
    played = card.played()
    assert played.shape[0] == 2  # one channel for two ears
    np.testing.assert_array_equal(played[0], played[1])
    begin, n = int(np.argmax(played[0] != 0)), expected.shape[1]
    np.testing.assert_array_equal(played[0, begin : begin + n], expected[0])
    assert begin > 0
    assert not played[:, begin + n :].any()
    np.testing.assert_allclose(read(kept)[0], expected, atol=2.0**-23)


@pytest.mark.parametrize("rate", [RATE, 22050])
def test_at_the_latency_that_is_told_a_loudspeaker_never_waits(
    card: Card, toy_model: Model, recording: Recording, rate: int
) -> None:
    denoiser = Denoiser(toy_model, steps=1)
    x, info, tick = recording(1.5, rate), replace(INFO, sample_rate=rate), rate // 100

    def missed(reserve_s: float, late: int) -> int:
        card.output, speaker = None, Loudspeaker(None, info)
        blocks = iter([x[:, i : i + tick] for i in range(0, rate, tick)])

        class Clock(Intake):
            """Time goes on by what is taken: the card plays as much as it records, or a little ahead."""

            ahead = late

            def take(self, timeout_s: float) -> Samples | None:  # noqa: ARG002
                if card.output is not None:
                    card.output.call(tick + self.ahead)
                    self.ahead = 0
                return next(blocks, None)

        source = SimpleNamespace(info=info, intake=Clock(1), gaps=0, alive=True, close=lambda: None)
        live = denoiser.live(rate, block_s=0.1)
        Session(live, source, speaker.write, speaker, reserve_s).run(Stop())
        return speaker.missed

    card.silent = True
    assert missed(0.0, 0) == 0
    if rate == RATE:  # without resamplers, whose delay changes, the latency is sharp
        assert missed(0.0, 300) == 300
    assert missed(0.04, 300) == 0


def test_what_has_no_room_is_counted(recording: Recording) -> None:
    intake = Intake(2)
    for start in range(0, 500, 100):
        intake.offer(recording()[:, start : start + 100])
    assert intake.lost == 300
    assert [intake.take(0).shape[1] for _ in range(2)] == [100, 100]  # type: ignore[union-attr]


def test_what_comes_too_late_is_counted(card: Card) -> None:
    card.silent = True
    speaker = Loudspeaker(None, INFO)
    speaker.start(10)
    speaker.write(np.ones((1, 20), dtype=np.float32))
    assert card.output is not None
    heard = card.output.call(50)
    assert speaker.missed == 20
    np.testing.assert_array_equal(heard[:, 0], [0] * 10 + [1] * 20 + [0] * 20)


def test_a_machine_that_is_too_slow_is_refused(
    card: Card, toy_folder: Path, monkeypatch: pytest.MonkeyPatch, recording: Recording
) -> None:
    monkeypatch.setattr(_live, "load_of", lambda *_: 1.2)
    card.sound = recording(0.5)
    assert run(["live", "-m", str(toy_folder)]) == 2
    assert card.input is None


def test_devices_are_listed_and_missed(
    card: Card, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["live", "--devices"]) == 0
    assert "imitation" in capsys.readouterr().out
    assert run(["live", "--input", "nothing"]) == 2
    card.exists = False
    for words in (["live"], ["live", "--devices"]):
        assert run(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_microphone_that_goes_away_is_told_and_the_record_kept(
    card: Card, recording: Recording, toy_folder: Path, tmp_path: Path
) -> None:
    card.sound, card.breaks = recording(1.5), True
    kept = tmp_path / "kept.wav"
    assert run(["live", "-m", str(toy_folder), "--block", "0.1", "--record", str(kept)]) == 2
    expected = in_order(Denoiser(toy_folder), card.sound, 0.1)
    np.testing.assert_allclose(read(kept)[0], expected, atol=2.0**-23)


@pytest.mark.parametrize("words", [["live"], ["live", "--devices"]])
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(words) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "sounddevice" in err
