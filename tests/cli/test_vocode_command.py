"""Promise: `audiodiff vocode` tells what it guessed, refused and made, for one input as for a folder."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiodiff.batch.own import is_own
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.cli import run
from audiodiff.inference.engine import Samples
from audiodiff.io.bit_rates import source_bit_rate
from audiodiff.io.mel_file import write_mel
from audiodiff.io.reader import probe
from audiodiff.model.folder import save
from audiodiff.signal.mel import PRESETS, mel
from audiodiff.signal.mel_inversion import invert
from tests import builders
from tests.errors import refusal

pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]
FAST = ("--model", "inversion", "--quality", "fast")
HIFIGAN = PRESETS["hifigan"]


@pytest.fixture
def values(recording: Recording) -> Samples:
    wave = recording(0.5, HIFIGAN.sample_rate)[0, : 40 * HIFIGAN.hop]
    return mel(torch.from_numpy(wave), HIFIGAN).numpy()


@pytest.fixture
def wave_folder(tmp_path: Path) -> Path:
    """An untrained small DiffWave at 8 kHz."""
    model = builders.wave_model((1e-4, 0.5), (1e-4, 0.5))
    save(tmp_path / "small", model.config, model.net.state_dict(), "# small\n")
    return tmp_path / "small"


def test_a_mel_file_becomes_speech_that_tells_its_origin(
    tmp_path: Path, values: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "talk.npz", tmp_path / "talk.vocoded.wav"
    write_mel(source, values, HIFIGAN)
    assert run(["vocode", str(source), *FAST, "--seed", "4"]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    wave, rate = soundfile.read(target, dtype="float32")
    expected = invert(torch.from_numpy(values), HIFIGAN, "fast", seed=4).numpy()
    assert rate == HIFIGAN.sample_rate
    assert np.abs(wave - expected).max() <= 2**-16
    with soundfile.SoundFile(target) as file:
        assert "speech re-synthesised by mel inversion" in json.dumps(file.copy_metadata())
    told = read_sidecar(target)
    assert told is not None
    assert (told.task, told.model.name, told.seed, told.options["steps"]) == ("vocode", "inversion", 4, 4)
    assert told.output.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert told.output.seconds == len(wave) / rate
    assert refusal("vocode", source, *FAST)[:2] == (2, "exists")


def test_a_folder_is_made_and_what_it_holds_is_known(tmp_path: Path, values: Samples) -> None:
    source, speech = tmp_path / "talk.npz", tmp_path / "new" / "speech" / "talk.wav"
    write_mel(source, values, HIFIGAN)
    assert run(["vocode", str(source), "-o", f"{speech.parent}/", *FAST, "-q"]) == 0
    assert is_own(speech, "vocode")
    assert not is_own(speech, "denoise")
    assert not is_own(source, "vocode")
    assert (
        run(["vocode", str(source), str(speech), "-o", f"{speech.parent}/", *FAST, "-q"]) == 1
    )  # one, exists


def test_a_bare_array_is_guessed_aloud_or_named(
    tmp_path: Path, values: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "talk.npy"
    np.save(source, values.T)
    assert run(["vocode", str(source), *FAST]) == 0
    assert "the convention is not stored, guessed: " in capsys.readouterr().err
    assert run(["vocode", str(source), *FAST, "--mel", "hifigan", "--overwrite"]) == 0
    told = capsys.readouterr().err
    assert "not stored" not in told
    assert "was [frames, bands], transposed" in told
    status, code, line = refusal("vocode", source, *FAST, "--mel", "vocos", "--overwrite")
    assert (status, code, "100 bands" in line) == (2, "mel", True)


def test_a_square_array_is_asked_about(
    tmp_path: Path, values: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "square.npy"
    np.save(source, np.tile(values, 2)[:, : HIFIGAN.n_mels])
    words = ["vocode", str(source), *FAST, "--mel", "hifigan"]
    assert run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--mel-axes bands-first" in line
    waves = []
    for axes in ("bands-first", "frames-first"):
        page = tmp_path / f"{axes}.html"
        assert run([*words, "--mel-axes", axes, "--overwrite", "--report", str(page)]) == 0
        assert axes in page.read_text()
        target = Path(capsys.readouterr().out.splitlines()[0])
        told = read_sidecar(target)
        assert told is not None
        assert told.options["mel_axes"] == axes
        waves.append(soundfile.read(target)[0])
    assert waves[0].shape == waves[1].shape
    assert np.abs(waves[0] - waves[1]).max() > 0.01
    assert run(["mel", "inspect", str(source)]) == 2
    assert run(["mel", "inspect", str(source), "--mel-axes", "frames-first"]) == 0
    argv = ("mel", "convert", source, "--to", "tacotron2", "--mel", "hifigan")
    assert refusal(*argv)[:2] == (2, "axes")


def test_copy_synthesis_keeps_the_length_and_says_what_it_does(
    tmp_path: Path, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "talk.wav", tmp_path / "new.flac"
    soundfile.write(source, recording(0.5, 16000, 2).T, 16000)
    assert run(["vocode", str(source), "-o", str(target), "--mel", "hifigan", *FAST]) == 0
    assert "one channel at 22050 Hz, through hifigan" in capsys.readouterr().err
    info = soundfile.info(target)
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (11025, 22050, 1, "PCM_16")


def test_a_recording_that_is_cut_short_is_told_or_refused(
    tmp_path: Path, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "talk.wav", tmp_path / "talk.vocoded.wav"
    soundfile.write(source, recording(0.5, 16000).T, 16000)
    source.write_bytes(source.read_bytes()[:8044])  # 4000 of 8000 samples
    words = ("vocode", str(source), "--mel", "vocos", *FAST)
    status, code, line = refusal(*words, "--strict")
    assert (status, code, "0.249 s" in line, target.exists()) == (1, "truncated", True, False)
    assert run(words) == 0
    assert "0.249 s" in capsys.readouterr().err
    assert soundfile.info(target).duration == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("suffix", "has_mutagen"),
    [
        (".aiff", True),
        (".flac", True),
        (".mp3", True),
        (".caf", True),
        (".ogg", True),
        (".ogg", False),
        (".opus", False),
    ],
)
def test_every_format_with_tags_tells_the_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, has_mutagen: bool
) -> None:
    if not has_mutagen:  # libsndfile writes the texts of Ogg instead
        monkeypatch.setattr("audiodiff.io.tag_vorbis.available", lambda: False)
    target = tmp_path / f"talk{suffix}"
    spec = PRESETS["bigvgan-24k"]  # opus takes 24 kHz, not 22.05
    wave = torch.from_numpy(np.sin(np.arange(6000, dtype=np.float32) / 9))
    write_mel(tmp_path / "talk.npz", mel(wave, spec).numpy(), spec)
    assert run(["vocode", str(tmp_path / "talk.npz"), "-o", str(target), "-q", *FAST]) == 0
    line = "speech re-synthesised by mel inversion"
    assert any(line.encode(code) in target.read_bytes() for code in ("utf-8", "utf-16-le"))
    if suffix != ".mp3":
        assert soundfile.info(target).frames == len(wave) // spec.hop * spec.hop


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".flac"])
def test_pipes(
    tmp_path: Path,
    values: Samples,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    source, target = tmp_path / f"talk{suffix}", tmp_path / "new.wav"
    if suffix == ".flac":
        soundfile.write(source, 0.1 * np.sin(np.arange(4000) / 9), 16000)
    else:
        write_mel(source, values, HIFIGAN)
    words = [*FAST, "--mel", "hifigan"]
    assert run(["vocode", str(source), "-o", str(target), *words]) == 0
    capsysbinary.readouterr()
    expected = soundfile.read(target)[0]
    feed(monkeypatch, source.read_bytes())
    assert run(["vocode", "-", *words]) == 0
    out, told = capsysbinary.readouterr()
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(out))[0], expected)
    assert soundfile.info(io.BytesIO(out)).format == "WAV"
    assert b"real-time factor" in told
    feed(monkeypatch, source.read_bytes())
    assert run(["vocode", "-", "-o", str(tmp_path / "again.wav"), *words]) == 0
    assert capsysbinary.readouterr().out.strip() == bytes(tmp_path / "again.wav")
    np.testing.assert_array_equal(soundfile.read(tmp_path / "again.wav")[0], expected)


def test_pipes_are_refused_where_they_mix(
    tmp_path: Path, values: Samples, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "talk.npz"
    write_mel(source, values, HIFIGAN)
    for words, data, code, line in (
        ([str(source), "-o", "-", "--json"], b"", 2, "--json"),
        ([str(source), "-"], b"", 2, "a pipe"),
        (["-", "--dry-run"], b"", 2, "a pipe"),
        (["-"], b"no audio at all" * 99, 1, "standard-input"),
    ):
        feed(monkeypatch, data)
        assert run(["vocode", *words, *FAST]) == code, words
        captured = capsys.readouterr()
        assert line in captured.err
        assert captured.out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["vocode", str(source), "-o", "-", *FAST]) == 2
    assert "standard output is a terminal" in capsys.readouterr().err


def test_the_default_model_is_named(
    tmp_path: Path, values: Samples, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audiodiff.model.shipped.SHIPPED", tmp_path)
    write_mel(tmp_path / "talk.npz", values, HIFIGAN)
    assert run(["vocode", str(tmp_path / "talk.npz"), "--quality", "fast"]) == 0
    assert "made by inversion, as --model was not given; no model is shipped" in capsys.readouterr().err


def test_refusals_are_one_line(
    tmp_path: Path, values: Samples, wave_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "talk.npz"
    write_mel(source, values, HIFIGAN)
    (tmp_path / "talk.pt").write_bytes(b"anything")
    cases = [
        ([str(source), "--model", str(wave_folder)], 2, "convention", "sample_rate: 22050 against"),
        ([str(source), "--model", "podcast"], 2, "refused", "podcast"),
        ([str(source), *FAST, "--mel", "hifigam"], 2, "mel", "did you mean 'hifigan'?"),
        ([str(source), *FAST, "--mel", "tacotron2"], 2, "mel", "tacotron2: framing"),
        ([str(source), *FAST, "-o", str(tmp_path / "x.txt")], 2, "format", "'.txt'"),
        ([str(source), *FAST, "-o", str(source)], 2, "same_file", str(source)),
        ([str(source), *FAST, "--max-hours", "0.0001"], 1, "too_long", "0.0001 hours"),
        ([str(tmp_path / "talk.pt"), *FAST], 1, "unreadable", "`audiodiff convert`"),
        ([str(tmp_path / "none.npz"), *FAST], 1, "unreadable", "none.npz"),
    ]
    for words, status, code, value in cases:
        assert refusal("vocode", *words)[:2] == (status, code), words
        assert run(["vocode", *words]) == status, words
        told = capsys.readouterr().err.strip()
        assert value in told
        assert len(told.splitlines()) == 1, told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small", "talk.npz", "talk.pt"]


def test_what_is_no_sidecar_is_never_replaced_unasked(tmp_path: Path, values: Samples) -> None:
    source, folder = tmp_path / "talk.npz", tmp_path / "speech"
    write_mel(source, values, HIFIGAN)
    folder.mkdir()
    for target, words in (
        (tmp_path / "talk.vocoded.wav", [str(source)]),
        (folder / "talk.wav", [str(source), "-o", str(folder) + "/"]),
    ):
        notes = target.with_name(target.name + ".audiodiff.json")
        notes.write_text("notes of mine")
        status, code, line = refusal("vocode", *words, *FAST)
        assert (status, code, str(notes) in line) == (2, "exists", True)
        assert notes.read_text() == "notes of mine"
        assert not target.exists()
        assert run(["vocode", *words, *FAST, "--overwrite"]) == 0
        assert read_sidecar(target) is not None


def test_a_slow_model_tells_its_time_first(
    tmp_path: Path, wave_folder: Path, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "talk.wav"
    soundfile.write(source, recording(0.3, 16000).T, 16000)
    assert run(["vocode", str(source), "--model", str(wave_folder)]) == 0
    told = capsys.readouterr().err
    assert "through the model's own mel" in told
    assert "2 steps take" in told
    assert "minutes" in told
    assert soundfile.info(tmp_path / "talk.vocoded.wav").frames == 2400


def test_a_folder_is_done_once(
    tmp_path: Path, values: Samples, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "mels", tmp_path / "speech"
    (folder / "old").mkdir(parents=True)
    write_mel(folder / "a.npz", values, HIFIGAN)
    write_mel(folder / "old" / "b.safetensors", values[:, :20], HIFIGAN)
    soundfile.write(folder / "old" / "c.flac", recording(0.2, 16000).T, 16000)
    (folder / "d.npy").write_bytes(b"no array")
    words = ["vocode", str(folder), "-o", str(out), "--json", "--jobs", "1", *FAST]
    assert run([*words, "--dry-run"]) == 1
    plan = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (plan[-1]["to_do"], plan[-1]["files"]) == (3, 4)
    assert not out.exists()
    assert run(words) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {Path(e["out"]).relative_to(out).as_posix(): e["status"] for e in events[:-1]} == {
        "a.wav": "done",
        "d.wav": "failed",
        "old/b.wav": "done",
        "old/c.wav": "done",
    }
    assert run(words) == 1
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (again["skipped"], again["failed"], again["done"]) == (3, 1, 0)
    sidecar = out / "old" / "b.wav.audiodiff.json"
    told = sidecar.read_bytes()
    sidecar.write_text("notes of mine")
    assert run([*words, "--dry-run"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["to_do"] == 0
    assert run(words) == 1
    assert sidecar.read_text() == "notes of mine"
    capsys.readouterr()
    sidecar.unlink()
    assert run([*words, "--dry-run"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["to_do"] == 1
    assert run(words) == 1
    third = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (third["skipped"], third["failed"], third["done"]) == (2, 1, 1)
    assert sidecar.read_bytes() == told
    assert run([*words, "--seed", "1"]) == 1
    other = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (other["skipped"], other["failed"]) == (0, 4)


def test_a_report_tells_of_mels_and_recordings(
    tmp_path: Path, values: Samples, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, page = tmp_path / "mels", tmp_path / "speech", tmp_path / "pages" / "r.html"
    folder.mkdir()
    write_mel(folder / "a.npz", values, HIFIGAN)
    soundfile.write(folder / "b.flac", recording(0.4, 44100, 2).T, 44100)
    (folder / "c.npy").write_bytes(b"no array")
    words = ["vocode", str(folder), "-o", str(out), "--jobs", "1", *FAST, "--report"]
    assert run([*words, str(tmp_path / "r.wav")]) == 2
    assert not out.exists()
    assert run([*words, str(page)]) == 1
    assert f"audiodiff: report: {page}" in capsys.readouterr().err
    text = page.read_text()
    assert text.index("a.npz") < text.index("b.flac") < text.index("c.npy")
    assert "Before is a plain inversion of the mel" in text
    assert "Before is the recording, mixed to one channel at 24 kHz" in text
    assert text.count('<audio controls preload="none" data-key="a"') == 2
    assert text.count('<audio controls preload="none" data-key="b"') == 2
    assert '<button type="button" data-key="r"' not in text
    assert 'preload="none" data-key="r"' not in text
    assert ">Removed<" not in text
    assert "differ in length" not in text
    assert "cannot be" not in text.replace("cannot be read as", "")
    page.unlink()
    (folder / "c.npy").unlink()
    assert run([*words, str(page)]) == 0
    assert "skipped" in page.read_text()
    assert run(["vocode", "-", "-o", "-", *FAST, "--report", str(page)]) == 2


def test_speech_in_a_format_and_a_bit_rate(tmp_path: Path, values: Samples) -> None:
    write_mel(tmp_path / "talk.npz", values, HIFIGAN)
    words = ["vocode", str(tmp_path / "talk.npz"), *FAST, "--format", "mp3"]
    assert run([*words, "--bitrate", "128k"]) == 0
    target = tmp_path / "talk.vocoded.mp3"
    assert source_bit_rate(probe(target)) == pytest.approx(128_000, abs=10)
    told = read_sidecar(target)
    assert told is not None
    assert (told.options["bitrate"], told.options["format"]) == (128_000, "mp3")
    assert run([*words, "--bitrate", "320k", "--overwrite"]) == 2
    assert run(["vocode", str(tmp_path / "talk.npz"), *FAST, "--format", "m4a"]) == 2


def test_an_inverted_channel_does_not_silence_the_speech(
    tmp_path: Path, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    x = recording(0.5, HIFIGAN.sample_rate)[0]
    soundfile.write(tmp_path / "one.wav", x, HIFIGAN.sample_rate)
    soundfile.write(tmp_path / "two.wav", np.stack([x, -0.99 * x], 1), HIFIGAN.sample_rate)
    waves, lines = [], []
    for name in ("one", "two"):
        assert run(["vocode", str(tmp_path / f"{name}.wav"), *FAST]) == 0
        waves.append(soundfile.read(tmp_path / f"{name}.vocoded.wav")[0])
        lines.append(capsys.readouterr().err.count("\n"))
    np.testing.assert_array_equal(waves[0], waves[1])
    assert lines[1] == lines[0] + 1
