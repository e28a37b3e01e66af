"""Promise: ONNX Runtime and torch give the same, a model runs without torch, and a wrong choice is told."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from audiodiff import Denoiser
from audiodiff.cli import run
from audiodiff.errors import ConfigError, ModelError
from audiodiff.inference.chunk_denoiser import HEARD_CORE_S
from audiodiff.inference.engine import Samples
from audiodiff.inference.live import LiveDenoiser
from audiodiff.model import graph
from audiodiff.model.folder import SHIPPED, add_graphs, find, load_model, open_model, save, verify
from tests import builders

pytestmark = pytest.mark.slow  # making graphs takes ten seconds

Recording = Callable[..., Samples]


def rehash(folder: Path) -> None:
    known = json.loads((folder / "hashes.json").read_text())
    known = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in known}
    (folder / "hashes.json").write_text(json.dumps(known))


@pytest.mark.parametrize("quality", ["fast", "best"])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_runtimes_give_the_same(
    graph_folder: Path, recording: Recording, quality: Any, channels: int
) -> None:
    x = recording(1.3, 16000, channels=channels)
    clean = {
        name: Denoiser(graph_folder, quality=quality, runtime=name, threads=1).denoise(x.T, 16000)
        for name in ("onnx", "torch")
    }
    assert np.abs(clean["torch"] - x.T).max() > 0.01
    np.testing.assert_allclose(clean["onnx"], clean["torch"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_and_pushes_and_channels_change_nothing(
    graph_folder: Path, recording: Recording, precision: Any
) -> None:
    x = recording(7.7, 16000, channels=2)
    one, two = (Denoiser(graph_folder, runtime="onnx", precision=precision, threads=n) for n in (1, 2))
    gain = one.gain([x], 16000)
    whole = np.concatenate(list(one.stream([x], 16000, gain)), axis=1)
    pieces = [x[:, i : i + 777] for i in range(0, x.shape[1], 777)]
    np.testing.assert_array_equal(np.concatenate(list(two.stream(pieces, 16000, gain)), axis=1), whole)
    alone = np.concatenate(list(two.stream([x[1:]], 16000, gain)), axis=1)
    np.testing.assert_array_equal(alone, whole[1:])


def test_the_graph_reads_the_weights_of_its_folder(
    graph_folder: Path, tmp_path: Path, recording: Recording
) -> None:
    other = builders.spectral_model()
    folder = tmp_path / "other"
    save(folder, other.config, other.net.state_dict(), "# other\n")
    files = graph.NEEDED + graph.PIECEWISE
    for name in files:
        (folder / name).write_bytes((graph_folder / name).read_bytes())
    known = json.loads((folder / "hashes.json").read_text()) | dict.fromkeys(files, "")
    (folder / "hashes.json").write_text(json.dumps(known))
    rehash(folder)
    x = recording(0.8, 16000)[0]
    by_graph, by_torch = (Denoiser(folder, runtime=name).denoise(x, 16000) for name in ("onnx", "torch"))
    np.testing.assert_allclose(by_graph, by_torch, rtol=0, atol=1e-5)
    assert np.abs(by_graph - Denoiser(graph_folder, runtime="onnx").denoise(x, 16000)).max() > 1e-3


def test_auto_takes_what_is_there(graph_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Denoiser(graph_folder, device="cpu").runtime == "onnx"
    assert Denoiser(graph_folder, device="cpu", precision="bfloat16").runtime == "torch"
    assert Denoiser(load_model(graph_folder), device="cpu").runtime == "onnx"
    assert Denoiser(graph_folder, device="cpu").decisions["runtime"] == "onnx"
    monkeypatch.setattr(graph, "has_runtime", lambda: False)
    assert Denoiser(graph_folder, device="cpu").runtime == "torch"
    with pytest.raises(ModelError) as caught:
        Denoiser(graph_folder, runtime="onnx")
    assert caught.value.code == "refused"


@pytest.mark.parametrize(
    "wrong",
    [
        {"runtime": "tensorflow"},
        {"runtime": "onnx", "precision": "bfloat16"},
        {"runtime": "onnx", "device": "cuda"},
    ],
)
def test_choices_that_exclude_each_other_are_refused(graph_folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Denoiser(graph_folder, **wrong)


def test_a_model_without_graphs_runs_in_torch(toy_folder: Path) -> None:
    assert Denoiser(toy_folder).runtime == "torch"
    with pytest.raises(ModelError) as caught:
        Denoiser(toy_folder, runtime="onnx")
    assert caught.value.code == "refused"


def test_a_changed_graph_is_damaged_and_a_wrong_one_refused(graph_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in graph_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / graph.STEP).write_bytes(b"no graph")
    with pytest.raises(ModelError) as caught:
        open_model(folder)
    assert caught.value.code == "damaged"
    rehash(folder)
    with pytest.raises(ModelError) as caught:
        Denoiser(folder, runtime="onnx")
    assert caught.value.code == "refused"


def test_a_model_of_waveforms_has_no_graphs(tmp_path: Path) -> None:
    model = builders.waveform_denoiser(builders.WAVEFORM_NET, process={"kind": "ouve"})
    save(tmp_path / "wave", model.config, model.net.state_dict(), "# wave\n")
    with pytest.raises(ModelError) as caught:
        add_graphs(tmp_path / "wave", tmp_path / "wave")
    assert caught.value.code == "refused"


def test_what_is_no_model_is_not_exported(tmp_path: Path) -> None:
    assert run(["export", str(tmp_path / "none"), str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_export_writes_the_shipped_graphs_from_weights_and_ranges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of `podcast`, which has graphs of both kinds; those of `voice` are held to torch below."""
    made = tmp_path / "podcast"
    assert run(["export", "podcast", str(made)]) == 0
    assert str(made) in capsys.readouterr().out
    assert verify(made).graphs == made
    assert {path.name: path.read_bytes() for path in made.iterdir()} == {
        path.name: path.read_bytes() for path in find("podcast").iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["balanced", "best"])
