"""Promise: the shipped model is whole, small, and cleans the sample recording; what the README shows runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiodiff import Denoiser
from audiodiff.batch.denoise_task import denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.evaluation.waveform import si_sdr
from audiodiff.model.folder import find, verify
from audiodiff.signal.mel import PRESETS, mel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NOISY = ROOT / "samples" / "interview_noisy.flac"
CLEAN = ROOT / "samples" / "interview_clean.flac"


def test_model_is_whole_and_small() -> None:
    folder = find("podcast")
    model = verify(folder)
    assert sum(parameter.numel() for parameter in model.net.parameters()) <= 10_000_000
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20_000_000
    assert model.sample_rate == 48_000
    card = (folder / "card.md").read_text(encoding="utf-8")
    for promised in ("## Scores", "## Data", "licence", "steps", "audio seen"):
        assert promised in card


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sample") / "cleaned.flac"
    assert denoise_file(NOISY, target, Denoiser(), Options()).status == "done"
    return target


def test_the_sample_gets_cleaner(cleaned: Path) -> None:
    clean, noisy, result = (soundfile.read(path, dtype="float32")[0] for path in (CLEAN, NOISY, cleaned))
    before, after = si_sdr(clean, noisy), si_sdr(clean, result)
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert after > before + 4.0


def test_the_sample_keeps_its_format(cleaned: Path) -> None:
    before, after = soundfile.info(NOISY), soundfile.info(cleaned)
    for name in ("frames", "samplerate", "channels", "format", "subtype"):
        assert getattr(before, name) == getattr(after, name)


@pytest.mark.parametrize("rate", [16000, 22050, 32000, 44100])
def test_noise_falls_at_the_top_of_the_band_as_below_it(rate: int) -> None:
    noisy = (0.05 * np.random.default_rng(0).standard_normal(2 * rate)).astype(np.float32)
    cleaned = Denoiser(threads=1).denoise(noisy, rate)
    middle = slice(rate // 4, -(rate // 4))
    before, after = (
        np.abs(np.fft.rfft(x[middle] * np.hanning(x[middle].size))) ** 2 for x in (noisy, cleaned)
    )
    share = np.linspace(0, 1, before.size)

    def fall_db(low: float, high: float) -> float:
        band = (share >= low) & (share < high)
        return float(10 * np.log10(before[band].sum() / after[band].sum()))

    below = fall_db(0.5, 0.9)
    assert below > 25
    for low, high in ((0.9, 0.95), (0.95, 0.98), (0.98, 0.99), (0.99, 1.0)):
        assert fall_db(low, high) > min(below, 60) - 6


def test_the_snippets_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    denoising, vocoding = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    audio, sample_rate = soundfile.read(NOISY, dtype="float32")
    soundfile.write(tmp_path / "talk.wav", audio[: 2 * sample_rate], sample_rate)
    np.save(tmp_path / "talk.npy", mel(torch.zeros(22050), PRESETS["hifigan"]).numpy())
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for snippet in (denoising, vocoding):
        exec(compile(snippet, "README.md", "exec"), names)
    cleaned, speech = names["clean"], names["speech"]
    assert isinstance(cleaned, np.ndarray)
    assert cleaned.shape == (2 * sample_rate,)
    assert isinstance(speech, np.ndarray)
    assert speech.shape == (22016,)  # 86 hops of 256


def test_the_files_the_readme_names_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:samples|recipes|benchmarks|audiodiff|tests)/[\w/.-]+\w", text))
    assert len(named) > 8
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing


def test_readme_commands_are_one_line_each() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if line.startswith("    python3 -m venv")]
    assert len(commands) == 2
