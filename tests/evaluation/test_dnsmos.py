"""Promise: around the user's network stand the published windows and polynomials of DNSMOS P.835."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from audiodiff.errors import ConfigError
from audiodiff.evaluation.dnsmos import FILE, WINDOW, Dnsmos
from audiodiff.evaluation.score import Unscored

onnx = pytest.importorskip("onnx")

RATE = 16000


def write_network(path: Path, columns: int = 3) -> None:
    """A stand-in of DNSMOS's input and output: opinions are the window's mean times 1, 2, 3."""
    make, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("ReduceMean", ["input_1"], ["mean"], axes=[1], keepdims=1),
        make.make_node("Mul", ["mean", "factors"], ["out"]),
    ]
    graph = make.make_graph(
        nodes,
        "stand-in",
        [make.make_tensor_value_info("input_1", kinds.FLOAT, [1, WINDOW])],
        [make.make_tensor_value_info("out", kinds.FLOAT, [1, columns])],
        [make.make_tensor("factors", kinds.FLOAT, [1, columns], np.arange(1.0, columns + 1))],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def judge(tmp_path: Path) -> Dnsmos:
    write_network(tmp_path / FILE)
    return Dnsmos(tmp_path)


def opinions(means: NDArray[np.float64]) -> list[float]:
    """The published polynomials of windows with these means, and their mean."""
    sig = -0.08397278 * means**2 + 1.22083953 * means + 0.0052439
    bak = -0.13166888 * (2 * means) ** 2 + 1.60915514 * (2 * means) - 0.39604546
    ovrl = -0.06766283 * (3 * means) ** 2 + 1.11546468 * (3 * means) + 0.04602535
    return [float(values.mean()) for values in (sig, bak, ovrl)]


@pytest.mark.parametrize(
    ("seconds", "starts_s"),
    [(9.01, [0]), (10.9, [0]), (11.0, [0, 1]), (13.5, [0, 1, 2, 3]), (5.0, [0]), (8.0, range(7))],
)
def test_windows_and_polynomials_are_the_published_ones(
    judge: Dnsmos, seconds: float, starts_s: list[int]
) -> None:
    x = np.linspace(0, 1, round(seconds * RATE))
    long = np.concatenate([x] * (1 if seconds > 9 else 2))  # 5 and 8 s are doubled once
    means = np.array([long[s * RATE : s * RATE + WINDOW].mean() for s in starts_s])
    found = judge.score(x, RATE)
    assert list(found) == ["dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl"]
    assert list(found.values()) == pytest.approx(opinions(means), abs=1e-4)


def test_other_rates_are_resampled(judge: Dnsmos) -> None:
    x = np.linspace(0.2, 1, 12 * RATE).astype(np.float32)
    twice = np.repeat(x, 2)
    assert list(judge.score(twice, 2 * RATE).values()) == pytest.approx(
        list(judge.score(x, RATE).values()), abs=1e-2
    )


def test_silence_has_no_opinion(judge: Dnsmos) -> None:
    found = judge.score(np.zeros(RATE), RATE)
    assert {s.code for s in found.values() if isinstance(s, Unscored)} == {"silence"}
    assert len(found) == 3


def test_what_is_no_dnsmos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Dnsmos(tmp_path)
    (tmp_path / FILE).write_bytes(b"no network")
    with pytest.raises(ConfigError):
        Dnsmos(tmp_path)
    write_network(tmp_path / FILE, columns=2)
    with pytest.raises(ConfigError):
        Dnsmos(tmp_path)