@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob(f"*/{graph.STEP}")))
def test_the_shipped_models_give_the_same_in_both(recording: Recording, name: str, quality: Any) -> None:
    """`benchmarks/engines.py` makes the table of it; longer than a chunk, so that both halves work."""
    rate = open_model(name).sample_rate
    x = recording(HEARD_CORE_S + 0.7, rate)[0]
    by_graph, by_torch = (
        Denoiser(name, quality=quality, runtime=runtime).denoise(x, rate) for runtime in ("onnx", "torch")
    )
    loudest = float(np.abs(x).max())
    assert np.abs(by_torch - x).max() > 0.01 * loudest
    np.testing.assert_allclose(by_graph, by_torch, rtol=0, atol=1e-4 * loudest)


FLOOR = """
import sys
# as if they were not installed
sys.modules |= dict.fromkeys(("torch", "scipy", "numba", "librosa", "torchaudio", "matplotlib"))
from audiodiff.cli import main
sys.argv = ["audiodiff", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_denoise_runs_without_torch_scipy_and_numba(tmp_path: Path, recording: Recording) -> None:
    import soundfile

    source, target = tmp_path / "talk.wav", tmp_path / "clean.wav"
    soundfile.write(source, recording(1.0, 48000)[0], 48000)
    commands: list[tuple[int, list[str | Path]]] = [
        (0, ["denoise", source, "-o", target, "--report", tmp_path / "page.html"]),
        (0, ["info", target]),
        (0, ["models", "verify", "podcast"]),
        (2, ["denoise", source, "-o", tmp_path / "other.wav", "--runtime", "torch"]),
    ]
    for code, words in commands:
        done = subprocess.run([sys.executable, "-c", FLOOR, *words], capture_output=True, text=True)
        assert done.returncode == code, (words, done.stderr)
    assert soundfile.info(target).frames == 48000
    assert "torch" in done.stderr
    assert "Traceback" not in done.stderr


def test_channels_that_fall_silent_are_heard_anew(graph_folder: Path, recording: Recording) -> None:
    # with chunks of 2 s: the first channel is silent in the third, the second at both ends
    x = recording(9.5, 16000, channels=2)
    x[0, 60_000:110_000] = 0
    x[1, :40_000] = 0
    x[1, 120_000:] = 0
    clean = {
        name: Denoiser(graph_folder, runtime=name, threads=1).denoise(x.T, 16000)
        for name in ("onnx", "torch")
    }
    sounding = x.T != 0  # how much silence a chunk needs to be passed over depends on its length
    np.testing.assert_allclose(clean["onnx"][sounding], clean["torch"][sounding], rtol=0, atol=1e-5)


def test_a_stretch_has_the_bytes_of_the_whole(graph_folder: Path, recording: Recording) -> None:
    x = recording(9.5, 16000)
    denoiser = Denoiser(graph_folder, runtime="onnx", threads=1)
    whole, part = (
        np.concatenate(list(denoiser.stream([x], 16000, 1.5, only)), axis=1)
        for only in ((0, 1 << 40), (100_000, 120_000))
    )
    np.testing.assert_array_equal(part[:, 100_000:120_000], whole[:, 100_000:120_000])
    assert not np.array_equal(part, whole)


@pytest.mark.parametrize("gain", [1.5, None])
def test_live_use_hears_every_frame_once_too(
    graph_folder: Path, recording: Recording, gain: float | None
) -> None:
    x = recording(5.3, 16000, channels=2)
    short, long = (
        pushed(Denoiser(graph_folder, runtime="onnx", threads=2).live(16000, 2, gain or 1.0, block_s), x)
        for block_s in (0.3, HEARD_CORE_S)
    )
    np.testing.assert_allclose(short, long, rtol=0, atol=1e-5)
    if gain:
        files = Denoiser(graph_folder, runtime="onnx", threads=1).stream([x], 16000, gain)
        np.testing.assert_array_equal(np.concatenate(list(files), axis=1), long)
    else:  # measured as it comes: every chunk has a gain of its own
        by_graph, by_torch = (
            pushed(Denoiser(graph_folder, runtime=name).live(16000, 2, block_s=0.9), x)
            for name in ("onnx", "torch")
        )
        np.testing.assert_allclose(by_graph, by_torch, rtol=0, atol=1e-5)


def pushed(live: LiveDenoiser, x: Samples) -> npt.NDArray[Any]:
    out = [live.push(x[:, i : i + 1600]) for i in range(0, x.shape[1], 1600)]
    return np.concatenate([*out, live.flush()], axis=1)
