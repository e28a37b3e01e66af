"""Promise: the vocoder benchmark compares with the recording, runs models as users do, and refuses early."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from audiodiff import Vocoder
from audiodiff.errors import MelError
from audiodiff.evaluation.score import Unscored
from audiodiff.evaluation.voicing import Voicing
from audiodiff.io.mel_file import write_mel
from audiodiff.model.folder import save
from audiodiff.model.model import Model
from audiodiff.signal.mel import PRESETS, mel
from tests import builders

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "samples" / "interview_clean.flac"
SPEC = PRESETS["bigvgan-24k"]
MODULES = ("_vocoder_sets", "_vocoder_ways", "vocoder")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`benchmarks/vocoder.py` with its folder on the path; scores that take long are left out."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = [importlib.import_module(name) for name in MODULES][-1]
    monkeypatch.setattr(module, "distill_mos", lambda *_: Unscored("missing", "left out"))
    for name in ("vocoder", "_vocoder_sets"):
        monkeypatch.setattr(f"{name}.track", lambda *_: Voicing(np.ones(9), np.ones(9)))
    yield module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Mels and the recordings that they are of."""
    x, _ = soundfile.read(SPEECH, dtype="float32", start=48000, frames=48000)
    x = x[::2] + x[1::2]  # 24 kHz; the voice ends at 8
    mels, references = tmp_path / "mels", tmp_path / "references"
    mels.mkdir()
    references.mkdir()
    x = x[: len(x) // SPEC.hop * SPEC.hop]
    soundfile.write(references / "a.wav", x, 24000, subtype="FLOAT")
    write_mel(mels / "a.npz", mel(torch.from_numpy(x), SPEC).numpy(), SPEC)
    return mels, references


def saved(model: Model, folder: Path) -> Path:
    save(folder, model.config, model.net.state_dict(), "# small\n")
    return folder


def voice(folder: Path) -> Path:
    """An untrained `voice`, which gives its start."""
    return saved(builders.voice_model(inversion=3), folder)


def diffwave(folder: Path) -> Path:
    """An untrained model of waveforms with schedules of 2 and 3 steps."""
    return saved(builders.wave_model((1e-4, 0.5), (1e-4, 0.1, 0.5), mel=SPEC), folder)


def rows(text: str) -> dict[str, list[str]]:
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    return {name: numbers for name, *numbers in cells}


def hifigan_clip(clip: Any) -> Any:
    """The same with a mel of another convention."""
    return replace(clip, values=torch.zeros(80, 8))


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["vocoder.py", *map(str, words)])
    threads = torch.get_num_threads()
    try:
        module.main()
    finally:
        torch.set_num_threads(threads)


def test_perfect_predictions_score_as_clean_mels(
    benchmark: ModuleType,
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mels, references = folders
    monkeypatch.setattr("_vocoder_ways.ITERATIONS", {"fast": 3})
    monkeypatch.setattr("_vocoder_ways.LIBROSA_ITERATIONS", 1)
    models = ("--model", voice(tmp_path / "small" / "model"), "--no-times")
    run(benchmark, monkeypatch, references, "--mels", "clean mels", "--steps", 1, 4, *models)
    clean = rows(capsys.readouterr().out)
    run(benchmark, monkeypatch, references, "--mels", "none", "--predictions", mels, references, *models)
    told = capsys.readouterr().out
    predicted = rows(told)
    assert "log mel L1 0.000 from those of the recordings" in told
    assert "trimmed" not in told
    assert list(clean)[2:] == [
        "the recordings",
        "librosa Griffin-Lim 1",
        "inversion fast (3)",
        "small, 1 step",
        "small, 4 steps",
    ]
    assert list(predicted)[-2:] == ["small, 1 step", "small, 2 steps"]  # those of its presets
    for name in ("the recordings", "inversion fast (3)", "small, 1 step"):
        assert predicted[name] == clean[name]
    pesq, m_stft, log_mel, *_ = map(float, clean["the recordings"][:5])
    assert pesq == pytest.approx(4.644, abs=0.001)
    assert m_stft == log_mel == 0
    # an untrained voice is its start: the inversion with the model's own number of iterations
    assert float(clean["small, 1 step"][0]) == pytest.approx(float(clean["inversion fast (3)"][0]), abs=0.02)


def test_a_model_speaks_as_the_vocoder_does_and_its_cost_is_counted(
    benchmark: ModuleType, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    ways = sys.modules["_vocoder_ways"]
    found = sys.modules["_vocoder_sets"].predictions(*folders, None)
    speaker = ways.speakers(str(voice(tmp_path / "small")), [1])[0]
    assert speaker.label == "small, 1 step"
    spoken = ways.methods(found, [speaker])["small, 1 step"](found.clips[0].values)
    expected = Vocoder(tmp_path / "small", steps=1).vocode(found.clips[0].values, SPEC)
    torch.testing.assert_close(spoken, expected, rtol=0, atol=0)
    slow = ways.speakers(str(diffwave(tmp_path / "waves")), [1, 4])  # it has no other schedules than its own
    assert [each.label for each in slow] == ["waves, 2 steps", "waves, 3 steps"]
    assert [each.vocoder.steps for each in slow] == [2, 3]
    spoken = ways.methods(found, slow)["waves, 2 steps"](found.clips[0].values[:, :8])
    assert spoken.shape == (8 * SPEC.hop,)
    with pytest.raises(MelError, match="not the mel of this model"):
        ways.methods(replace(found, spec=PRESETS["hifigan"], clips=[hifigan_clip(found.clips[0])]), slow)
    calls: list[int] = []

    def method(values: torch.Tensor) -> torch.Tensor:
        calls.append(torch.get_num_threads())
        return values

    before = torch.get_num_threads()
    assert ways.cpu_factor(found, method, 1) >= 0
    assert (calls, torch.get_num_threads()) == ([1, 1], before)


def test_a_frame_more_is_trimmed_and_more_is_refused(
    benchmark: ModuleType, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mels, references = folders
    predictions = sys.modules["_vocoder_sets"].predictions
    x, _ = soundfile.read(references / "a.wav", dtype="float32")
    whole = predictions(mels, references, None)
    for samples, frames in ((x[: -SPEC.hop], -1), (np.pad(x, (0, SPEC.hop)), 0)):
        soundfile.write(references / "a.wav", samples, 24000, subtype="FLOAT")
        cut = predictions(mels, references, None)
        assert "1 trimmed by a frame" in cut.title
        assert cut.clips[0].values.shape[1] == whole.clips[0].values.shape[1] + frames
        assert cut.clips[0].samples.size == SPEC.span(cut.clips[0].values.shape[1])
    soundfile.write(references / "a.wav", x[: -2 * SPEC.hop], 24000)
    for change, line in (
        (lambda: None, "predict with the recording's own durations"),
        (lambda: (references / "a.wav").rename(references / "b.wav"), "holds no recording a"),
        (lambda: (mels / "a.npz").unlink(), "predict them first"),
    ):
        change()
        with pytest.raises(SystemExit, match=line):
            run(benchmark, monkeypatch, "--predictions", mels, references)
    with pytest.raises(SystemExit, match="this model denoises"):
        run(benchmark, monkeypatch, references, "--model", "podcast")
    with pytest.raises(SystemExit, match="use --mels none"):
        run(benchmark, monkeypatch, references, "--mel", "diffwave")
