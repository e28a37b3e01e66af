"""Promise: in integers of 8 bits a network gives nearly the same, from the same weights, for any pushes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from audiodiff import Denoiser
from audiodiff.batch.batch_spec import JobSpec
from audiodiff.batch.denoise_task import DenoiseSettings
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.cli import run
from audiodiff.errors import ConfigError, ModelError
from audiodiff.inference.engine import Samples
from audiodiff.model import graph
from audiodiff.model.folder import find, load_model, save, verify
from audiodiff.model.graph import Range
from audiodiff.model.integers import WEIGHT_MAX, quantise
from tests import builders

pytestmark = pytest.mark.slow  # making graphs takes ten seconds

Recording = Callable[..., Samples]
Array = npt.NDArray[Any]


def layer_graph(op: str, weight: Array, bias: Array, **attributes: Any) -> onnx.GraphProto:
    """One layer on its stored parameters, as the export links it."""
    nodes = [
        helper.make_node("Cast", ["layer.weight"], ["w"], to=TensorProto.FLOAT),
        helper.make_node(op, ["x", "w", "b"], ["y"], **attributes),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in "xy")
    stored = [numpy_helper.from_array(weight, "layer.weight"), numpy_helper.from_array(bias, "b")]
    return helper.make_graph(nodes, "layer", [x], [y], stored)


@pytest.mark.parametrize(
    ("op", "shape", "attributes"),
    [
        ("Conv", (6, 10, 3, 3), {"pads": [1, 1, 1, 1]}),
        ("Conv", (5, 8, 4, 1), {"pads": [1, 0, 1, 0], "strides": [2, 1]}),
        ("ConvTranspose", (9, 3, 4, 1), {"pads": [1, 0, 1, 0], "strides": [2, 1]}),
        ("ConvTranspose", (8, 5, 8, 1), {"pads": [2, 0, 2, 0], "strides": [4, 1]}),
    ],
)
def test_a_layer_errs_by_no_more_than_its_steps(op: str, shape: tuple[int, ...], attributes: Any) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=shape).astype(np.float16)
    bias = rng.normal(size=shape[0] if op == "Conv" else shape[1]).astype(np.float32)
    x = rng.uniform(-1, 2, size=(2, shape[0] if op == "ConvTranspose" else shape[1], 12, 7)).astype(
        np.float32
    )
    layer: Any = functional.conv2d if op == "Conv" else functional.conv_transpose2d
    stride, padding = attributes.get("strides", [1, 1]), attributes["pads"][:2]

    def computed(inputs: Array, kernel: Array, added: Array | None) -> Array:
        x, w = torch.from_numpy(inputs), torch.from_numpy(kernel)
        b = None if added is None else torch.from_numpy(added)
        result: Array = layer(x, w, b, stride=stride, padding=padding).numpy()
        return result

    wide = weight.astype(np.float32)
    true = computed(x, wide, bias)
    low, high = float(true.min()), float(true.max())
    proto = layer_graph(op, weight, bias, **attributes)
    quantise(proto, {"layer": Range(-1.0, 2.0, low, high)}, {"layer.weight": weight})
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    in_step, out_step = 3 / 255, (high - low) / 255
    w_step = float(np.abs(wide).max()) / WEIGHT_MAX
    bound = computed(np.full_like(x, 0.51 * in_step), np.abs(wide) + w_step, None)
    bound += computed(np.abs(x), np.full_like(wide, 0.51 * w_step), None) + 0.51 * out_step + 0.01
    assert found.shape == true.shape
    assert (np.abs(found - true) <= bound).all()
    assert np.abs(found - true).max() > 0


def test_integers_are_near_single_precision(graph_folder: Path, recording: Recording) -> None:
    verify(graph_folder)
    x = recording(3.3, 16000)[0]
    single, integer = (
        Denoiser(graph_folder, precision=name).denoise(x, 16000) for name in ("float32", "int8")
    )
    removed, error = x - single, integer - single
    assert np.abs(error).max() > 1e-5
    assert (error**2).sum() < 0.05 * (removed**2).sum()  # the shipped one is held more tightly below


def test_the_graphs_hold_no_weights_and_follow_those_of_their_folder(
    graph_folder: Path, tmp_path: Path, recording: Recording
) -> None:
    largest = max(value.numel() for value in load_model(graph_folder).net.state_dict().values())
    for name in graph.INT8.values():
        proto = onnx.load(graph_folder / name, load_external_data=False)
        inside = [t for t in proto.graph.initializer if t.data_location != TensorProto.EXTERNAL]
        assert max(int(np.prod(tensor.dims)) for tensor in inside) < largest / 4
    other = builders.spectral_model()
    save(tmp_path / "other", other.config, other.net.state_dict(), "# other\n")
    hashes = json.loads((tmp_path / "other" / "hashes.json").read_text())
    known = json.loads((graph_folder / "hashes.json").read_text())
    for name in graph.FILES:
        shutil.copy(graph_folder / name, tmp_path / "other")
        hashes[name] = known[name]
    (tmp_path / "other" / "hashes.json").write_text(json.dumps(hashes))
    # an untrained network hands the recording on
    x = recording(2.5, 16000)[0]
    own, others = (
        Denoiser(folder, precision="int8").denoise(x, 16000) for folder in (graph_folder, tmp_path / "other")
    )
    assert np.abs(others - x).max() < 0.01 * np.abs(x).max()
    assert np.abs(own - x).max() > 0.05 * np.abs(x).max()


@pytest.mark.parametrize("seconds", [0.4, 5.0])
def test_silence_and_strength_0_are_exact(graph_folder: Path, recording: Recording, seconds: float) -> None:
    x = recording(seconds, 16000, channels=2).T
    np.testing.assert_array_equal(Denoiser(graph_folder, precision="int8", strength=0).denoise(x, 16000), x)
    half = x.copy()
    half[:, 1] = 0
    assert not Denoiser(graph_folder, precision="int8").denoise(half, 16000)[:, 1].any()


def test_longer_chunks_differ_no_more_than_rounding_does(graph_folder: Path, recording: Recording) -> None:
    x = recording(9.0, 16000)
    denoiser = Denoiser(graph_folder, precision="int8")
    gain = denoiser.gain([x], 16000)
    assert gain is not None
    file = np.concatenate(list(denoiser.stream([x], 16000, gain)), axis=1)
    live = denoiser.live(16000, gain=gain, block_s=5.0)
    other = np.concatenate([live.push(x), live.flush()], axis=1)
    assert ((other - file) ** 2).sum() < 1e-3 * ((x - file) ** 2).sum()


def test_jobs_change_nothing_and_the_sidecar_names_the_numbers(
    graph_folder: Path, tmp_path: Path, recording: Recording
) -> None:
    (tmp_path / "in").mkdir()
    for k in range(3):
        soundfile.write(tmp_path / "in" / f"{k}.wav", recording(1.0 + 2 * k, 16000)[0], 16000)
    words = ["denoise", str(tmp_path / "in"), "-m", str(graph_folder), "--precision", "int8", "--quiet"]
    for jobs in ("1", "2"):
        assert run([*words, "-o", str(tmp_path / jobs), "--jobs", jobs]) == 0
    for k in range(3):
        one, two = (tmp_path / jobs / f"{k}.wav" for jobs in ("1", "2"))
        assert one.read_bytes() == two.read_bytes()
        told = read_sidecar(one)
        assert told is not None
        assert told.options["precision"] == "int8"


def test_the_numbers_are_a_decision() -> None:
    kinds = (DenoiseSettings(precision="float32"), DenoiseSettings(precision="int8"))
    single, integer = (JobSpec(settings, "m", "d").key for settings in kinds)
    assert single != integer


@pytest.mark.parametrize("wrong", [{"runtime": "torch"}, {"device": "cuda"}])
def test_integers_exclude_torch_and_gpus(graph_folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Denoiser(graph_folder, precision="int8", **wrong)


def test_a_model_without_integers_is_refused(toy_folder: Path, graph_folder: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(graph_folder, plain)
    (plain / graph.INT8[graph.UP]).unlink()
    for folder in (toy_folder, plain):
        with pytest.raises(ModelError) as caught:
            Denoiser(folder, precision="int8")
        assert caught.value.code == "refused"


def test_export_needs_recordings_and_ranges(graph_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = ["export", str(graph_folder), str(tmp_path / "made"), "--int8", str(tmp_path / "empty")]
    assert run(words) == 2
    for content in (b"[]", b'{"a": [1, 2]}', b'{"a": 1}', b"no"):
        with pytest.raises(ModelError) as caught:
            graph.read_ranges(content, tmp_path)
        assert caught.value.code == "refused"
    known = {"a.b": Range(-0.1, 2.0, 0.0, 1 / 3)}
    assert graph.read_ranges(graph.dump_ranges(known), tmp_path) == known


def test_the_shipped_denoiser_in_integers_is_near_single_precision() -> None:
    samples = Path(__file__).parents[2] / "samples"
    x, rate = soundfile.read(samples / "interview_noisy.flac", dtype="float32")
    single, integer = (
        Denoiser(find("podcast"), precision=name).denoise(x, rate) for name in ("float32", "int8")
    )
    removed, error = x - single, integer - single
    assert 10 * np.log10((error**2).sum() / (single**2).sum()) < -35
    assert (error**2).sum() < 1e-2 * (removed**2).sum()
