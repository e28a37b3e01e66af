"""Promise: parameters and multiply-accumulates are those counted by hand, per second of audio."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from audiodiff.cli import run
from audiodiff.model.cost import Cost, cost, count_macs
from audiodiff.model.model import Model
from audiodiff.networks.contract import domain_of
from tests import builders


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv1d(3, 8, 5, padding=2), (1, 3, 100), 100 * 8 * 3 * 5),
        (nn.Conv1d(8, 8, 3, padding=1, groups=8), (1, 8, 100), 100 * 8 * 3),
        (nn.Conv1d(4, 6, 4, stride=4), (2, 4, 100), 2 * 25 * 6 * 4 * 4),
        (nn.Conv2d(2, 5, (3, 4)), (1, 2, 9, 12), 7 * 9 * 5 * 2 * 3 * 4),
        (nn.ConvTranspose1d(4, 6, 8, stride=8), (1, 4, 10), 10 * 4 * 6 * 8),
        (nn.Linear(16, 32), (3, 16), 3 * 16 * 32),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4)), (10, 4), 10 * 16),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, nn.Module) else None,
)
def test_layers_cost_what_their_shapes_say(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert count_macs(lambda: layer(torch.zeros(shape))) == macs


def test_attention_is_its_two_matrix_products() -> None:
    q = torch.zeros(1, 2, 10, 4)  # 2 heads, 10 places, 4 numbers
    work = lambda: nn.functional.scaled_dot_product_attention(q, q, q)  # noqa: E731
    assert count_macs(work) == 2 * 2 * 10 * 10 * 4
    assert count_macs(lambda: torch.softmax(q @ q.transpose(-1, -2), -1) @ q) == 2 * 2 * 10 * 10 * 4


def test_a_network_of_spectra_has_the_cost_of_its_frames(toy_model: Model) -> None:
    """Depthwise convolutions of 130 channels, 5 and 3 frames long, at 250 frames a second."""
    found = cost(toy_model)
    assert found == Cost(130 * (5 + 3 + 1), 250 * 130 * 5, 250 * 130 * 3)
    assert found.macs(2) == 250 * 130 * (5 + 2 * 3)


def hand_count(net: nn.Module, work: Any) -> int:
    """Hooks on all layers: output positions times the weights that each one reads."""
    total = 0

    def add(layer: Any, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += out.numel() * layer.in_features
        elif isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
            total += given[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Conv1d | nn.Conv2d):
            total += out.numel() * layer.weight[0].numel()

    handles = [layer.register_forward_hook(add) for layer in net.modules()]
    with torch.no_grad():
        work()
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize("sizes", [builders.WAVEFORM_NET, builders.WAVEFORM_UNET])
def test_a_network_of_waveforms_costs_what_its_layers_say(sizes: dict[str, Any]) -> None:
    model = builders.waveform_denoiser(sizes, process={"kind": "ouve"})
    net: Any = model.net
    domain = domain_of(net)
    assert domain is not None
    condition, state = domain.zeros(16_000)  # one second, on the grid of both
    features = net.encode(condition)
    step = hand_count(net, lambda: net(state, torch.ones(1), features))
    found = cost(model)
    # what is done once a run, such as the embedding of the time, weighs as a second's work
    assert found.step_macs == pytest.approx(step, rel=1e-3)
    assert found.encode_macs == pytest.approx(hand_count(net, lambda: net.encode(condition)), rel=1e-3)
    assert found.parameters == sum(p.numel() for p in net.parameters())


@pytest.mark.slow
def test_the_command_shows_the_shipped_denoiser(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "inspect", "--json", "podcast"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] > 1e5
    macs = [found["preset_macs"][name] for name in ("fast", "balanced", "best")]
    assert macs == sorted(macs)
    assert macs[0] >= found["encode_macs"] + found["step_macs"]
    assert run(["models", "inspect", "podcast"]) == 0
    assert f"{found['parameters']:,}" in capsys.readouterr().out
    assert run(["models", "inspect", "nowhere"]) == 2
