"""Promise: speech from text: phones are found in time, a model learns them, a text becomes a file."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from audiodiff.io.mel_file import read_mel
from audiodiff.signal.mel import PRESETS, mel
from audiodiff.signal.mel_inversion import length

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[1] / "recipes" / "text"
MODULES = ("espeak", "align", "acoustic", "prepare", "train", "predict", "speak")


@pytest.fixture(scope="module")
def recipe() -> Iterator[dict[str, ModuleType]]:
    """The recipe's files as modules; its folder is on the path as it is for ``python recipes/text/...``."""
    sys.path.insert(0, str(RECIPE))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(RECIPE))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def voiced(recipe: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """The same where espeak-ng is installed."""
    if not recipe["espeak"].available():
        pytest.skip("espeak-ng is not installed (apt-get install espeak-ng)")
    return recipe


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


def test_the_best_path_is_that_of_an_exhaustive_search(recipe: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(0)
    for skippable in ([False, True, False, True], [True, False, True, False], [False, False, False, False]):
        scores = rng.standard_normal((6, 4))
        found = recipe["align"].viterbi(scores, np.array(skippable))
        paths = [p for p in np.ndindex(*[4] * 6) if legal(p, skippable)]
        best = max(paths, key=lambda p: scores[np.arange(6), p].sum())
        assert found.tolist() == list(best)
    assert recipe["align"].viterbi(scores[:3], np.array(skippable)).tolist() == [-1] * 3


def legal(path: tuple[int, ...], skippable: list[bool]) -> bool:
    """From the first state to the last, none left out but those that may be."""
    starts = path[0] == 0 or (path[0] == 1 and skippable[0])
    ends = path[-1] == 3 or (path[-1] == 2 and skippable[3])
    steps = itertools.pairwise(path)
    return starts and ends and all(0 <= b - a <= 1 or (b - a == 2 and skippable[a + 1]) for a, b in steps)


def test_durations_of_sequences_of_known_gaussians_are_found(recipe: dict[str, ModuleType]) -> None:
    rng = np.random.default_rng(1)
    centres = 2 * rng.standard_normal((12, 8))
    centres[0] = 0
    centres[0, 0] = -8  # the pause is the quiet one
    features, units, weights, truth = [], [], [], []
    for _ in range(40):
        said = rng.integers(1, 12, 15)
        unit = np.insert(said, [0, 7, 15], 0)
        frames = rng.integers(4, 16, unit.size)
        frames[unit == 0] *= rng.integers(0, 2, 3)  # pauses that were not made
        names = np.repeat(unit, frames)
        features.append(centres[names] + rng.standard_normal((names.size, 8)))
        units.append(unit)
        weights.append(np.where(unit == 0, 1.0, 10.0))
        truth.append(frames)
    found = recipe["align"].align(features, units, weights, 0)
    assert all(f.sum() == len(x) for f, x in zip(found, features, strict=True))
    apart = np.concatenate([np.abs(np.cumsum(f) - np.cumsum(t)) for f, t in zip(found, truth, strict=True)])
    assert np.mean(apart <= 1) > 0.95
    with pytest.raises(ValueError, match="too few"):
        recipe["align"].align([features[0][:10]], units[:1], weights[:1], 0)


def test_the_pitch_of_a_gliding_buzz_is_found(recipe: dict[str, ModuleType]) -> None:
    rate, hop, n = 24000, 256, 24000
    hz = np.linspace(140, 260, n)
    phase = 2 * np.pi * np.cumsum(hz) / rate
    buzz = np.stack([np.cos(k * phase) / k for k in range(1, 9)]).sum(0).astype(np.float32)
    silence = np.zeros(n, np.float32)
    found = recipe["acoustic"].pitch(np.concatenate([buzz, silence]), rate, hop, 2 * n // hop)
    inner = slice(3, n // hop - 3)
    wanted = hz[(np.arange(n // hop) * hop + hop // 2)]
    np.testing.assert_allclose(found[: n // hop][inner], wanted[inner], rtol=0.03)
    assert np.isnan(found[n // hop + 5 :]).all()


def test_a_model_comes_back_from_its_file_and_says_its_plan(
    recipe: dict[str, ModuleType], tmp_path: Path
) -> None:
    acoustic = recipe["acoustic"]
    model = acoustic.TextToMel(["", "a", "b"], PRESETS["bigvgan-24k"]).eval()
    assert 0.4e6 < sum(p.numel() for p in model.parameters()) < 0.6e6
    acoustic.save(tmp_path, model)
    again = acoustic.load(tmp_path)
    ids = again.numbers(("", "aː", "b", ""))  # a length mark that it does not know
    assert ids.tolist() == [0, 1, 2, 0]
    plan = again.planned(ids, np.array([[-3, 0], [-2, 1], [-2, 0], [-3, 0]], np.float32))
    assert again.mel(plan).shape == (100, plan.frames.sum())
    torch.testing.assert_close(again.mel(plan), model.mel(plan), atol=0.02, rtol=0.02)
    with pytest.raises(ValueError, match="'x'"):
        again.numbers(("x",))


def test_espeak_tells_phones_and_their_times(voiced: dict[str, ModuleType]) -> None:
    spoken = voiced["espeak"].speak("See, a map.")
    assert [s for s in spoken.symbols if s] == ["s", "iː", "ɐ", "m", "æ", "p"]
    assert spoken.symbols[0] == spoken.symbols[-1] == ""
    assert spoken.symbols.count("") == 3
    assert [s for s, f in zip(spoken.symbols, spoken.first, strict=True) if f] == ["s", "ɐ", "m"]
    total = spoken.samples.size / spoken.sample_rate + 2 * voiced["espeak"].EDGE_S
    assert spoken.seconds.sum() == pytest.approx(total, abs=0.05)
    with pytest.raises(voiced["espeak"].EspeakError, match="nothing"):
        voiced["espeak"].speak(" ")
    with pytest.raises(voiced["espeak"].EspeakError, match="no voice"):
        voiced["espeak"].speak("a", "nobody")


def test_alignment_finds_the_times_at_which_espeak_spoke(voiced: dict[str, ModuleType]) -> None:
    prepare, espeak = voiced["prepare"], voiced["espeak"]
    spoken, mels, truth = [], [], []
    for _, text, samples in prepare.smoke_recordings():
        mels.append(mel(torch.from_numpy(samples), prepare.SPEC).numpy())
        said = espeak.speak(text, prepare.SMOKE_VOICE)
        truth.append(phone_starts(said.symbols, said.seconds) - espeak.EDGE_S)
        open_pauses = espeak.with_optional_pauses(said)
        flat = np.ones(len(open_pauses.symbols))  # so that nothing of the truth is told
        spoken.append(
            espeak.Spoken(open_pauses.symbols, flat, open_pauses.first, said.samples, said.sample_rate)
        )
    symbols = sorted({s for each in spoken for s in each.symbols})
    frames = prepare.aligned(spoken, mels, symbols)
    hop_s = prepare.SPEC.hop / prepare.SPEC.sample_rate
    pairs = zip(spoken, frames, truth, strict=True)
    apart = np.concatenate([np.abs(phone_starts(s.symbols, f * hop_s) - t) for s, f, t in pairs])
    assert np.median(apart) < 0.03


def phone_starts(symbols: tuple[str, ...], seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """When each phone begins, pauses left out."""
    starts: npt.NDArray[np.float64] = np.cumsum(seconds) - seconds
    heard: npt.NDArray[np.float64] = starts[np.array(symbols) != ""]
    return heard


def test_the_smoke_run_learns_and_speaks(
    voiced: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder, wav = tmp_path / "data", tmp_path / "model", tmp_path / "hello.wav"
    run(voiced["prepare"], monkeypatch, "--smoke", data)
    run(voiced["train"], monkeypatch, data, folder, "--steps", 40, "--batch", 3)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    assert rows[-1]["loss"] < 0.75 * rows[0]["loss"]
    run(voiced["predict"], monkeypatch, data, tmp_path / "pred", tmp_path / "ref", "--model", folder)
    for name in ("smoke05", "smoke10"):
        file = read_mel(tmp_path / "pred" / f"{name}.npz")
        recording, rate = soundfile.read(tmp_path / "ref" / f"{name}.wav", dtype="float32")
        assert (file.stored, file.spec, rate) == (True, PRESETS["bigvgan-24k"], 24000)
        assert length(file.spec, file.values.shape[1]) == recording.size
        own = mel(torch.from_numpy(recording), file.spec).numpy()
        assert np.abs(file.values - own).mean() < 0.9 * np.abs(own - own.mean(1, keepdims=True)).mean()
    speak = voiced["speak"].main
    assert speak(["The map is blue.", "-o", str(wav), "--model", str(folder)]) == 0
    samples, rate = soundfile.read(wav)
    assert rate == 24000
    assert 0.5 < samples.size / rate < 4
    assert np.abs(samples).max() > 1e-3
    assert speak(["The map.", "-o", str(wav), "--model", str(folder)]) == 1  # it is there already
    assert speak(["The map.", "-o", str(wav.with_suffix(".npz")), "--model", str(folder)]) == 0
    assert read_mel(wav.with_suffix(".npz")).spec == PRESETS["bigvgan-24k"]


def test_the_shipped_model_says_a_sentence_in_the_time_of_a_sentence(
    voiced: dict[str, ModuleType], tmp_path: Path
) -> None:
    path = tmp_path / "fox.npz"
    assert voiced["speak"].main(["The quick brown fox jumps over the lazy dog.", "-o", str(path)]) == 0
    file = read_mel(path)
    assert 1.5 < file.values.shape[1] * file.spec.hop / file.spec.sample_rate < 5
    level = file.values.mean(0)
    assert np.median(level) - level[:3].mean() > 1  # it begins with silence
