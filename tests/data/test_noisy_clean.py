"""Promise: two folders become pairs; training hears both sides of one place; what has no partner is told."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiodiff.cli import run
from audiodiff.data.noisy_clean import (
    PairDraw,
    PairedClips,
    dev_recordings,
    noisy_clean_batch,
    pair_folders,
)
from audiodiff.data.shards import write_shards
from audiodiff.data.store import Store
from audiodiff.errors import DataError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.settings import dump_json, parse
from audiodiff.signal.level import active_db
from audiodiff.training.log import read_log
from audiodiff.training.prepare import make_task
from audiodiff.training.ranks import ALONE
from audiodiff.training.recipe import Recipe
from audiodiff.training.run import run as train
from tests.data.conftest import RATE, voice
from tests.training import toy_training

pytestmark = pytest.mark.slow  # packs stores and trains

SPEAKERS = ("p226", "p227", "p228", "p230")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Eight pairs of four speakers named as in VoiceBank+DEMAND; the noise of each is a tone of its own."""
    root = tmp_path_factory.mktemp("voicebank")
    clean, noisy = root / "clean_trainset_28spk_wav", root / "noisy_trainset_28spk_wav"
    clean.mkdir()
    noisy.mkdir()
    for number in range(8):
        speech = voice(1.0 + 0.2 * number, 100 + 20 * number, number)
        tone = 0.05 * np.sin(np.arange(speech.size) * (0.2 + 0.1 * number))
        name = f"{SPEAKERS[number % 4]}_{number:03d}.wav"
        soundfile.write(clean / name, speech, RATE, subtype="FLOAT")
        soundfile.write(noisy / name, speech + tone, RATE, subtype="FLOAT")
    return clean, noisy


