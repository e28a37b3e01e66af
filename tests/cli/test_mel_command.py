"""Promise: mel files are made, shown and rewritten by one command each; a refusal is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiodiff.cli import run
from audiodiff.io.mel_file import read_mel
from audiodiff.signal.mel import PRESETS, convert, mel
from audiodiff.signal.resample import resample
from benchmarks.mel_presets import clip
from tests.errors import refusal

pytestmark = pytest.mark.slow

Out = pytest.CaptureFixture[str]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    x = clip(32000).astype(np.float32)
    soundfile.write(path, np.stack([x, 0.5 * x], axis=1), 32000, subtype="FLOAT")
    return path


def test_compute(talk: Path, capsys: Out) -> None:
    assert run(["mel", "compute", str(talk), "--mel", "rfwave"]) == 0
    target = talk.with_name("talk.rfwave.npz")
    said = capsys.readouterr()
    assert said.out == f"{target}\n"
    assert said.err == "talk.wav: 2 channels mixed to mono, 32000 Hz resampled to 24000 Hz\n"
    mono = soundfile.read(talk, dtype="float32")[0].mean(axis=1, dtype=np.float32)
    wave = resample(mono[None], 32000, 24000)[0]
    spec = PRESETS["rfwave"]
    assert np.array_equal(read_mel(target).values, mel(torch.from_numpy(wave), spec).numpy())
    assert refusal("mel", "compute", talk, "--mel", "rfwave")[:2] == (2, "exists")
    assert run(["mel", "compute", str(talk), "--mel", "rfwave", "--overwrite"]) == 0


def test_compute_of_an_inverted_channel(talk: Path, capsys: Out) -> None:
    x, rate = soundfile.read(talk, dtype="float32")
    values = []
    for factor in (1, -1):
        soundfile.write(talk, np.stack([x[:, 0], factor * x[:, 0]], axis=1), rate, subtype="FLOAT")
        assert run(["mel", "compute", str(talk), "--mel", "rfwave", "--overwrite"]) == 0
        values.append(read_mel(talk.with_name("talk.rfwave.npz")).values)
        assert capsys.readouterr().err.count("\n") == 1
    assert np.array_equal(values[0], values[1])


def test_compute_goes_on_after_a_failure(talk: Path, tmp_path: Path, capsys: Out) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    out = tmp_path / "out"
    arguments = ["mel", "compute", str(broken), str(talk), "--mel", "hifigan", "-o", str(out)]
    assert refusal(*arguments)[:2] == (2, "unwritable")
    out.mkdir()
    assert run(arguments) == 1
    said = capsys.readouterr()
    assert said.out == f"{out / 'talk.hifigan.npz'}\n"
    assert "broken.wav: " in said.err
    assert refusal("mel", "compute", broken, "--mel", "hifigan")[:2] == (1, "unreadable")


def test_a_wrong_name_is_refused(talk: Path, capsys: Out) -> None:
    assert run(["mel", "compute", str(talk), "--mel", "vocso"]) == 2
    assert "did you mean 'vocos'?" in capsys.readouterr().err


def test_inspect(talk: Path, capsys: Out) -> None:
    target = talk.with_name("t.safetensors")
    assert run(["mel", "compute", str(talk), "--mel", "tacotron2", "-o", str(target)]) == 0
    capsys.readouterr()
    assert run(["mel", "inspect", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(target)
    shown = {line[2:14].strip(): line[14:] for line in lines[1:]}
    assert shown["convention"] == "tacotron2 (also speechbrain-22k, bridgevoc-22k)"
    assert shown["fingerprint"] == PRESETS["tacotron2"].fingerprint
    assert shown["shape"] == "80 bands x 61 frames"
    assert shown["seconds"] == f"{60 * 256 / 22050:.3f}"
    assert shown["tuple"] == PRESETS["tacotron2"].describe()
    assert shown["range"].startswith("-11.51 to ")


def test_inspect_guesses_a_bare_array_aloud(talk: Path, tmp_path: Path, capsys: Out) -> None:
    bare = tmp_path / "bare.npy"
    assert run(["mel", "compute", str(talk), "--mel", "vocos", "-o", str(bare)]) == 0
    capsys.readouterr()
    assert run(["mel", "inspect", str(bare)]) == 0
    out = capsys.readouterr().out
    assert "vocos (not stored in the file)" in out
    assert "guessed: vocos [bands, frames]" in out
    assert "the smallest value -16.12 is its floor" in out
    assert "runner-up vocos-same" in out
    assert run(["mel", "inspect", str(bare), "--mel", "f5-vocos"]) == 0
    assert "guessed" not in capsys.readouterr().out
    assert run(["mel", "inspect", str(bare), str(tmp_path / "none.npz")]) == 1


def test_convert(talk: Path, capsys: Out) -> None:
    run(["mel", "compute", str(talk), "--mel", "rfwave"])
    source = talk.with_name("talk.rfwave.npz")
    capsys.readouterr()
    assert run(["mel", "convert", str(source), "--to", "vocos"]) == 0
    target = talk.with_name("talk.rfwave.vocos.npz")
    said = capsys.readouterr()
    assert said.out == f"{target}\n"
    assert said.err == "talk.rfwave.npz: rfwave to vocos, exact: logarithm, floor and scaling rewritten\n"
    values = torch.from_numpy(read_mel(source).values)
    wanted = convert(values, PRESETS["rfwave"], PRESETS["vocos"])[0]
    assert np.array_equal(read_mel(target).values, wanted.numpy())
    assert read_mel(target).spec == PRESETS["vocos"]


def test_convert_refuses_with_the_reason(talk: Path, capsys: Out) -> None:
    run(["mel", "compute", str(talk), "--mel", "vocos"])
    source = talk.with_name("talk.vocos.npz")
    capsys.readouterr()
    assert run(["mel", "convert", str(source), "--to", "bigvgan-24k"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"audiodiff: {source}: from vocos to bigvgan-24k: this mel cannot be rewritten in the other "
        "convention: scale htk against slaney, norm none against slaney; the bands are other mixtures of "
        "frequencies: rebuild the waveform from it and compute the mel anew\n"
    )
    assert not source.with_name("talk.vocos.bigvgan-24k.npz").exists()


def test_convert_says_what_it_guessed(talk: Path, tmp_path: Path, capsys: Out) -> None:
    bare = tmp_path / "bare.npy"
    run(["mel", "compute", str(talk), "--mel", "rfwave", "-o", str(bare)])
    capsys.readouterr()
    assert run(["mel", "convert", str(bare), "--to", "vocos"]) == 0
    assert "note: bare.npy: the convention is not stored, guessed: rfwave" in capsys.readouterr().err
    assert run(["mel", "convert", str(bare), "--to", "vocos", "--mel", "rfwave", "--overwrite"]) == 0
    assert "note" not in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from audiodiff.cli import run\n"
        "for words in ([], ['compute'], ['inspect'], ['convert']):\n"
        "    assert run(['mel', *words, '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'librosa', 'soundfile'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_a_command_is_asked_for(capsys: Out) -> None:
    assert run(["mel"]) == 2
    assert "Missing command" in capsys.readouterr().err
