"""Promise: recipes for standard data sets and for one's own folders train on data laid out as they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff import cli
from audiodiff.data.pairs import Degradation, Pair, PairFormat, Tracks, create, write_part
from audiodiff.model.folder import verify
from tests.data.conftest import voice

pytestmark = pytest.mark.slow

FAMILIES = ("bridge", "cdiffuse", "ddpm", "flow", "ouve", "schroedinger")
SPEAKERS = (("p225", "103"), ("p226", "1034"), ("p227", "1040"))
SHORT = ("optim.steps=2", "run.validate_minutes=0.0", "run.bf16=off", "data.batch=2")
SPECTRAL = (
    "data.segment_s=0.4", "network.channels=[4,4,4]", "network.squeeze=2", "network.width=8",
    "network.layers=1", "network.head=4", "network.detail=4",
)  # fmt: skip


def write(path: Path, seconds: float, number: int, noisy: bool = False, rate: int = 24_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = voice(seconds, 100 + 20 * number, number, rate)
    noise = 0.05 * np.random.default_rng(number).standard_normal(sound.size)
    soundfile.write(path, sound + noise if noisy else sound, rate)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the data sets, each with few short files, laid out as the sets are."""
    root = tmp_path_factory.mktemp("sets")
    for number, (vctk, libritts) in enumerate(SPEAKERS):
        write(root / "VCTK" / "wav48" / vctk / f"{vctk}_001.wav", 1.5, number)
        write(
            root / "LibriTTS" / "train-clean-100" / libritts / "7" / f"{libritts}_7_000001_000000.wav",
            1.5,
            number,
        )
        for side in ("clean", "noisy"):
            write(root / f"{side}_trainset_28spk_wav" / f"{vctk}_001.wav", 1.0, number, side == "noisy")
    (root / "noise").mkdir()
    for number in range(2):
        sound = 0.1 * np.random.default_rng(number).standard_normal(24_000)
        soundfile.write(root / "noise" / f"{number}.wav", sound, 24_000)
    return root


@pytest.fixture(scope="module")
def pairs(data: Path) -> Path:
    """A store of pairs as `audiodiff pairs` makes it, without its inversions."""
    rate, folder = 24_000, data / "pairs24"
    create(folder, PairFormat(rate, rate, 4, 0))
    row = Pair("ann", "A", rate // 2, -25.0, 1.0, "bigvgan-24k", 8, 0, Degradation())
    sounds = [voice(1.0, 120.0, seed, rate) for seed in range(2)]
    for split in ("train", "dev"):
        write_part(folder, split, 0, [(Tracks(sound, sound, sound), row) for sound in sounds])
    return folder


def prepare(store: Path, *words: str | Path) -> Path:
    assert cli.run(["prepare", str(store), *map(str, words)]) == 0
    return store


def train(name: str, store: Path, run: Path, *changes: str) -> Path:
    """Two steps by a recipe's name; the folder of its model."""
    command = ["train", name, f"data.store={store}", *SHORT, *changes, "-o", str(run)]
    assert cli.run(command) == 0
    return run / "model"


@pytest.fixture(scope="module")
def voicebank(data: Path) -> Path:
    sides = ("--clean", data / "clean_trainset_28spk_wav", "--noisy", data / "noisy_trainset_28spk_wav")
    return prepare(data / "voicebank16", *sides, "--sample-rate", "16000")


@pytest.mark.parametrize("name", FAMILIES)
def test_voicebank_demand_trains(name: str, voicebank: Path, tmp_path: Path) -> None:
    model = verify(train(f"voicebank_demand/{name}", voicebank, tmp_path / "run", *SPECTRAL))
    assert (model.config.task, model.sample_rate) == ("denoise", 16_000)


def test_cdiffuse_as_published_trains_from_the_same_pairs(voicebank: Path, tmp_path: Path) -> None:
    """The line of README.md."""
    section = f'data={{kind="noisy_clean", store="{voicebank.as_posix()}", batch=2, segment_s=0.2}}'
    small = ["network.residual_channels=4", "network.layers=2"]
    command = ["train", "cdiffuse", section, *SHORT, *small, "-o", str(tmp_path / "run")]
    assert cli.run(command) == 0
    assert verify(tmp_path / "run" / "model").config.process["kind"] == "cdiffuse"


@pytest.mark.parametrize(
    "changes", [(), ('network={kind="wavenet"}', "network.layers=2")], ids=["unet", "wavenet"]
)
def test_vctk_trains(changes: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    store = prepare(tmp_path / "vctk22", "--speech", data / "VCTK", "--sample-rate", "22050", "--rooms", "0")
    model = verify(train("vctk", store, tmp_path / "run", "data.frames=8", *changes))
    assert (model.config.task, model.sample_rate) == ("vocode", 22_050)


def test_libritts_trains_both_vocoders(data: Path, pairs: Path, tmp_path: Path) -> None:
    speech = ("--speech", data / "LibriTTS", "--sample-rate", "24000", "--rooms", "0")
    store = prepare(tmp_path / "libritts24", *speech)
    small = ("network.layers=2", "network.residual_channels=8", "data.frames=8")
    model = verify(train("libritts/diffwave", store, tmp_path / "diffwave", *small))
    assert model.mel is not None
    assert model.mel.n_mels == 100
    model = verify(train("libritts", pairs, tmp_path / "bridge", *SPECTRAL))
    assert (model.config.task, model.sample_rate) == ("vocode", 24_000)


def test_the_folder_people_copy_trains_a_denoiser_and_a_vocoder(
    data: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of its README, from a copy, in a folder of one's own."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(["recipes", "copy", "folder", "mine"]) == 0
    prepare(Path("corpus/own48"), "--speech", data / "VCTK", "--noise", data / "noise", "--rooms", "0")
    shorter = ("run.validate_minutes=60.0", "run.validate_items=1")
    assert cli.run(["train", "mine", *SHORT, *SPECTRAL, *shorter]) == 0
    for folder in ("model", "model-best"):
        assert verify(Path("runs/mine") / folder).config.task == "denoise"
    assert cli.run(["train", "mine/vocoder.toml", f"data.store={pairs}", *SHORT, *SPECTRAL]) == 0
    assert verify(Path("runs/vocoder/model")).config.task == "vocode"
