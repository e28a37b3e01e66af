"""Promise: a set is the same for the same arguments, at its ratios, told by its records, and never lost."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.cli import run
from audiodiff.data.mix_set import MixSet, MixSettings, for_scores, plain, stored_names
from audiodiff.data.mixing import MixConfig
from audiodiff.data.sources import open_sources
from audiodiff.data.store import Store
from audiodiff.errors import DataError
from audiodiff.signal.level import active_db
from tests.data.conftest import RATE, voice

SETTINGS = MixSettings(seconds=1.5, seed=4, config=plain((-5.0, 15.0)))


def mix_set(store: Store, folder: Path, settings: MixSettings = SETTINGS) -> MixSet:
    sources = open_sources(store, "train", settings.config.class_weights)
    return MixSet(folder, sources, settings, stored_names(sources))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two speakers and two noises in plain folders; one file is no audio."""
    root = tmp_path_factory.mktemp("origin")
    rng = np.random.default_rng(0)
    for number in range(2):
        (root / "speech" / f"s{number}").mkdir(parents=True)
        soundfile.write(root / "speech" / f"s{number}" / "a.wav", voice(3.0, 100 + 40 * number, number), RATE)
    (root / "noise").mkdir()
    for number in range(2):
        soundfile.write(root / "noise" / f"n{number}.wav", 0.1 * rng.standard_normal(2 * RATE), RATE)
    return root / "speech", root / "noise"


def test_the_same_bytes_for_any_number_of_jobs_and_after_an_interruption(
    store: Store, tmp_path: Path
) -> None:
    assert mix_set(store, tmp_path / "one").write(5, jobs=1) == 5
    assert mix_set(store, tmp_path / "two").write(5, jobs=2) == 5

    class Killed(Exception):
        pass

    def kill(done: int, _total: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        mix_set(store, tmp_path / "killed").write(3, jobs=1, progress=kill)
    # killed between a file and its record
    (tmp_path / "killed" / "records" / "00000.json").unlink()
    (tmp_path / "killed" / "noisy" / "00000.wav").write_bytes(b"half")
    assert mix_set(store, tmp_path / "killed").write(5, jobs=2) >= 3
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "killed")
    assert mix_set(store, tmp_path / "one").write(5) == 0


def test_the_ratio_of_the_files_is_the_records(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    mix_set(store, folder).write(8, jobs=2)
    for path in sorted((folder / "records").iterdir()):
        record = json.loads(path.read_text())
        noisy, clean = (
            soundfile.read(folder / part / f"{path.stem}.wav", dtype="float32")[0]
            for part in ("noisy", "clean")
        )
        assert noisy.size == clean.size == record["seconds"] * RATE
        levels = active_db(clean, RATE), active_db(noisy - clean, RATE)
        assert levels[0] is not None
        assert levels[1] is not None
        assert levels[0] - levels[1] == pytest.approx(record["snr_db"], abs=0.1)
        assert -5 <= record["snr_db"] <= 15


def test_records_tell_where_the_speech_comes_from(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    mix_set(store, folder).write(6, jobs=2)
    inner = slice(80, -80)  # clips that are joined are faded over 5 ms
    n_pieces = 0
    for path in sorted((folder / "records").iterdir()):
        record = json.loads(path.read_text())
        clean, _ = soundfile.read(folder / "clean" / f"{path.stem}.wav", dtype="float32")
        assert 1 <= len(record["noise"]) <= 3
        for piece in record["speech"]:
            position = int(piece["file"].rpartition("#")[2])
            assert store.entries[position].speaker == record["speaker"]
            source = store.read(position, piece["offset"], piece["length"])
            part = clean[piece["at"] : piece["at"] + piece["length"]]
            if part.size > 1000:
                assert abs(np.corrcoef(source[inner], part[inner])[0, 1]) > 0.999
                n_pieces += 1
    assert n_pieces >= 6


def test_what_lies_there_is_replaced_only_when_asked_to(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "noisy").mkdir(parents=True)
    mine = folder / "noisy" / "00000.wav"
    mine.write_bytes(b"mine")
    with pytest.raises(DataError):
        mix_set(store, folder).write(3)
    assert content(folder) == {"noisy/00000.wav": b"mine"}
    assert mix_set(store, folder).write(3, overwrite=True) == 3
    first = content(folder)
    other = MixSettings(seconds=1.5, seed=5, config=SETTINGS.config)
    for settings, count in ((other, 3), (SETTINGS, 2)):
        with pytest.raises(DataError):
            mix_set(store, folder, settings).write(count)
    assert content(folder) == first
    assert mix_set(store, folder, other).write(2, overwrite=True) == 2
    parts = Counter(name.partition("/")[0] for name in content(folder))
    assert parts == {"noisy": 2, "clean": 2, "records": 2, "mix.json": 1}


def test_a_trainings_mixing_keeps_its_corruptions_but_always_has_speech_and_noise(
    store: Store, tmp_path: Path
) -> None:
    config = for_scores(MixConfig(p_clean=0.5, p_noise_only=0.5, p_room=1.0, p_band_limit=1.0), (0.0, 3.0))
    mix_set(store, tmp_path / "set", MixSettings(1.0, 0, config)).write(4)
    records = [json.loads(path.read_text()) for path in (tmp_path / "set" / "records").iterdir()]
    assert all(record["room"] and record["cutoff_hz"] and record["speech"] for record in records)
    assert all(0 <= record["snr_db"] <= 3 for record in records)


def test_the_command_mixes_folders_and_packed_stores(
    folders: tuple[Path, Path], store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech, noise = folders
    common = ["-n", "2", "--seconds", "1", "--seed", "7"]
    arguments = ["mix", str(speech), str(noise), *common, "--snr", "-5", "5", "--sample-rate", str(RATE)]
    assert run([*arguments, "-o", str(tmp_path / "a"), "--jobs", "1"]) == 0
    assert run([*arguments, "-o", str(tmp_path / "b"), "--jobs", "2"]) == 0
    assert content(tmp_path / "a") == content(tmp_path / "b")
    record = json.loads((tmp_path / "a" / "records" / "00000.json").read_text())
    assert {piece["file"] for piece in record["speech"]} <= {"speech/s0/a.wav", "speech/s1/a.wav"}
    assert {piece["file"] for piece in record["noise"]} <= {"noise/n0.wav", "noise/n1.wav"}
    assert run(["mix", str(store.folder), *common, "-o", str(tmp_path / "c")]) == 0
    assert run(["mix", str(speech), *common, "-o", str(tmp_path / "d")]) == 2
    assert run(["mix", str(speech), str(noise), *common]) == 2
    assert not (tmp_path / "d").exists()
    capsys.readouterr()


def test_a_recipe_says_how_to_mix(folders: tuple[Path, Path], tmp_path: Path) -> None:
    recipes = Path(__file__).parents[2] / "recipes"
    arguments = ["mix", *map(str, folders), "-n", "3", "--seconds", "1", "-o", str(tmp_path / "set")]
    assert run([*arguments, "--recipe", str(recipes / "tiny" / "recipe.toml")]) == 0
    index = json.loads((tmp_path / "set" / "mix.json").read_text())
    assert index["sample_rate"] == 16_000
    assert index["mixing"]["p_clean"] == 0.0
    assert run([*arguments, "--recipe", str(recipes / "voice" / "recipe.toml")]) == 2