@pytest.fixture(scope="module")
def paired(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    target = tmp_path_factory.mktemp("packed") / "store"
    clean, noisy = map(str, folders)
    arguments = ["prepare", str(target), "--clean", clean, "--noisy", noisy, "--sample-rate", str(RATE)]
    assert run(arguments) == 0
    return Store(target)


def test_each_noisy_side_lies_behind_its_clean_one(folders: tuple[Path, Path], paired: Store) -> None:
    kinds = [entry.kind for entry in paired.entries]
    assert kinds == ["speech", "noisy"] * 8
    assert {entry.speaker.rpartition("/")[2] for entry in paired.entries} == set(SPEAKERS)
    assert {"train", "dev"} <= {entry.split for entry in paired.entries}
    for number, path in enumerate(sorted(folders[0].iterdir())):
        for side, folder in enumerate(folders):
            expected, _ = soundfile.read(folder / path.name, dtype="float32")
            # 16 bit of the peak; nothing is filtered
            np.testing.assert_allclose(paired.read(2 * number + side), expected, atol=2e-5)
        assert paired.entries[2 * number].split == paired.entries[2 * number + 1].split


def test_a_batch_holds_both_sides_of_one_place_and_follows_from_its_step(paired: Store) -> None:
    clips, draw = PairedClips(paired, "train"), PairDraw(seed=3, batch=8, n_samples=8000, level_db=-25.0)
    noisy, clean, bandwidth_hz = noisy_clean_batch(clips, draw, 5)
    again = noisy_clean_batch(clips, draw, 5)
    assert torch.equal(noisy, again[0])
    assert not torch.equal(noisy, noisy_clean_batch(clips, draw, 6)[0])
    assert bandwidth_hz.tolist() == [RATE / 2] * 8
    for y, x in zip(noisy.numpy(), clean.numpy(), strict=True):
        assert active_db(y, RATE) == pytest.approx(-25.0, abs=0.01)
        # what is left is the pair's one tone: a single line of the spectrum, and nothing of the voice
        power = np.abs(np.fft.rfft((y - x) * np.hanning(y.size))) ** 2
        peak = int(power.argmax())
        assert power[peak - 2 : peak + 3].sum() > 0.999 * power.sum()


def test_a_pair_that_is_too_short_ends_in_silence(paired: Store) -> None:
    draw = PairDraw(seed=0, batch=2, n_samples=5 * RATE, level_db=-25.0)
    noisy, clean, _ = noisy_clean_batch(PairedClips(paired, "train"), draw, 0)
    assert noisy.shape == clean.shape == (2, 5 * RATE)
    assert not noisy[:, -2 * RATE :].any()
    assert not clean[:, -2 * RATE :].any()


def test_dev_recordings_are_whole_pairs_of_other_speakers(paired: Store) -> None:
    clips = PairedClips(paired, "dev")
    items = dev_recordings(clips, 99)
    assert len(items) == len(clips.positions)
    for item, position in zip(items, clips.positions, strict=True):
        np.testing.assert_array_equal(item.clean, paired.read(position))
        np.testing.assert_array_equal(item.noisy, paired.read(position + 1))


@pytest.mark.parametrize("representation", ["spectrum", "waveform"])
def test_a_recipe_of_pairs_reads_them(paired: Store, representation: str) -> None:
    data = {"kind": "noisy_clean", "store": str(paired.folder), "batch": 2, "segment_s": 0.2}
    if representation == "spectrum":
        recipe = toy_training.recipe(data=data, model={"sample_rate": RATE})
    else:
        smoke = Path(__file__).parents[2] / "recipes" / "wave_unet" / "smoke.toml"
        recipe = parse(Recipe, {**tomllib.loads(smoke.read_text(encoding="utf-8")), "data": data})
    assert json.loads(dump_json(recipe))["data"]["kind"] == "noisy_clean"
    loader = make_task(recipe).loader(ALONE)
    stream = loader.batches(4)
    batch = next(stream)
    stream.close()
    expected = noisy_clean_batch(
        PairedClips(paired, "train"), PairDraw(recipe.run.seed, 2, round(0.2 * RATE), -25.0), 4
    )
    assert all(torch.equal(found, wanted) for found, wanted in zip(batch, expected, strict=True))
    assert len(loader.dev_items(2)) == 2


@pytest.mark.slow
def test_a_denoiser_trains_from_pairs(paired: Store, tmp_path: Path) -> None:
    tiny = Path(__file__).parents[2] / "recipes" / "tiny" / "recipe.toml"
    values = tomllib.loads(tiny.read_text(encoding="utf-8"))
    values["data"] = {"kind": "noisy_clean", "store": str(paired.folder), "batch": 2, "segment_s": 0.5}
    values["optim"] |= {"steps": 2}
    values["run"] |= {"validate_items": 1, "device": "cpu", "bf16": "off"}
    outcome = train(parse(Recipe, values), tmp_path / "run")
    assert outcome.finished
    found = Denoiser(tmp_path / "run" / "model", threads=1).denoise(paired.read(1), RATE)
    assert found.shape == paired.read(1).shape
    assert np.isfinite(found).all()
    valid = [row for row in read_log(tmp_path / "run" / "log.jsonl") if row["kind"] == "valid"]
    assert [list(row["parts"]) for row in valid] == [["pairs"]]


def test_files_without_a_partner_and_of_other_lengths_are_told(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, noisy = tmp_path / "clean", tmp_path / "noisy"
    for folder, source in ((clean, folders[0]), (noisy, folders[1])):
        folder.mkdir()
        for path in sorted(source.iterdir())[:4]:
            (folder / path.name).write_bytes(path.read_bytes())
    names = sorted(path.name for path in clean.iterdir())
    (clean / names[0]).unlink()
    (noisy / names[1]).unlink()
    shorter, _ = soundfile.read(noisy / names[2])
    soundfile.write(noisy / names[2], shorter[:-100], RATE)
    target = tmp_path / "store"
    sides = ["--clean", str(clean), "--noisy", str(noisy), "--sample-rate", str(RATE)]
    assert run(["prepare", str(target), *sides]) == 1
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("left out: ")]
    assert [line.split(": ")[1] for line in lines] == [
        str(clean / names[2]),
        str(noisy / names[0]),
        str(clean / names[1]),
    ]
    assert "pairs: 1 of 2 packed, 2 files without a partner" in told.out
    assert [entry.kind for entry in Store(target).entries] == ["speech", "noisy"]


def test_numbered_files_of_the_dns_challenge_and_test_folders_are_known(tmp_path: Path) -> None:
    for folder, stem in (("clean_testset", "clean_fileid_{}"), ("noisy_testset", "book_1_snr5_fileid_{}")):
        (tmp_path / folder).mkdir()
        for number in (1, 11):
            soundfile.write(tmp_path / folder / f"{stem.format(number)}.wav", np.zeros(100), RATE)
    found = pair_folders(tmp_path / "clean_testset", tmp_path / "noisy_testset")
    numbers = [(a.stem.rpartition("_")[2], b.stem.rpartition("_")[2]) for a, b in found.noisy.items()]
    assert sorted(numbers) == [("1", "1"), ("11", "11")]
    assert {clip.split for clip in found.clips} == {"test"}
    with pytest.raises(DataError):
        pair_folders(tmp_path / "clean_testset", Path(__file__).parents[2] / "samples")


def test_pairs_are_not_torn_apart(paired: Store, store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_shards(paired, tmp_path / "shards", 1)
    with pytest.raises(DataError):
        PairedClips(store, "train")
    assert run(["prepare", str(tmp_path / "s"), "--noisy", str(tmp_path)]) == 2
